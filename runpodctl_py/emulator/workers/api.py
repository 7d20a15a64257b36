"""The worker's side of the API, as the official SDK speaks it (API reference 5).

Holds the SDK's polls and passes on what workers report. It never answers a poll with an error:
the SDK would ask again at once, thousands of times a second (5.3).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from runpodctl_py.emulator import bodies, json_text
from runpodctl_py.emulator.bells import hold
from runpodctl_py.emulator.workers.record import Leaving
from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.requests import Request

    from runpodctl_py.emulator.bells import Bells
    from runpodctl_py.emulator.config import Timings
    from runpodctl_py.emulator.jobs.job import Job
    from runpodctl_py.emulator.state import State

_DRAINED_HOLD_S = 0.25
"""How long a leaving worker's polls are held: short enough to let it go, too long to spin on."""

MAX_RESULT_BYTES = 20 * 1024 * 1024
"""How large a result may be (API reference 4.1). The SDK does not repeat a refused one, so the job
is lost, and fails after its retry, as on RunPod."""

MAX_CHUNK_BYTES = 1024 * 1024
"""How large a piece of a stream may be (API reference 4.3)."""

_MAX_CHARACTER_BYTES = 4
_INSIDE_A_CHARACTER = 0x80
"""What UTF-8's bytes say, and how many a character takes at most."""

_NO_SUCH_JOB = "none"
"""A job id the SDK ignores; unlike an empty answer it costs a leaving worker no second (5.3)."""


@dataclass(frozen=True, slots=True)
class WorkerApi:
    """The operations of the worker API, one method each.

    Args:
        state: Where the jobs and workers are.
        bells: What wakes a held poll.
        timings: How long polls are held.
    """

    state: State
    bells: Bells
    timings: Timings

    async def job_take(self, request: Request) -> Response:
        """GET /job-take/{worker}: the next job, or 204 after the hold."""
        jobs = await self._take(request, 1)
        return bodies.answer(_handed_over(jobs[0])) if jobs else _nothing()

    async def job_take_batch(self, request: Request) -> Response:
        """GET /job-take-batch/{worker}?batch_size=: the next jobs, or 204 after the hold."""
        size = request.query_params.get("batch_size", "")
        jobs = await self._take(request, int(size) if size.isdecimal() else 1)
        return bodies.answer([_handed_over(job) for job in jobs]) if jobs else _nothing()

    async def job_stop(self, request: Request) -> Response:
        """GET /job-stop/{worker}: the jobs this worker has to stop, or 204 after the hold."""
        worker_id = request.path_params["worker_id"]
        self.state.fleet.stop_poll_started(worker_id)
        worker = self.state.fleet.workers.get(worker_id)

        def stops() -> list[str] | None:
            if worker is None:
                return None
            return worker.told_to_stop() or ([_NO_SUCH_JOB] if worker.due_to_go else None)

        leaving = worker is not None and worker.due_to_go
        told = await hold(
            request,
            self.bells,
            (worker_id,),
            (lambda: None) if leaving else stops,
            _DRAINED_HOLD_S if leaving else self.timings.stop_hold_s,
        )
        if leaving:
            told = [_NO_SUCH_JOB]
        return bodies.answer({"jobsToStop": told}) if told else _nothing()

    async def ping(self, request: Request) -> Response:
        """GET /ping/{worker}: a sign of life, with the jobs the worker has."""
        query = request.query_params
        self.state.fleet.pinged(
            request.path_params["worker_id"],
            [each for each in query.get("job_id", "").split(",") if each],
            unhealthy=query.get("status") == "unhealthy",
        )
        return Response()

    async def job_done(self, request: Request) -> Response:
        """POST /job-done/{worker}/{job}: a result, a failure or a progress update."""
        worker_id, job_id = self._addressed(request)
        message = await _message(request)
        if message.get("status") == "IN_PROGRESS":
            self.state.fleet.progress(worker_id, job_id, message.get("output"))
            return Response()
        outcome: dict[str, Any] = {
            name: message[name] for name in ("output", "error") if name in message
        }
        self.state.fleet.result(worker_id, job_id, outcome)
        if message.get("stopPod"):
            self.state.fleet.leave(worker_id, Leaving.IN_PEACE)
        return Response()

    async def job_stream(self, request: Request) -> Response:
        """POST /job-stream/{worker}/{job}: a piece of a streamed output."""
        worker_id, job_id = self._addressed(request)
        message = await _message(request)
        for piece in _pieces(message.get("output")):
            self.state.fleet.chunk(worker_id, job_id, piece)
        return Response()

    async def _take(self, request: Request, limit: int) -> list[Job]:
        params = request.path_params
        worker_id, endpoint_id = params["worker_id"], params["endpoint_id"]
        holds_jobs = request.query_params.get("job_in_progress") == "1"
        worker = self.state.fleet.poll_started(worker_id, holds_jobs=holds_jobs)
        if worker is None:
            await self._hold_back(request, worker_id)
            return []

        def next_jobs() -> list[Job] | None:
            # An empty list releases the poll of a worker that has to go.
            if not worker.serving:
                return []
            # While nothing can be kept, a job waits, and so does the poll: the SDK would repeat a
            # refused one at once.
            with suppress(EmulatorError):
                return self.state.fleet.take(worker, limit) or None
            return None

        jobs = await hold(
            request,
            self.bells,
            (endpoint_id, worker_id),
            next_jobs,
            self.timings.take_hold_s,
            undo=lambda taken: self.state.fleet.put_back(worker, taken),
        )
        return jobs or []

    async def _hold_back(self, request: Request, worker_id: str) -> None:
        """Holds the poll of a worker that gets no job, until its process may end."""
        worker = self.state.fleet.workers.get(worker_id)
        if worker is not None and (worker.unhealthy or worker.due_to_go):
            await hold(request, self.bells, (), lambda: None, _DRAINED_HOLD_S)
            return

        def drained() -> bool | None:
            return True if worker is not None and worker.due_to_go else None

        await hold(request, self.bells, (worker_id,), drained, self.timings.take_hold_s)

    def _addressed(self, request: Request) -> tuple[str, str]:
        """Returns the worker and the job of the path; 404 once the job is forgotten (4.7)."""
        params = request.path_params
        job = self.state.job(params["endpoint_id"], params["job_id"])
        return params["worker_id"], job.id


