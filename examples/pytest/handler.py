"""A worker for RunPod: says what it is told, louder."""

import os

import runpod


def handler(job):
    """Return the text in capitals, and a mark after it."""
    text = job["input"].get("text")
    if not text:
        return {"error": "text is missing"}
    return {"text": text.upper() + os.environ.get("MARK", "!")}


runpod.serverless.start({"handler": handler})
