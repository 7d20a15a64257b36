"""One job's life: its states, what moves it from one to the next, and when its time is up.

A job is a value; each move returns the job that follows. Queues, workers and storage are not
known here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

RETENTION_S = 30 * 60
SYNC_RETENTION_S = 60
LONGEST_SYNC_RETENTION_S = 5 * 60
"""How long a result is kept after /run, after /runsync, and after /runsync?wait= (4.3)."""

DAY_MS = 24 * 60 * 60 * 1000
MAX_RETRIES = 1

_BUCKET = "s3Config"
"""The part of a request that holds keys: those of its client's bucket (4.2)."""


class JobStatus(StrEnum):
    """Where a job stands (API reference 4.3)."""

    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"

    @property
    def final(self) -> bool:
        """Whether nothing happens any more."""
        return self not in {JobStatus.IN_QUEUE, JobStatus.IN_PROGRESS}


@dataclass(frozen=True, slots=True)
class Policy:
    """How long a job may take (API reference 4.2).

    Args:
        execution_timeout_ms: The longest time on a worker; 0 means no limit.
        ttl_ms: The longest life, from submission; then the job is forgotten in any state.
        low_priority: Whether the job must not make the endpoint grow.
    """

    execution_timeout_ms: int = 0
    ttl_ms: int = DAY_MS
    low_priority: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as the queue knows it.

    Args:
        id: RunPod's form of it, see `Ids.job`.
        endpoint_id: Whose queue it is in.
        request: What the client sent beside the policy: input, webhook, s3Config.
        created_at: When it was submitted, in seconds since 1970.
        queued_at: When it was put into the queue last by its client: submitted, or retried.
        policy: How long it may take.
        retention_s: How long its result is kept.
        expires_at: When its client wants the result removed, should that be sooner.
        status: Where it stands.
        worker_id: The worker that has it, or had it last.
        started_at: When that worker got it.
        finished_at: When it became final.
        retries: How often it was queued again because its worker was lost.
        outcome: The keys "output" and "error" of its answer, as far as there are any.
    """

    id: str
    endpoint_id: str
    request: Mapping[str, Any]
    created_at: float
    queued_at: float
    policy: Policy = field(default_factory=Policy)
    retention_s: float = RETENTION_S
    expires_at: float | None = None
    status: JobStatus = JobStatus.IN_QUEUE
    worker_id: str | None = None
    started_at: float | None = None
    finished_at: float | None = None
    retries: int = 0
    outcome: Mapping[str, Any] = field(default_factory=dict)

    def assigned(self, worker_id: str, now: float) -> Job:
        """Returns the job after a worker has got it."""
        return replace(
            self,
            status=JobStatus.IN_PROGRESS,
            worker_id=worker_id,
            started_at=now,
            outcome={},
        )

    def progressed(self, output: Any) -> Job:
        """Returns the job after `progress_update`: its output shows the update for now."""
        return replace(self, outcome={"output": output})

    def finished(self, outcome: Mapping[str, Any], now: float) -> Job:
        """Returns the job after its worker's last word; an error makes it FAILED (5.10.4)."""
        status = JobStatus.FAILED if "error" in outcome else JobStatus.COMPLETED
        return replace(self, status=status, outcome=outcome, finished_at=now)

    def lost(self, now: float) -> Job:
        """Returns the job after its worker died or forgot it: queued once more, then FAILED."""
        if self.retries >= MAX_RETRIES:
            return self.finished({"error": errors.WORKER_LOST}, now)
        return replace(
            self,
            status=JobStatus.IN_QUEUE,
            worker_id=None,
            started_at=None,
            retries=self.retries + 1,
            outcome={},
        )

    def put_back(self) -> Job:
        """Returns the job as it was before a worker was given it; no retry is counted."""
        return replace(self, status=JobStatus.IN_QUEUE, worker_id=None, started_at=None, outcome={})

    def retried(self, now: float) -> Job:
        """Returns the job after its client sent it through once more: as new, under its id.

        What RunPod then does about its bucket is in no source; here it goes without (`keyless`).
        """
        return replace(self.put_back(), queued_at=now, finished_at=None, expires_at=None, retries=0)

    def cancelled(self, now: float) -> Job:
        """Returns the job after its cancellation."""
        return replace(self, status=JobStatus.CANCELLED, outcome={}, finished_at=now)

    def timed_out(self, now: float) -> Job:
        """Returns the job after its execution timeout has passed."""
        outcome = {"error": errors.EXECUTION_TIMEOUT}
        return replace(self, status=JobStatus.TIMED_OUT, outcome=outcome, finished_at=now)

    def keyless(self) -> Job:
        """Returns the job without the keys of its client's bucket, which only a worker needs."""
        if _BUCKET not in self.request:
            return self
        kept = {name: value for name, value in self.request.items() if name != _BUCKET}
        return replace(self, request=kept)

    @property
    def forgotten_at(self) -> float:
        """When nobody may see the job any more, as it stands now, in seconds since 1970."""
        end_of_life = self.created_at + self.policy.ttl_ms / 1000
        if self.finished_at is None:
            return end_of_life
        kept_until = self.finished_at + self.retention_s
        return min(end_of_life, kept_until, self.expires_at or kept_until)

    @property
    def times_out_at(self) -> float | None:
        """When its execution timeout passes, if it runs and has one."""
        if self.status is not JobStatus.IN_PROGRESS or self.started_at is None:
            return None
        if not self.policy.execution_timeout_ms:
            return None
        return self.started_at + self.policy.execution_timeout_ms / 1000

    @property
    def due_at(self) -> float:
        """When time alone changes the job next."""
        timeout = self.times_out_at
        return self.forgotten_at if timeout is None else min(timeout, self.forgotten_at)


@dataclass(frozen=True, slots=True)
class Counters:
    """What is counted of an endpoint's jobs since its creation.

    Args:
        completed: As /health shows them.
        failed: The same.
        retried: The same.
        requested_at: When the last job was submitted, in seconds since 1970.
    """

    completed: int = 0
    failed: int = 0
    retried: int = 0
    requested_at: float | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a streamed output.

    Args:
        number: Larger than that of every piece before it.
        output: What the worker yielded.
    """

    number: int
    output: Any
