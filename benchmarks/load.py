"""A client that is faster than what it measures: jobs over kept-alive connections, timed.

Other benchmarks run it as a process of its own, so that it takes no time of the server's:

    python benchmarks/load.py URL TOKEN ENDPOINT {run,runsync} JOBS CLIENTS JOBS_PER_SECOND

`run` submits with /run and holds /status-sync, `runsync` does both at once. At 0 jobs per second,
each client sends its next job when the last one is final. Prints one JSON object: the seconds it
took, the latencies from submission to the final state, and how many jobs failed. HTTP is written
by hand, because httpx alone would be the slowest part of the measurement.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

JOB = b'{"input":{"prompt":"measure"}}'


@dataclass(frozen=True)
class Result:
    """What was measured.

    Args:
        seconds: From the first submission to the last final state.
        latencies_s: Of each job that completed, sorted.
        failed: How many did not complete.
    """

    seconds: float
    latencies_s: list[float]
    failed: int

    def __str__(self) -> str:
        """Return one line of numbers."""
        if not self.latencies_s:
            return f"all {self.failed} jobs failed"
        jobs_per_s = len(self.latencies_s) / self.seconds
        p50_ms, p99_ms = (1000 * self.percentile_s(each) for each in (0.50, 0.99))
        failed = f"   {self.failed} failed" if self.failed else ""
        return f"{jobs_per_s:6.0f} jobs/s   p50 {p50_ms:6.1f} ms   p99 {p99_ms:6.1f} ms{failed}"

    def percentile_s(self, share: float) -> float:
        """Return the latency that this share of the jobs did not exceed."""
        return self.latencies_s[min(len(self.latencies_s) - 1, int(share * len(self.latencies_s)))]


class Connection:
    """One kept-alive connection, for one request at a time.

    Args:
        url: The server; only its host and port matter.
        token: The API key to send.
    """

    def __init__(self, url: str, token: str) -> None:
        self._address = urlsplit(url)
        self._head = f"Host: {self._address.netloc}\r\nAuthorization: Bearer {token}\r\n"
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection(
            self._address.hostname, self._address.port
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up."""
        self._writer.close()
        await self._writer.wait_closed()

    async def ask(self, method: str, path: str, body: bytes = b"") -> Any:
        """Send a request and return the JSON it is answered with."""
        head = (
            f"{method} {path} HTTP/1.1\r\n{self._head}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        length = next(int(each[15:]) for each in lines if each.startswith(b"content-length:"))
        answer = await self._reader.readexactly(length)
        if not lines[0].startswith(b"http/1.1 200"):
            raise SystemExit(f"{method} {path}: {lines[0].decode()} {answer.decode()}")
        return json.loads(answer)


async def one_job(connection: Connection, endpoint: str, way: str) -> str:
    """Send a job through and return the state it ends in."""
    if way == "runsync":
        job = await connection.ask("POST", f"{endpoint}/runsync", JOB)
    else:
        job = await connection.ask("POST", f"{endpoint}/run", JOB)
    while job["status"] in {"IN_QUEUE", "IN_PROGRESS"}:
        job = await connection.ask("GET", f"{endpoint}/status-sync/{job['id']}")
    return str(job["status"])


async def measure(
    url: str, token: str, endpoint: str, way: str, *, jobs: int, clients: int, jobs_per_s: float
) -> Result:
    """Send jobs through from several clients.

    Args:
        url: The server.
        token: Its API key.
        endpoint: The path to the endpoint's operations, such as `/v2/abc`.
        way: `run` or `runsync`.
        jobs: How many jobs.
        clients: How many connections.
        jobs_per_s: The pace of all together; 0 for as fast as each of them can. At a pace, the
            time that a job waits for a free client counts, too.
    """
    latencies_s: list[float] = []
    began_s = time.perf_counter()
    starts_s = (began_s + number / jobs_per_s if jobs_per_s else None for number in range(jobs))

    async def client(starts_s: Iterator[float | None]) -> None:
        async with Connection(url, token) as connection:
            for start_s in starts_s:
                if start_s is not None:
                    await asyncio.sleep(start_s - time.perf_counter())
                submitted_s = start_s or time.perf_counter()
                if await one_job(connection, endpoint, way) == "COMPLETED":
                    latencies_s.append(time.perf_counter() - submitted_s)

    await asyncio.gather(*(client(starts_s) for _ in range(clients)))
    seconds = time.perf_counter() - began_s
    return Result(seconds, sorted(latencies_s), jobs - len(latencies_s))


def main() -> None:
    """Measure as the command line says, and print the result as JSON."""
    url, token, endpoint, way, jobs, clients, pace = sys.argv[1:]
    measuring = measure(
        url,
        token,
        endpoint,
        way,
        jobs=int(jobs),
        clients=int(clients),
        jobs_per_s=float(pace),
    )
    print(json.dumps(asdict(asyncio.run(measuring))))


if __name__ == "__main__":
    main()
