"""Running a batch: rows become jobs, jobs become files and results, and nothing is done twice.

Owns which row is sent, followed or left alone, and when the batch stops. Every move stands in the
ledger before the next one depends on it, so whatever ends the process, the same batch goes on
where it was. Reading rows, pace, asking, saving and the results' file are other modules', and what
is waited for when it stops is `working.py`'s.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runpodctl_py.api.types import JobStatus
from runpodctl_py.batch.retrying import is_worth_retrying
from runpodctl_py.batch.saving import Attempt
from runpodctl_py.batch.working import Stop, Working
from runpodctl_py.errors import (
    AnswerLostError,
    NetworkError,
    NotFoundError,
    PayloadTooLargeError,
    RefusedError,
    RunpodctlError,
)
from runpodctl_py.jobs.notes import PiecesOf

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from runpodctl_py.api.types import Job
    from runpodctl_py.batch.row import Row
    from runpodctl_py.batch.working import Given
    from runpodctl_py.jobs.ledger import Ledger, Record

_LOOK_S = 3.0
"""How often we look at the endpoint's workers."""
_HEED_S = 1.0
"""How often we look whether the batch was cancelled."""
_UNPRICED = 8
"""How many jobs may be in flight under a cap as long as nobody knows what one costs."""
_SEARCH_S = 1.2
"""RunPod's list of requests may be asked ten times in ten seconds (API reference 4.3)."""


@dataclass(frozen=True, slots=True)
class _Flown:
    """A job that has ended, and how long it took to bring home what it returned."""

    job: Job
    home_s: float


