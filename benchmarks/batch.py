"""A batch of no-op jobs, beside the same work done with the official SDK's asyncio client.

Run it in an environment with the `local` extra:  python benchmarks/batch.py [ROWS]

Both send every row of one file to the same local RunPod with simulated workers, wait for each job,
and write the file it returns. The official client is used as its page shows it, 200 jobs at once:
`run`, then `output`, which asks once a second. Ours also judges the file before, writes every job
down, appends results.jsonl and writes results.csv. The server has one core, the client the other.
From completion to file: from the moment RunPod has the result until the file's time stamp.
Ours is measured with status-sync, where RunPod holds the question, and without it; and once more
where RunPod refuses more than 1000 submissions in ten seconds: at least 95 a second, none refused.
The aims: three times the official client's jobs/s, at half its processor time per job.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pstats
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from emulator import Server, local_runpod, pin
from latency import make_endpoint
from load import Result

from runpodctl_py.emulator.config import Simulation

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 2000
AT_ONCE = 200
WORKERS = 7
UNLIMITED = ("--rate", "100000")
_SDK = "sdk"


@dataclass(frozen=True)
class Run:
    """What one client took.

    Args:
        seconds: From its first to its last job at RunPod, submission to file.
        whole_s: From its start to its end, as a process.
        latencies_s: From completion to file, sorted.
        requests: How many requests it sent.
        processor_s: Of its process, start-up included.
        memory_mb: Its largest resident set.
    """

    seconds: float
    whole_s: float
    latencies_s: list[float]
    requests: int
    processor_s: float
    memory_mb: float

    def show(self, name: str) -> None:
        """Print a line of numbers."""
        rows = len(self.latencies_s)
        result = Result(self.seconds, self.latencies_s, 0)
        print(
            f"{name:<28} {result}   {self.requests / rows:4.2f} requests/job"
            f"   {1000 * self.processor_s / rows:5.2f} ms CPU/job   {self.memory_mb:4.0f} MB"
            f"   {self.whole_s:5.1f} s in all",
            flush=True,
        )


async def sdk(url: str, token: str, endpoint_id: str, rows: Path, folder: Path) -> None:
    """Be the official client: run every row, and write the files it returns."""
    import aiohttp
    import runpod

    runpod.api_key = token
    runpod.endpoint_url_base = f"{url}/v2"
    requests = 0

    async def count(*_: Any) -> None:
        nonlocal requests
        requests += 1

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(count)
    room = asyncio.Semaphore(AT_ONCE)
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(connector=connector, trace_configs=[trace]) as session:
        endpoint = runpod.AsyncioEndpoint(endpoint_id, session)

        async def one(row: dict[str, Any]) -> None:
            async with room:
                job = await endpoint.run(row["input"])
                result = (await job.output(timeout=600))["result"]
            content = base64.b64decode(result["content_base64"])
            (folder / f"{row['id']}.txt").write_bytes(content)

        with rows.open() as file:
            await asyncio.gather(*(one(json.loads(line)) for line in file))
    print(json.dumps({"requests": requests}))


def measured(command: list[str], folder: Path, books: Path, endpoint_id: str, **env: str) -> Run:
    """Run a client on a core of its own, and return what it took."""
    printed = folder.with_suffix(".out")
    began_s = time.monotonic()
    with printed.open("w") as out:
        process = subprocess.Popen(command, stdout=out, env={**os.environ, **env})
        pin(process.pid, 1)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    whole_s = time.monotonic() - began_s
    if process.returncode:
        raise SystemExit(f"{command[:4]} failed")
    told = json.loads(printed.read_text().splitlines()[-1])
    if told.get("rate_limited"):
        print(f"{told['rate_limited']} requests were refused for being too fast")
    files = {path.stem: path.stat().st_mtime for path in folder.glob("*.txt")}
    with closing(sqlite3.connect(books)) as jobs:
        done = jobs.execute(
            "SELECT json_extract(request, '$.input.row'), created_at, finished_at FROM job"
            " WHERE endpoint_id = ?",
            (endpoint_id,),
        ).fetchall()
    if sorted(files) != sorted(row for row, _, _ in done):
        raise SystemExit(f"{len(files)} files of {len(done)} jobs")
    return Run(
        max(files.values()) - min(created_at for _, created_at, _ in done),
        whole_s,
        sorted(max(0.0, files[row] - finished_at) for row, _, finished_at in done),
        told["requests"],
        used.ru_utime + used.ru_stime,
        used.ru_maxrss / 1024,
    )


@contextmanager
def faults(server: Server, *wanted: str) -> Iterator[None]:
    """Let things go wrong at the local RunPod for a while."""
    key = {"Authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=f"{server.url}/_local", headers=key) as local:
        local.put("/faults", json={"faults": wanted}).raise_for_status()
        try:
            yield
        finally:
            local.delete("/faults").raise_for_status()


def where_the_time_goes(profile: Path, rows: int) -> None:
    """Print the processor time of our main thread by the package that it was spent in."""
    spent: Counter[str] = Counter()
    stats: Any = pstats.Stats(str(profile))
    for (file, _, function), (_, _, own_s, _, _) in stats.stats.items():
        spent[_package(file, function)] += own_s
    print("\nthe main thread under a profiler, which slows it down, by package, ms/job:")
    for package, own_s in spent.most_common(12):
        print(f"  {package:<34} {1000 * own_s / rows:6.2f}")


def _package(file: str, function: str) -> str:
    if file == "~":
        return f"built in: {function.rsplit('method ', maxsplit=1)[-1].strip('<>{}')[:20]}"
    parts = Path(file).parts
    if "runpodctl_py" in parts:
        return ".".join(parts[parts.index("runpodctl_py") : -1])
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1]
    return f"Python's {Path(file).stem if 'asyncio' not in parts else 'asyncio'}"


@dataclass(frozen=True)
class Scene:
    """A local RunPod, and a file of rows for it."""

    server: Server
    folder: Path
    rows: Path

    def endpoint(self, name: str) -> str:
        """Make an endpoint and a folder for one run, and return the endpoint's id."""
        (self.folder / name).mkdir()
        made = make_endpoint(self.server.url, self.server.token, name=name, workers_max=WORKERS)
        return asyncio.run(made)

    def official(self) -> Run:
        """Run the rows with the official client."""
        endpoint_id, folder = self.endpoint(_SDK), self.folder / _SDK
        where = (self.server.url, self.server.token, endpoint_id)
        command = [sys.executable, __file__, _SDK, *where, str(self.rows), str(folder)]
        return measured(command, folder, self.books, endpoint_id)

    def ours(self, name: str, *options: str, under: tuple[str, ...] = ()) -> Run:
        """Run the rows with our command."""
        endpoint_id, folder = self.endpoint(name), self.folder / name
        command = [sys.executable, *under, "-m", "runpodctl_py", "batch", "run", str(self.rows)]
        command += ["-e", endpoint_id, "-o", str(folder), "--json", *options]
        variables = {
            "RUNPOD_ENDPOINT_BASE_URL": f"{self.server.url}/v2",
            "RUNPOD_API_BASE_URL": self.server.url,
            "RUNPOD_API_KEY": self.server.token,
            "RUNPODCTL_LEDGER": str(self.folder / "ledger.sqlite3"),
            "HOME": str(self.folder),
        }
        return measured(command, folder, self.books, endpoint_id, **variables)

    @property
    def books(self) -> Path:
        """What the local RunPod knows of its jobs."""
        return self.folder / "data" / "state.sqlite3"


