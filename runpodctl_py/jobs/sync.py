"""Bringing home what finished while nobody watched: one job of the ledger at a time.

Decides what RunPod's answer means for a job that the ledger knows. Which jobs, and in what words,
is the caller's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from runpodctl_py.errors import NotFoundError
from runpodctl_py.jobs.collect import Submission, collect
from runpodctl_py.jobs.lost import LostJobs
from runpodctl_py.jobs.notes import Directly, PiecesOf, home_of
from runpodctl_py.jobs.streaming import with_pieces

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runpodctl_py.api.serverless import Serverless
    from runpodctl_py.api.types import Job
    from runpodctl_py.jobs.collect import Summary
    from runpodctl_py.jobs.ledger import Ledger, Record
    from runpodctl_py.jobs.save import Fetcher


class Came(StrEnum):
    """What became of a job when RunPod was asked."""

    HOME = "saved"
    """It has ended, and all it returned is on our disk, perhaps for long."""
    IN_PART = "saved in part"
    """It has ended, and something could not be saved; RunPod may still have it."""
    RUNNING = "running"
    EXPIRED = "expired"
    """RunPod does not know it any more; its result is gone."""
    UNKNOWN = "unknown"
    """Nobody can tell whether it was ever queued."""


@dataclass(frozen=True, slots=True)
class Result:
    """What asking for one job brought.

    Args:
        record: The job as the ledger knows it now.
        came: What became of it.
        summary: What was saved, if it has ended and RunPod still had it.
    """

    record: Record
    came: Came
    summary: Summary | None = None


class Syncing:
    """Asks one endpoint for the ledger's jobs on it.

    Args:
        ledger: Where they are written down.
        endpoint: Where they ran.
        directory: Where files go.
        fetcher: Makes what fetches one job's links: its limits are for one job.
        is_directory_meant: Whether they go there even if the job was sent with another folder.
    """

    def __init__(
        self,
        ledger: Ledger,
        endpoint: Serverless,
        directory: Path,
        fetcher: Callable[[], Fetcher],
        *,
        is_directory_meant: bool,
    ) -> None:
        self._ledger = ledger
        self._endpoint = endpoint
        self._directory = directory
        self._fetcher = fetcher
        self._is_directory_meant = is_directory_meant
        self._lost = LostJobs(ledger, endpoint)

    async def bring(self, record: Record) -> Result:
        """Ask for one job, and save what it returned.

        Raises:
            NetworkError, UnauthorizedError: RunPod could not be asked; nothing has changed.
            LedgerError: It could not be written down; what was saved is saved.
        """
        job = await self._found(record)
        if job is None:
            return self._not_found(record)
        self._ledger.asked(record.key, job)
        if not job.status.is_final:
            return self._result(record, Came.RUNNING)
        job = await with_pieces(self._endpoint, job, PiecesOf(Directly(self._ledger), record.key))
        summary = await self._collected(record, job)
        self._ledger.home(record.key, home_of(summary))
        return self._result(record, Came.HOME if summary.is_whole else Came.IN_PART, summary)

    def _not_found(self, record: Record) -> Result:
        if record.saved_at is not None:
            return self._result(record, Came.HOME)
        if record.job_id is None:
            return self._result(record, Came.UNKNOWN)
        self._ledger.expired(record.key)
        return self._result(record, Came.EXPIRED)

    async def _found(self, record: Record) -> Job | None:
        """Return a job as RunPod knows it; None if it does not."""
        if record.job_id is None:
            return await self._lost.find(record)
        try:
            return await self._endpoint.status(record.job_id)
        except NotFoundError:
            return None

    async def _collected(self, record: Record, job: Job) -> Summary:
        intent = record.intent
        ran_on = self._ledger.deployment(intent.place, intent.endpoint_id, record.created_at)
        known_price = None if ran_on is None else ran_on.price_per_s_usd
        submission = Submission(
            intent.endpoint_id,
            self._ledger.payload(record.key),
            intent.preset,
            datetime.fromtimestamp(record.created_at, UTC),
            0.0 if intent.place.is_local else known_price,
            intent.returns_object,
            intent.output_name,
        )
        directory = self._directory
        if intent.output_dir is not None and not self._is_directory_meant:
            directory = intent.output_dir
        return await collect(job, submission, directory, self._fetcher())

    def _result(self, record: Record, came: Came, summary: Summary | None = None) -> Result:
        return Result(self._ledger.record(record.key), came, summary)
