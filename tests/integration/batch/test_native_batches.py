"""Batches on the batch API of a local RunPod, whose workers take jobs as they come."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
import pytest

from runpodctl_py.batch.working import Limits, Stop
from runpodctl_py.testing import LocalRunPodServer, Simulation
from tests.acceptance.cli.ledger_scene import endpoint
from tests.unit.batch.native_scene import QuickClock, Scene, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runpodctl_py.batch.row import Row

pytestmark = pytest.mark.anyio

FAULTS = [
    f"batch:{what}@0.04"
    for what in ("500", "500-after", "drop", "drop-after", "garbage-after", "truncate", "503:1s")
]
"""About every fourth request of the batch API goes wrong, with or without an effect."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRunPodServer]:
    """A RunPod whose jobs take a moment."""
    folder = tmp_path_factory.mktemp("runpod")
    with LocalRunPodServer(folder, simulation=Simulation(delay_s=0.02), seed=1) as it:
        yield it


@pytest.fixture(autouse=True)
def _no_faults(server: LocalRunPodServer) -> Iterator[None]:
    """Each test sets its own."""
    yield
    server.faults.set()


def scene_on(
    server: LocalRunPodServer, folder: Path, rows: list[Row], *, workers: int = 3
) -> Scene:
    """Return a batch at an endpoint of its own."""
    return Scene(
        folder,
        rows,
        endpoint_id=endpoint(server, folder.name[-20:], workers_max=workers),
        root=f"{server.url}/v2",
        api_key=server.token,
        clock=QuickClock(20.0),
    )


def jobs_of(server: LocalRunPodServer, scene: Scene) -> dict[str, int]:
    """Return how many jobs the endpoint has had, by how they ended."""
    key = {"Authorization": f"Bearer {server.token}"}
    url = f"{server.url}/v2/{scene.endpoint_id}/health"
    jobs: dict[str, int] = httpx.get(url, headers=key).json()["jobs"]
    return jobs


class Alarm(QuickClock):
    """A clock that rings when somebody waits for jobs."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(20.0)
        self._scene = scene
        self.rung = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Wait for a part of that."""
        if self._scene.tally.in_flight:
            self.rung.set()
        await super().sleep(seconds)


async def broken_off(running: asyncio.Task[Stop]) -> bool:
    """Have a run end as Ctrl-C does; tell whether it had something left to do."""
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return running.cancelled()


async def test_a_batch_from_rows_to_files(server: LocalRunPodServer, tmp_path: Path) -> None:
    """Every row has its file, under its name, and the requests are few."""
    scene = scene_on(server, tmp_path, rows_of(300))

    assert await scene.run() is Stop.DONE

    names = {row.name for row in scene.rows}
    assert scene.named() == dict.fromkeys(names, "completed")
    files = [path.name for path in (tmp_path / "out").glob("r*.*") if path.name != "results.jsonl"]
    assert {name.partition(".")[0] for name in files} == names
    assert len(files) == 300
    assert jobs_of(server, scene)["completed"] == 300
    assert scene.tally.requests < 60


async def test_through_faults_and_cancellations(server: LocalRunPodServer, tmp_path: Path) -> None:
    """Broken off again and again while requests fail: each row runs once and has one result."""
    scene = scene_on(server, tmp_path, rows_of(60))
    server.faults.set(*FAULTS)
    chance = random.Random(3)  # noqa: S311 - nothing is secret here.
    for _ in range(8):
        running = asyncio.create_task(scene.run())
        await asyncio.wait([running], timeout=chance.uniform(0.02, 0.25))
        await broken_off(running)

    assert await scene.run() is Stop.DONE

    assert scene.named() == {row.name: "completed" for row in scene.rows}
    assert jobs_of(server, scene)["completed"] == 60
    assert scene.tally.unknown == []


async def test_waves_go_as_batches_end(server: LocalRunPodServer, tmp_path: Path) -> None:
    """A cap makes them small; each is finalized by itself, and none of its rows is left behind."""
    scene = scene_on(server, tmp_path, rows_of(50))

    assert await scene.run(Limits(max_cost_usd=1_000.0)) is Stop.DONE

    assert scene.named() == {row.name: "completed" for row in scene.rows}


async def test_what_waits_is_dropped_at_the_cap(server: LocalRunPodServer, tmp_path: Path) -> None:
    """There is no worker, so everything waits; what it costs is over the cap already."""
    scene = scene_on(server, tmp_path, rows_of(5), workers=0)
    alarm = scene.clock = Alarm(scene)
    running = asyncio.create_task(scene.run())
    await alarm.rung.wait()
    assert await broken_off(running)
    with scene.ledger() as ledger:
        states = {row.state.value for row in ledger.batches.rows("b1")}
    assert states == {"queued"}

    assert await scene.run(Limits(max_cost_usd=0.0)) is Stop.COST

    with scene.ledger() as ledger:
        states = {row.state.value for row in ledger.batches.rows("b1")}
    assert states == {"not_sent"}
    assert scene.results == []
