"""What a batch goes through, and what of it outlives a kill."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.emulator.errors import JobApiError
from runpodctl_py.emulator.ids import Ids
from runpodctl_py.emulator.jobs.batch import KEPT_S, BatchLimits, BatchStatus
from runpodctl_py.emulator.jobs.batch_book import BatchBook
from runpodctl_py.emulator.jobs.batch_requests import Draft
from runpodctl_py.emulator.jobs.job import JobStatus, Policy
from runpodctl_py.emulator.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from conftest import World

    from runpodctl_py.emulator.control.model import Endpoint
    from runpodctl_py.emulator.jobs.batch import Batch
    from runpodctl_py.emulator.jobs.job import Job
    from runpodctl_py.emulator.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store in a file, for states that follow each other."""
    store = SqliteStore(tmp_path / "state.sqlite3")
    yield store
    store.close()


MOST = 5_000
"""How many requests a batch may have."""


def draft(world: World, endpoint: Endpoint, requests: int = 3, **policy: int) -> Batch:
    """Makes a draft with some requests."""
    drafts = [Draft({"input": {"n": number}}, Policy(**policy)) for number in range(requests)]
    return world.state.batches.create(endpoint.id, drafts)


def finalized(world: World, endpoint: Endpoint, requests: int = 3, **policy: int) -> Batch:
    """Makes a batch whose requests wait."""
    return world.state.batches.finalize(draft(world, endpoint, requests, **policy))


def now(world: World, batch: Batch) -> Batch:
    """Returns how a batch stands now."""
    return world.state.batches.get(batch.endpoint_id, batch.id)


def taken(world: World, endpoint: Endpoint, jobs: int) -> Sequence[Job]:
    """Hands some jobs to a new worker."""
    return world.state.fleet.take(world.worker(endpoint), jobs)


def end(world: World, job: Job, **outcome: object) -> None:
    """Has the worker of a job report its last word."""
    assert job.worker_id is not None
    world.state.fleet.result(job.worker_id, job.id, outcome)


def counts(batch: Batch) -> tuple[int, int, int]:
    """Returns total, completed and failed."""
    return batch.request_total, batch.request_completed, batch.request_failed


def statuses(world: World, batch: Batch) -> list[str | None]:
    """Returns how the jobs of a batch stand; None for what is no job."""
    members = world.state.batches.members(batch, 0, MOST)
    return [each.job and each.job.status for each in members]


@pytest.mark.proves("rule: batch-life-cycle")
def test_a_draft_is_not_executed_until_it_is_finalized(world: World) -> None:
    """Its requests become jobs under the ids they had, in their order, and carry the batch's id."""
    endpoint = world.endpoint()
    batch = world.state.batches.add(draft(world, endpoint), [Draft({"input": {"n": 3}}, Policy())])
    ids = [each.id for each in world.state.batches.members(batch, 0, 9)]
    assert world.state.jobs.queued(endpoint.id) == 0
    assert (batch.status, counts(batch)) == (BatchStatus.DRAFT, (4, 0, 0))
    batch = world.state.batches.finalize(batch)
    assert (batch.status, counts(batch)) == (BatchStatus.FINALIZED, (4, 0, 0))
    queue = world.state.jobs.queue(endpoint.id, 9)
    assert [each.id for each in queue] == ids
    assert [each.request for each in queue] == [
        {"input": {"n": number}, "batchId": batch.id} for number in range(4)
    ]


@pytest.mark.proves("rule: batch-life-cycle")
def test_requests_are_counted_as_they_end(world: World) -> None:
    """Every end but completion is a failure, and the batch stays FINALIZED."""
    endpoint = world.endpoint()
    batch = finalized(world, endpoint, 4)
    done, failed, slow = taken(world, endpoint, 3)
    assert world.state.batches.in_progress(batch) == 3
    end(world, done, output=1)
    end(world, failed, error="e")
    world.state.cancel(endpoint.id, slow.id)
    assert (counts(now(world, batch)), now(world, batch).over) == ((4, 1, 2), False)
    assert world.state.purge(world.state.queue(endpoint.id)) == 1
    batch = now(world, batch)
    assert (batch.status, counts(batch), batch.over) == (BatchStatus.FINALIZED, (4, 1, 3), True)
    assert world.state.batches.in_progress(batch) == 0


