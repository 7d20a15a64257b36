"""The control plane in REST v2, by the contract that RunPod has published (API reference 3)."""
