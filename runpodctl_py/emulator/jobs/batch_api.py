"""The batch API as clients see it: /v2/{endpoint}/batch and what is below it (API reference 4.8).

Reads requests and gives batches RunPod's shapes; what happens to them is decided by
`batch_book.py`. RunPod's page shows the answers to creating, to GET of a batch and to GET of its
requests. Ours to the calls that change a batch are the batch itself, and the list of batches has
the form of the list of requests.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator import bodies, json_text
from runpodctl_py.emulator.errors import JobApiError, bad_request
from runpodctl_py.emulator.jobs.batch import BatchStatus
from runpodctl_py.emulator.jobs.batch_requests import Draft
from runpodctl_py.emulator.jobs.job import DAY_MS
from runpodctl_py.emulator.jobs.request import parsed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from runpodctl_py.emulator.control.model import Endpoint
    from runpodctl_py.emulator.jobs.batch import Batch
    from runpodctl_py.emulator.jobs.batch_requests import Member
    from runpodctl_py.emulator.state import State

MAX_BODY_BYTES = 10 * 1024 * 1024
"""How large the body of one call may be (API reference 4.8)."""

_DEFAULT_PAGE = 50
_LARGEST_PAGE = 1_000
_MOST_DIGITS = 9
_TTL_MS = 7 * DAY_MS
"""A request of a batch may wait for as long as RunPod lets any, unless it says otherwise itself:
the page promises no start time, and /run's day would end what starts late."""


@dataclass(frozen=True, slots=True)
class BatchApi:
    """The operations of the batch API, one method for each path.

    Args:
        state: Where the batches and endpoints are.
    """

    state: State

    async def batches(self, request: Request) -> Response:
        """POST /batch makes a draft of a list of requests; GET lists all batches."""
        if request.method == "POST":
            given = _parse(await bodies.read(request, MAX_BODY_BYTES))
            endpoint = self._endpoint(request)
            batch = self.state.batches.create(endpoint.id, _drafts(given, "the body", endpoint))
            return bodies.answer({"id": batch.id, "status": batch.status})
        listed = self.state.batches.of(self._endpoint(request).id)
        offset, limit = _page_of(request)
        rows = [self._shape(each) for each in listed[offset : offset + limit]]
        return bodies.answer(_page("batches", rows, len(listed), offset, limit))

    async def batch(self, request: Request) -> Response:
        """GET /batch/{id} counts a batch's requests; PUT gives it a name."""
        if request.method == "PUT":
            body = bodies.parse_object(await bodies.read(request, MAX_BODY_BYTES))
            batch = self._batch(request)
            name = body.get("name", batch.name)
            if not isinstance(name, str | None):
                raise bad_request("name is not a text")
            return bodies.answer(self._shape(self.state.batches.rename(batch, name)))
        return bodies.answer(self._shape(self._batch(request)))

    async def batch_requests(self, request: Request) -> Response:
        """GET /batch/{id}/requests lists the requests with results; POST adds some to a draft."""
        if request.method == "POST":
            body = bodies.parse_object(await bodies.read(request, MAX_BODY_BYTES))
            drafts = _drafts(body.get("requests"), '"requests"', self._endpoint(request))
            batch = self.state.batches.add(self._batch(request), drafts)
            return bodies.answer(self._shape(batch))
        batch = self._batch(request)
        offset, limit = _page_of(request)
        members = self.state.batches.members(batch, offset, limit)
        rows = [_request_shape(each, batch) for each in members]
        return bodies.answer(_page("requests", rows, batch.request_total, offset, limit))

    async def batch_request(self, request: Request) -> Response:
        """DELETE /batch/{id}/requests/{request}: takes a request out of a draft."""
        request_id = request.path_params["request_id"]
        batch = self.state.batches.remove(self._batch(request), request_id)
        return bodies.answer(self._shape(batch))

    async def finalize_batch(self, request: Request) -> Response:
        """POST /batch/{id}/finalize: locks a draft; its requests are queued."""
        return bodies.answer(self._shape(self.state.batches.finalize(self._batch(request))))

    async def cancel_batch(self, request: Request) -> Response:
        """POST /batch/{id}/cancel: cancels what waits; CANCELLED once what runs is done."""
        return bodies.answer(self._shape(self.state.batches.cancel(self._batch(request))))

    def _endpoint(self, request: Request) -> Endpoint:
        return self.state.endpoint(request.path_params["endpoint_id"])

    def _batch(self, request: Request) -> Batch:
        endpoint = self._endpoint(request)
        return self.state.batches.get(endpoint.id, request.path_params["batch_id"])

    def _shape(self, batch: Batch) -> dict[str, Any]:
        """Returns a batch as GET shows it, with its name if it has one."""
        return {
            "id": batch.id,
            "endpointId": batch.endpoint_id,
            "status": batch.status,
            **({} if batch.name is None else {"name": batch.name}),
            "requestTotal": batch.request_total,
            "requestInProgress": self.state.batches.in_progress(batch),
            "requestCompleted": batch.request_completed,
            "requestFailed": batch.request_failed,
            "createdAt": round(batch.created_at * 1000),
        }


