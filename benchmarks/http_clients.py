"""HTTP clients with tens to hundreds of requests open at once, on one local RunPod.

Run it in an environment with the `local` and `dev` extras:

    python benchmarks/http_clients.py [REQUESTS_PER_CONNECTION]

Every client asks for the status of the same finished job and reads the answer's JSON; the local
RunPod answers 150 ms late, as over a slow network. It has one core and the client another, where
the system can tell them so. Every line is a process of its own, warmed up by one request on each
connection. Ours is httpx up to 32 connections and aiohttp beyond. Bare aiohttp is the limit: what
the others add is the price of their comfort. From 200 connections on, the server's core limits
the requests per second; the client's processor time per request tells what is left of its own.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import httpx
from emulator import local_runpod, pin
from httpx_aiohttp import AiohttpTransport

from runpodctl_py.api.retrying import RetryPolicy
from runpodctl_py.api.transport import Transport
from runpodctl_py.emulator.config import Simulation
from runpodctl_py.errors import RunpodctlError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from emulator import Server

    Ask = Callable[[str], Awaitable[object]]
    Client = Callable[[str, str, int], AbstractAsyncContextManager[Ask]]

CONNECTIONS = (32, 100, 200, 400)
LATENCY = "status:delay:150ms"
TIMEOUT_S = 60.0
PER_SHARD = 8


@dataclass(frozen=True)
class Load:
    """What one client has to do.

    Args:
        connections: How many requests are open at once.
        requests_each: How many come one after the other on each of them.
    """

    connections: int
    requests_each: int


@dataclass(frozen=True)
class Result:
    """What one client did.

    Args:
        seconds: From the first request to the last answer.
        processor_s: The client's processor time in it.
        latencies_s: Of each request that was answered, sorted.
        errors: How many were not.
    """

    seconds: float
    processor_s: float
    latencies_s: list[float]
    errors: int

    def __str__(self) -> str:
        """Return one line of numbers."""
        answered = len(self.latencies_s)
        p50_ms, p99_ms = (1000 * self.percentile_s(each) for each in (0.50, 0.99))
        each_us = 1e6 * self.processor_s / (answered + self.errors)
        return (
            f"{answered / self.seconds:10.0f} {p50_ms:10.0f} {p99_ms:10.0f} "
            f"{each_us:12.0f} {self.errors:8}"
        )

    def percentile_s(self, share: float) -> float:
        """Return the latency that this share of the answered requests did not exceed."""
        if not self.latencies_s:
            return float("nan")
        return self.latencies_s[min(len(self.latencies_s) - 1, int(share * len(self.latencies_s)))]


class ShardedTransport(httpx.AsyncBaseTransport):
    """Many small pools of connections instead of a large one, sharing their certificates."""

    def __init__(self, connections: int) -> None:
        certificates = httpx.create_ssl_context()
        limits = httpx.Limits(max_connections=PER_SHARD, max_keepalive_connections=PER_SHARD)
        self._shards = [
            httpx.AsyncHTTPTransport(verify=certificates, limits=limits)
            for _ in range(-(-connections // PER_SHARD))
        ]
        self._open = dict.fromkeys(self._shards, 0)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request through the shard with the fewest open ones."""
        shard = min(self._shards, key=self._open.__getitem__)
        self._open[shard] += 1
        try:
            response = await shard.handle_async_request(request)
            # Its connection is busy until the body is there.
            await response.aread()
            return response
        finally:
            self._open[shard] -= 1

    async def aclose(self) -> None:
        """Hang up."""
        for shard in self._shards:
            await shard.aclose()


@asynccontextmanager
async def over_httpx(
    url: str, token: str, transport: httpx.AsyncBaseTransport
) -> AsyncIterator[Ask]:
    """Ask through httpx's API, whatever carries it."""
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=TIMEOUT_S, transport=transport
    ) as client:

        async def ask(path: str) -> object:
            return (await client.get(path)).raise_for_status().json()

        yield ask


def plain_httpx(url: str, token: str, connections: int) -> AbstractAsyncContextManager[Ask]:
    """Return httpx as it is."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    return over_httpx(url, token, httpx.AsyncHTTPTransport(limits=limits))


def sharded_httpx(url: str, token: str, connections: int) -> AbstractAsyncContextManager[Ask]:
    """Return httpx with many small pools."""
    return over_httpx(url, token, ShardedTransport(connections))


def httpx_aiohttp(url: str, token: str, connections: int) -> AbstractAsyncContextManager[Ask]:
    """Return httpx's API on aiohttp."""
    limits = httpx.Limits(max_connections=connections)
    return over_httpx(url, token, AiohttpTransport(limits=limits))