def test_a_request_that_is_retried_is_open_again(world: World) -> None:
    """It does not count as failed any more; its second end counts."""
    endpoint = world.endpoint()
    batch = finalized(world, endpoint, 1)
    (job,) = taken(world, endpoint, 1)
    end(world, job, error="e")
    world.state.retry(endpoint.id, job.id)
    assert (counts(now(world, batch)), now(world, batch).over) == ((1, 0, 0), False)
    (job,) = taken(world, endpoint, 1)
    end(world, job, output=1)
    assert (counts(now(world, batch)), now(world, batch).over) == ((1, 1, 0), True)


def test_a_job_without_a_batch_changes_none(world: World) -> None:
    """Batches share the queue with all other jobs."""
    endpoint = world.endpoint()
    world.running(endpoint)
    batch = finalized(world, endpoint, 1)
    (job,) = world.state.jobs.unfinished(endpoint.id)[:1]
    world.state.cancel(endpoint.id, job.id)
    assert counts(now(world, batch)) == (1, 0, 0)


@pytest.mark.proves("rule: batch-life-cycle")
def test_cancelling_lets_running_requests_finish(world: World) -> None:
    """What waits is cancelled at once; the batch is CANCELLED when the last running one is done."""
    endpoint = world.endpoint()
    batch = finalized(world, endpoint)
    (running,) = taken(world, endpoint, 1)
    batch = world.state.batches.cancel(batch)
    assert (batch.status, world.state.jobs.queued(endpoint.id)) == (BatchStatus.FINALIZED, 0)
    assert world.job(running).status is JobStatus.IN_PROGRESS
    end(world, running, output=1)
    batch = now(world, batch)
    assert (batch.status, counts(batch)) == (BatchStatus.CANCELLED, (3, 1, 0))
    assert statuses(world, batch) == ["COMPLETED", "CANCELLED", "CANCELLED"]
    assert world.state.batches.cancel(batch) == batch


def test_a_cancelled_batch_does_not_wait_for_a_retry(world: World) -> None:
    """What had failed counts as failed, whatever becomes of it now."""
    endpoint = world.endpoint()
    batch = finalized(world, endpoint, 2)
    failed, running = taken(world, endpoint, 2)
    end(world, failed, error="e")
    world.state.batches.cancel(now(world, batch))
    world.state.retry(endpoint.id, failed.id)
    end(world, running, output=1)
    end(world, *taken(world, endpoint, 1), output=1)
    batch = now(world, batch)
    assert (batch.status, counts(batch)) == (BatchStatus.CANCELLED, (2, 1, 1))


@pytest.mark.parametrize("lock", [False, True])
def test_cancelling_ends_what_has_not_begun(world: World, *, lock: bool) -> None:
    """A draft, or a batch nothing of which runs, is CANCELLED at once; a draft makes no jobs."""
    endpoint = world.endpoint()
    batch = finalized(world, endpoint) if lock else draft(world, endpoint)
    batch = world.state.batches.cancel(batch)
    assert (batch.status, counts(batch)) == (BatchStatus.CANCELLED, (3, 0, 0))
    assert world.state.jobs.queued(endpoint.id) == 0
    assert statuses(world, batch) == (["CANCELLED"] * 3 if lock else [None] * 3)
    assert not any(each.draft for each in world.state.batches.members(batch, 0, 9))


def test_a_batch_that_is_through_stays_as_it_is_when_cancelled(world: World) -> None:
    """There is nothing left to cancel."""
    endpoint = world.endpoint()
    batch = finalized(world, endpoint, 1)
    end(world, *taken(world, endpoint, 1), output=1)
    assert world.state.batches.cancel(now(world, batch)).status is BatchStatus.FINALIZED


