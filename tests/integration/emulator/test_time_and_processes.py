"""What is about real processes goes by the machine's time, however the emulator's is moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.integration.emulator.conftest import Client, Stage


def test_a_live_worker_does_not_fall_silent_in_a_leap(client: Client, stage: Stage) -> None:
    """31 minutes are no missed pings: it keeps its process and its job, which has its times."""
    client.server.time.freeze()
    endpoint_id, puppet = stage.on_duty()
    job_id = client.run(endpoint_id, {})
    puppet.take()
    client.server.time.advance(31 * 60)
    (worker,) = client.workers(endpoint_id)
    assert (worker["id"], worker["pid"], worker["state"]) == (puppet.id, puppet.pid, "RUNNING")
    puppet.done(job_id, '{"output": 1}')
    job = client.final(endpoint_id, job_id)
    assert (job["status"], job["executionTime"]) == ("COMPLETED", 31 * 60 * 1000)
    client.delete(endpoint_id)
    client.server.time.run()


def test_a_worker_that_starts_does_not_run_late_in_a_leap(client: Client, stage: Stage) -> None:
    """The 7 minutes it has are real ones."""
    endpoint_id, puppet = stage.on_duty()
    client.server.time.advance(3600)
    (worker,) = client.workers(endpoint_id)
    assert (worker["id"], worker["state"]) == (puppet.id, "INITIALIZING")
    client.delete(endpoint_id)


def test_a_leap_ends_when_idle_processes_have(client: Client, stage: Stage) -> None:
    """It waits for the process, not only for the decision."""
    client.server.time.freeze()
    endpoint_id = client.endpoint("puppet", idleTimeout=60)
    job_id = client.run(endpoint_id, {})
    puppet = stage.puppet()
    puppet.take()
    puppet.done(job_id, '{"output": 1}')
    puppet.take()
    client.server.time.advance(59)
    assert [each["id"] for each in client.workers(endpoint_id)] == [puppet.id]
    client.server.time.advance(1)
    assert client.workers(endpoint_id) == []
    client.server.time.run()
    client.delete(endpoint_id)
