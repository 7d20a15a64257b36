"""What workers say about themselves, and what their silence means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runpodctl_py.emulator.jobs.job import JobStatus
from runpodctl_py.emulator.workers.record import Leaving, WorkerState

if TYPE_CHECKING:
    from conftest import World


@pytest.mark.proves("rule: worker-states")
def test_a_worker_is_initializing_until_it_asks_for_a_job(world: World) -> None:
    """Then it is idle, and running while it has a job."""
    endpoint = world.endpoint()
    worker = world.state.fleet.add(endpoint)
    assert worker.state is WorkerState.INITIALIZING
    world.state.fleet.poll_started(worker.id, holds_jobs=False)
    assert worker.state is WorkerState.IDLE
    world.submit(endpoint)
    world.state.fleet.take(worker, 1)
    assert worker.state is WorkerState.RUNNING


@pytest.mark.proves("rule: worker-states", "rule: health-counters")
def test_health_counts_every_state(world: World) -> None:
    """Workers on their way out are not counted."""
    endpoint = world.endpoint(workers_max=9)
    world.running(endpoint)
    world.worker(endpoint)
    world.state.fleet.add(endpoint)
    world.state.fleet.add(endpoint, throttled=True)
    world.state.fleet.mark_unhealthy(world.state.fleet.add(endpoint).id)
    world.state.fleet.leave(world.worker(endpoint).id, Leaving.IN_PEACE)
    health = world.state.health(endpoint.id)
    states = (health.initializing, health.idle, health.running, health.throttled)
    assert (*states, health.unhealthy) == (1, 1, 1, 1, 1)
    assert (health.in_queue, health.in_progress) == (0, 1)


@pytest.mark.proves("rule: draining")
def test_a_leaving_worker_gets_nothing(world: World) -> None:
    """A job handed to it after its SIGTERM would be lost without a word."""
    endpoint = world.endpoint()
    worker = world.worker(endpoint)
    world.state.fleet.leave(worker.id, Leaving.IN_PEACE)
    world.submit(endpoint)
    assert world.state.fleet.take(worker, 1) == []
    assert world.state.fleet.poll_started(worker.id, holds_jobs=False) is None


@pytest.mark.proves("rule: draining")
def test_a_worker_that_leaves_in_peace_finishes_its_jobs(world: World) -> None:
    """Only after the last of them is it due to go, and its held polls are woken."""
    endpoint = world.endpoint()
    jobs = [world.submit(endpoint) for _ in range(2)]
    worker = world.worker(endpoint)
    world.state.fleet.take(worker, 2)
    world.state.fleet.leave(worker.id, Leaving.IN_PEACE)
    world.state.fleet.result(worker.id, jobs[0].id, {"output": 1})
    assert worker.due_to_go is False
    world.rung.clear()
    world.state.fleet.result(worker.id, jobs[1].id, {"output": 1})
    assert worker.due_to_go is True
    assert {worker.id, "scaler"} <= set(world.rung)


def test_a_worker_that_leaves_at_once_waits_for_no_job(world: World) -> None:
    """It is due to go with its jobs."""
    _, worker = world.running(world.endpoint())
    assert worker.due_to_go is False
    world.state.fleet.leave(worker.id, Leaving.AT_ONCE)
    assert worker.due_to_go is True


def test_going_at_once_is_not_softened(world: World) -> None:
    """Whoever has to be killed is not asked instead."""
    worker = world.worker(world.endpoint())
    world.state.fleet.leave(worker.id, Leaving.AT_ONCE)
    world.state.fleet.leave(worker.id, Leaving.IN_PEACE)
    assert worker.leaving is Leaving.AT_ONCE


@pytest.mark.proves("rule: fitness")
def test_an_unhealthy_ping_takes_the_worker_out(world: World) -> None:
    """Its jobs are queued again, and it is asked to leave."""
    job, worker = world.running(world.endpoint())
    world.state.fleet.pinged(worker.id, [job.id], unhealthy=True)
    assert worker.state is WorkerState.UNHEALTHY
    assert worker.leaving is Leaving.IN_PEACE
    assert world.job(job).status is JobStatus.IN_QUEUE


@pytest.mark.proves("rule: missed-pings")
def test_three_missed_pings_mean_death(world: World) -> None:
    """Any sign of life starts the count again."""
    job, worker = world.running(world.endpoint())
    world.clock.advance(29)
    world.state.fleet.pinged(worker.id, [job.id], unhealthy=False)
    world.clock.advance(29)
    world.state.sweep()
    assert worker.leaving is None
    world.clock.advance(1)
    world.state.sweep()
    assert worker.leaving is Leaving.AT_ONCE
    assert world.job(job).status is JobStatus.IN_QUEUE


def test_a_worker_that_still_loads_is_not_missed(world: World) -> None:
    """Before its first word, silence means nothing: models take their time."""
    worker = world.state.fleet.add(world.endpoint())
    world.clock.advance(419)
    world.state.sweep()
    assert worker.leaving is None


def test_a_worker_that_never_asks_for_a_job_is_replaced(world: World) -> None:
    """After RunPod's seven minutes it counts as unhealthy, so that the next one waits a while."""
    worker = world.state.fleet.add(world.endpoint())
    assert world.state.fleet.next_due_s() == 420
    world.clock.advance(420)
    world.state.sweep()
    assert (worker.unhealthy, worker.leaving) == (True, Leaving.AT_ONCE)


def test_unknown_workers_are_suffered(world: World) -> None:
    """What a worker says that is gone already changes nothing."""
    job, _ = world.running(world.endpoint())
    assert world.state.fleet.poll_started("gone", holds_jobs=False) is None
    world.state.fleet.pinged("gone", [job.id], unhealthy=True)
    world.state.fleet.result("gone", job.id, {"output": 1})
    world.state.fleet.stop_poll_started("gone")
    world.state.fleet.remove("gone")
    assert world.job(job).status is JobStatus.IN_PROGRESS
