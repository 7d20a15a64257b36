"""The OpenAI route: /v2/{endpoint}/openai/v1/... as OpenAI's clients see it (API reference 4.1).

Hands a request to a worker as `openai_route` and `openai_input`, and gives back what the worker
says: in one piece, or as server-sent events while it comes. Knows no model and no route; what is
in a chunk is between the worker and the client.

Two things were seen in RunPod's answers: an error object that a worker returns comes with HTTP 200
(worker-vllm issue 57), an exception in a handler gave HTTP 500 (worker-vllm issue 104), as here
every job does that does not complete. The rest is ours: a request is held for as long as its client
stays, and a client that hangs up cancels its job, because nobody else knows its id.
"""

from __future__ import annotations

import re
from contextlib import aclosing, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.responses import Response, StreamingResponse

from runpodctl_py.emulator import bodies, json_text
from runpodctl_py.emulator.bells import hold
from runpodctl_py.emulator.errors import JobApiError
from runpodctl_py.emulator.jobs.job import SYNC_RETENTION_S, JobStatus
from runpodctl_py.emulator.jobs.request import parsed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

    from starlette.requests import Request

    from runpodctl_py.emulator.bells import Bells
    from runpodctl_py.emulator.jobs.job import Chunk, Job
    from runpodctl_py.emulator.state import State

MAX_BODY_BYTES = 20 * 1024 * 1024
"""How large a body may be: as for runsync, which this is another form of (API reference 4.1)."""

_DONE = re.compile(r"data: ?\[DONE\]\s*$")
_TAIL_LENGTH = 32
"""How a stream ends, and how much of it is remembered to see whether it has; it may be cut
anywhere."""

_STOPPING = "the local RunPod stops"


@dataclass(frozen=True, slots=True)
class OpenAiApi:
    """The one operation of the OpenAI route.

    Args:
        state: Where the jobs are.
        bells: What wakes a held request.
    """

    state: State
    bells: Bells

    async def openai(self, request: Request) -> Response:
        """GET or POST /openai/{path}: what a worker answers to it."""
        body = None
        if request.method == "POST":
            body = bodies.parse_object(await bodies.read(request, MAX_BODY_BYTES))
        streamed = body is not None and body.get("stream") is True
        job = self._submit(request, body)
        try:
            job, chunks = await self._news(request, job, streamed=streamed)
        except BaseException:
            self._leave(job)
            raise
        if streamed and chunks:
            return _events(self._outputs(job, chunks))
        if job.status is not JobStatus.COMPLETED:
            return bodies.answer(_error_of(job), HTTPStatus.INTERNAL_SERVER_ERROR)
        # Not every worker streams; one that does not says it all in its output.
        output = job.outcome.get("output")
        return _events(_each(output)) if streamed else _whole(output, chunks)

    def _submit(self, request: Request, body: Mapping[str, Any] | None) -> Job:
        endpoint = self.state.endpoint(request.path_params["endpoint_id"])
        task: dict[str, Any] = {"openai_route": f"/{request.path_params['path']}"}
        if body is not None:
            # worker-vllm takes a route without a body for a GET.
            task["openai_input"] = body
        passed_on, policy = parsed({"input": task}, endpoint)
        return self.state.submit(
            endpoint.id, passed_on, policy, sync=True, retention_s=SYNC_RETENTION_S
        )

    async def _news(
        self, request: Request, job: Job, *, streamed: bool
    ) -> tuple[Job, Sequence[Chunk]]:
        """Waits until there is something to answer: a final job, or a first chunk."""

        def news() -> tuple[Job, Sequence[Chunk]] | None:
            now = self.state.job(job.endpoint_id, job.id)
            chunks = self.state.jobs.take_chunks(now) if streamed or now.status.final else ()
            return (now, chunks) if chunks or now.status.final else None

        life_s = job.policy.ttl_ms / 1000
        if (found := await hold(request, self.bells, (job.id,), news, life_s)) is None:
            raise JobApiError(HTTPStatus.SERVICE_UNAVAILABLE, _STOPPING)
        return found

    async def _outputs(self, job: Job, chunks: Sequence[Chunk]) -> AsyncGenerator[Any]:
        """Yields what a job streams, as it comes; an error object if it does not end well."""
        try:
            with self.bells.listen(job.id) as bell:
                while True:
                    for chunk in chunks:
                        yield chunk.output
                    bell.clear()
                    now = self.state.job(job.endpoint_id, job.id)
                    if now.retries != job.retries:
                        # What another worker says is not what would have come next.
                        yield _error("the worker was lost in the middle of its answer")
                        return
                    if chunks := self.state.jobs.take_chunks(now):
                        continue
                    if now.status.final or self.bells.closed:
                        break
                    await bell.wait()
            if now.status is not JobStatus.COMPLETED:
                yield _error_of(now) if now.status.final else _error(_STOPPING)
        except JobApiError as error:
            yield _error(error.message)
        finally:
            self._leave(job)

    def _leave(self, job: Job) -> None:
        """Cancels a job whose client is gone; one that is final stays as it is."""
        with suppress(JobApiError):
            self.state.cancel(job.endpoint_id, job.id)


