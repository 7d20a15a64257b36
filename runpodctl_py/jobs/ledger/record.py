"""One job as our side knows it: where it is, what was asked, what came of it, what is on the disk.

Owns the states that a record can be in and which of them can follow which. Values only: keeping
them is `store.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from runpodctl_py.api.types import JobStatus, Policy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runpodctl_py.jsontypes import JsonValue

LONGEST_LIFE_S = 8 * 24 * 60 * 60
"""RunPod knows no job for longer: its longest ttl is 7 days (4.2)."""
_SHORT = 8
RETENTION_S = 30 * 60
SYNC_RETENTION_S = 60
"""How long RunPod keeps a result after /run and after /runsync (API reference 4.3)."""


class State(StrEnum):
    """Where a job stands; it is in exactly one of these."""

    SENDING = "sending"
    """Written down, on its way, not answered yet."""
    NOT_SENT = "not_sent"
    """RunPod did not take it; there is no such job."""
    UNKNOWN = "unknown"
    """It was sent and the answer is lost: it may exist and be billed."""
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    EXPIRED = "expired"
    """It existed, and RunPod dropped its result before we had it."""

    @classmethod
    def of(cls, status: JobStatus) -> State:
        """Return the state that RunPod's status stands for."""
        return _OF_STATUS[status]

    @property
    def is_final(self) -> bool:
        """Whether RunPod is done with the job, and its result can be fetched for a while."""
        return self in FINAL

    @property
    def is_open(self) -> bool:
        """Whether the job exists and may still change."""
        return self in {State.QUEUED, State.RUNNING}


_OF_STATUS = {
    JobStatus.IN_QUEUE: State.QUEUED,
    JobStatus.IN_PROGRESS: State.RUNNING,
    JobStatus.COMPLETED: State.COMPLETED,
    JobStatus.FAILED: State.FAILED,
    JobStatus.CANCELLED: State.CANCELLED,
    JobStatus.TIMED_OUT: State.TIMED_OUT,
}
FINAL = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED, State.TIMED_OUT})
REPEATABLE = frozenset({State.FAILED, State.TIMED_OUT})
"""What RunPod's `/retry` runs once more (API reference 4.1)."""
_ALIVE = frozenset({State.QUEUED, State.RUNNING})

FOLLOWED_BY: Mapping[State, frozenset[State]] = {
    State.SENDING: frozenset({State.NOT_SENT, State.UNKNOWN, *_ALIVE, *FINAL}),
    # Found after all; or looked for, with nobody who could tell any more.
    State.UNKNOWN: frozenset({*_ALIVE, *FINAL, State.EXPIRED}),
    State.QUEUED: frozenset({State.RUNNING, *FINAL, State.EXPIRED}),
    # Back in the queue: its worker was lost.
    State.RUNNING: frozenset({State.QUEUED, *FINAL, State.EXPIRED}),
    **dict.fromkeys(FINAL, frozenset({State.EXPIRED})),
    State.NOT_SENT: frozenset(),
    # It was asked for where it is not: with another account's key, say.
    State.EXPIRED: frozenset({*_ALIVE, *FINAL}),
}
"""What may be seen next. RunPod's own retry begins anew and is a move of its own."""


def short_id(job_id: str) -> str:
    """Return what a person types for a job: enough of its id to mean no other one."""
    return job_id.removeprefix("sync-")[:_SHORT]


@dataclass(frozen=True, slots=True)
class Place:
    """Which RunPod a job is on.

    Args:
        root: The job API's root; of a local RunPod its data folder, since its port may change.
        is_local: Whether it is a local RunPod.
    """

    root: str
    is_local: bool = False


@dataclass(frozen=True, slots=True)
class BucketPlace:
    """A bucket that a job's files were to be put into, without its keys.

    Args:
        name: Its name.
        endpoint_url: Where it is.
        path: What the names in it begin with.
    """

    name: str
    endpoint_url: str
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A job that is about to be sent.

    Args:
        place: Which RunPod.
        endpoint_id: Which endpoint.
        payload: The input.
        preset: The preset's name, if it is one's.
        policy: What was asked for beside the input.
        webhook: Who is told the result.
        is_sync: Whether it goes to /runsync, whose results are kept for a minute only.
        output_dir: Where its files go.
        output_name: What its file is to be called, without the extension; None leaves that to
            the worker.
        bucket: The bucket that its worker was told to put files into.
        returns_object: Whether a mere text as its output says what went wrong.
        parent: The key of the record that it repeats.
        batch_id: The batch it is part of.
        row: Which row of the batch, by its name.
        line: Where in the batch's file it begins.
    """

    place: Place
    endpoint_id: str
    payload: JsonValue
    preset: str | None = None
    policy: Policy = field(default_factory=Policy)
    webhook: str | None = None
    is_sync: bool = False
    output_dir: Path | None = None
    output_name: str | None = None
    bucket: BucketPlace | None = None
    returns_object: bool = False
    parent: str | None = None
    batch_id: str | None = None
    row: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file of a job on our disk, as it was when it was saved."""

    path: Path
    size_bytes: int
    sha256: str
    content_type: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """That a job was seen in a state, and when, in seconds since 1970."""

    state: State
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A job in the ledger. Times are in seconds since 1970.

    Args:
        key: Our own name for it; RunPod's id may be missing.
        intent: What was asked; its payload is None until `Ledger.payload` is asked for it.
        state: Where it stands.
        job_id: RunPod's id, as soon as it is known.
        created_at: When it was written down.
        seen_at: When RunPod last said something of it.
        finished_at: When it ended, as nearly as we know.
        saved_at: When all that it returned was on our disk, or known not to be wanted.
        delay_ms: Time in the queue.
        execution_ms: Time on the worker.
        cost_usd: About what that cost.
        worker_id: The worker that ran it.
        error: What went wrong, in words.
        is_payload_whole: Whether the payload is here as it was sent; secrets are left out.
        file_count: How many files of it were saved.
    """

    key: str
    intent: Intent
    state: State
    job_id: str | None = None
    created_at: float
    seen_at: float | None = None
    finished_at: float | None = None
    saved_at: float | None = None
    delay_ms: int | None = None
    execution_ms: int | None = None
    cost_usd: float | None = None
    worker_id: str | None = None
    error: str | None = None
    is_payload_whole: bool = True
    file_count: int = 0

    @property
    def short_id(self) -> str:
        """What a person types for it: the beginning of RunPod's id, or our key."""
        return short_id(self.job_id or self.key)

    @property
    def kept_until(self) -> float | None:
        """When RunPod drops the result, as nearly as we know; None if it has not ended."""
        if self.finished_at is None:
            return None
        return self.finished_at + (SYNC_RETENTION_S if self.intent.is_sync else RETENTION_S)

    @property
    def waits(self) -> bool:
        """Whether RunPod may have something that we do not have."""
        return self.saved_at is None and (self.state.is_open or self.state.is_final)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """That an endpoint was set up, changed or taken down, and what it was then.

    Args:
        at: When, in seconds since 1970.
        action: create, update or delete.
        gpu_ids: Its pools as RunPod writes them.
        price_per_s_usd: What a second of one worker costs.
    """

    at: float
    place: Place
    action: str
    endpoint_id: str
    template_id: str | None = None
    preset: str | None = None
    name: str | None = None
    image: str | None = None
    gpu_ids: str | None = None
    gpu_count: int | None = None
    price_per_s_usd: float | None = None
