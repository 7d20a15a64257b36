"""Clients that wait for the same stream at the same time."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from starlette.requests import Request

from runpodctl_py.emulator.bells import ClientGoneError
from runpodctl_py.emulator.jobs.api import JobApi

if TYPE_CHECKING:
    from conftest import World

    from runpodctl_py.emulator.jobs.job import Job


class Reader:
    """A client that holds a request for a job's stream."""

    def __init__(self, api: JobApi, job: Job) -> None:
        self._gone = asyncio.Event()
        path = {"endpoint_id": job.endpoint_id, "job_id": job.id}
        scope = {"type": "http", "query_string": b"wait=60000", "path_params": path}
        self._answer = asyncio.create_task(api.stream(Request(scope, self._receive)))

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    def hang_up(self) -> None:
        """Closes the connection."""
        self._gone.set()

    async def pieces(self) -> list[Any]:
        """Returns what the answer holds."""
        body = json.loads((await self._answer).body)
        return [each["output"] for each in body["stream"]]


@pytest.fixture
def held(world: World) -> tuple[World, JobApi]:
    """A world whose bells wake requests."""
    return world, JobApi(world.state, world.bells)


async def everybody_waits() -> None:
    """Lets all tasks run as far as they get."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.anyio
@pytest.mark.proves("rule: drained-stream")
async def test_a_piece_goes_to_one_reader(held: tuple[World, JobApi]) -> None:
    """However many wait for it; the others go on waiting."""
    world, api = held
    job, worker = world.running(world.endpoint())
    readers = [Reader(api, job) for _ in range(3)]
    await everybody_waits()
    world.state.fleet.chunk(worker.id, job.id, "first")
    await everybody_waits()
    world.state.fleet.chunk(worker.id, job.id, "second")
    world.state.fleet.result(worker.id, job.id, {"output": []})
    pieces = [await each.pieces() for each in readers]
    assert sorted(pieces) == [[], ["first"], ["second"]]


@pytest.mark.anyio
@pytest.mark.proves("rule: drained-stream")
async def test_what_nobody_received_is_there_for_the_next(held: tuple[World, JobApi]) -> None:
    """A reader that hangs up while it is answered takes nothing with it; the order stays."""
    world, api = held
    job, worker = world.running(world.endpoint())
    reader = Reader(api, job)
    await everybody_waits()
    world.state.fleet.chunk(worker.id, job.id, "first")
    reader.hang_up()
    with pytest.raises(ClientGoneError):
        await reader.pieces()
    world.state.fleet.chunk(worker.id, job.id, "second")
    assert await Reader(api, job).pieces() == ["first", "second"]
