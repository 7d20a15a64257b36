"""The end of a row: its files, then its line, then the ledger's word, and then it is told."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.api.types import Job, JobStatus
from runpodctl_py.batch.homecoming import Homecoming
from runpodctl_py.batch.row import RowResult
from runpodctl_py.batch.saving import Attempt, Saving
from runpodctl_py.batch.sending import intent_of
from runpodctl_py.batch.tally import Tally
from runpodctl_py.errors import SaveError
from runpodctl_py.in_groups import InGroups
from runpodctl_py.jobs.ledger import Ledger, Record, Scribe, State
from tests.unit.batch.scene import InstantLoop, Killed, Links, batch_of, row_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

pytestmark = pytest.mark.anyio

QUEUED = Job("j1-u1", JobStatus.IN_QUEUE)
DONE = Job(
    "j1-u1",
    JobStatus.COMPLETED,
    {"image": "https://cdn.example.org/lake.txt"},
    delay_ms=10,
    execution_ms=2000,
)
FAILED = Job("j1-u1", JobStatus.FAILED, error="job timed out after 1 retries", execution_ms=2000)
GONE = "RunPod does not know the job any more: its result was not fetched in time"


@pytest.fixture
def anyio_backend() -> Any:
    """A loop whose time costs none."""
    return ("asyncio", {"loop_factory": InstantLoop})


class Home:
    """Where a row comes home to: one row, which was sent.

    Args:
        folder: Where everything is.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.sqlite3"
        self.folder = folder / "out"
        self.written: list[RowResult] = []
        self.told: list[RowResult] = []
        self.is_disk_full = False
        self.links = Links()
        self.tally = Tally(3)
        with Ledger(self.path) as ledger:
            key = ledger.intend(intent_of(batch_of(folder), row_of(1), None))
            ledger.sent(key, QUEUED)
        self.attempt = Attempt(line=1, name="r1", key=key, job_id="j1-u1")
        self.homecoming: Homecoming

    async def enter(self, stack: AsyncExitStack) -> None:
        """Open everything."""
        saving = Saving(self.folder, "b7f3a2", lambda: self.links, 0.5)
        saving.prepare()
        scribe = await stack.enter_async_context(Scribe(self.path))
        lines = await stack.enter_async_context(InGroups(self._write))
        self.homecoming = Homecoming(saving, lines, scribe, self.tally, self.told.append)

    def record(self) -> Record:
        """Return what the ledger knows of the row."""
        with Ledger(self.path) as ledger:
            return ledger.record(self.attempt.key)

    async def settle(self, job: Job) -> None:
        """Bring a job home."""
        summary = await self.homecoming.saved(self.attempt, job)
        await self.homecoming.settle(self.attempt, job, summary)

    def _write(self, results: Sequence[RowResult]) -> list[None]:
        if self.is_disk_full:
            raise SaveError("the disk is full")
        self.written += results
        return [None] * len(results)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    """One that is open."""
    home = Home(tmp_path)
    async with AsyncExitStack() as stack:
        await home.enter(stack)
        yield home


async def test_a_row_comes_home(home: Home) -> None:
    """Its file, its line and the ledger say the same; then it is counted, and told."""
    await home.settle(DONE)
    (result,) = home.written
    assert home.told == [result]
    assert (result.is_success, result.cost_usd, len(result.files)) == (True, 1.0, 1)
    record = home.record()
    assert (record.state, record.cost_usd, record.file_count) == (State.COMPLETED, 1.0, 1)
    assert record.saved_at is not None
    assert (home.tally.succeeded, home.tally.cost_usd, home.tally.costs) == (1, 1.0, 1)


async def test_nobody_is_told_before_it_is_settled(home: Home) -> None:
    """Files are saved first; they alone prove nothing."""
    await home.homecoming.saved(home.attempt, DONE)
    assert (home.written, home.told, home.record().state) == ([], [], State.QUEUED)
    assert len(list(home.folder.iterdir())) == 1


async def test_a_kill_between_the_line_and_the_ledgers_word(home: Home) -> None:
    """The line is there, and the ledger knows less, never the other way round."""
    summary = await home.homecoming.saved(home.attempt, DONE)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, InstantLoop)
    loop.machine.lives_for = loop.machine.steps + 1
    with pytest.raises(Killed):
        await home.homecoming.settle(home.attempt, DONE, summary)
    loop.machine.lives_for = None
    assert (len(home.written), home.told, home.tally.ended) == (1, [], 0)
    assert home.record().state is State.QUEUED


async def test_a_line_that_cannot_be_written(home: Home) -> None:
    """The ledger does not say that the row is home."""
    home.is_disk_full = True
    with pytest.raises(SaveError, match="the disk is full"):
        await home.settle(DONE)
    assert (home.told, home.tally.ended) == ([], 0)
    assert home.record().state is State.QUEUED


async def test_a_file_that_could_not_be_saved(home: Home) -> None:
    """The row has a result for now; the ledger knows that something is left to be fetched."""
    home.links.broken.add("https://cdn.example.org/lake.txt")
    await home.settle(DONE)
    (result,) = home.written
    assert (result.is_success, home.tally.failed) == (False, 1)
    assert home.record().waits


async def test_an_attempt_that_another_one_is_to_follow(home: Home) -> None:
    """It has no line, and is in flight until the next one is written down."""
    summary = await home.homecoming.saved(home.attempt, FAILED)
    await home.homecoming.leave(home.attempt, FAILED, summary)
    record = home.record()
    assert (record.state, record.saved_at, record.cost_usd) == (State.FAILED, None, 1.0)
    assert record.error is not None
    assert (home.written, home.told, home.tally.ended, home.tally.cost_usd) == ([], [], 0, 1.0)


async def test_a_result_that_is_gone(home: Home) -> None:
    """The row is no success, and says why."""
    await home.homecoming.expired(home.attempt)
    (result,) = home.written
    assert (result.state, result.error, result.job_id) == (State.EXPIRED, GONE, "j1-u1")
    assert (home.told, home.tally.failed, home.record().state) == ([result], 1, State.EXPIRED)


async def test_a_result_that_is_gone_but_for_a_part(home: Home) -> None:
    """What was saved before stands in its line, with what was missing."""
    output = {"image": "https://cdn.example.org/lake.txt", "sound": "https://cdn.example.org/a.txt"}
    home.links.broken.add(output["sound"])
    await home.settle(Job("j1-u1", JobStatus.COMPLETED, output, execution_ms=2000))
    await home.homecoming.expired(home.attempt)
    first, second = home.written
    assert (second.state, second.is_success) == (State.EXPIRED, False)
    assert (second.files, second.error, second.cost_usd) == (first.files, first.error, 1.0)


async def test_a_row_that_runpod_does_not_take(home: Home) -> None:
    """It has no job."""
    attempt = Attempt(line=2, name="r2", key="0123", job_id="", number=3)
    await home.homecoming.refused(attempt, "RunPod refused the request")
    (result,) = home.written
    assert result == RowResult(
        line=2,
        name="r2",
        key="0123",
        job_id=None,
        state=State.NOT_SENT,
        is_success=False,
        error="RunPod refused the request",
        attempts=3,
    )
    assert (home.told, home.tally.failed) == ([result], 1)