class Runner(Working):
    """Runs one batch, or the rest of it, a request a row.

    Args:
        given: What is to be done.
    """

    def __init__(self, given: Given) -> None:
        super().__init__(given)
        self._flights: set[asyncio.Task[_Flown | None]] = set()
        self._landed = asyncio.Event()
        self._missing = asyncio.Event()
        self._searching = asyncio.Lock()
        if self._tally.unknown:
            self._missing.set()
        self._refusals: list[RefusedError] = []

    async def _work(self) -> Stop:
        async with self._tasks() as tasks:
            beside = [
                tasks.create_task(each)
                for each in (self._look(), self._heed_cancellation(), self._search(tasks))
            ]
            await self._pick_up(tasks)
            stop = await self._send_all(tasks)
            await self._all_landed()
            while await self._look_for_lost(tasks):
                await self._all_landed()
            for task in beside:
                task.cancel()
        if self._refusals:
            raise self._refusals[0]
        # It may have been cancelled when everything was sent.
        return self._stop or stop

    async def _last_answers(self) -> None:
        await self._tools.sending.finish()

    # Which rows.

    async def _pick_up(self, tasks: asyncio.TaskGroup) -> None:
        """Follow what is in flight from before, and first of all: results do not wait."""
        for attempt in await self._walk.in_flight():
            self._fly(tasks, self._follow(attempt, None))

    async def _search(self, tasks: asyncio.TaskGroup) -> None:
        """Look for lost jobs soon after they were lost: RunPod lists the latest only."""
        while True:
            await self._missing.wait()
            self._missing.clear()
            await self._look_for_lost(tasks)
            await self._tools.clock.sleep(_SEARCH_S)

    async def _look_for_lost(self, tasks: asyncio.TaskGroup) -> int:
        """Follow the jobs whose answers were lost and that are there after all; count them."""
        # One look at a time: two would find the same job, and end in the middle of each other.
        async with self._searching:
            while self._tally.unknown:
                try:
                    return await self._found(tasks)
                except NetworkError as exc:
                    await self._tools.patience.wait(exc)
        return 0

    async def _found(self, tasks: asyncio.TaskGroup) -> int:
        count = 0
        lost = self._tools.lost()
        records = await self._tools.scribe.write(self._lost_records)
        # Not those that are to be sent once more, nor those whose sender has not heard of it yet.
        unknown = set(self._tally.unknown)
        for record in records:
            name = record.intent.row or ""
            if name not in unknown or (job := await lost.find(record)) is None:
                continue
            count += 1
            self._tally.unknown.remove(name)
            attempt = await self._walk.attempt_of(record)
            self._fly(tasks, self._follow(replace(attempt, job_id=job.job_id), None))
        self._tools.patience.answered()
        return count

    def _lost_records(self, ledger: Ledger) -> list[Record]:
        return list(ledger.batches.unknown(self._batch.batch_id))

    async def _send_all(self, tasks: asyncio.TaskGroup) -> Stop:
        count = 0
        async for row, before in self._walk.due():
            if count == self._limits.rows:
                return Stop.LIMIT
            await self._room()
            if self._stop is not None:
                return self._stop
            count += 1
            self._fly(tasks, self._run_row(row, before))
        return Stop.DONE

    # When.

    async def _room(self) -> None:
        """Wait until one more job may be in flight, or nothing may be sent any more."""
        while self._stop is None:
            if self._is_price_awaited():
                pass
            elif not self._may_cost_more():
                if not self._tally.in_flight:
                    self._stop = Stop.COST
                    return
            elif self._tools.window.room:
                return
            self._landed.clear()
            await self._landed.wait()

    def _is_price_awaited(self) -> bool:
        """Tell whether there is a cap, and nobody knows yet what the jobs in flight will cost."""
        tally = self._tally
        is_unknown = self._limits.max_cost_usd is not None and not (tally.costs or tally.kept)
        return is_unknown and tally.in_flight >= _UNPRICED

    def _may_cost_more(self) -> bool:
        """Tell whether what has run, and what is in flight if it costs alike, is below the cap."""
        cap, tally = self._limits.max_cost_usd, self._tally
        if cap is None:
            return True
        return tally.cost_usd + tally.in_flight * tally.mean_cost_usd < cap

    async def _look(self) -> None:
        """Keep an eye on the workers."""
        while True:
            try:
                self._tally.health = await self._tools.endpoint.health(tries=1)
                workers = self._tally.health.workers
                self._tools.window.workers(workers.running + workers.idle + workers.initializing)
                self._landed.set()
            except RunpodctlError:
                # It only helps to judge how much is enough; the jobs are what matters.
                self._tally.health = None
            await self._tools.clock.sleep(_LOOK_S)

    async def _heed_cancellation(self) -> None:
        """Send nothing more when somebody cancels the batch."""
        while True:
            if await self._is_cancelled():
                self._stop = Stop.CANCELLED
                self._tools.sending.stop()
                self._landed.set()
            await self._tools.clock.sleep(_HEED_S)

    def _fly(
        self, tasks: asyncio.TaskGroup, flight: Coroutine[object, object, _Flown | None]
    ) -> None:
        task = tasks.create_task(flight)
        self._flights.add(task)
        self._tools.window.sent()
        self._tally.in_flight += 1
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[_Flown | None]) -> None:
        self._flights.discard(task)
        self._tally.in_flight -= 1
        flown = None if task.cancelled() or task.exception() else task.result()
        if flown is not None and flown.job.status is JobStatus.COMPLETED:
            self._tools.window.ended(flown.job.delay_ms, flown.job.execution_ms, flown.home_s)
        else:
            self._tools.window.ended()
        self._landed.set()

    async def _all_landed(self) -> None:
        while self._flights:
            self._landed.clear()
            await self._landed.wait()

    # One row.

    async def _run_row(self, row: Row, before: Record | None) -> _Flown | None:
        parent = None if before is None else before.key
        number = await self._walk.next_number(before)
        return await self._send_and_follow(row, parent, number)

    async def _send_and_follow(self, row: Row, parent: str | None, number: int) -> _Flown | None:
        """Run a row; nothing is returned if no job ended."""
        attempt = Attempt(line=row.line, name=row.name, key="", job_id="", number=number)
        try:
            sent = await self._tools.sending.send(row, parent)
        except AnswerLostError as exc:
            self._tally.unknown.append(row.name)
            self._tally.troubles.add(row.name, exc.message)
            self._missing.set()
            return None
        except (RefusedError, PayloadTooLargeError) as exc:
            refused = (await self._walk.attempts([row]))[row.name]
            await self._tools.homecoming.refused(replace(attempt, key=refused.key), exc.message)
            return None
        if sent is None:
            return None
        key, job = sent
        return await self._follow(replace(attempt, key=key, job_id=job.job_id), row)

    async def _follow(self, attempt: Attempt, row: Row | None) -> _Flown | None:
        """Wait for a job's end and bring home what it returned; send a row again if that helps."""
        tools, home = self._tools, self._tools.homecoming
        try:
            job = await tools.asking.until_final(
                attempt.job_id, PiecesOf(tools.scribe, attempt.key)
            )
        except NotFoundError:
            if not await self._is_endpoint_there(attempt):
                return await self._follow(attempt, row)
            await home.expired(attempt)
            return None
        except RefusedError as exc:
            # It concerns this job only: the others go on, and this one stays to be asked for.
            self._tally.troubles.add(attempt.name, exc.message)
            self._refusals.append(exc)
            return None
        ended_s = tools.clock.now_s()
        summary = await home.saved(attempt, job)
        if self._may_repeat(attempt) and is_worth_retrying(job, summary):
            row = row or await self._walk.row_of(attempt)
            if row is not None:
                await home.leave(attempt, job, summary)
                self._tally.repeated += 1
                return await self._send_and_follow(row, attempt.key, attempt.number + 1)
        await home.settle(attempt, job, summary)
        return _Flown(job, tools.clock.now_s() - ended_s)

    async def _is_endpoint_there(self, attempt: Attempt) -> bool:
        """Look whether a job is gone, or everything: with another account's key, say.

        Raises:
            NotFoundError: There is no such endpoint: nothing is known of its jobs.
        """
        try:
            await self._tools.endpoint.health(tries=1)
        except NotFoundError as exc:
            exc.job_id = attempt.job_id
            raise
        except NetworkError as exc:
            await self._tools.patience.wait(exc)
            return False
        return True

    def _may_repeat(self, attempt: Attempt) -> bool:
        return (
            attempt.number <= self._limits.retries and self._stop is None and self._may_cost_more()
        )
