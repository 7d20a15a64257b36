"""What a simulated worker does with its jobs, in a time that only the test moves."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.emulator.config import Simulation
from runpodctl_py.emulator.jobs.job import JobStatus
from runpodctl_py.emulator.workers.record import Leaving, WorkerState
from runpodctl_py.emulator.workers.simulated import SimulatedWorker

if TYPE_CHECKING:
    from conftest import World

    from runpodctl_py.emulator.control.model import Endpoint

pytestmark = pytest.mark.proves("rule: simulated-workers")


def on_duty(world: World, endpoint: Endpoint, **simulation: Any) -> SimulatedWorker:
    """Adds a simulated worker."""
    fleet = world.state.fleet
    chance = random.Random(1)  # noqa: S311 - nothing secret depends on it.
    return SimulatedWorker(
        fleet.add(endpoint), Simulation(**simulation), fleet, world.clock, chance
    )


def test_without_a_delay_a_job_is_done_when_it_is_taken(world: World) -> None:
    """No time passes, and nothing is left to wait for."""
    endpoint = world.endpoint()
    job = world.submit(endpoint)
    assert on_duty(world, endpoint, progress=3).step() is None
    done = world.job(job)
    assert (done.status, done.started_at, done.finished_at) == (
        JobStatus.COMPLETED,
        world.clock.now(),
        world.clock.now(),
    )


def test_a_job_takes_as_long_as_it_should(world: World) -> None:
    """The worker asks to be woken when it is due, not before and not after."""
    endpoint = world.endpoint()
    job = world.submit(endpoint)
    simulated = on_duty(world, endpoint, delay_s=0.5)
    assert simulated.step() == 0.5
    world.clock.advance(0.25)
    assert (simulated.step(), world.job(job).status) == (0.25, JobStatus.IN_PROGRESS)
    world.clock.advance(0.25)
    assert (simulated.step(), world.job(job).status) == (None, JobStatus.COMPLETED)


def test_jitter_varies_the_duration_within_its_bounds(world: World) -> None:
    """Either way, and differently for each job."""
    endpoint = world.endpoint()
    for _ in range(50):
        world.submit(endpoint)
    simulated = on_duty(world, endpoint, delay_s=1.0, jitter_s=0.5)
    waits = []
    while (wait_s := simulated.step()) is not None:
        waits.append(world.clock.monotonic() + wait_s)
        world.clock.advance(wait_s)
    assert len(set(waits)) == 50
    assert 0.5 <= min(waits) < 0.7
    assert 1.3 < max(waits) <= 1.5


def test_progress_is_spread_over_the_delay(world: World) -> None:
    """In the shape of the bundled worker; the result follows the last update."""
    endpoint = world.endpoint()
    job = world.submit(endpoint)
    simulated = on_duty(world, endpoint, delay_s=5.0, progress=4)
    simulated.step()
    seen = []
    for _ in range(4):
        world.clock.advance(1.0)
        assert simulated.step() == 1.0
        seen.append(world.job(job).outcome["output"])
    assert [each["progress"] for each in seen] == [25, 50, 75, 100]
    assert seen[1] == {
        "status": "processing",
        "progress": 50,
        "current_step": "Simulated step 2",
        "step": 2,
        "total_steps": 4,
    }
    world.clock.advance(1.0)
    simulated.step()
    assert world.job(job).status is JobStatus.COMPLETED


def test_it_has_so_many_jobs_at_once(world: World) -> None:
    """The others wait in the queue until one is done."""
    endpoint = world.endpoint()
    for _ in range(5):
        world.submit(endpoint)
    simulated = on_duty(world, endpoint, delay_s=1.0, concurrency=2)
    counts = []
    for _ in range(4):
        simulated.step()
        health = world.state.health(endpoint.id)
        counts.append((health.in_queue, health.in_progress, health.counters.completed))
        world.clock.advance(1.0)
    assert counts == [(3, 2, 0), (1, 2, 2), (0, 1, 4), (0, 0, 5)]


def test_it_lets_others_have_their_turn(world: World) -> None:
    """However long the queue is, one step does no more than one worker may have at once."""
    endpoint = world.endpoint()
    for _ in range(5):
        world.submit(endpoint)
    simulated = on_duty(world, endpoint, concurrency=2)
    steps = [simulated.step() for _ in range(3)]
    assert steps == [0.0, 0.0, None]
    assert world.state.health(endpoint.id).counters.completed == 5


def test_the_share_of_failures_is_kept(world: World) -> None:
    """A failed job has an error as the SDK sends it: JSON in a string."""
    endpoint = world.endpoint()
    jobs = [world.submit(endpoint) for _ in range(400)]
    on_duty(world, endpoint, fail=0.25, concurrency=400).step()
    failed = [job for job in map(world.job, jobs) if job.status is JobStatus.FAILED]
    assert 80 < len(failed) < 120
    error = json.loads(failed[0].outcome["error"])
    assert error["error_type"] == "<class 'RuntimeError'>"
    assert {"error_message", "error_traceback", "hostname", "worker_id"} < error.keys()


def test_a_seed_makes_runs_the_same(world: World) -> None:
    """The same jobs fail, in the order in which they are taken."""
    ends = []
    for _ in range(2):
        endpoint = world.endpoint()
        jobs = [world.submit(endpoint) for _ in range(30)]
        on_duty(world, endpoint, fail=0.5).step()
        ends.append([world.job(job).status for job in jobs])
    assert ends[0] == ends[1]
    assert set(ends[0]) == {JobStatus.COMPLETED, JobStatus.FAILED}


def test_a_cancelled_job_stops(world: World) -> None:
    """Its place is free at once, and no word on it follows."""
    endpoint = world.endpoint()
    job, other = world.submit(endpoint), world.submit(endpoint)
    simulated = on_duty(world, endpoint, delay_s=1.0, progress=1, concurrency=1)
    simulated.step()
    world.state.cancel(endpoint.id, job.id)
    simulated.step()
    assert world.job(other).status is JobStatus.IN_PROGRESS
    world.clock.advance(5.0)
    simulated.step()
    assert world.job(job).status is JobStatus.CANCELLED
    assert world.job(other).status is JobStatus.COMPLETED


def test_it_never_falls_silent(world: World) -> None:
    """Although nothing pings for it, it counts as alive after days without a job."""
    endpoint = world.endpoint()
    on_duty(world, endpoint).step()
    world.clock.advance(3 * 86_400)
    world.state.sweep()
    (worker,) = world.state.fleet.of(endpoint.id)
    assert (worker.state, worker.leaving) == (WorkerState.IDLE, None)


def test_one_that_has_to_go_finishes_what_it_has(world: World) -> None:
    """And takes nothing new."""
    endpoint = world.endpoint()
    job = world.submit(endpoint)
    simulated = on_duty(world, endpoint, delay_s=1.0)
    simulated.step()
    (worker,) = world.state.fleet.of(endpoint.id)
    world.state.fleet.leave(worker.id, Leaving.IN_PEACE)
    late = world.submit(endpoint)
    world.clock.advance(1.0)
    simulated.step()
    assert (world.job(job).status, worker.due_to_go) == (JobStatus.COMPLETED, True)
    assert world.job(late).status is JobStatus.IN_QUEUE
