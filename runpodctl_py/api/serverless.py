"""The job API of one endpoint: run, runsync, status, stream, cancel, retry, requests, health.

Owns the paths, the limits and the JSON of API reference section 4. Does not decide when to ask
again (`jobs/follow.py`).
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from runpodctl_py.api.transport import Transport
from runpodctl_py.api.types import (
    Health,
    Job,
    JobCounts,
    JobStatus,
    Listed,
    Streamed,
    WorkerCounts,
)
from runpodctl_py.errors import (
    AnswerLostError,
    NotFoundError,
    PayloadTooLargeError,
    ServerError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runpodctl_py.api.types import JobRequest
    from runpodctl_py.jsontypes import JsonObject

#: Largest bodies RunPod takes (API reference 4.1).
RUN_LIMIT_BYTES = 10_000_000
RUNSYNC_LIMIT_BYTES = 20_000_000
#: How long `/runsync` and `/status-sync` may hold (API reference 4.1).
SHORTEST_WAIT_MS = 1_000
LONGEST_WAIT_MS = 300_000
_BEYOND_ANY_COUNT = 2**53

_Counts = TypeVar("_Counts", JobCounts, WorkerCounts)


class Serverless:
    """One endpoint's job API.

    Args:
        transport: Rooted at the job API (`…/v2`).
        endpoint_id: RunPod's id of the endpoint.
    """

    def __init__(self, transport: Transport, endpoint_id: str) -> None:
        self._transport = transport
        self.endpoint_id = endpoint_id

    async def run(self, request: JobRequest, *, tries: int | None = None) -> Job:
        """Queue a job and return it with its id.

        Args:
            request: The job.
            tries: How often it is sent at most where that had no effect, if not as often as usual.

        Raises:
            PayloadTooLargeError: The body is over 10 MB; nothing was sent.
            AnswerLostError: It was sent and the answer is lost: a job may exist and be billed.
        """
        body = request.as_json()
        check_size(body, RUN_LIMIT_BYTES, "/run")
        return await self._submit("/run", body, hold_ms=None, tries=tries)

    async def runsync(self, request: JobRequest, wait_ms: int) -> Job:
        """Queue a job and wait for it; it may come back unfinished.

        Raises:
            PayloadTooLargeError: The body is over 20 MB; nothing was sent.
            AnswerLostError: It was sent and the answer is lost: a job may exist and be billed.
        """
        body = request.as_json()
        check_size(body, RUNSYNC_LIMIT_BYTES, "/runsync")
        return await self._submit("/runsync", body, hold_ms=wait_ms)

    async def status(self, job_id: str, *, tries: int | None = None) -> Job:
        """Return a job as it is now; `tries` limits how often we ask, if not the usual policy."""
        try:
            answer = await self._transport.get(self._path("/status", job_id), tries=tries)
        except NotFoundError as exc:
            raise self._no_such_job(job_id) from exc
        return parse_job(answer.body)

    async def status_sync(self, job_id: str, wait_ms: int) -> Job:
        """Return a job when it is final or the wait is over.

        Undocumented, but what the official JavaScript and Go SDKs use (API reference 4.1). It is
        tried once only: who calls it has `status` to fall back to.

        Raises:
            NotFoundError, RefusedError: The job is not known, or this server has no such route.
        """
        answer = await self._transport.get(
            self._path("/status-sync", job_id), {"wait": wait_ms}, hold_s=wait_ms / 1000, tries=1
        )
        return parse_job(answer.body)

    async def stream(self, job_id: str, wait_ms: int) -> Streamed:
        """Return what a job has streamed since somebody last asked; held until there is some.

        Each piece is handed out once (API reference 4.1), so it is tried once only: what is lost
        with an answer is lost here, and stands in the job's output if its worker collects it.

        Raises:
            NotFoundError: RunPod does not know the job any more.
            AnswerLostError, NetworkError: There was no answer.
        """
        try:
            answer = await self._transport.get(
                self._path("/stream", job_id), {"wait": wait_ms}, hold_s=wait_ms / 1000, tries=1
            )
        except NotFoundError as exc:
            raise self._no_such_job(job_id) from exc
        return parse_streamed(answer.body)

    async def cancel(self, job_id: str) -> Job:
        """Cancel a job, queued or running; cancelling twice is the same as once."""
        try:
            answer = await self._transport.post(self._path("/cancel", job_id), {}, repeatable=True)
        except NotFoundError as exc:
            raise self._no_such_job(job_id) from exc
        return parse_job(answer.body)

    async def retry(self, job_id: str) -> Job:
        """Have a job that FAILED or TIMED_OUT run once more, under the same id; it costs again.

        Raises:
            NotFoundError: RunPod does not know it any more.
            RefusedError: It is in another state.
            AnswerLostError: It was sent and the answer is lost.
        """
        try:
            answer = await self._transport.post(self._path("/retry", job_id), {})
        except NotFoundError as exc:
            raise self._no_such_job(job_id) from exc
        return parse_job(answer.body)

    async def requests(self) -> list[Listed]:
        """Return the jobs that the endpoint lists; the answer's shape is in no source.

        Raises:
            NotFoundError, RefusedError: This server has no such list.
        """
        answer = await self._transport.get(self._path("/requests"), tries=1)
        listed = answer.body.get("requests")
        return [
            Listed(job_id, each.get("input"), "input" in each)
            for each in (listed if isinstance(listed, list) else [])
            if isinstance(each, dict) and isinstance(job_id := each.get("id"), str)
        ]

    async def health(self, *, tries: int | None = None) -> Health:
        """Return how many jobs and workers the endpoint has, by state.

        Args:
            tries: How often it is asked at most, if not as often as usual.
        """
        try:
            answer = await self._transport.get(self._path("/health"), tries=tries)
        except NotFoundError as exc:
            raise self._no_such_endpoint() from exc
        return Health(
            _counts(JobCounts, answer.body.get("jobs")),
            _counts(WorkerCounts, answer.body.get("workers")),
        )

    async def _submit(
        self, operation: str, body: JsonObject, *, hold_ms: int | None, tries: int | None = None
    ) -> Job:
        try:
            answer = await self._transport.post(
                self._path(operation),
                body,
                None if hold_ms is None else {"wait": hold_ms},
                hold_s=(hold_ms or 0) / 1000,
                tries=tries,
            )
            return parse_job(answer.body)
        except NotFoundError as exc:
            raise self._no_such_endpoint() from exc
        except ServerError as exc:
            if exc.status is not None:
                raise
            raise self._unknown(exc.message) from exc
        except AnswerLostError as exc:
            raise self._unknown(exc.message) from exc

    def _path(self, operation: str, job_id: str | None = None) -> str:
        path = f"/{quote(self.endpoint_id, safe='')}{operation}"
        return path if job_id is None else f"{path}/{quote(job_id, safe='')}"

    def _no_such_endpoint(self) -> NotFoundError:
        return NotFoundError(
            f"There is no endpoint {self.endpoint_id}",
            hint="See yours:  runpodctl-py endpoints list",
        )

    def _no_such_job(self, job_id: str) -> NotFoundError:
        return NotFoundError(
            f"Endpoint {self.endpoint_id} knows no job {job_id}",
            hint="RunPod keeps a result for 30 minutes after the job ends.",
            job_id=job_id,
        )

    def _unknown(self, message: str) -> AnswerLostError:
        return AnswerLostError(
            f"{message.rstrip('.')}. The job is unknown: it may be queued, and billed",
            hint=(
                "It was not sent again. Look before you repeat it:  "
                f"runpodctl-py health {self.endpoint_id}"
            ),
        )


@asynccontextmanager
async def connect(base_url: str, api_key: str, endpoint_id: str) -> AsyncIterator[Serverless]:
    """Open one endpoint's job API below `base_url` (`…/v2`)."""
    async with Transport(base_url, api_key) as transport:
        yield Serverless(transport, endpoint_id)


