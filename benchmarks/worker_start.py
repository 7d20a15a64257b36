"""From a worker's start to its first poll for a job: a cold process, and what a warm spare gives.

Run it in an environment with the `local` extra:  python benchmarks/worker_start.py [RUNS]
The worker is the bundled one, unchanged. A spare has imported something and waits for a line:

- "dependencies": the SDK's heavy dependencies. It gets its environment with the line, so it may
  become any worker; the SDK itself has to be imported after that, because it reads RUNPOD_* then.
- "whole SDK": everything. Its worker's id must be chosen before it is needed.

Both times are the same clock's: from the start, or the line, to the request.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from emulator import resident_mb

if TYPE_CHECKING:
    from collections.abc import Iterator

COLD = [sys.executable, "-u", "-m", "worker"]
BECOME_WORKER = "import runpy; runpy.run_module('worker', run_name='__main__', alter_sys=True)"
DEPENDENCIES = f"""
import json, os, sys
import aiohttp, aiohttp_retry, backoff, cpuinfo, paramiko, requests, tomlkit, tqdm_loggable
print("waits", flush=True)
os.environ.update(json.loads(sys.stdin.readline()))
{BECOME_WORKER}
"""
WHOLE_SDK = f"""
import os, sys
from runpod import serverless
import worker.tasks.test
print("waits", flush=True)
sys.stdin.readline()
{BECOME_WORKER}
"""


class Platform(BaseHTTPRequestHandler):
    """Answers every poll with nothing, and notes when the first one for a job came."""

    asked: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        """Answer; a poll for a job is held a little, because the SDK polls again at once."""
        if "/job-take/" in self.path:
            self.asked.set()
            time.sleep(1)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def platform() -> Iterator[dict[str, str]]:
    """Serve the worker's side of the API; yields the environment that leads there."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Platform)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_address[1]}/v2/endpoint"
    yield {
        "RUNPOD_WEBHOOK_GET_JOB": f"{base}/job-take/worker?gpu=local",
        "RUNPOD_WEBHOOK_POST_OUTPUT": f"{base}/job-done/worker/$ID?gpu=local",
        "RUNPOD_WEBHOOK_PING": f"{base}/ping/worker",
        "RUNPOD_AI_API_KEY": "none",
        "RUNPOD_POD_ID": "worker",
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        "RUNPOD_SKIP_GPU_CHECK": "true",
    }
    server.shutdown()


def started(command: list[str], told: dict[str, str]) -> subprocess.Popen[str]:
    """Start a process that finds the bundled worker."""
    home = str(Path(__file__).resolve().parents[1])
    return subprocess.Popen(
        command,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": home, "WORKER_TASK": "test", **told},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def first_poll_s(since_s: float) -> float:
    """Wait for the first poll and return how long ago `since_s` was."""
    if not Platform.asked.wait(timeout=60):
        raise SystemExit("the worker never asked for a job")
    return time.perf_counter() - since_s


def cold(told: dict[str, str]) -> float:
    """Return the seconds from the start of a process to its first poll."""
    Platform.asked.clear()
    began_s = time.perf_counter()
    process = started(COLD, told)
    try:
        return first_poll_s(began_s)
    finally:
        end(process)


def spare(script: str, told: dict[str, str], line: str) -> tuple[float, float]:
    """Return the seconds from the line to the first poll, and the spare's memory in MB."""
    Platform.asked.clear()
    process = started([sys.executable, "-u", "-c", script], told)
    try:
        if process.stdout is None or process.stdin is None or not process.stdout.readline():
            raise SystemExit("the spare did not start")
        memory_mb = resident_mb(process.pid)
        began_s = time.perf_counter()
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
        return first_poll_s(began_s), memory_mb
    finally:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    """Kill a worker with its ping process."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def main() -> None:
    """Measure the three ways, interleaved, and print the medians."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    times_s: dict[str, list[float]] = {"cold": [], "dependencies": [], "whole SDK": []}
    memory_mb = {"cold": 0.0}
    with platform() as told:
        for _ in range(runs):
            times_s["cold"].append(cold(told))
            for name, script, early in (
                ("dependencies", DEPENDENCIES, {}),
                ("whole SDK", WHOLE_SDK, told),
            ):
                seconds, memory_mb[name] = spare(script, early, json.dumps(told))
                times_s[name].append(seconds)
    print("start to first poll for a job        median      best   memory while it waits")
    for name, values in times_s.items():
        label = "cold process" if name == "cold" else f"warm spare, {name}"
        print(
            f"{label:<34} {statistics.median(values):6.2f} s  {min(values):6.2f} s"
            f"   {memory_mb[name]:6.0f} MB"
        )


if __name__ == "__main__":
    main()
