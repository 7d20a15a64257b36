"""A batch of no-op jobs, beside the same work done with the official SDK's asyncio client.

Run it in an environment with the `local` extra:  python benchmarks/batch.py [ROWS]

Both send every row of one file to the same local RunPod with simulated workers, wait for each job,
and write the file it returns. The official client is used as its page shows it, 200 jobs at once:
`run`, then `output`, which asks once a second. Ours also judges the file before, writes every job
down, appends results.jsonl and writes results.csv. The server has one core, the client the other.
From completion to file: from the moment RunPod has the result until the file's time stamp.
Ours is measured with status-sync, where RunPod holds the question, and without it.
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
_SDK = "sdk"
_PROFILED = "profiled"


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


def command_line(*arguments: str) -> list[str]:
    """Return our command that runs a batch."""
    return [sys.executable, "-m", "runpodctl_py", "batch", "run", *arguments, "--json"]


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


def main() -> None:
    """Measure both clients, one after the other, and ours once more under a profiler."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    print(f"{rows} no-op jobs, {WORKERS} simulated workers; latency is from completion to file")
    with (
        tempfile.TemporaryDirectory() as name,
        local_runpod(Path(name, "data"), Simulation()) as it,
    ):
        folder = Path(name)
        file = folder / "rows.jsonl"
        file.write_text(
            "".join(
                f"{json.dumps({'id': f'r{each}', 'input': {'row': f'r{each}'}})}\n"
                for each in range(rows)
            )
        )
        books, url = folder / "data" / "state.sqlite3", it.url
        env = {
            "RUNPOD_ENDPOINT_BASE_URL": f"{url}/v2",
            "RUNPOD_API_BASE_URL": url,
            "RUNPOD_API_KEY": it.token,
            "RUNPODCTL_LEDGER": str(folder / "ledger.sqlite3"),
            "HOME": name,
        }

        def ours(name: str) -> tuple[str, Path, list[str]]:
            endpoint_id = asyncio.run(make_endpoint(url, it.token, name=name, workers_max=WORKERS))
            out = folder / name
            arguments = (str(file), "-e", endpoint_id, "-o", str(out), "--rate", "100000")
            return endpoint_id, out, command_line(*arguments)

        endpoint_id = asyncio.run(make_endpoint(url, it.token, name=_SDK, workers_max=WORKERS))
        (folder / _SDK).mkdir()
        command = [sys.executable, __file__, _SDK, url, it.token, endpoint_id]
        command += [str(file), str(folder / _SDK)]
        official = measured(command, folder / _SDK, books, endpoint_id)
        official.show("official asyncio client")
        endpoint_id, out, command = ours("ours")
        run = measured(command, out, books, endpoint_id, **env)
        run.show("runpodctl-py batch run")
        print(
            f"{official.seconds / run.seconds:.1f} times its jobs/s at "
            f"{run.processor_s / official.processor_s:.2f} times its processor time per job"
        )
        with faults(it, "status-sync:404"):
            endpoint_id, out, command = ours("polled")
            measured(command, out, books, endpoint_id, **env).show("the same, polling /status")
        endpoint_id, out, command = ours(_PROFILED)
        profile = folder / "profile"
        command[1:1] = ["-m", "cProfile", "-o", str(profile)]
        measured(command, out, books, endpoint_id, **env)
        where_the_time_goes(profile, rows)


if __name__ == "__main__":
    if sys.argv[1:2] == [_SDK]:
        asyncio.run(sdk(*sys.argv[2:5], *map(Path, sys.argv[5:7])))
    else:
        main()
