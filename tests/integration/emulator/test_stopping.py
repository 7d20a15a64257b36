"""What a stop and a failed start leave behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.emulator.config import EmulatorConfig, WorkerCommand
from runpodctl_py.emulator.control.plane import EndpointDraft, TemplateDraft
from runpodctl_py.emulator.state import State
from runpodctl_py.emulator.store import SqliteStore
from runpodctl_py.emulator.workers.processes import Workers
from runpodctl_py.emulator.workers.record import Leaving

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from conftest import Client

    Start = Callable[..., AbstractContextManager[Client]]
    Eventually = Callable[[Callable[[], Any]], None]


def test_a_job_outlives_any_number_of_stops(
    tmp_path: Path, start: Start, eventually: Eventually
) -> None:
    """It begins anew at each start, and no retry is counted."""
    until = tmp_path / "go on"
    with start(stop_grace_s=0.1) as client:
        endpoint_id = client.endpoint("plain")
        job_id = client.run(endpoint_id, {"do": "progress", "until": str(until)})
        eventually(lambda: client.status(endpoint_id, job_id).get("output") == "half way")
    with start(stop_grace_s=0.1) as client:
        eventually(lambda: client.status(endpoint_id, job_id).get("output") == "half way")
    with start(stop_grace_s=0.1) as client:
        until.touch()
        final = client.final(endpoint_id, job_id)
        assert (final["status"], final["output"]) == ("COMPLETED", "all the way")
        assert "retries" not in final
        assert client.health(endpoint_id)["jobs"]["retried"] == 0


def test_a_result_that_comes_while_it_stops_counts(
    tmp_path: Path, start: Start, eventually: Eventually
) -> None:
    """A worker has the grace period to finish its job."""
    until = tmp_path / "go on"
    with start(stop_grace_s=20) as client:
        endpoint_id = client.endpoint("plain")
        job_id = client.run(endpoint_id, {"do": "finish_on_stop", "until": str(until)})
        eventually(until.exists)
    with start() as client:
        final = client.status(endpoint_id, job_id)
        assert (final["status"], final["output"]) == ("COMPLETED", "stopped, not its helper")


def test_a_worker_whose_log_cannot_be_made_is_unhealthy(
    start: Start, eventually: Eventually
) -> None:
    """It does not seem to be starting for ever, and its job waits."""
    with start() as client:
        (client.server.data_folder / "logs").touch()
        endpoint_id = client.endpoint("plain")
        job_id = client.run(endpoint_id, {"do": "echo"})
        eventually(lambda: client.health(endpoint_id)["workers"]["unhealthy"] == 1)
        assert client.status(endpoint_id, job_id)["status"] == "IN_QUEUE"
        client.delete(endpoint_id)
        eventually(lambda: client.workers(endpoint_id) == [])


@pytest.mark.anyio
async def test_a_stop_does_not_wait_for_a_worker_that_never_started(tmp_path: Path) -> None:
    """It is told to go while the system still refuses to start it."""
    images = {"missing": WorkerCommand(["/no/such/program"])}
    config = EmulatorConfig(tmp_path, images=images)
    store = SqliteStore(":memory:")
    state = State(store, config.clock, config.timings, lambda _: None, worker_quota=30)
    given = {"name": "t", "image_name": "missing", "is_serverless": True}
    template = state.save_template(TemplateDraft(None, given))
    endpoint = state.save_endpoint(EndpointDraft(None, {"name": "e", "template_id": template.id}))
    workers = Workers(config, state, "http://127.0.0.1:1", "key")
    await workers.open()

    workers.start(endpoint, 1)
    (worker,) = state.fleet.of(endpoint.id)
    # One turn of the loop, in which the request to start it is sent.
    await asyncio.sleep(0)
    state.fleet.leave(worker.id, Leaving.AT_ONCE)
    workers.stop(worker.id, Leaving.AT_ONCE)
    async with asyncio.timeout(10):
        await workers.close()
    assert state.fleet.workers == {}
    store.close()
