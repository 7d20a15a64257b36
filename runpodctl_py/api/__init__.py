"""RunPod's APIs as a client sees them: requests and typed answers. Prints and writes nothing."""
