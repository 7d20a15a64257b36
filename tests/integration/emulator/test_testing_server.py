"""The local RunPod as others' tests use it."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import httpx
import pytest

from runpodctl_py.emulator.clock import SystemClock
from runpodctl_py.emulator.config import PREFERRED_PORT, EmulatorConfig
from runpodctl_py.emulator.server import LocalRunPod
from runpodctl_py.errors import ConflictError, EmulatorError
from runpodctl_py.testing import LocalRunPodServer

if TYPE_CHECKING:
    from pathlib import Path


def test_it_answers_inside_the_block_only(tmp_path: Path) -> None:
    """Its thread is gone afterwards."""
    before = set(threading.enumerate())
    with LocalRunPodServer(tmp_path) as server:
        environment = server.environment()
        headers = {"Authorization": f"Bearer {environment['RUNPOD_API_KEY']}"}
        assert httpx.get(f"{server.url}/_local/status", headers=headers).status_code == 200
        assert environment["RUNPOD_ENDPOINT_BASE_URL"] == f"{server.url}/v2"
        assert environment["RUNPOD_API_BASE_URL"] == server.url
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url)
    assert not [t for t in threading.enumerate() if t.name == "local-runpod" and t not in before]


def test_two_do_not_know_each_other(tmp_path: Path) -> None:
    """Neither port nor token nor state is shared."""
    with LocalRunPodServer(tmp_path / "a") as a, LocalRunPodServer(tmp_path / "b") as b:
        assert a.url != b.url
        assert a.token != b.token
        headers = {"Authorization": f"Bearer {a.token}"}
        assert httpx.get(f"{b.url}/_local/status", headers=headers).status_code == 401


def test_it_is_reached_from_this_machine_only(tmp_path: Path) -> None:
    """It listens on the loopback address."""
    with LocalRunPodServer(tmp_path) as server:
        assert server.url.startswith("http://127.0.0.1:")


def test_a_failed_start_is_raised_where_it_was_asked_for(tmp_path: Path) -> None:
    """A file stands where its folder should be."""
    (tmp_path / "file").touch()
    with (
        pytest.raises(EmulatorError, match="cannot be used"),
        LocalRunPodServer(tmp_path / "file"),
    ):
        pass


@pytest.mark.anyio
async def test_a_busy_port_is_named(tmp_path: Path) -> None:
    """And nothing is left behind of the attempt."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConflictError, match=f"port {port} of 127.0.0.1 cannot be used"):
            await LocalRunPod(EmulatorConfig(tmp_path, port=port)).start()


@pytest.mark.anyio
async def test_the_preferred_port_is_no_must(tmp_path: Path) -> None:
    """If somebody has it, any other one will do."""
    with ExitStack() as stack:
        # It may be in use on this machine already, which is as good.
        with suppress(OSError):
            stack.enter_context(socket.create_server(("127.0.0.1", PREFERRED_PORT)))
        runpod = LocalRunPod(EmulatorConfig(tmp_path, port=None))
        await runpod.start()
        assert runpod.url != f"http://127.0.0.1:{PREFERRED_PORT}"
        await runpod.stop()


def test_an_answer_takes_no_pause(tmp_path: Path) -> None:
    """Nagle's algorithm is off on accepted connections: with it, each answer takes 40 ms."""
    with LocalRunPodServer(tmp_path) as server:
        port = int(server.url.rpartition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.1", port)
        headers = {"Authorization": server.token}
        took_s = [timed(connection, headers) for _ in range(20)]
        connection.close()
    assert min(took_s) < 0.03


def timed(connection: http.client.HTTPConnection, headers: dict[str, str]) -> float:
    """Returns how long one small request takes."""
    began = time.perf_counter()
    connection.request("GET", "/_local/status", headers=headers)
    connection.getresponse().read()
    return time.perf_counter() - began


class BreakableClock(SystemClock):
    """A clock that stops working on demand, and with it whatever asks it."""

    broken = False

    def now(self) -> float:
        """Returns the time, while it works."""
        if self.broken:
            raise RuntimeError("the clock is broken")
        return super().now()


def test_a_part_that_fails_ends_it_all(tmp_path: Path) -> None:
    """Rather than answering on without ever starting a worker; why is told at the end."""
    clock = BreakableClock()
    server = LocalRunPodServer(tmp_path, clock=clock).__enter__()
    clock.broken = True
    runpod = server._started_runpod()

    async def ring() -> None:
        runpod._bells.ring("scaler")

    server._carried_out(ring())
    server._threaded._thread.join()
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url)
    with pytest.raises(RuntimeError, match="the clock is broken"):
        server.__exit__(None, None, None)
