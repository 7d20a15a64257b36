"""Jobs per second of the local RunPod with simulated workers, beside the SDK's `--rp_serve_api`.

Run it in an environment with the `local` extra:  python benchmarks/emulator.py [JOBS]
Each server has one core and the client another, where the system can tell them so. Both answer the
same small file at once. The official server has no asynchronous jobs, so it is measured with
/runsync alone. Memory is the server's resident set after its jobs; "unhurried" is the latency at
100 jobs/s. The processor time tells what one core carries when others use the machine, too.
The aim: 500 jobs/s or more with /run and /status-sync.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from latency import make_endpoint
from load import Result

from runpodctl_py.emulator.config import EmulatorConfig, Simulation
from runpodctl_py.emulator.daemon import Announcement, run_until_stopped

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENTS = 32
WARM_UP = 200
PACE_JOBS_PER_S = 100
CONTENT = "QSBzaW11bGF0ZWQgd29ya2VyIG1hZGUgdGhpcyBmaWxlLgo="
HANDLER = f"""
import runpod

async def handler(job):
    return {{"success": True, "result": {{"filename": "a.txt", "content_base64": "{CONTENT}"}}}}

runpod.serverless.start({{"handler": handler}})
"""


@dataclass(frozen=True)
class Server:
    """A server in a process of its own.

    Args:
        pid: The process.
        url: Where it answers.
        token: The API key it takes.
        endpoint: The path to the operations of its endpoint.
    """

    pid: int
    url: str
    token: str
    endpoint: str

    @property
    def memory_mb(self) -> float:
        """Its resident set."""
        return resident_mb(self.pid)

    @property
    def processor_s(self) -> float:
        """The processor time it has had; 0 where the system does not tell."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pin(pid: int, core: int) -> None:
    """Keep a process on one core, where the system can and has as many."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(pid, {cores[core % len(cores)]})


def resident_mb(pid: int) -> float:
    """Return how much memory a process has."""
    shown = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(pid)],  # noqa: S607 - every system has its own ps.
        check=True,
        capture_output=True,
        text=True,
    )
    return int(shown.stdout) / 1024


def load(server: Server, way: str, jobs: int, *, jobs_per_s: int = 0) -> Result:
    """Send jobs through from a process on another core."""
    command = [sys.executable, str(Path(__file__).with_name("load.py"))]
    where = (server.url, server.token, server.endpoint)
    arguments = (*where, way, jobs, CLIENTS, jobs_per_s)
    with subprocess.Popen([*command, *map(str, arguments)], stdout=subprocess.PIPE) as process:
        pin(process.pid, 1)
        printed, _ = process.communicate()
    if process.returncode:
        raise SystemExit("the client failed")
    return Result(**json.loads(printed))


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """Terminate a process with the block."""
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def local_runpod(
    folder: Path, simulation: Simulation, *, rate_limits: bool = False
) -> Iterator[Server]:
    """Run the local RunPod with one endpoint."""
    simulated, limited = json.dumps(asdict(simulation)), json.dumps(rate_limits)
    command = [sys.executable, __file__, "serve", str(folder), simulated, limited]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    pin(process.pid, 0)
    with ended(process):
        if process.stdout is None or not (line := process.stdout.readline()):
            raise SystemExit("the local RunPod did not start")
        told = json.loads(line)
        endpoint_id = asyncio.run(make_endpoint(told["url"], told["token"]))
        yield Server(process.pid, told["url"], told["token"], f"/v2/{endpoint_id}")


def serve(folder: Path, simulation: Simulation, *, rate_limits: bool) -> None:
    """Be the local RunPod, until it is terminated."""

    def announce(announcement: Announcement) -> None:
        print(json.dumps({"url": announcement.url, "token": announcement.token}), flush=True)

    config = EmulatorConfig(folder, simulation=simulation, rate_limits=rate_limits)
    asyncio.run(run_until_stopped(config, until_unused=False, on_ready=announce))


@contextmanager
def official_server(folder: Path) -> Iterator[Server]:
    """Run the official local server."""
    handler = folder / "handler.py"
    handler.write_text(HANDLER)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ["--rp_serve_api", "--rp_api_host", "127.0.0.1", "--rp_api_port", str(port)]
    process = subprocess.Popen(
        [sys.executable, str(handler), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    pin(process.pid, 0)
    with ended(process):
        wait_for(port)
        yield Server(process.pid, f"http://127.0.0.1:{port}", "none", "")


def wait_for(port: int) -> None:
    """Wait until somebody listens on a port."""
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise SystemExit("the official server did not start")


def show(what: str, server: Server, way: str, jobs: int, *, jobs_per_s: int = 0) -> None:
    """Measure and print one line of numbers."""
    before_s = server.processor_s
    result = load(server, way, jobs, jobs_per_s=jobs_per_s)
    each_ms = 1000 * (server.processor_s - before_s) / jobs
    print(f"{what:<32} {result}   {each_ms:4.2f} ms   {server.memory_mb:4.0f} MB", flush=True)


def main() -> None:
    """Measure both servers, one after the other."""
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    print(f"{jobs} jobs from {CLIENTS} clients: pace, latency, the server's processor time per job")
    with tempfile.TemporaryDirectory() as name:
        with local_runpod(Path(name, "data"), Simulation()) as server:
            load(server, "run", WARM_UP)
            show("local RunPod, /run+/status-sync", server, "run", jobs)
            show("local RunPod, /runsync", server, "runsync", jobs)
            show("the first, unhurried", server, "run", jobs // 10, jobs_per_s=PACE_JOBS_PER_S)
        with official_server(Path(name)) as server:
            load(server, "runsync", WARM_UP)
            show("--rp_serve_api, /runsync", server, "runsync", jobs)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(
            Path(sys.argv[2]),
            Simulation(**json.loads(sys.argv[3])),
            rate_limits=json.loads(sys.argv[4]),
        )
    else:
        main()