@asynccontextmanager
async def bare_aiohttp(url: str, token: str, connections: int) -> AsyncIterator[Ask]:
    """Ask through aiohttp itself."""
    async with aiohttp.ClientSession(
        url,
        headers={"Authorization": f"Bearer {token}"},
        connector=aiohttp.TCPConnector(limit=connections),
        timeout=aiohttp.ClientTimeout(sock_connect=10, sock_read=TIMEOUT_S),
        raise_for_status=True,
    ) as session:

        async def ask(path: str) -> object:
            async with session.get(path) as response:
                return await response.json()

        yield ask


@asynccontextmanager
async def our_transport(url: str, token: str, connections: int) -> AsyncIterator[Ask]:
    """Ask through what our commands use, its retries switched off."""
    once = RetryPolicy(attempts=1)
    async with Transport(url, token, retries=once, connections=connections) as transport:

        async def ask(path: str) -> object:
            return (await transport.get(path)).body

        yield ask


CLIENTS: Mapping[str, Client] = {
    "httpx": plain_httpx,
    "httpx in shards of 8": sharded_httpx,
    "httpx-aiohttp": httpx_aiohttp,
    "aiohttp": bare_aiohttp,
    "ours": our_transport,
}
FAILURES = (httpx.HTTPError, aiohttp.ClientError, TimeoutError, RunpodctlError)


async def measure(client: Client, url: str, token: str, path: str, load: Load) -> Result:
    """Keep connections busy, each with one request after the other."""
    latencies_s: list[float] = []
    errors = 0

    async def keep_asking(ask: Ask, requests: int) -> None:
        nonlocal errors
        for _ in range(requests):
            began_s = time.perf_counter()
            try:
                await ask(path)
            except FAILURES:
                errors += 1
            else:
                latencies_s.append(time.perf_counter() - began_s)

    async def all_ask(ask: Ask, requests: int) -> None:
        await asyncio.gather(*(keep_asking(ask, requests) for _ in range(load.connections)))

    async with client(url, token, load.connections) as ask:
        await all_ask(ask, 1)
        latencies_s.clear()
        errors = 0
        began_s, processor_s = time.perf_counter(), time.process_time()
        await all_ask(ask, load.requests_each)
        return Result(
            time.perf_counter() - began_s,
            time.process_time() - processor_s,
            sorted(latencies_s),
            errors,
        )


def measured(name: str, server: Server, path: str, load: Load) -> Result:
    """Measure a client in a process of its own, on another core than the server's."""
    arguments = (name, server.url, server.token, path, load.connections, load.requests_each)
    command = [sys.executable, __file__, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        pin(process.pid, 1)
        printed, _ = process.communicate()
    if process.returncode:
        raise SystemExit("the client failed")
    return Result(**json.loads(printed))


def finished_job(server: Server) -> str:
    """Send a job through, and return the path to its status."""
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=TIMEOUT_S) as api:
        asked = {"input": {"prompt": "measure"}}
        job = api.post(f"{server.endpoint}/run", json=asked).raise_for_status().json()
        path = f"{server.endpoint}/status/{job['id']}"
        while api.get(path).raise_for_status().json()["status"] != "COMPLETED":
            time.sleep(0.05)
        api.put("/_local/faults", json={"faults": [LATENCY]}).raise_for_status()
        return path


def main() -> None:
    """Measure all clients, one after the other."""
    requests_each = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    print(f"{'':38}requests/s     p50 ms     p99 ms  us CPU each   errors")
    with (
        tempfile.TemporaryDirectory() as name,
        local_runpod(Path(name, "data"), Simulation()) as server,
    ):
        path = finished_job(server)
        for connections in CONNECTIONS:
            load = Load(connections, requests_each)
            for client in CLIENTS:
                result = measured(client, server, path, load)
                print(f"{connections:4} connections, {client:<20} {result}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in CLIENTS:
        kind, url, token, path, *numbers = sys.argv[1:]
        load = Load(*map(int, numbers))
        print(json.dumps(asdict(asyncio.run(measure(CLIENTS[kind], url, token, path, load)))))
    else:
        main()
