"""A worker that streams; its input says what, and how it ends."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import runpod


def handler(job: dict[str, Any]) -> Iterator[Any]:
    """Yields what it is told to; waits for a file, raises or yields an error after that."""
    task = job["input"]
    yield from task["pieces"]
    while "until" in task and not Path(task["until"]).exists():
        time.sleep(0.01)
    if "raise" in task:
        raise ValueError(task["raise"])
    if "error" in task:
        yield {"error": task["error"]}


runpod.serverless.start({"handler": handler})