async def _message(request: Request) -> dict[str, Any]:
    body = await bodies.read(request, MAX_RESULT_BYTES)
    return bodies.parse_object(body, json_text.parse_of_sdk)


def _handed_over(job: Job) -> dict[str, Any]:
    """Returns a job as a worker gets it; the platform drops an empty input (4.2)."""
    passed_on = {
        name: value for name, value in job.request.items() if name != "input" or value != {}
    }
    return {"id": job.id, **passed_on}


def _pieces(output: Any) -> Iterator[Any]:
    """Yields text that is too large for one piece in several; nothing else can be cut."""
    if not isinstance(output, str) or len(output) <= MAX_CHUNK_BYTES // _MAX_CHARACTER_BYTES:
        yield output
        return
    encoded = output.encode("utf-8", "surrogatepass")
    start = 0
    while start < len(encoded):
        end = min(start + MAX_CHUNK_BYTES, len(encoded))
        while end < len(encoded) and encoded[end] & 0xC0 == _INSIDE_A_CHARACTER:
            end -= 1
        yield encoded[start:end].decode("utf-8", "surrogatepass")
        start = end


def _nothing() -> Response:
    return Response(status_code=HTTPStatus.NO_CONTENT)


OPERATIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "job-take/{worker_id}": ("job_take", ("GET",)),
    "job-take-batch/{worker_id}": ("job_take_batch", ("GET",)),
    "job-stop/{worker_id}": ("job_stop", ("GET",)),
    "ping/{worker_id}": ("ping", ("GET",)),
    "job-done/{worker_id}/{job_id}": ("job_done", ("POST",)),
    "job-stream/{worker_id}/{job_id}": ("job_stream", ("POST",)),
}
"""Path below the endpoint to method of `WorkerApi` and HTTP methods."""
