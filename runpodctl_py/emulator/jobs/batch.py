"""One batch's life: its states, what moves it from one to the next, and its limits.

A batch is a value; each move returns the batch that follows. What its requests are is
`batch_requests.py`'s business, which batches there are `batch_book.py`'s. Facts are from RunPod's
page on batch jobs (API reference 4.8); where it is silent, the module that decides says so. Not
emulated: workers of a batch's own. Its jobs wait in the endpoint's queue like all others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from http import HTTPStatus

from runpodctl_py.emulator.errors import JobApiError, bad_request
from runpodctl_py.emulator.jobs.job import DAY_MS, JobStatus

KEPT_S = 7 * DAY_MS / 1000
"""How long a batch is kept once it is over, and its results at most; RunPod's page does not say."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What RunPod allows an account that has no other contract (API reference 4.8).

    Args:
        active: How many batches of an endpoint may be there that are not over, drafts among them.
        requests: How many requests a batch may have.
        queued: How many jobs may wait at an endpoint, all told, for a batch to be finalized.
    """

    active: int = 10
    requests: int = 5_000
    queued: int = 50_000


class BatchStatus(StrEnum):
    """Where a batch stands; one that is through stays FINALIZED (API reference 4.8)."""

    DRAFT = "DRAFT"
    FINALIZED = "FINALIZED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch as its endpoint knows it.

    Args:
        id: RunPod's form of it, see `Ids.batch`.
        endpoint_id: Whose workers do its requests.
        created_at: When it was made, in seconds since 1970.
        name: What its owner calls it.
        status: Where it stands.
        request_total: How many requests it has.
        request_completed: How many of them succeeded.
        request_failed: How many ended in any other way, except with the batch's cancellation:
            only so do clients see a batch end, which wait until the two add up to the total.
        cancelling: Whether it will be CANCELLED once the requests that run are done.
        expired: Whether it lost a request to the end of its time to live; RunPod's page names no
            cause of FAILED but "a systemic problem", and this is the one there is here.
        ended_at: When its last request ended, or it was cancelled.
    """

    id: str
    endpoint_id: str
    created_at: float
    name: str | None = None
    status: BatchStatus = BatchStatus.DRAFT
    request_total: int = 0
    request_completed: int = 0
    request_failed: int = 0
    cancelling: bool = False
    expired: bool = False
    ended_at: float | None = None

    @property
    def over(self) -> bool:
        """Whether nothing happens to it any more by itself."""
        return self.ended_at is not None

    def resized(self, total: int) -> Batch:
        """Returns the draft after requests have come or gone."""
        return replace(self, request_total=total)

    def finalized(self) -> Batch:
        """Returns the batch after it was locked."""
        return replace(self, status=BatchStatus.FINALIZED)

    def counted(self, status: JobStatus) -> Batch:
        """Returns the batch after one more request has ended, or expired if that is not final."""
        completed = status is JobStatus.COMPLETED
        return replace(
            self,
            request_completed=self.request_completed + completed,
            request_failed=self.request_failed + (not completed),
            expired=self.expired or not status.final,
        )

    def cancelled(self) -> Batch:
        """Returns the batch after its cancellation; requests that run may go on."""
        return replace(self, cancelling=True)

    def ended(self, now: float) -> Batch:
        """Returns the batch after its last request has ended."""
        status = BatchStatus.FAILED if self.expired else self.status
        if self.cancelling:
            status = BatchStatus.CANCELLED
        return replace(self, status=status, ended_at=now)

    def resumed(self) -> Batch:
        """Returns the batch after one of its failed requests was sent through once more."""
        return replace(self, request_failed=self.request_failed - 1, ended_at=None)

    def must_be_draft(self) -> None:
        """Refuses to change what is locked.

        Raises:
            JobApiError: It is no draft; 400.
        """
        if self.status is not BatchStatus.DRAFT:
            raise bad_request(f"batch {self.id} is {self.status}; only a DRAFT can be changed")


def batch_not_found(batch_id: str) -> JobApiError:
    """Returns the refusal for a batch that never was, or is not kept any more."""
    return JobApiError(HTTPStatus.NOT_FOUND, f"batch {batch_id} not found")


def too_much(message: str) -> JobApiError:
    """Returns the refusal for a limit that is met by waiting; RunPod's page names no status."""
    return JobApiError(HTTPStatus.TOO_MANY_REQUESTS, message)