@contextmanager
def scene(rows: int, *, rate_limits: bool = False) -> Iterator[Scene]:
    """Run a local RunPod and write a file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "rows.jsonl"
        lines = ({"id": f"r{each}", "input": {"row": f"r{each}"}} for each in range(rows))
        file.write_text("".join(f"{json.dumps(each)}\n" for each in lines))
        with local_runpod(folder / "data", Simulation(), rate_limits=rate_limits) as server:
            yield Scene(server, folder, file)


def main() -> None:
    """Measure both clients, one after the other; ours also polling, limited, and profiled."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    print(f"{rows} no-op jobs, {WORKERS} simulated workers; latency is from completion to file")
    with scene(rows) as it:
        official = it.official()
        official.show("official asyncio client")
        ours = it.ours("ours", *UNLIMITED)
        ours.show("runpodctl-py batch run")
        print(
            f"{official.seconds / ours.seconds:.1f} times its jobs/s at "
            f"{ours.processor_s / official.processor_s:.1f} times its processor time"
        )
        with faults(it.server, "status-sync:404"):
            it.ours("polled", *UNLIMITED).show("the same, polling /status")
        profile = it.folder / "profile"
        it.ours("profiled", *UNLIMITED, under=("-m", "cProfile", "-o", str(profile)))
        where_the_time_goes(profile, rows)
    with scene(rows, rate_limits=True) as it:
        it.ours("limited").show("at RunPod's limit of 100/s")


if __name__ == "__main__":
    if sys.argv[1:2] == [_SDK]:
        asyncio.run(sdk(*sys.argv[2:5], *map(Path, sys.argv[5:7])))
    else:
        main()
