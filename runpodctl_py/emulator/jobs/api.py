"""The job API as clients see it: /v2/{endpoint}/run and its neighbours (API reference 4).

Holds the synchronous requests open and answers in RunPod's shapes (`shape.py`). What a request
says is read by `request.py`, what happens to a job is decided by `state.py`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runpodctl_py.emulator import bodies
from runpodctl_py.emulator.bells import hold
from runpodctl_py.emulator.jobs.job import (
    LONGEST_SYNC_RETENTION_S,
    RETENTION_S,
    SYNC_RETENTION_S,
    Job,
)
from runpodctl_py.emulator.jobs.request import (
    STREAM_WAIT,
    SYNC_WAIT,
    job_body,
    milliseconds,
    wait_s,
)
from runpodctl_py.emulator.jobs.shape import brief, shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from runpodctl_py.emulator.bells import Bells
    from runpodctl_py.emulator.jobs.job import Chunk
    from runpodctl_py.emulator.state import State

MAX_RUN_BYTES = 10 * 1024 * 1024
MAX_RUNSYNC_BYTES = 20 * 1024 * 1024
"""How large a body may be (API reference 4.1)."""

_MOST_LISTED = 100
_PURGED_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class JobApi:
    """The operations of the job API, one method each.

    Args:
        state: Where the jobs are.
        bells: What wakes a held request.
    """

    state: State
    bells: Bells

    async def run(self, request: Request) -> Response:
        """POST /run: queues a job and answers at once."""
        job = await self._submit(request, MAX_RUN_BYTES)
        return bodies.answer(brief(job))

    async def runsync(self, request: Request) -> Response:
        """POST /runsync?wait=: queues a job and answers when it is final, or after the wait."""
        limit_s = wait_s(request, SYNC_WAIT)
        asked_s = limit_s if "wait" in request.query_params else 0.0
        kept_s = min(max(asked_s, SYNC_RETENTION_S), LONGEST_SYNC_RETENTION_S)
        job = await self._submit(request, MAX_RUNSYNC_BYTES, sync=True, retention_s=kept_s)
        return await self._final(request, job, limit_s)

    async def status(self, request: Request) -> Response:
        """GET or POST /status/{id}?ttl=: how the job stands now.

        A ttl has a final job's result removed that many milliseconds from now, if that is sooner
        than by itself; there is nothing to remove of others.
        """
        job = self._job(request)
        if (ttl_ms := milliseconds(request, "ttl")) is not None:
            self.state.expire(job, ttl_ms)
        return bodies.answer(shape(job))

    async def status_sync(self, request: Request) -> Response:
        """GET or POST /status-sync/{id}?wait=: the same, once it is final or after the wait."""
        return await self._final(request, self._job(request), wait_s(request, SYNC_WAIT))

    async def stream(self, request: Request) -> Response:
        """GET or POST /stream/{id}?wait=: what the job has streamed and nobody has fetched yet.

        Every answer has the list, and the status beside it is never ahead of it: clients stop at
        a final one, some having read its pieces, some only when there are none (4.5).
        """
        job = self._job(request)

        def news() -> tuple[Job, Sequence[Chunk]] | None:
            now = self.state.job(job.endpoint_id, job.id)
            chunks = self.state.jobs.take_chunks(now)
            return (now, chunks) if chunks or now.status.final else None

        found = await hold(
            request,
            self.bells,
            (job.id,),
            news,
            wait_s(request, STREAM_WAIT),
            undo=lambda found: self.state.jobs.put_chunks_back(*found),
        )
        now, chunks = found or (self.state.job(job.endpoint_id, job.id), ())
        listed = [{"output": each.output} for each in chunks]
        return bodies.answer({"status": now.status, "stream": listed})

    async def cancel(self, request: Request) -> Response:
        """POST /cancel/{id}: takes the job from the queue or from its worker."""
        params = request.path_params
        return bodies.answer(brief(self.state.cancel(params["endpoint_id"], params["job_id"])))

    async def retry(self, request: Request) -> Response:
        """POST /retry/{id}: sends a failed job through once more, under the same id."""
        params = request.path_params
        return bodies.answer(brief(self.state.retry(params["endpoint_id"], params["job_id"])))

    async def purge_queue(self, request: Request) -> Response:
        """POST /purge-queue: cancels all jobs that wait; those on a worker go on."""
        waiting = self.state.queue(request.path_params["endpoint_id"])
        removed = 0
        while waiting:
            some, waiting = waiting[:_PURGED_AT_ONCE], waiting[_PURGED_AT_ONCE:]
            removed += self.state.purge(some)
            # Tens of thousands may wait; others must not wait for them.
            await asyncio.sleep(0)
        return bodies.answer({"removed": removed, "status": "completed"})

    async def requests(self, request: Request) -> Response:
        """GET /requests: the jobs submitted last, the latest first.

        The shape of RunPod's answer is in no source; ours lists what /status shows, and the input.
        """
        jobs = self.state.latest_jobs(request.path_params["endpoint_id"], _MOST_LISTED)
        return bodies.answer(
            {"requests": [{**shape(job), "input": job.request.get("input")} for job in jobs]}
        )

    async def health(self, request: Request) -> Response:
        """GET /health: the eleven counters, all of them always there."""
        health = self.state.health(request.path_params["endpoint_id"])
        return bodies.answer(
            {
                "jobs": {
                    "completed": health.counters.completed,
                    "failed": health.counters.failed,
                    "inProgress": health.in_progress,
                    "inQueue": health.in_queue,
                    "retried": health.counters.retried,
                },
                "workers": {
                    "idle": health.idle,
                    "initializing": health.initializing,
                    "ready": health.idle + health.running,
                    "running": health.running,
                    "throttled": health.throttled,
                    "unhealthy": health.unhealthy,
                },
            }
        )

    async def _submit(
        self,
        request: Request,
        limit_bytes: int,
        *,
        sync: bool = False,
        retention_s: float = RETENTION_S,
    ) -> Job:
        endpoint = self.state.endpoint(request.path_params["endpoint_id"])
        passed_on, policy = await job_body(request, limit_bytes, endpoint)
        return self.state.submit(endpoint.id, passed_on, policy, sync=sync, retention_s=retention_s)

    def _job(self, request: Request) -> Job:
        return self.state.job(request.path_params["endpoint_id"], request.path_params["job_id"])

    async def _final(self, request: Request, job: Job, limit_s: float) -> Response:
        def final() -> Job | None:
            now = self.state.job(job.endpoint_id, job.id)
            return now if now.status.final else None

        if not job.status.final:
            ended = await hold(request, self.bells, (job.id,), final, limit_s)
            job = ended or self.state.job(job.endpoint_id, job.id)
        return bodies.answer(shape(job))


OPERATIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "run": ("run", ("POST",)),
    "runsync": ("runsync", ("POST",)),
    "status/{job_id}": ("status", ("GET", "POST")),
    "status-sync/{job_id}": ("status_sync", ("GET", "POST")),
    "stream/{job_id}": ("stream", ("GET", "POST")),
    "cancel/{job_id}": ("cancel", ("POST",)),
    "retry/{job_id}": ("retry", ("POST",)),
    "purge-queue": ("purge_queue", ("POST",)),
    "requests": ("requests", ("GET",)),
    "health": ("health", ("GET",)),
}
"""Path below the endpoint to method of `JobApi` and HTTP methods.

RunPod's Go SDK asks for a job's status with POST (API reference 4.1).
"""