def _request_shape(member: Member, batch: Batch) -> dict[str, Any]:
    """Returns a request as its page shows it.

    A draft shows its input, so that one sees what DELETE would remove. What was a job and has
    been forgotten is EXPIRED; RunPod's page does not speak of either.
    """
    if member.draft is not None:
        shown = {"status": batch.status, "input": member.draft.request["input"]}
        return {"id": member.id, **shown}
    if (job := member.job) is None:
        gone = BatchStatus.CANCELLED if batch.cancelling else "EXPIRED"
        return {"id": member.id, "status": gone}
    answer = {"id": job.id, "status": job.status, **job.outcome}
    if job.started_at is not None:
        answer["startedAt"] = _iso(job.started_at)
        if job.finished_at is not None:
            answer["completedAt"] = _iso(job.finished_at)
    return answer


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _page(
    name: str, rows: Sequence[Mapping[str, Any]], total: int, offset: int, limit: int
) -> dict[str, Any]:
    more = offset + len(rows) < total
    return {name: rows, "total": total, "offset": offset, "limit": limit, "hasMore": more}


def _page_of(request: Request) -> tuple[int, int]:
    offset = _count(request, "offset", 0)
    limit = _count(request, "limit", _DEFAULT_PAGE)
    return offset, min(max(limit, 1), _LARGEST_PAGE)


def _count(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    # Other digits than these are decimal to Python, too.
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise bad_request(f"{name} is not a number")
    return int(text)


def _parse(body: bytes) -> Any:
    try:
        return json_text.parse(body)
    except ValueError as error:
        raise bad_request(f"the body is not JSON: {error}") from error


def _drafts(given: Any, where: str, endpoint: Endpoint) -> list[Draft]:
    """Returns the requests of a list, each like a body of /run; none if one cannot be used."""
    if not isinstance(given, list):
        raise bad_request(f"{where} is not a list of requests")
    return [_draft(each, number, endpoint) for number, each in enumerate(given)]


def _draft(given: Any, number: int, endpoint: Endpoint) -> Draft:
    if not isinstance(given, dict):
        raise bad_request(f"request {number} is not an object")
    try:
        request, policy = parsed(given, endpoint)
    except JobApiError as error:
        raise bad_request(f"request {number}: {error.message}") from error
    says_ttl = (given.get("policy") or {}).get("ttl") is not None
    return Draft(request, policy if says_ttl else replace(policy, ttl_ms=_TTL_MS))


OPERATIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "batch": ("batches", ("GET", "POST")),
    "batch/{batch_id}": ("batch", ("GET", "PUT")),
    "batch/{batch_id}/requests": ("batch_requests", ("GET", "POST")),
    "batch/{batch_id}/requests/{request_id}": ("batch_request", ("DELETE",)),
    "batch/{batch_id}/finalize": ("finalize_batch", ("POST",)),
    "batch/{batch_id}/cancel": ("cancel_batch", ("POST",)),
}
"""Path below the endpoint to method of `BatchApi` and HTTP methods."""