@pytest.mark.proves("rule: batch-life-cycle")
def test_a_batch_fails_when_its_requests_outlive_their_time(world: World) -> None:
    """Nobody worked on them: they count as failed, so that clients see the end."""
    endpoint = world.endpoint()
    batch = finalized(world, endpoint, 2, ttl_ms=10_000)
    world.clock.advance(10)
    world.state.sweep()
    batch = now(world, batch)
    assert (batch.status, counts(batch)) == (BatchStatus.FAILED, (2, 0, 2))
    assert statuses(world, batch) == [None, None]


@pytest.mark.proves("rule: batch-life-cycle")
def test_only_a_draft_can_be_changed(world: World) -> None:
    """Locked is locked; the name is not part of that."""
    endpoint = world.endpoint()
    batch = finalized(world, endpoint)
    batches = world.state.batches
    request_id = batches.members(batch, 0, 1)[0].id
    for change in (
        lambda: batches.add(batch, []),
        lambda: batches.remove(batch, request_id),
        lambda: batches.finalize(batch),
    ):
        with pytest.raises(JobApiError, match="only a DRAFT") as refused:
            change()
        assert refused.value.status == 400
    assert batches.rename(batch, "nightly").name == "nightly"


def test_a_request_can_be_taken_out_of_a_draft(world: World) -> None:
    """The others keep their order; one that is not there is not found."""
    batch = draft(world, world.endpoint())
    first, second, third = [each.id for each in world.state.batches.members(batch, 0, 9)]
    batch = world.state.batches.remove(batch, second)
    assert batch.request_total == 2
    assert [each.id for each in world.state.batches.members(batch, 0, 9)] == [first, third]
    with pytest.raises(JobApiError, match="not found"):
        world.state.batches.remove(batch, second)


def test_an_empty_draft_cannot_be_finalized(world: World) -> None:
    """It could never end."""
    batch = draft(world, world.endpoint(), 0)
    with pytest.raises(JobApiError, match="no requests"):
        world.state.batches.finalize(batch)


@pytest.mark.proves("rule: batch-limits")
def test_ten_batches_are_active_at_once(world: World) -> None:
    """The eleventh is refused until one is over; other endpoints have ten of their own."""
    endpoint = world.endpoint()
    first, *_ = [draft(world, endpoint) for _ in range(10)]
    with pytest.raises(JobApiError, match="10 active") as refused:
        draft(world, endpoint)
    assert refused.value.status == 429
    draft(world, world.endpoint())
    world.state.batches.cancel(first)
    newest = draft(world, endpoint)
    listed = world.state.batches.of(endpoint.id)
    assert (listed[0], listed[-1].status, len(listed)) == (newest, BatchStatus.CANCELLED, 11)


@pytest.mark.proves("rule: batch-limits")
def test_a_batch_has_at_most_5000_requests(world: World) -> None:
    """Those that would be too many are not added at all."""
    batch = draft(world, world.endpoint(), MOST)
    with pytest.raises(JobApiError, match="at most 5000") as refused:
        world.state.batches.add(batch, [Draft({"input": 1}, Policy())])
    assert refused.value.status == 400
    assert now(world, batch).request_total == 5000


@pytest.mark.proves("rule: batch-limits")
def test_no_more_than_the_limit_of_requests_wait(world: World) -> None:
    """50000 by default; a batch with which they would be more stays a draft."""
    assert BatchLimits().queued == 50_000
    endpoint = world.endpoint()
    batch = draft(world, endpoint)
    job = world.submit(endpoint)
    batches = BatchBook(
        world.store,
        world.store.load(),
        world.state.jobs,
        world.clock,
        Ids(),
        limits=BatchLimits(queued=3),
    )
    with pytest.raises(JobApiError, match="more than 3 requests would wait") as refused:
        batches.finalize(batch)
    assert refused.value.status == 429
    assert batches.get(endpoint.id, batch.id).status is BatchStatus.DRAFT
    world.state.cancel(endpoint.id, job.id)
    assert batches.finalize(batch).status is BatchStatus.FINALIZED


