"""How many workers an endpoint should have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runpodctl_py.emulator.scaler import Plan, plan
from runpodctl_py.emulator.worker_record import Leaving

if TYPE_CHECKING:
    from conftest import World

    from runpodctl_py.emulator.model import Endpoint


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


def test_request_count_divides_the_jobs(world: World) -> None:
    """Workers = jobs / scalerValue, rounded up, running ones included."""
    endpoint = world.endpoint(scaler_type="REQUEST_COUNT", scaler_value=2, workers_max=9)
    world.running(endpoint)
    for _ in range(4):
        world.submit(endpoint)
    assert ask(world, endpoint).start == 2


def test_workers_min_are_kept_warm(world: World) -> None:
    """They start without a job and stay without one."""
    endpoint = world.endpoint(workers_min=2, idle_timeout=1)
    assert ask(world, endpoint).start == 2
    for _ in range(2):
        world.worker(endpoint)
    world.clock.advance(60)
    assert ask(world, endpoint) == Plan()


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


def test_outdated_workers_are_replaced(world: World) -> None:
    """Idle ones leave at once, and a job gets a worker of the new version."""
    endpoint = world.endpoint()
    old = world.worker(endpoint)
    world.submit(endpoint)
    world.state.change_endpoint(endpoint.id, gpu_ids="ADA_24")
    assert ask(world, endpoint) == Plan(start=1, stop=(old.id,), look_again_s=4)


def test_leaving_and_unhealthy_workers_do_not_count(world: World) -> None:
    """Neither will take the job."""
    endpoint = world.endpoint()
    world.state.fleet.leave(world.worker(endpoint).id, Leaving.IN_PEACE)
    world.state.fleet.mark_unhealthy(world.state.fleet.add(endpoint).id)
    world.submit(endpoint)
    assert ask(world, endpoint).start == 1