def _whole(output: Any, chunks: Sequence[Chunk]) -> Response:
    """Returns a worker's answer in one piece, whether it was returned or yielded.

    worker-vllm yields one object, which is a list of one in its output; worker-sglang yields
    JSON as text. A generator whose pieces are not collected has an empty output.
    """
    if not output and chunks:
        output = [each.output for each in chunks]
    if isinstance(output, list) and output and all(isinstance(each, str) for each in output):
        output = "".join(output)
    if isinstance(output, list) and len(output) == 1:
        output = output[0]
    return _text(output) if isinstance(output, str) else bodies.answer(output)


def _text(text: str) -> Response:
    encoded = _encoded(text)
    try:
        json_text.parse(encoded)
    except ValueError:
        return Response(encoded, media_type="text/plain")
    return Response(encoded, media_type="application/json")


def _events(outputs: AsyncGenerator[Any]) -> Response:
    return StreamingResponse(
        _terminated(outputs), media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
    )


async def _terminated(outputs: AsyncGenerator[Any]) -> AsyncIterator[bytes]:
    """Yields outputs as server-sent events, with OpenAI's end of a stream if there is none yet."""
    tail = ""
    async with aclosing(outputs):
        async for output in outputs:
            text = _event(output)
            tail = (tail + text)[-_TAIL_LENGTH:]
            yield _encoded(text)
    # An event that has no blank line behind it is not seen by clients.
    end = "" if not tail or tail.endswith("\n\n") else "\n\n"
    yield _encoded(end if _DONE.search(tail) else f"{end}data: [DONE]\n\n")


def _event(output: Any) -> str:
    """Returns a chunk as it goes to the client: text as it is, a list piece by piece."""
    if isinstance(output, str):
        return output
    if isinstance(output, list):
        return "".join(map(_event, output))
    return f"data: {json_text.dump(output)}\n\n"


async def _each(output: Any) -> AsyncGenerator[Any]:
    yield output


def _encoded(text: str) -> bytes:
    # A worker may cut text between the halves of a character.
    return text.encode("utf-8", "replace")


def _error_of(job: Job) -> Mapping[str, Any]:
    """Returns OpenAI's error object for a job that did not end well."""
    error = job.outcome.get("error", f"job {job.id} is {job.status}")
    if isinstance(error, dict):
        return {"error": error}
    return _error(error if isinstance(error, str) else json_text.dump(error))


def _error(message: str) -> Mapping[str, Any]:
    return {"error": {"message": message, "type": "server_error", "param": None, "code": None}}


OPERATIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "openai/{path:path}": ("openai", ("GET", "POST")),
}
"""Path below the endpoint to method of `OpenAiApi` and HTTP methods."""