def test_the_largest_batch_is_finalized_in_a_moment(world: World) -> None:
    """5000 requests take far less than 5 s of processor time, and so does cancelling them."""
    endpoint = world.endpoint()
    batch = draft(world, endpoint, MOST)
    began = time.process_time()
    batch = world.state.batches.finalize(batch)
    world.state.batches.cancel(batch)
    assert time.process_time() - began < 5


def test_a_batch_is_forgotten_a_week_after_its_end(world: World) -> None:
    """It does not fill the memory for ever."""
    endpoint = world.endpoint()
    batch = world.state.batches.cancel(draft(world, endpoint))
    world.clock.advance(KEPT_S)
    with pytest.raises(JobApiError, match="not found"):
        now(world, batch)
    left = draft(world, endpoint)
    assert [each["id"] for each in world.store.load().of("batch")] == [left.id]


@pytest.mark.proves("rule: batch-life-cycle")
def test_a_batch_is_kept_for_a_week_from_its_end(world: World) -> None:
    """However long it took until then; its results go with it, or with their time to live."""
    week_s = 7 * 24 * 60 * 60
    endpoint = world.endpoint()
    batch = finalized(world, endpoint, 1, ttl_ms=20 * 24 * 60 * 60 * 1000)
    world.clock.advance(week_s)
    end(world, *taken(world, endpoint, 1), output=1)
    world.clock.advance(week_s - 1)
    world.state.sweep()
    assert (now(world, batch).over, statuses(world, batch)) == (True, ["COMPLETED"])
    assert [each.id for each in world.state.batches.of(endpoint.id)] == [batch.id]
    world.clock.advance(1)
    with pytest.raises(JobApiError, match="not found"):
        now(world, batch)
    assert world.state.batches.of(endpoint.id) == []


def test_batches_go_with_their_endpoint(world: World) -> None:
    """Nothing of them is left, in the store neither."""
    endpoint, other = world.endpoint(), world.endpoint()
    finalized(world, endpoint)
    draft(world, endpoint)
    kept = draft(world, other)
    world.state.delete_endpoint(endpoint.id)
    left = world.store.load().resources
    assert [each["id"] for each in left["batch"]] == [kept.id]
    assert [each["batch_id"] for each in left["batch-part"]] == [kept.id]


def test_a_batch_of_another_endpoint_is_not_found(world: World) -> None:
    """Ids are looked up below their endpoint."""
    batch = draft(world, world.endpoint())
    with pytest.raises(JobApiError, match="not found") as refused:
        world.state.batches.get(world.endpoint().id, batch.id)
    assert refused.value.status == 404


def test_batches_outlive_a_kill(store: Store, start: Callable[[Store], World]) -> None:
    """Drafts, counts and pages are as they were; what ran is counted when it ends at last."""
    world = start(store)
    endpoint = world.endpoint()
    open_one = world.state.batches.rename(draft(world, endpoint), "open")
    batch = finalized(world, endpoint)
    done, _ = taken(world, endpoint, 2)
    end(world, done, output=1)

    again = start(store)
    assert now(again, open_one) == open_one
    assert again.state.batches.members(open_one, 0, 9) == world.state.batches.members(
        open_one, 0, 9
    )
    assert counts(now(again, batch)) == (3, 1, 0)
    assert statuses(again, batch) == ["COMPLETED", "IN_QUEUE", "IN_QUEUE"]
    for job in taken(again, endpoint, 2):
        end(again, job, output=1)
    assert (counts(now(again, batch)), now(again, batch).over) == ((3, 3, 0), True)


