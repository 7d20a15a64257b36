"""How many workers an endpoint should have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runpodctl_py.emulator.jobs.job import JobStatus
from runpodctl_py.emulator.workers.record import Leaving, WorkerState
from runpodctl_py.emulator.workers.scaler import Plan, plan

if TYPE_CHECKING:
    from conftest import World

    from runpodctl_py.emulator.control.model import Endpoint


def ask(world: World, endpoint: Endpoint) -> Plan:
    """Asks for the plan as things stand."""
    state, now = world.state, world.state.endpoint(endpoint.id)
    return plan(
        now,
        state.jobs.queue(endpoint.id, 100),
        state.fleet.in_progress(endpoint.id),
        state.fleet.of(endpoint.id),
        world.clock,
    )


def test_nothing_to_do_means_nothing(world: World) -> None:
    """An endpoint without jobs has no workers, and nobody has to look again."""
    assert ask(world, world.endpoint()) == Plan()


def test_the_first_job_starts_a_worker_at_once(world: World) -> None:
    """Locally nobody waits for the queue delay; while it starts, no second one is."""
    endpoint = world.endpoint()
    world.submit(endpoint)
    assert ask(world, endpoint).start == 1
    world.state.fleet.add(endpoint)
    assert ask(world, endpoint).start == 0


@pytest.mark.proves("rule: queue-delay", "rule: workers-min")
def test_queue_delay_adds_a_worker_for_each_late_job(world: World) -> None:
    """Not before the delay, and never more than workersMax."""
    endpoint = world.endpoint(scaler_value=4, workers_max=3)
    world.running(endpoint)
    for _ in range(5):
        world.submit(endpoint)
    assert ask(world, endpoint) == Plan(start=0, look_again_s=4)
    world.clock.advance(4)
    assert ask(world, endpoint).start == 2


def test_workers_on_their_way_are_counted(world: World) -> None:
    """A late job that a starting worker will take needs no other one."""
    endpoint = world.endpoint(scaler_value=4)
    world.running(endpoint)
    world.submit(endpoint)
    world.state.fleet.add(endpoint)
    world.clock.advance(5)
    assert ask(world, endpoint).start == 0


@pytest.mark.proves("rule: policy-low-priority")
@pytest.mark.parametrize("scaler_type", ["QUEUE_DELAY", "REQUEST_COUNT"])
def test_low_priority_does_not_scale(world: World, scaler_type: str) -> None:
    """Such a job waits for a worker that is there anyway: it starts neither a first nor another."""
    endpoint = world.endpoint(scaler_type=scaler_type, scaler_value=1)
    low = world.submit(endpoint, low_priority=True)
    world.clock.advance(60)
    assert ask(world, endpoint) == Plan()
    worker = world.worker(endpoint)
    for _ in range(2):
        world.submit(endpoint, low_priority=True)
    assert [each.id for each in world.state.fleet.take(worker, 1)] == [low.id]
    world.clock.advance(60)
    assert ask(world, endpoint) == Plan()


def test_low_priority_does_not_hide_other_jobs(world: World) -> None:
    """However many of them came before it, an ordinary job starts a worker."""
    endpoint = world.endpoint(scaler_type="REQUEST_COUNT", scaler_value=1, workers_max=1)
    for _ in range(5):
        world.submit(endpoint, low_priority=True)
    ordinary = world.submit(endpoint)
    assert world.state.jobs.queue(endpoint.id, 1) == [ordinary]
    assert ask(world, endpoint).start == 1


@pytest.mark.proves("rule: request-count")
def test_request_count_divides_the_jobs(world: World) -> None:
    """Workers = jobs / scalerValue, rounded up, running ones included."""
    endpoint = world.endpoint(scaler_type="REQUEST_COUNT", scaler_value=2, workers_max=9)
    world.running(endpoint)
    for _ in range(4):
        world.submit(endpoint)
    assert ask(world, endpoint).start == 2


@pytest.mark.proves("rule: workers-min")
def test_workers_min_are_kept_warm(world: World) -> None:
    """They start without a job and stay without one."""
    endpoint = world.endpoint(workers_min=2, idle_timeout=1)
    assert ask(world, endpoint).start == 2
    for _ in range(2):
        world.worker(endpoint)
    world.clock.advance(60)
    assert ask(world, endpoint) == Plan()


@pytest.mark.proves("rule: idle-timeout")
def test_idle_workers_leave_after_the_idle_timeout(world: World) -> None:
    """Not a moment before, and never while they have a job."""
    endpoint = world.endpoint(idle_timeout=10)
    idle = world.worker(endpoint)
    world.clock.advance(9)
    assert ask(world, endpoint) == Plan(look_again_s=1)
    world.clock.advance(1)
    assert ask(world, endpoint) == Plan(stop=(idle.id,))
    world.submit(endpoint)
    world.state.fleet.take(idle, 1)
    assert ask(world, endpoint) == Plan()


def test_a_lower_maximum_sends_idle_workers_away(world: World) -> None:
    """The one that has been idle for longest goes first; busy ones may finish."""
    endpoint = world.endpoint(workers_max=3)
    _, busy = world.running(endpoint)
    first = world.worker(endpoint)
    world.clock.advance(1)
    second = world.worker(endpoint)
    world.state.change_endpoint(endpoint.id, workers_max=2)
    assert ask(world, endpoint).stop == (first.id,)
    world.state.change_endpoint(endpoint.id, workers_max=0)
    assert ask(world, endpoint).stop == (first.id, second.id)
    assert busy.leaving is None


@pytest.mark.proves("rule: rolling-release")
def test_outdated_workers_are_replaced(world: World) -> None:
    """Idle ones leave at once, and a job gets a worker of the new version."""
    endpoint = world.endpoint()
    old = world.worker(endpoint)
    world.submit(endpoint)
    world.state.change_endpoint(endpoint.id, gpu_ids="ADA_24")
    assert ask(world, endpoint) == Plan(start=1, stop=(old.id,), look_again_s=4)


@pytest.mark.proves("rule: rolling-release")
def test_a_release_replaces_busy_workers_one_after_the_other(world: World) -> None:
    """Old ones finish and get nothing new; new ones fill the room they leave, one at the least."""
    endpoint = world.endpoint(workers_max=3, workers_min=3)
    old = [world.running(endpoint) for _ in range(3)]
    world.state.change_endpoint(endpoint.id, gpu_ids="ADA_24")
    todo = ask(world, endpoint)
    assert (todo.start, todo.stop) == (1, tuple(worker.id for _, worker in old))
    for _, worker in old:
        world.state.fleet.leave(worker.id, Leaving.IN_PEACE)
    world.worker(world.state.endpoint(endpoint.id))
    assert ask(world, endpoint).start == 0
    for job, worker in old[:2]:
        world.submit(endpoint)
        world.state.fleet.result(worker.id, job.id, {"output": 1})
        assert world.state.fleet.take(worker, 1) == []
    assert ask(world, endpoint).start == 1


@pytest.mark.proves("rule: rolling-release", "rule: workers-min")
def test_a_release_keeps_idle_workers_warm_until_others_are(world: World) -> None:
    """As many as workersMin asks for, one by one; they serve until they are replaced."""
    endpoint = world.endpoint(workers_max=3, workers_min=2)
    first, second = world.worker(endpoint), world.worker(endpoint)
    world.state.change_endpoint(endpoint.id, gpu_ids="ADA_24")
    endpoint = world.state.endpoint(endpoint.id)
    todo = ask(world, endpoint)
    assert (todo.start, todo.stop) == (1, ())
    world.state.fleet.add(endpoint)
    todo = ask(world, endpoint)
    assert (todo.start, todo.stop) == (0, ())
    world.submit(endpoint)
    assert len(world.state.fleet.take(first, 1)) == 1
    world.worker(endpoint)
    assert ask(world, endpoint).stop == (first.id,)
    world.worker(endpoint)
    assert set(ask(world, endpoint).stop) == {first.id, second.id}


@pytest.mark.proves("rule: worker-states")
def test_throttled_workers_wait_as_long_as_they_are_wanted(world: World) -> None:
    """They count, so that no more are asked for, and go when their jobs are gone."""
    endpoint = world.endpoint(scaler_type="REQUEST_COUNT", scaler_value=1, workers_max=2)
    first, second = world.submit(endpoint), world.submit(endpoint)
    world.state.fleet.take(world.worker(endpoint), 1)
    waiting = world.state.fleet.add(endpoint, throttled=True)
    assert ask(world, endpoint) == Plan()
    assert waiting.state is WorkerState.THROTTLED
    world.state.cancel(endpoint.id, second.id)
    assert ask(world, endpoint).stop == (waiting.id,)
    assert world.job(first).status is JobStatus.IN_PROGRESS


def test_a_throttled_worker_is_not_late(world: World) -> None:
    """However long it waits, it is not taken for one that does not come up."""
    waiting = world.state.fleet.add(world.endpoint(), throttled=True)
    world.clock.advance(3600)
    world.state.sweep()
    assert waiting.state is WorkerState.THROTTLED
    world.state.fleet.begin(waiting)
    assert waiting.state is WorkerState.INITIALIZING
    world.clock.advance(421)
    world.state.sweep()
    assert waiting.state is WorkerState.UNHEALTHY


def test_leaving_and_unhealthy_workers_do_not_count(world: World) -> None:
    """Neither will take the job."""
    endpoint = world.endpoint()
    world.state.fleet.leave(world.worker(endpoint).id, Leaving.IN_PEACE)
    world.state.fleet.mark_unhealthy(world.state.fleet.add(endpoint).id)
    world.submit(endpoint)
    assert ask(world, endpoint).start == 1
