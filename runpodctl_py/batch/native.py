"""Running a batch by RunPod's own batch API: which rows are handed over, when, and what follows.

Owns the waves: how many rows go into one batch of RunPod's, how many of these there are at once,
what a cap on the cost means, and which failed rows go again. Uploading is `native_upload.py`'s,
polling `native_following.py`'s, files and results are `homecoming.py`'s, as for any batch.

All rows of a wave are with RunPod at once, so `--max-cost` works by small waves: the first one is
twenty rows, no other one goes before it is known what a row costs, and each later one is at most
half of what the cap leaves room for. When what has ended costs as much as the cap, RunPod is told
to drop what has not begun, which costs nothing; what runs may finish. So the cap is passed by
about what one wave's running jobs cost. Rows that were dropped count as not sent.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from runpodctl_py.api.batches import MOST_ACTIVE
from runpodctl_py.api.types import JobStatus
from runpodctl_py.batch.native_calls import SureBatches
from runpodctl_py.batch.native_following import Following
from runpodctl_py.batch.native_upload import DraftLostError, Due, Uploading
from runpodctl_py.batch.native_waves import Waves
from runpodctl_py.batch.retrying import is_worth_retrying
from runpodctl_py.batch.working import Stop, Working
from runpodctl_py.errors import NotFoundError, RefusedError, RunpodctlError
from runpodctl_py.jobs.ledger.native_batches import NativeRecord, NativeState
from runpodctl_py.jobs.masking import masked
from runpodctl_py.jobs.notes import PiecesOf

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runpodctl_py.api.batches import BatchRequest
    from runpodctl_py.api.types import Job
    from runpodctl_py.batch.row import Row
    from runpodctl_py.batch.saving import Attempt
    from runpodctl_py.batch.working import Given
    from runpodctl_py.jobs.collect import Summary
    from runpodctl_py.jobs.ledger import Ledger

_LOOK_S = 3.0
"""How often we look at the endpoint's workers, and whether the batch was cancelled."""
_SAVED_AT_ONCE = 16
_GATHER_S = 10.0
"""How long failed rows wait for others, so that they do not go one by one."""
_MOST_DRAFTS_LOST = 3


