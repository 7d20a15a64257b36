"""RunPod's own batches of one endpoint: drafts, uploads, finalizing, counts, pages of results.

Owns the paths, limits and JSON of API reference 4.8. Each call is one request, repeated only where
that means the same; what is done about a lost answer is the business of `batch/native_calls.py`.

RunPod's page promises no order of a batch's requests and shows no worker in their list, so who
reads it goes by ids, and by inputs as long as the ids are not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from runpodctl_py.api.types import Job, JobStatus
from runpodctl_py.errors import NotFoundError, ServerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runpodctl_py.api.transport import Transport
    from runpodctl_py.jsontypes import JsonObject, JsonValue

#: What RunPod takes and lists (API reference 4.8).
BODY_LIMIT_BYTES = 10 * 1024 * 1024
MOST_REQUESTS = 5_000
MOST_ACTIVE = 10
LARGEST_PAGE = 1_000

_GONE = "EXPIRED"
"""What a request is shown as whose job RunPod has dropped."""
_BEYOND_ANY_COUNT = 2**53


class BatchStatus(StrEnum):
    """Where a batch of RunPod's stands; one whose requests have all ended stays FINALIZED."""

    DRAFT = "DRAFT"
    FINALIZED = "FINALIZED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeBatch:
    """A batch of RunPod's, as its summary shows it.

    Args:
        native_id: RunPod's id of it.
        status: Where it stands.
        total: How many requests it has.
        completed: How many succeeded.
        failed: How many ended otherwise; those cancelled with the batch are not counted.
        created_at_ms: When it was made, in RunPod's time since 1970.
    """

    native_id: str
    status: BatchStatus
    total: int = 0
    completed: int = 0
    failed: int = 0
    created_at_ms: int | None = None

    @property
    def ended(self) -> int:
        """How many requests have ended, as far as they are counted."""
        return self.completed + self.failed

    @property
    def is_broken_off(self) -> bool:
        """Whether nothing more happens, though not all requests may be counted as ended."""
        return self.status in {BatchStatus.FAILED, BatchStatus.CANCELLED}


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """A request of a batch, as a page lists it.

    Args:
        request_id: RunPod's id; its job has the same.
        is_final: Whether it has ended.
        job: Its job, if that has ended and the page tells all of it. Times are RunPod's whole
            seconds; the time in the queue counts from when the batch was made.
        payload: Its input, while it is a draft.
        has_payload: Whether the page tells that.
    """

    request_id: str
    is_final: bool = False
    job: Job | None = None
    payload: JsonValue = None
    has_payload: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Some requests of a batch.

    Args:
        requests: They.
        has_more: Whether there are others behind them.
    """

    requests: tuple[BatchRequest, ...]
    has_more: bool = False


class NativeBatches:
    """The batches that RunPod has of one endpoint.

    Args:
        transport: Rooted at the job API (`…/v2`).
        endpoint_id: RunPod's id of the endpoint.
    """

    def __init__(self, transport: Transport, endpoint_id: str) -> None:
        self._transport = transport
        self._endpoint_id = endpoint_id

    async def create(self, requests: Sequence[JsonObject]) -> str:
        """Make a draft with its first requests, and return its id; nothing runs before `finalize`.

        Args:
            requests: Each is like a body of `/run`; there may be none.

        Raises:
            NotFoundError: There is no such endpoint, or it takes no batches.
            RefusedError, PayloadTooLargeError: RunPod does not take one of them.
            RateLimitedError: The endpoint has as many batches as it may have.
            AnswerLostError: There may be such a draft, or not.
        """
        try:
            answer = await self._transport.post(self._path(), [*requests])
        except NotFoundError as exc:
            raise NotFoundError(
                f"There is no endpoint {self._endpoint_id}, or it takes no batches",
                hint="See yours:  runpodctl-py endpoints list\nOr leave out --native.",
            ) from exc
        return _id_of(answer.body)

    async def add(self, native_id: str, requests: Sequence[JsonObject]) -> None:
        """Add requests to a draft: all of them or, if one cannot be used, none.

        Raises:
            NotFoundError: RunPod does not know the batch.
            RefusedError, PayloadTooLargeError: It does not take one of them, or it is no draft.
            AnswerLostError: They may have been added, or not.
        """
        await self._post(f"/{_quoted(native_id)}/requests", {"requests": list(requests)})

    async def finalize(self, native_id: str) -> None:
        """Have a draft's requests run: from here on they cost.

        Raises:
            NotFoundError: RunPod does not know the batch.
            RefusedError: It is no draft, or empty.
            RateLimitedError: Too many requests wait at the endpoint.
            AnswerLostError: They may be running, or not.
        """
        await self._post(f"/{_quoted(native_id)}/finalize", {})

    async def cancel(self, native_id: str) -> None:
        """Cancel what waits; what runs may finish. Twice is the same as once.

        Raises:
            NotFoundError: RunPod does not know the batch.
        """
        await self._post(f"/{_quoted(native_id)}/cancel", {}, is_repeatable=True)

    async def summary(self, native_id: str) -> NativeBatch:
        """Return how a batch stands.

        Raises:
            NotFoundError: RunPod does not know it, or does not know it any more.
        """
        try:
            answer = await self._transport.get(self._path(f"/{_quoted(native_id)}"))
        except NotFoundError as exc:
            raise self._no_such_batch(exc) from exc
        return _batch_of(answer.body)

    async def page(self, batch: NativeBatch, offset: int, limit: int) -> Page:
        """Return some of a batch's requests, with their results if they have ended.

        Args:
            batch: Its summary.
            offset: How many to leave out.
            limit: How many to return at most, up to `LARGEST_PAGE`.

        Raises:
            NotFoundError: RunPod does not know the batch.
        """
        path = self._path(f"/{_quoted(batch.native_id)}/requests")
        try:
            answer = await self._transport.get(path, {"offset": offset, "limit": limit})
        except NotFoundError as exc:
            raise self._no_such_batch(exc) from exc
        return page_of(answer.body, batch)

    async def newest(self) -> list[NativeBatch]:
        """Return the newest batches of the endpoint; their list has no documented form."""
        answer = await self._transport.get(self._path(), {"limit": LARGEST_PAGE})
        listed = answer.body.get("batches")
        return [
            _batch_of(each)
            for each in (listed if isinstance(listed, list) else [])
            if isinstance(each, dict) and isinstance(each.get("id"), str)
        ]

    async def _post(self, path: str, body: JsonObject, *, is_repeatable: bool = False) -> None:
        try:
            await self._transport.post(self._path(path), body, repeatable=is_repeatable)
        except NotFoundError as exc:
            raise self._no_such_batch(exc) from exc

    def _path(self, below: str = "") -> str:
        return f"/{_quoted(self._endpoint_id)}/batch{below}"

    def _no_such_batch(self, error: NotFoundError) -> NotFoundError:
        return NotFoundError(
            f"Endpoint {self._endpoint_id} has no such batch: {error.message}",
            hint="RunPod may have dropped it, or the endpoint is another one.",
        )


def page_of(body: JsonObject, batch: NativeBatch) -> Page:
    """Read a page of a batch's requests.

    Raises:
        ServerError: It is none.
    """
    listed = body.get("requests")
    if not isinstance(listed, list):
        raise ServerError("RunPod answered with something that is not a page of requests")
    return Page(
        tuple(_request_of(each, batch) for each in listed),
        body.get("hasMore") is True,
    )


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _id_of(body: JsonObject) -> str:
    """Read a batch's id.

    Raises:
        ServerError: There is none.
    """
    native_id = body.get("id")
    if not isinstance(native_id, str) or not native_id:
        raise ServerError("RunPod answered with something that is not a batch")
    return native_id


def _batch_of(body: JsonObject) -> NativeBatch:
    said: Any = body.get("status")
    # A state that we do not know is certainly no draft.
    is_known = isinstance(said, str) and said in set(BatchStatus)
    return NativeBatch(
        native_id=_id_of(body),
        status=BatchStatus(said) if is_known else BatchStatus.FINALIZED,
        total=_count(body.get("requestTotal")) or 0,
        completed=_count(body.get("requestCompleted")) or 0,
        failed=_count(body.get("requestFailed")) or 0,
        created_at_ms=_count(body.get("createdAt")),
    )


def _request_of(body: JsonValue, batch: NativeBatch) -> BatchRequest:
    if not isinstance(body, dict):
        raise ServerError("RunPod lists something that is not a request of a batch")
    request_id, said = body.get("id"), body.get("status")
    if not isinstance(request_id, str) or not isinstance(said, str):
        raise ServerError("RunPod lists something that is not a request of a batch")
    if batch.status is BatchStatus.DRAFT:
        has_payload = "input" in body
        return BatchRequest(request_id, payload=body.get("input"), has_payload=has_payload)
    status = JobStatus.parse(said)
    is_whole = status is not JobStatus.COMPLETED or "output" in body
    job = _job_of(request_id, status, body, batch) if status.is_final and is_whole else None
    return BatchRequest(request_id, status.is_final or said == _GONE, job)


def _job_of(request_id: str, status: JobStatus, body: JsonObject, batch: NativeBatch) -> Job:
    started_ms, completed_ms = _time_ms(body.get("startedAt")), _time_ms(body.get("completedAt"))
    worker_id = body.get("workerId")
    return Job(
        request_id,
        status,
        output=body.get("output"),
        error=body.get("error"),
        delay_ms=_passed_ms(batch.created_at_ms, started_ms),
        execution_ms=_passed_ms(started_ms, completed_ms),
        worker_id=worker_id if isinstance(worker_id, str) else None,
    )


def _passed_ms(from_ms: int | None, to_ms: int | None) -> int | None:
    return None if from_ms is None or to_ms is None else max(0, to_ms - from_ms)


def _time_ms(value: object) -> int | None:
    """Read a time such as 2026-07-09T09:15:00Z; what is none is as good as missing."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        # Without a zone it is not the one of this machine.
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return round(value) if 0 <= value < _BEYOND_ANY_COUNT else None
