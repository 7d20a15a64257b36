"""The control plane in GraphQL, as RunPod has it until early 2027 (API reference 1)."""