class NativeRunner(Working):
    """Runs one batch, or the rest of it, by RunPod's own batch API.

    On a cancellation a draft is given up, and the answer to one that is being finalized is waited
    for. What runs goes on.

    Args:
        given: What is to be done; nothing is sent by `sending`, and no window limits it.
    """

    def __init__(self, given: Given) -> None:
        super().__init__(given)
        tools, tally = given.tools, given.tally
        self._is_begun = given.is_begun
        self._waves = Waves(self._walk, given.limits, tally)
        self._calls = SureBatches(tools.batches, tools.patience, tools.clock, tally)
        self._uploading = Uploading(given.batch, self._calls, tools.scribe, tools.homecoming, tally)
        self._following = Following(self._calls, tools.clock)
        self._saving = asyncio.Semaphore(_SAVED_AT_ONCE)
        self._open: dict[str, Attempt] = {}
        self._followed: dict[int, str] = {}
        self._follower_count = 0
        self._withdrawn: set[int] = set()
        self._withdrawn_rows: set[str] = set()
        self._again: dict[str, tuple[Attempt, Job, Summary]] = {}
        self._again_since_s = 0.0
        self._kept_rows: dict[str, Row] = {}
        self._changed = asyncio.Event()

    async def _work(self) -> Stop:
        async with self._tasks() as tasks:
            looking = tasks.create_task(self._look())
            await self._pick_up(tasks)
            while await self._is_time() or self._begins_anew():
                await self._hand_over(tasks)
            for attempt, job, summary in self._again.values():
                await self._tools.homecoming.settle(attempt, job, summary)
            looking.cancel()
            return await self._reason()

    async def _last_answers(self) -> None:
        await self._uploading.finish()

    async def _reason(self) -> Stop:
        """Return why nothing more is handed over: a cap that left nothing behind is none."""
        if self._stop is Stop.COST and not self._withdrawn_rows and await self._waves.is_through():
            return Stop.DONE
        return self._stop or self._waves.end or Stop.DONE

    # What was begun before.

    async def _pick_up(self, tasks: asyncio.TaskGroup) -> None:
        """Follow what is in flight from before, and give up drafts: nothing of them has run."""
        if not self._is_begun:
            return
        followed = {}
        for record in await self._tools.scribe.write(self._unfinished):
            if (native_id := await self._taken_up(record)) is not None:
                followed[record.number] = native_id
        self._open = {each.job_id: each for each in await self._walk.in_flight()}
        elsewhere = set(self._open)
        for number, native_id in followed.items():
            job_ids = await self._tools.scribe.write(partial(_job_ids, number))
            elsewhere.difference_update(job_ids)
            self._start(tasks, job_ids, number, native_id)
        if elsewhere:
            # The batch that they were in is gone.
            self._start(tasks, elsewhere)
        await self._keep_cap()

    def _unfinished(self, ledger: Ledger) -> list[NativeRecord]:
        return ledger.native_batches.unfinished(self._batch.batch_id)

    async def _taken_up(self, record: NativeRecord) -> str | None:
        """Bring a batch of RunPod's to where it can be followed, if that is still to be done."""
        number, native_id = record.number, record.native_id
        if native_id is None:
            await self._calls.give_up_lost(record.first_sha256)
            await self._tools.scribe.write(lambda ledger: ledger.native_batches.drop(number))
            return None
        if record.state is NativeState.WITHDRAWN:
            self._withdrawn.add(number)
            await self._calls.cancel(native_id)
            return native_id
        if record.state is NativeState.FINALIZED:
            return native_id
        if record.state is NativeState.DRAFT or not await self._calls.finalize(native_id):
            await self._uploading.give_up(number, native_id)
            return None
        await self._move(number, NativeState.FINALIZED)
        return native_id

    # When.

    async def _is_time(self) -> bool:
        """Wait until rows may be handed over; tell that nothing is left to be done instead."""
        while True:
            if self._stop is None and self._has_rows():
                if self._waves.room and len(self._followed) < MOST_ACTIVE:
                    return True
                if not self._waves.room and not self._follower_count:
                    self._stop = Stop.COST
            if not self._follower_count and (self._stop is not None or not self._has_rows()):
                return False
            self._changed.clear()
            await self._changed.wait()

    def _begins_anew(self) -> bool:
        """Go through the rows that a run before us withdrew, if they may cost something now."""
        if self._stop is not None or not self._withdrawn_rows:
            return False
        only = frozenset(self._withdrawn_rows)
        self._withdrawn_rows.clear()
        self._waves = Waves(self._walk, self._limits, self._tally, only)
        return True

    def _has_rows(self) -> bool:
        if self._waves.end is None:
            return True
        is_gathered = self._tools.clock.now_s() - self._again_since_s >= _GATHER_S
        return bool(self._waves.waiting) and (is_gathered or not self._follower_count)

    async def _look(self) -> None:
        """Keep an eye on the workers, and on whether somebody cancels the batch."""
        while True:
            await self._heed_cancellation()
            try:
                self._tally.health = await self._tools.endpoint.health(tries=1)
            except RunpodctlError:
                # It is only shown; the jobs are what matters.
                self._tally.health = None
            self._changed.set()
            await self._tools.clock.sleep(_LOOK_S)

    async def _heed_cancellation(self) -> None:
        if await self._is_cancelled():
            self._stop = Stop.CANCELLED

    # A wave.

    async def _hand_over(self, tasks: asyncio.TaskGroup) -> None:
        if not (wave := await self._waves.next()):
            return
        for lost in range(1, _MOST_DRAFTS_LOST + 1):
            try:
                handed = await self._uploading.hand_over(wave)
                break
            except DraftLostError as exc:
                await self._heed_cancellation()
                if self._stop is not None:
                    return
                if lost == _MOST_DRAFTS_LOST:
                    raise RefusedError(f"{exc}, and so were those before") from exc
        if handed is None:
            await self._heed_cancellation()
            if self._stop is not None:
                return
        for due in wave:
            self._again.pop(due.parent or "", None)
        if handed is None:
            return
        self._open.update(handed.attempts)
        self._keep_rows(wave, handed.attempts.values())
        self._start(tasks, handed.attempts, handed.number, handed.native_id)
        # Another wave may have reached the cap meanwhile.
        await self._keep_cap()

    def _keep_rows(self, wave: Iterable[Due], attempts: Iterable[Attempt]) -> None:
        """Keep what cannot be sent once more from the ledger, which leaves secrets out."""
        if not self._limits.retries:
            return
        keys = {attempt.name: attempt.key for attempt in attempts}
        for due in wave:
            if due.row.name in keys and masked(due.row.payload) != due.row.payload:
                self._kept_rows[keys[due.row.name]] = due.row

    def _start(
        self,
        tasks: asyncio.TaskGroup,
        job_ids: Iterable[str],
        number: int | None = None,
        native_id: str = "",
    ) -> None:
        """Follow some jobs, which are in a batch of RunPod's or in none any more."""
        if number is not None:
            self._followed[number] = native_id
        self._follower_count += 1
        self._tally.in_flight = len(self._open)
        tasks.create_task(self._follow(list(job_ids), number, native_id))

    async def _follow(self, job_ids: Sequence[str], number: int | None, native_id: str) -> None:
        """Bring home what a batch of RunPod's returns, and ask for what it does not list."""
        if number is not None:
            await self._following.follow(native_id, partial(self._land_request, number))
        async with asyncio.TaskGroup() as tasks:
            for job_id in job_ids:
                if job_id in self._open:
                    tasks.create_task(self._land(self._open[job_id], None))
        if number is not None:
            del self._followed[number]
        self._follower_count -= 1
        self._changed.set()

    async def _keep_cap(self) -> None:
        """Have RunPod drop what has not begun, as soon as the cap is reached."""
        cap = self._limits.max_cost_usd
        if cap is None or self._tally.cost_usd < cap:
            return
        self._stop = self._stop or Stop.COST
        for number, native_id in list(self._followed.items()):
            if number not in self._withdrawn:
                self._withdrawn.add(number)
                # First: a kill must not leave them cancelled, and nobody knowing why.
                await self._move(number, NativeState.WITHDRAWN)
                await self._calls.cancel(native_id)

    async def _move(self, number: int, state: NativeState) -> None:
        await self._tools.scribe.write(lambda ledger: ledger.native_batches.move(number, state))

    # A row.

    async def _land_request(self, number: int, request: BatchRequest) -> None:
        attempt, job = self._open.get(request.request_id), request.job
        if attempt is None:
            # It was done with before.
            return
        has_run = job is not None and job.execution_ms is not None
        if job is not None and job.status is JobStatus.CANCELLED and not has_run:
            if number in self._withdrawn:
                await self._withdraw(attempt)
                return
        elif self._limits.max_cost_usd is not None and not has_run:
            # What it cost must be known.
            job = None
        await self._land(attempt, job)

    async def _withdraw(self, attempt: Attempt) -> None:
        await self._tools.scribe.write(lambda ledger: ledger.native_batches.withdraw(attempt.key))
        self._withdrawn_rows.add(attempt.name)
        self._close(attempt)

    async def _land(self, attempt: Attempt, job: Job | None) -> None:
        """Bring home what a job returned; have its row sent again if that helps."""
        home = self._tools.homecoming
        try:
            job = job or await self._tools.asking.until_final(
                attempt.job_id, PiecesOf(self._tools.scribe, attempt.key)
            )
        except NotFoundError:
            await home.expired(attempt)
            self._close(attempt)
            return
        async with self._saving:
            summary = await home.saved(attempt, job)
        # Not inside: what is written down at the same time is one commit.
        if not await self._goes_again(attempt, job, summary):
            await home.settle(attempt, job, summary)
        self._close(attempt)
        await self._keep_cap()

    async def _goes_again(self, attempt: Attempt, job: Job, summary: Summary) -> bool:
        if self._stop is not None or attempt.number > self._limits.retries:
            return False
        if not is_worth_retrying(job, summary):
            return False
        row = self._kept_rows.pop(attempt.key, None) or await self._walk.row_of(attempt)
        if row is None:
            return False
        await self._tools.homecoming.leave(attempt, job, summary)
        if not self._waves.waiting:
            self._again_since_s = self._tools.clock.now_s()
        self._again[attempt.key] = attempt, job, summary
        self._waves.put_first([Due.of(row, attempt.key, attempt.number + 1)])
        self._tally.repeated += 1
        return True

    def _close(self, attempt: Attempt) -> None:
        self._open.pop(attempt.job_id, None)
        self._kept_rows.pop(attempt.key, None)
        self._tally.in_flight = len(self._open)
        self._changed.set()


def _job_ids(number: int, ledger: Ledger) -> list[str]:
    return ledger.native_batches.job_ids(number)
