"""The end of a row: its files, then its line in results.jsonl, then the ledger's word.

The line is the proof: it is written when the files are, and before the ledger is told, so that a
kill between any two of them loses nothing and doubles nothing (`stock.py`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runpodctl_py.batch.row import RowResult
from runpodctl_py.batch.saving import Attempt, result_of
from runpodctl_py.batch.stock import result_in
from runpodctl_py.jobs.ledger import State
from runpodctl_py.jobs.notes import home_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from runpodctl_py.api.types import Job
    from runpodctl_py.batch.saving import Saving
    from runpodctl_py.batch.tally import Tally
    from runpodctl_py.in_groups import InGroups
    from runpodctl_py.jobs.collect import Summary
    from runpodctl_py.jobs.ledger import Home, Ledger, Scribe


class Homecoming:
    """Brings home what the jobs of a batch returned.

    Args:
        saving: Saves files.
        lines: Appends results to their file.
        scribe: Where it is written down.
        tally: Kept up to date.
        tell: Told of each row that is done with.
    """

    def __init__(
        self,
        saving: Saving,
        lines: InGroups[RowResult, None],
        scribe: Scribe,
        tally: Tally,
        tell: Callable[[RowResult], None],
    ) -> None:
        self._saving = saving
        self._lines = lines
        self._scribe = scribe
        self._tally = tally
        self._tell = tell

    async def saved(self, attempt: Attempt, job: Job) -> Summary:
        """Save the files of a job that has ended; nobody is told yet.

        Raises:
            RunpodctlError: It concerns all rows.
        """
        summary = await self._saving.save(attempt, job)
        self._tally.add_cost(summary.cost_usd)
        return summary

    async def settle(self, attempt: Attempt, job: Job, summary: Summary) -> None:
        """Make a job's end the row's result."""
        result = result_of(attempt, summary)
        await self._lines.add(result)
        await self._note(attempt.key, job, home_of(summary))
        self._take(result)

    async def leave(self, attempt: Attempt, job: Job, summary: Summary) -> None:
        """Note an attempt that another one is to follow.

        It counts as not done with until the next one is written down, so that a kill between the
        two leaves the row in flight.
        """
        await self._note(attempt.key, job, replace(home_of(summary), is_whole=False))

    async def _note(self, key: str, job: Job, home: Home) -> None:

        def note(ledger: Ledger) -> None:
            ledger.asked(key, job)
            ledger.home(key, home)

        await self._scribe.write(note)

    async def expired(self, attempt: Attempt) -> None:
        """Note that RunPod has dropped a row's result before we had it, or all of it."""

        def note(ledger: Ledger) -> RowResult:
            ledger.expired(attempt.key)
            return result_in(ledger, attempt.key)

        await self._end(await self._scribe.write(note))

    async def refused(self, attempt: Attempt, why: str) -> None:
        """Note that RunPod does not take a row; the ledger knows."""
        await self._end(
            RowResult(
                line=attempt.line,
                name=attempt.name,
                key=attempt.key,
                job_id=None,
                state=State.NOT_SENT,
                is_success=False,
                error=why,
                attempts=attempt.number,
            )
        )

    async def _end(self, result: RowResult) -> None:
        await self._lines.add(result)
        self._take(result)

    def _take(self, result: RowResult) -> None:
        self._tally.take(result)
        self._tell(result)
