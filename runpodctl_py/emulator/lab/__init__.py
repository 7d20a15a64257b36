"""The laboratory: what is done to the local RunPod on purpose."""
