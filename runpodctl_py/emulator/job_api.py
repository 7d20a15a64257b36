"""The job API as clients see it: /v2/{endpoint}/run and its neighbours (API reference 4).

Parses requests, holds the synchronous ones open and gives jobs RunPod's shapes. What happens to
a job is decided by `state.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator import bodies
from runpodctl_py.emulator.bells import hold
from runpodctl_py.emulator.errors import bad_request
from runpodctl_py.emulator.jobs import (
    DAY_MS,
    LONGEST_SYNC_RETENTION_S,
    RETENTION_S,
    SYNC_RETENTION_S,
    Job,
    JobStatus,
    Policy,
)
from runpodctl_py.emulator.worker_record import WorkerState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from runpodctl_py.emulator.bells import Bells
    from runpodctl_py.emulator.model import Endpoint
    from runpodctl_py.emulator.state import State

MAX_RUN_BYTES = 10 * 1024 * 1024
MAX_RUNSYNC_BYTES = 20 * 1024 * 1024
"""How large a body may be (API reference 4.1)."""

_WAIT_MS = (1_000, 300_000)
_DEFAULT_WAIT_MS = 90_000
_EXECUTION_TIMEOUT_MS = (5_000, 7 * DAY_MS)
_TTL_MS = (10_000, 7 * DAY_MS)
_PASSED_ON = ("input", "webhook", "webhookV2", "s3Config")


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
        return bodies.answer({"id": job.id, "status": job.status})

    async def runsync(self, request: Request) -> Response:
        """POST /runsync?wait=: queues a job and answers when it is final, or after the wait."""
        wait_s = _wait_s(request)
        asked_s = wait_s if "wait" in request.query_params else 0.0
        kept_s = min(max(asked_s, SYNC_RETENTION_S), LONGEST_SYNC_RETENTION_S)
        job = await self._submit(request, MAX_RUNSYNC_BYTES, sync=True, retention_s=kept_s)
        return await self._final(request, job, wait_s)

    async def status(self, request: Request) -> Response:
        """GET or POST /status/{id}: how the job stands now."""
        return bodies.answer(shape(self._job(request)))

    async def status_sync(self, request: Request) -> Response:
        """GET or POST /status-sync/{id}?wait=: the same, once it is final or after the wait."""
        wait_s = _wait_s(request)
        return await self._final(request, self._job(request), wait_s)

    async def cancel(self, request: Request) -> Response:
        """POST /cancel/{id}: takes the job from the queue or from its worker."""
        params = request.path_params
        job = self.state.cancel(params["endpoint_id"], params["job_id"])
        return bodies.answer({"id": job.id, "status": job.status})

    async def health(self, request: Request) -> Response:
        """GET /health: the eleven counters, all of them always there."""
        health = self.state.health(request.path_params["endpoint_id"])
        idle, running = health.workers[WorkerState.IDLE], health.workers[WorkerState.RUNNING]
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
                    "idle": idle,
                    "initializing": health.workers[WorkerState.INITIALIZING],
                    "ready": idle + running,
                    "running": running,
                    "throttled": 0,
                    "unhealthy": health.workers[WorkerState.UNHEALTHY],
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
        body = bodies.parse_object(await bodies.read(request, limit_bytes))
        if "input" not in body:
            raise bad_request('the body has no "input"')
        passed_on = {name: body[name] for name in _PASSED_ON if name in body}
        policy = _policy(body, endpoint)
        return self.state.submit(endpoint.id, passed_on, policy, sync=sync, retention_s=retention_s)

    def _job(self, request: Request) -> Job:
        return self.state.job(request.path_params["endpoint_id"], request.path_params["job_id"])

    async def _final(self, request: Request, job: Job, wait_s: float) -> Response:
        def final() -> Job | None:
            now = self.state.job(job.endpoint_id, job.id)
            return now if now.status.final else None

        await hold(request, self.bells, (job.id,), final, wait_s)
        return bodies.answer(shape(self.state.job(job.endpoint_id, job.id)))


def shape(job: Job) -> dict[str, Any]:
    """Returns a job as /status shows it (API reference 4.4)."""
    answer: dict[str, Any] = {"id": job.id, "status": job.status}
    if job.started_at is not None:
        answer["delayTime"] = round((job.started_at - job.queued_at) * 1000)
        answer["workerId"] = job.worker_id
        if job.finished_at is not None:
            answer["executionTime"] = round((job.finished_at - job.started_at) * 1000)
    if job.retries and job.status is not JobStatus.IN_QUEUE:
        answer["retries"] = job.retries
    return {**answer, **job.outcome}


def _wait_s(request: Request) -> float:
    text = request.query_params.get("wait")
    if text is None:
        return _DEFAULT_WAIT_MS / 1000
    try:
        wait_ms = int(text)
    except ValueError as error:
        raise bad_request("wait is not a number of milliseconds") from error
    least, most = _WAIT_MS
    return min(max(wait_ms, least), most) / 1000


def _policy(body: Mapping[str, Any], endpoint: Endpoint) -> Policy:
    policy = body.get("policy")
    if policy is None:
        policy = {}
    if not isinstance(policy, dict):
        raise bad_request("policy is not an object")
    low_priority = policy.get("lowPriority", False)
    if not isinstance(low_priority, bool):
        raise bad_request("policy.lowPriority is not true or false")
    return Policy(
        execution_timeout_ms=_milliseconds(
            policy, "executionTimeout", _EXECUTION_TIMEOUT_MS, endpoint.execution_timeout_ms
        ),
        ttl_ms=_milliseconds(policy, "ttl", _TTL_MS, DAY_MS),
        low_priority=low_priority,
    )


def _milliseconds(
    policy: Mapping[str, Any], name: str, limits: tuple[int, int], default: int
) -> int:
    value = policy.get(name)
    if value is None:
        return default
    least, most = limits
    # bool is an int to Python, and no duration to anybody.
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise bad_request(f"policy.{name} must be between {least} and {most} milliseconds")
    return value


OPERATIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "run": ("run", ("POST",)),
    "runsync": ("runsync", ("POST",)),
    "status/{job_id}": ("status", ("GET", "POST")),
    "status-sync/{job_id}": ("status_sync", ("GET", "POST")),
    "cancel/{job_id}": ("cancel", ("POST",)),
    "health": ("health", ("GET",)),
}
"""Path below the endpoint to method of `JobApi` and HTTP methods.

RunPod's Go SDK asks for a job's status with POST (API reference 4.1).
"""
