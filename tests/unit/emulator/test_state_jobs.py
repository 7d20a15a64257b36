"""What clients, workers and time do to a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.emulator.control.plane import EndpointDraft, TemplateDraft
from runpodctl_py.emulator.errors import JobApiError
from runpodctl_py.emulator.jobs.job import RETENTION_S, SYNC_RETENTION_S, JobStatus, Policy
from runpodctl_py.emulator.store import SqliteStore
from runpodctl_py.emulator.workers import scaler
from runpodctl_py.emulator.workers.record import Leaving
from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import World

    from runpodctl_py.emulator.store import Store


def test_a_job_is_handed_out_once(world: World) -> None:
    """The second worker gets nothing."""
    endpoint = world.endpoint()
    world.running(endpoint)
    assert world.state.fleet.take(world.worker(endpoint), 1) == []


@pytest.mark.proves("rule: fifo")
def test_jobs_are_handed_out_in_order(world: World) -> None:
    """The oldest comes first, and a batch takes no more than it asked for."""
    endpoint = world.endpoint()
    jobs = [world.submit(endpoint) for _ in range(3)]
    taken = world.state.fleet.take(world.worker(endpoint), 2)
    assert [each.id for each in taken] == [each.id for each in jobs[:2]]


@pytest.mark.proves("rule: policy-low-priority")
def test_low_priority_jobs_come_after_all_others(world: World) -> None:
    """In the order of their submission; one that is queued again stays among its like."""
    endpoint = world.endpoint()
    low = [world.submit(endpoint, low_priority=True) for _ in range(2)]
    first = world.worker(endpoint)
    world.state.fleet.take(first, 1)
    ordinary = world.submit(endpoint)
    world.state.fleet.put_back(first, [world.job(low[0])])
    taken = world.state.fleet.take(world.worker(endpoint), 3)
    assert [each.id for each in taken] == [ordinary.id, low[0].id, low[1].id]


def test_a_low_priority_job_can_be_cancelled_in_the_queue(world: World) -> None:
    """No worker gets it any more."""
    endpoint = world.endpoint()
    job = world.submit(endpoint, low_priority=True)
    world.state.cancel(endpoint.id, job.id)
    assert world.state.health(endpoint.id).in_queue == 0


@pytest.mark.proves("rule: job-shapes")
def test_a_result_completes_the_job(world: World) -> None:
    """The output is there, and the times are measured from assignment."""
    endpoint = world.endpoint()
    job = world.submit(endpoint)
    worker = world.worker(endpoint)
    world.clock.advance(2)
    world.state.fleet.take(worker, 1)
    world.clock.advance(3)
    world.state.fleet.result(worker.id, job.id, {"output": 42})
    done = world.job(job)
    assert done.status is JobStatus.COMPLETED
    assert done.outcome == {"output": 42}
    assert done.started_at == job.created_at + 2
    assert done.finished_at == job.created_at + 5


@pytest.mark.proves("rule: job-shapes", "rule: error-shapes")
def test_an_error_fails_the_job(world: World) -> None:
    """Whatever else the result holds stays beside the error."""
    job, worker = world.running(world.endpoint())
    world.state.fleet.result(worker.id, job.id, {"error": "bad", "output": {"extra": 1}})
    assert world.job(job).status is JobStatus.FAILED
    assert world.job(job).outcome == {"error": "bad", "output": {"extra": 1}}


@pytest.mark.proves("rule: final-once")
def test_late_progress_is_ignored(world: World) -> None:
    """An update that arrives after the result changes nothing."""
    job, worker = world.running(world.endpoint())
    world.state.fleet.progress(worker.id, job.id, "half")
    assert world.job(job).outcome == {"output": "half"}
    world.state.fleet.result(worker.id, job.id, {"output": "all"})
    world.state.fleet.progress(worker.id, job.id, "half")
    assert world.job(job).outcome == {"output": "all"}


@pytest.mark.proves("rule: final-once")
def test_a_second_result_is_ignored(world: World) -> None:
    """The first word counts."""
    job, worker = world.running(world.endpoint())
    world.state.fleet.result(worker.id, job.id, {"output": 1})
    world.state.fleet.result(worker.id, job.id, {"error": "too late"})
    assert world.job(job).outcome == {"output": 1}


@pytest.mark.proves("rule: one-retry")
def test_a_lost_job_is_queued_once_more(world: World) -> None:
    """The first worker's death costs a retry, the second one's the job."""
    endpoint = world.endpoint()
    job, worker = world.running(endpoint)
    world.state.fleet.remove(worker.id)
    assert world.job(job).status is JobStatus.IN_QUEUE
    second = world.worker(endpoint)
    world.state.fleet.take(second, 1)
    world.state.fleet.remove(second.id)
    failed = world.job(job)
    assert failed.status is JobStatus.FAILED
    assert failed.outcome == {"error": "job timed out after 1 retries"}
    assert failed.retries == 1
    assert world.state.health(endpoint.id).counters.retried == 1


@pytest.mark.proves("rule: final-once")
def test_the_lost_workers_result_is_discarded(world: World) -> None:
    """Once the job is somebody else's, the first worker's word does not count."""
    endpoint = world.endpoint()
    job, worker = world.running(endpoint)
    world.state.fleet.poll_started(worker.id, holds_jobs=False)
    second = world.worker(endpoint)
    world.state.fleet.take(second, 1)
    world.state.fleet.result(worker.id, job.id, {"output": "old"})
    assert world.job(job).status is JobStatus.IN_PROGRESS
    world.state.fleet.result(second.id, job.id, {"output": "new"})
    assert world.job(job).outcome == {"output": "new"}


@pytest.mark.proves("rule: lost-job")
def test_a_worker_without_jobs_has_lost_those_it_was_given(world: World) -> None:
    """A poll that says so is the only sign of a result that could not be sent."""
    endpoint = world.endpoint()
    job, worker = world.running(endpoint)
    world.state.fleet.poll_started(worker.id, holds_jobs=True)
    assert world.job(job).status is JobStatus.IN_PROGRESS
    world.state.fleet.poll_started(worker.id, holds_jobs=False)
    assert world.job(job).status is JobStatus.IN_QUEUE
    assert world.job(job).retries == 1


@pytest.mark.proves("rule: lost-job")
def test_a_job_missing_from_two_pings_is_lost(world: World) -> None:
    """One ping may have left before the job arrived."""
    job, worker = world.running(world.endpoint())
    world.state.fleet.pinged(worker.id, [], unhealthy=False)
    assert world.job(job).status is JobStatus.IN_PROGRESS
    world.state.fleet.pinged(worker.id, [job.id], unhealthy=False)
    world.state.fleet.pinged(worker.id, [], unhealthy=False)
    assert world.job(job).status is JobStatus.IN_PROGRESS
    world.state.fleet.pinged(worker.id, [], unhealthy=False)
    assert world.job(job).status is JobStatus.IN_QUEUE


@pytest.mark.proves("rule: hung-up-worker")
def test_a_job_put_back_is_first_and_costs_no_retry(world: World) -> None:
    """A worker that hung up while it was handed the job never had it."""
    endpoint = world.endpoint()
    first, worker = world.running(endpoint)
    world.submit(endpoint)
    world.state.fleet.put_back(worker, [first])
    assert world.state.jobs.queue(endpoint.id, 1) == [world.job(first)]
    assert world.job(first).retries == 0


@pytest.mark.parametrize("loss", ["exit", "poll", "unhealthy"])
def test_a_job_that_stops_with_the_emulator_costs_no_retry(world: World, loss: str) -> None:
    """However its worker lets go of it; what it had said of its progress is void."""
    job, worker = world.running(world.endpoint())
    world.state.fleet.progress(worker.id, job.id, "half")
    world.state.fleet.chunk(worker.id, job.id, "a piece")
    world.state.fleet.begin_stop()
    world.state.fleet.leave(worker.id, Leaving.IN_PEACE)
    if loss == "exit":
        world.state.fleet.remove(worker.id)
    elif loss == "poll":
        world.state.fleet.poll_started(worker.id, holds_jobs=False)
    else:
        world.state.fleet.mark_unhealthy(worker.id)
    again = world.job(job)
    assert (again.status, again.retries, again.outcome) == (JobStatus.IN_QUEUE, 0, {})
    assert world.state.jobs.take_chunks(job) == []


def test_cancelling_a_queued_job_takes_it_out(world: World) -> None:
    """No worker gets it any more."""
    endpoint = world.endpoint()
    job = world.submit(endpoint)
    assert world.state.cancel(endpoint.id, job.id).status is JobStatus.CANCELLED
    assert world.state.fleet.take(world.worker(endpoint), 1) == []


@pytest.mark.proves("rule: cancel-running", "rule: cancelled-results")
def test_cancelling_a_running_job_tells_its_worker(world: World) -> None:
    """The worker is told once, and what it still sends is discarded."""
    endpoint = world.endpoint()
    job, worker = world.running(endpoint)
    world.state.cancel(endpoint.id, job.id)
    assert worker.told_to_stop() == [job.id]
    assert worker.told_to_stop() == []
    world.state.fleet.result(worker.id, job.id, {"output": 1})
    assert world.job(job).status is JobStatus.CANCELLED
    assert world.job(job).outcome == {}


def test_cancelling_a_finished_job_changes_nothing(world: World) -> None:
    """Its status is answered as it is."""
    endpoint = world.endpoint()
    job, worker = world.running(endpoint)
    world.state.fleet.result(worker.id, job.id, {"output": 1})
    assert world.state.cancel(endpoint.id, job.id).status is JobStatus.COMPLETED


@pytest.mark.proves("rule: cancel-running")
def test_a_worker_that_does_not_stop_has_to_go(world: World) -> None:
    """A synchronous handler never hears of the cancellation; its process is ended."""
    endpoint = world.endpoint()
    job, worker = world.running(endpoint)
    world.state.cancel(endpoint.id, job.id)
    world.clock.advance(2.9)
    world.state.sweep()
    assert worker.leaving is None
    world.clock.advance(0.2)
    world.state.sweep()
    assert worker.leaving is Leaving.AT_ONCE


def test_a_worker_that_listens_is_asked_again(world: World) -> None:
    """The SDK ignores a signal for a job it has not begun; if it is deaf then, it has to go."""
    endpoint = world.endpoint()
    job, worker = world.running(endpoint)
    world.state.cancel(endpoint.id, job.id)
    worker.told_to_stop()
    world.state.fleet.stop_poll_started(worker.id)
    world.clock.advance(3)
    world.state.sweep()
    assert worker.leaving is None
    assert worker.told_to_stop() == [job.id]
    world.clock.advance(3)
    world.state.sweep()
    assert worker.leaving is Leaving.AT_ONCE


@pytest.mark.parametrize("proof", ["poll", "ping", "result"])
def test_a_worker_that_has_stopped_may_stay(world: World, proof: str) -> None:
    """Its next poll, ping or late result shows that it is free."""
    endpoint = world.endpoint()
    job, worker = world.running(endpoint)
    world.state.cancel(endpoint.id, job.id)
    worker.told_to_stop()
    if proof == "poll":
        world.state.fleet.poll_started(worker.id, holds_jobs=False)
    elif proof == "ping":
        world.state.fleet.pinged(worker.id, [], unhealthy=False)
    else:
        world.state.fleet.result(worker.id, job.id, {"output": 1})
    world.clock.advance(5)
    world.state.sweep()
    assert worker.leaving is None
    assert worker.told_to_stop() == []


@pytest.mark.proves("rule: retention")
@pytest.mark.parametrize(("sync", "kept_s"), [(False, RETENTION_S), (True, SYNC_RETENTION_S)])
def test_a_result_is_kept_for_its_time(world: World, sync: bool, kept_s: int) -> None:  # noqa: FBT001 - a parameter of the test.
    """A moment before, it is there; at the end of the time it is gone, swept or not."""
    endpoint = world.endpoint()
    job = world.submit(endpoint, sync=sync)
    worker = world.worker(endpoint)
    world.state.fleet.take(worker, 1)
    world.state.fleet.result(worker.id, job.id, {"output": 1})
    world.clock.advance(kept_s - 0.1)
    world.state.sweep()
    assert world.job(job).status is JobStatus.COMPLETED
    world.clock.advance(0.1)
    with pytest.raises(JobApiError, match="not found"):
        world.job(job)
    world.state.sweep()
    assert world.store.job(job.id) is None


@pytest.mark.proves("rule: status-ttl")
def test_a_client_may_have_a_result_forgotten_sooner(world: World) -> None:
    """Never later, and never before the job is final."""
    job, worker = world.running(world.endpoint())
    world.state.expire(job, 0)
    world.state.fleet.result(worker.id, job.id, {"output": 1})
    world.state.expire(world.job(job), 99_000_000)
    world.clock.advance(RETENTION_S - 60)
    world.state.expire(world.job(job), 30_000)
    world.clock.advance(29.9)
    assert world.job(job).status is JobStatus.COMPLETED
    world.clock.advance(0.1)
    with pytest.raises(JobApiError, match="not found"):
        world.job(job)


@pytest.mark.proves("rule: retry-failed-only")
@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.TIMED_OUT])
def test_a_failed_job_may_be_sent_through_once_more(world: World, status: JobStatus) -> None:
    """As new: its delay counts from now, and it may lose its worker once again."""
    endpoint = world.endpoint()
    job, worker = world.running(endpoint, execution_timeout_ms=5_000)
    world.state.fleet.chunk(worker.id, job.id, "old")
    world.clock.advance(5)
    if status is JobStatus.FAILED:
        world.state.fleet.result(worker.id, job.id, {"error": "boom"})
    else:
        world.state.sweep()
    assert world.job(job).status is status
    again = world.state.retry(endpoint.id, job.id)
    assert (again.status, again.outcome, again.queued_at) == ("IN_QUEUE", {}, world.clock.now())
    assert world.state.jobs.take_chunks(again) == []
    assert world.job(job) == again
    another = world.worker(endpoint)
    assert [each.id for each in world.state.fleet.take(another, 9)] == [job.id]
    world.state.fleet.remove(another.id)
    assert (world.job(job).status, world.job(job).retries) == (JobStatus.IN_QUEUE, 1)


@pytest.mark.proves("rule: purge-queued-only")
def test_purging_cancels_what_waits_only(world: World) -> None:
    """Running jobs go on, and the queue is empty afterwards."""
    endpoint = world.endpoint()
    running, _ = world.running(endpoint)
    waiting = [world.submit(endpoint), world.submit(endpoint, low_priority=True)]
    assert world.state.purge(world.state.queue(endpoint.id)) == 2
    assert [world.job(each).status for each in waiting] == [JobStatus.CANCELLED] * 2
    assert world.job(running).status is JobStatus.IN_PROGRESS
    assert world.state.purge(world.state.queue(endpoint.id)) == 0


def test_what_is_final_takes_no_memory(world: World) -> None:
    """Thousands of finished jobs leave neither jobs nor alarms behind."""
    endpoint = world.endpoint()
    worker = world.worker(endpoint)
    for _ in range(2000):
        job = world.submit(endpoint)
        world.state.fleet.take(worker, 1)
        world.state.fleet.result(worker.id, job.id, {"output": 1})
    assert world.state.jobs.unfinished(endpoint.id) == []
    assert len(world.state.jobs._due) < 600
    assert world.state.health(endpoint.id).counters.completed == 2000


@pytest.mark.proves("rule: policy-ttl")
def test_a_queued_job_is_forgotten_at_the_end_of_its_life(world: World) -> None:
    """The time to live counts from submission, and the queue is empty afterwards."""
    endpoint = world.endpoint()
    world.submit(endpoint, ttl_ms=10_000)
    assert world.state.next_due_s() == 10
    world.clock.advance(10)
    world.state.sweep()
    assert world.state.health(endpoint.id).in_queue == 0
    assert world.state.jobs.next_due_s() is None


@pytest.mark.proves("rule: policy-ttl")
def test_a_running_job_is_forgotten_and_its_worker_told(world: World) -> None:
    """The end of its life stops it."""
    job, worker = world.running(world.endpoint(), ttl_ms=10_000)
    world.clock.advance(10)
    world.state.sweep()
    assert worker.told_to_stop() == [job.id]
    assert worker.jobs == set()


@pytest.mark.proves("rule: policy-execution-timeout")
def test_an_execution_timeout_ends_job_and_worker(world: World) -> None:
    """The time counts from assignment, not from submission."""
    endpoint = world.endpoint()
    job = world.submit(endpoint, execution_timeout_ms=5_000)
    world.clock.advance(4)
    worker = world.worker(endpoint)
    world.state.fleet.take(worker, 1)
    world.clock.advance(4)
    world.state.sweep()
    assert world.job(job).status is JobStatus.IN_PROGRESS
    world.clock.advance(1)
    world.state.sweep()
    assert world.job(job).status is JobStatus.TIMED_OUT
    assert world.job(job).outcome == {"error": "executionTimeout exceeded"}
    assert worker.leaving is Leaving.AT_ONCE


def test_deleting_an_endpoint_ends_its_jobs_and_workers(world: World) -> None:
    """Nothing of it is left but workers on their way out."""
    endpoint = world.endpoint()
    job, worker = world.running(endpoint)
    world.submit(endpoint)
    world.state.delete_endpoint(endpoint.id)
    assert worker.leaving is Leaving.AT_ONCE
    world.state.fleet.remove(worker.id)
    assert world.store.load().jobs == []
    with pytest.raises(JobApiError, match=f"endpoint {endpoint.id} not found"):
        world.job(job)


@pytest.mark.proves("rule: http-statuses")
def test_another_endpoints_job_is_not_found(world: World) -> None:
    """A job is known below its own endpoint only."""
    job = world.submit(world.endpoint())
    with pytest.raises(JobApiError, match="not found"):
        world.state.job(world.endpoint().id, job.id)


def test_whoever_waits_for_a_job_is_woken(world: World) -> None:
    """Its name rings when it is assigned, progresses and ends."""
    endpoint = world.endpoint()
    job, worker = world.running(endpoint)
    for move in (
        lambda: world.state.fleet.progress(worker.id, job.id, 1),
        lambda: world.state.fleet.result(worker.id, job.id, {"output": 1}),
    ):
        world.rung.clear()
        move()
        assert job.id in world.rung


def test_a_retried_job_waits_anew(world: World) -> None:
    """Its queue delay, for people and for the scaler, counts from the retry."""
    endpoint = world.endpoint()
    job, worker = world.running(endpoint)
    world.state.fleet.result(worker.id, job.id, {"error": "boom"})
    world.clock.advance(600)
    world.state.retry(endpoint.id, job.id)
    queue = world.state.jobs.queue(endpoint.id, 9)
    assert scaler.plan(endpoint, queue, 0, [worker], world.clock).start == 0


def test_a_buckets_keys_stay_as_long_as_a_worker_may_need_them(world: World) -> None:
    """Also for the next worker, when one is lost; no longer, and a retried job has none."""
    endpoint = world.endpoint()
    request = {"input": {}, "webhook": None, "s3Config": {"accessSecret": "a secret"}}
    job = world.state.submit(endpoint.id, request, Policy(), sync=False)
    for _ in range(2):
        worker = world.worker(endpoint)
        (taken,) = world.state.fleet.take(worker, 1)
        assert taken.request == request
        assert world.store.load().jobs[0].request == request
        world.state.fleet.remove(worker.id)
    assert (world.job(job).status, world.job(job).request) == (
        JobStatus.FAILED,
        {"input": {}, "webhook": None},
    )
    world.state.retry(endpoint.id, job.id)
    (taken,) = world.state.fleet.take(world.worker(endpoint), 1)
    assert taken.request == {"input": {}, "webhook": None}


class FullStore(SqliteStore):
    """A store whose disk may be full; that may be noticed at the end of a transaction only."""

    is_full = False
    notices_late = False

    def _write(self, statement: str, *values: Any) -> None:
        room = ("BEGIN", "ROLLBACK", "INSERT", "UPDATE", "DELETE")
        if self.is_full and not statement.startswith(room[: 5 if self.notices_late else 2]):
            raise EmulatorError("the disk is full")
        super()._write(statement, *values)


def test_a_full_disk_stops_everything_and_loses_nothing(start: Callable[[Store], World]) -> None:
    """What cannot be kept has not happened; when there is room again, all goes on."""
    store = FullStore(":memory:")
    world = start(store)
    endpoint = world.endpoint()
    running, worker = world.running(endpoint)
    waiting = world.submit(endpoint)
    before = world.state.health(endpoint.id)

    store.is_full = True
    for move in (
        lambda: world.submit(endpoint),
        lambda: world.state.fleet.take(worker, 1),
        lambda: world.state.fleet.result(worker.id, running.id, {"output": 1}),
        lambda: world.state.cancel(endpoint.id, waiting.id),
        lambda: world.state.purge(world.state.queue(endpoint.id)),
    ):
        with pytest.raises(EmulatorError, match="full"):
            move()
        assert world.state.health(endpoint.id) == before
        assert (world.job(running).status, world.job(waiting).status) == (
            JobStatus.IN_PROGRESS,
            JobStatus.IN_QUEUE,
        )

    store.is_full = False
    world.state.fleet.result(worker.id, running.id, {"output": 1})
    assert [each.id for each in world.state.fleet.take(worker, 9)] == [waiting.id]
    assert world.job(running).status is JobStatus.COMPLETED
    assert world.state.health(endpoint.id).counters.completed == 1
    store.close()


@pytest.mark.parametrize("notices_late", [False, True])
def test_a_full_disk_changes_no_endpoint(
    start: Callable[[Store], World], *, notices_late: bool
) -> None:
    """An endpoint and its template are both saved or neither; what is there stays as it was."""
    store = FullStore(":memory:")
    world = start(store)
    control = world.state.control
    own = TemplateDraft(None, {"name": "own", "image_name": "image"})
    endpoint = world.state.save_endpoint(EndpointDraft(None, {"name": "e"}, own))
    used = control.template_of(endpoint)
    before = (dict(control.templates), dict(control.endpoints))
    other = TemplateDraft(None, {"name": "other", "image_name": "image"})
    renamed = TemplateDraft(used.id, {"name": "own", "image_name": "new", "is_serverless": True})

    store.is_full, store.notices_late = True, notices_late
    for move in (
        lambda: world.state.save_endpoint(EndpointDraft(None, {"name": "f"}, other)),
        lambda: world.state.save_endpoint(EndpointDraft(endpoint.id, {"name": "e"}, other)),
        lambda: world.state.save_template(renamed),
        lambda: world.state.change_endpoint(endpoint.id, workers_max=1),
    ):
        with pytest.raises(EmulatorError, match="full"):
            move()
        assert (control.templates, control.endpoints) == before
    store.close()
