"""A worker that does what its input asks for."""

import os
import time
from pathlib import Path
from typing import Any

import runpod


def handler(job: dict[str, Any]) -> Any:
    """Does one of the things a handler may do."""
    task = job["input"]
    return TASKS[task["do"]](job, task)


def echo(_job: dict[str, Any], task: dict[str, Any]) -> Any:
    """Returns its input, and what the environment looks like."""
    return {"echo": task, "home": sorted(each.name for each in Path.home().iterdir())}


def fail(_job: dict[str, Any], _task: dict[str, Any]) -> Any:
    """Raises."""
    raise ValueError("boom é")


def progress(job: dict[str, Any], task: dict[str, Any]) -> Any:
    """Tells of its progress, then waits until it is let go on."""
    runpod.serverless.progress_update(job, "half way")
    while not Path(task["until"]).exists():
        time.sleep(0.01)
    return "all the way"


TASKS = {
    "echo": echo,
    "raise": fail,
    "progress": progress,
    "error": lambda _job, _task: {"error": "bad thing", "extra": 1},
    "set": lambda _job, _task: {1, 2},
    "nan": lambda _job, _task: {"number": float("nan")},
    "crash": lambda _job, _task: os._exit(7),
    "sleep": lambda _job, _task: time.sleep(600),
}

runpod.serverless.start({"handler": handler})
