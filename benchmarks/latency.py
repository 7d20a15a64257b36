"""From the worker's result to the verified file on disk, ours beside the official SDK's way.

Run it in an environment with the `local` extra:  python benchmarks/latency.py [JOBS]
Both sides take the same jobs of the same worker on one local RunPod, one after another. The worker
writes the time of its return into its output, so that one clock measures both ends. Ours follows
and saves as `submit` does; the SDK's way is `Endpoint.run`, `Job.output`, decode, write, verify.
The aim: p50 under 0.1 s.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from runpodctl_py.api.provisioning import connect
from runpodctl_py.api.serverless import Serverless
from runpodctl_py.api.transport import Transport
from runpodctl_py.api.types import Endpoint, JobRequest, Scaler, Template
from runpodctl_py.clock import SystemClock
from runpodctl_py.emulator.config import WorkerCommand
from runpodctl_py.jobs.collect import Submission, collect
from runpodctl_py.jobs.follow import Finished, follow
from runpodctl_py.testing import LocalRunPodServer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runpodctl_py.api.transport import Answer

HANDLER = """
import base64, hashlib, os, time
import runpod

def handler(job):
    time.sleep(job["input"]["seconds"])
    content = os.urandom(100_000)
    return {
        "filename": f"{job['id']}.bin",
        "content_base64": base64.b64encode(content).decode(),
        "sha256": hashlib.sha256(content).hexdigest(),
        "returned_at": time.time(),
    }

runpod.serverless.start({"handler": handler})
"""


class CountingTransport(Transport):
    """Our client, counting what it sends."""

    requests = 0

    async def get(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        *,
        hold_s: float = 0.0,
        tries: int | None = None,
    ) -> Answer:
        """Count, then GET."""
        self.requests += 1
        return await super().get(path, params, hold_s=hold_s, tries=tries)


async def make_endpoint(
    url: str, token: str, *, name: str = "latency", workers_max: int = 1
) -> str:
    """Create the endpoint and return its id."""
    async with connect(url, token) as control:
        template_id = await control.save_template(Template(None, name, name, 1))
        return await control.save_endpoint(
            Endpoint(
                None,
                name,
                template_id,
                gpu_ids="AMPERE_16",
                gpu_count=1,
                workers_min=1,
                workers_max=workers_max,
                idle_timeout_s=60,
                execution_timeout_ms=0,
                scaler=Scaler.QUEUE_DELAY,
                scaler_value=1,
                flashboot="OFF",
            )
        )


async def ours(
    url: str, token: str, endpoint_id: str, durations_s: list[float], folder: Path
) -> None:
    """Run the jobs our way and print the numbers."""
    latencies_s, requests = [], []
    for seconds in durations_s:
        async with CountingTransport(f"{url}/v2", token) as transport:
            endpoint = Serverless(transport, endpoint_id)
            job = await endpoint.run(JobRequest({"seconds": seconds}))
            async for event in follow(endpoint, job, SystemClock()):
                if isinstance(event, Finished):
                    job = event.job
            summary = await collect(job, Submission(endpoint_id), folder, None)
            done_at = time.time()
        output = job.output
        if not isinstance(output, dict) or summary.files[0].sha256 != output["sha256"]:
            raise SystemExit("the file is not what the worker sent")
        latencies_s.append(done_at - float(str(output["returned_at"])))
        requests.append(transport.requests)
    report("runpodctl-py", latencies_s, requests)


def official(endpoint_id: str, durations_s: list[float], folder: Path) -> None:
    """Run the jobs the official SDK's way and print the numbers."""
    import requests as http
    import runpod

    runpod.api_key = os.environ["RUNPOD_API_KEY"]
    sent = 0
    send = http.Session.send

    def counting(*args: object, **kwargs: object) -> object:
        nonlocal sent
        sent += 1
        return send(*args, **kwargs)  # type: ignore[arg-type]

    http.Session.send = counting  # type: ignore[method-assign,assignment]
    latencies_s, counts = [], []
    for seconds in durations_s:
        sent = 0
        output = (
            runpod.Endpoint(endpoint_id).run({"input": {"seconds": seconds}}).output(timeout=60)
        )
        content = base64.b64decode(output["content_base64"])
        path = folder / output["filename"]
        path.write_bytes(content)
        if hashlib.sha256(path.read_bytes()).hexdigest() != output["sha256"]:
            raise SystemExit("the file is not what the worker sent")
        latencies_s.append(time.time() - output["returned_at"])
        counts.append(sent - 1)
    report("runpod SDK 1.12", latencies_s, counts)


def report(name: str, latencies_s: list[float], requests: list[int]) -> None:
    """Print one line of numbers; the POST that submits is not counted."""
    ordered = sorted(latencies_s)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
    print(
        f"{name:<16} p50 {statistics.median(ordered) * 1000:6.0f} ms   p95 {p95 * 1000:6.0f} ms   "
        f"max {ordered[-1] * 1000:6.0f} ms   requests per job {statistics.mean(requests):.1f}"
    )


def main() -> None:
    """Measure both ways on one local RunPod."""
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    # Spread over a second, so that no side's polling happens to fit.
    durations_s = [0.3 + 2.7 * n / jobs for n in range(jobs)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        handler = folder / "handler.py"
        handler.write_text(HANDLER)
        command = WorkerCommand([sys.executable, "-u", str(handler)])
        with LocalRunPodServer(folder / "data", images={"latency": command}) as server:
            endpoint_id = asyncio.run(make_endpoint(server.url, server.token))
            os.environ.update(server.environment())
            print(f"{jobs} jobs of 0.3 to 3 s, 100 kB each, one after another; result to file:")
            asyncio.run(ours(server.url, server.token, endpoint_id, durations_s, folder / "ours"))
            (folder / "theirs").mkdir()
            official(endpoint_id, durations_s, folder / "theirs")


if __name__ == "__main__":
    main()