def check_size(body: JsonObject, limit_bytes: int, operation: str) -> None:
    """Refuse a body that RunPod would refuse, before it is uploaded.

    Raises:
        PayloadTooLargeError: With the size, the limit and the way around it.
    """
    size = len(json.dumps(body))
    if size <= limit_bytes:
        return
    hint = "Put large files into a bucket and pass their URL instead."
    if limit_bytes < size <= RUNSYNC_LIMIT_BYTES:
        hint = "Use --sync, which takes 20 MB, or put large files into a bucket and pass their URL."
    raise PayloadTooLargeError(
        f"The job's body has {size / 1e6:.1f} MB; RunPod's {operation} takes "
        f"{limit_bytes // 1_000_000} MB",
        hint=hint,
    )


def parse_job(body: JsonObject) -> Job:
    """Read a job from any of the job API's answers (API reference 4.4).

    Raises:
        ServerError: It has no id or no state.
    """
    job_id, status = body.get("id"), body.get("status")
    if not isinstance(job_id, str) or not isinstance(status, str) or not status:
        raise ServerError("RunPod answered with something that is not a job")
    worker_id = body.get("workerId")
    return Job(
        job_id,
        JobStatus.parse(status),
        output=body.get("output"),
        error=body.get("error"),
        delay_ms=_whole(body.get("delayTime")),
        execution_ms=_whole(body.get("executionTime")),
        worker_id=worker_id if isinstance(worker_id, str) else None,
    )


def parse_streamed(body: JsonObject) -> Streamed:
    """Read an answer of `/stream` (API reference 4.4).

    Raises:
        ServerError: It has no state.
    """
    status, pieces = body.get("status"), body.get("stream")
    if not isinstance(status, str) or not status:
        raise ServerError("RunPod answered with something that is no stream")
    listed = pieces if isinstance(pieces, list) else []
    values = tuple(
        each["output"] if isinstance(each, dict) and "output" in each else each for each in listed
    )
    return Streamed(JobStatus.parse(status), values)


def _whole(value: object) -> int | None:
    """Read milliseconds or a count; what can be neither is as good as missing."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return round(value) if 0 <= value < _BEYOND_ANY_COUNT else None


def _counts(kind: type[_Counts], value: object) -> _Counts:
    """Read counters; RunPod's are camelCase (`inQueue`), ours are not."""
    if not isinstance(value, dict):
        raise ServerError("RunPod answered with something that is not an endpoint's health")
    counters = {}
    for item in fields(kind):
        head, *tail = item.name.split("_")
        counters[item.name] = _whole(value.get(head + "".join(map(str.title, tail)))) or 0
    return kind(**counters)
