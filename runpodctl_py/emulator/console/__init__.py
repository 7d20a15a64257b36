"""The web console: a page for eyes at `/` of the local RunPod. It shows, and changes nothing."""
