"""A worker that does what its input asks for."""

import os
import signal
import subprocess
import sys
import threading
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


def finish_on_stop(_job: dict[str, Any], task: dict[str, Any]) -> Any:
    """Works until its process is told to stop, then tells whether its helper process was, too."""
    stop_of_the_sdk = signal.getsignal(signal.SIGTERM)
    told = threading.Event()

    def stop(signum: int, frame: Any) -> None:
        told.set()
        stop_of_the_sdk(signum, frame)

    signal.signal(signal.SIGTERM, stop)
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as helper:
        Path(task["until"]).touch()
        told.wait()
        helper.stdin.close()
        return "stopped, not its helper" if helper.wait() == 0 else "stopped with its helper"


def die(_job: dict[str, Any], task: dict[str, Any]) -> Any:
    """Ends its own process: the first time as a program would, then as the kernel would."""
    died = Path(task["died"])
    if not died.exists():
        died.touch()
        sys.exit(4)
    os.kill(os.getpid(), signal.SIGKILL)


TASKS = {
    "echo": echo,
    "raise": fail,
    "progress": progress,
    "finish_on_stop": finish_on_stop,
    "error": lambda _job, _task: {"error": "bad thing", "extra": 1},
    "set": lambda _job, _task: {1, 2},
    "nan": lambda _job, _task: {"number": float("nan")},
    "crash": lambda _job, _task: os._exit(7),
    "die": die,
    "refresh": lambda _job, _task: {"refresh_worker": True, "done": True},
    "large": lambda _job, task: "x" * task["size_bytes"],
    "sleep": lambda _job, _task: time.sleep(600),
}

runpod.serverless.start({"handler": handler})
