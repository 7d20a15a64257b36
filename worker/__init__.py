"""The bundled worker image: RunPod jobs in, files out. Imports nothing of `runpodctl_py`."""