def test_a_kill_ends_what_a_cancelled_batch_waited_for(
    store: Store, start: Callable[[Store], World]
) -> None:
    """What ran waits again after the restart, and what waits is cancelled."""
    world = start(store)
    endpoint = world.endpoint()
    batch = finalized(world, endpoint)
    taken(world, endpoint, 1)
    assert not world.state.batches.cancel(batch).over

    again = start(store)
    batch = now(again, batch)
    assert (batch.status, counts(batch)) == (BatchStatus.CANCELLED, (3, 0, 0))
    assert statuses(again, batch) == ["CANCELLED"] * 3


class KilledError(Exception):
    """The process ends here."""


class DyingStore(SqliteStore):
    """A store whose process is killed before one of its writes."""

    writes = 0
    dies_after: int | None = None

    def _write(self, statement: str, *values: object) -> None:
        if self.writes == self.dies_after:
            raise KilledError
        self.writes += 1
        super()._write(statement, *values)


class Stage:
    """A draft, and a batch of which one request has failed, one runs and one waits."""

    def __init__(self, world: World) -> None:
        self.state = world.state
        self.world = world
        self.endpoint = world.endpoint()
        self.draft = draft(world, self.endpoint)
        batch = finalized(world, self.endpoint)
        self.failed, self.running = taken(world, self.endpoint, 2)
        end(world, self.failed, error="e")
        self.batch = now(world, batch)

    def remove(self) -> None:
        """Takes the first request out of the draft."""
        first, *_ = self.state.batches.members(self.draft, 0, 1)
        self.state.batches.remove(self.draft, first.id)


MOVES: Mapping[str, Callable[[Stage], object]] = {
    "create": lambda stage: draft(stage.world, stage.endpoint),
    "add": lambda stage: stage.state.batches.add(stage.draft, [Draft({"input": 1}, Policy())]),
    "remove": Stage.remove,
    "finalize": lambda stage: stage.state.batches.finalize(stage.draft),
    "cancel a draft": lambda stage: stage.state.batches.cancel(stage.draft),
    "cancel": lambda stage: stage.state.batches.cancel(stage.batch),
    "end": lambda stage: end(stage.world, stage.running, output=1),
    "retry": lambda stage: stage.state.retry(stage.endpoint.id, stage.failed.id),
    "delete": lambda stage: stage.state.delete_endpoint(stage.endpoint.id),
}


@pytest.mark.parametrize("move", MOVES)
def test_a_move_is_kept_whole_or_not_at_all(
    tmp_path: Path, start: Callable[[Store], World], move: str
) -> None:
    """Killed before the last of its writes, it has never happened."""
    rehearsal = DyingStore(":memory:")
    MOVES[move](Stage(start(rehearsal)))
    rehearsal.close()

    store = DyingStore(tmp_path / "state.sqlite3")
    stage = Stage(start(store))
    before = store.load()
    store.dies_after = rehearsal.writes - 1
    with pytest.raises(KilledError):
        MOVES[move](stage)
    # The end of a process ends its connections: what was not committed is gone.
    store.close()
    again = SqliteStore(tmp_path / "state.sqlite3")
    assert again.load() == before
    again.close()


@pytest.mark.parametrize("writes", range(5))
def test_an_expiry_is_counted_once_whenever_it_is_killed(
    tmp_path: Path, start: Callable[[Store], World], writes: int
) -> None:
    """The sweep after the restart does what the first one did not."""
    store = DyingStore(tmp_path / "state.sqlite3")
    world = start(store)
    batch = finalized(world, world.endpoint(), 1, ttl_ms=10_000)
    world.clock.advance(10)
    store.dies_after = store.writes + writes
    with pytest.raises(KilledError):
        world.state.sweep()
    store.close()

    again = start(SqliteStore(tmp_path / "state.sqlite3"))
    again.state.sweep()
    batch = now(again, batch)
    assert (batch.status, counts(batch)) == (BatchStatus.FAILED, (1, 0, 1))
    again.store.close()
