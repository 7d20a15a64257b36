"""What RunPod's APIs speak of: templates, endpoints, jobs, health.

Owns the names and units we use inside; turning JSON into them is done by the module that received
the JSON. A RunPod field keeps its meaning and gets a unit: `executionTimeoutMs` becomes
`execution_timeout_ms`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runpodctl_py.jsontypes import JsonObject, JsonValue


class JobStatus(StrEnum):
    """The states of a job (API reference 4.3); one we do not know counts as in progress."""

    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"

    @classmethod
    def parse(cls, text: str) -> JobStatus:
        """Return the state RunPod named; RUNNING and unknown ones are IN_PROGRESS."""
        try:
            return cls(text)
        except ValueError:
            return cls.IN_PROGRESS

    @property
    def is_final(self) -> bool:
        """Whether the job will not change any more."""
        return self not in (JobStatus.IN_QUEUE, JobStatus.IN_PROGRESS)


@dataclass(frozen=True)
class Job:
    """A job as `/status` shows it.

    Args:
        job_id: RunPod's id.
        status: Its state.
        output: The result when COMPLETED, the last progress update while IN_PROGRESS.
        error: What the worker said when FAILED: a string, an object, or JSON in a string.
        delay_ms: Time in the queue.
        execution_ms: Time on the worker.
        worker_id: The worker that ran it.
    """

    job_id: str
    status: JobStatus
    output: JsonValue = None
    error: JsonValue = None
    delay_ms: int | None = None
    execution_ms: int | None = None
    worker_id: str | None = None


@dataclass(frozen=True)
class Streamed:
    """What a job has streamed since somebody last asked.

    Args:
        status: The job's state.
        pieces: What its worker yielded, in order.
    """

    status: JobStatus
    pieces: tuple[JsonValue, ...] = ()


@dataclass(frozen=True)
class Policy:
    """What RunPod lets one job ask for (API reference 4.2); None leaves RunPod's default.

    Args:
        execution_timeout_ms: Longest run, 5 s to 7 days.
        ttl_ms: From submission until the job is dropped in whatever state, 10 s to 7 days.
        low_priority: Does not make the endpoint start workers.
    """

    execution_timeout_ms: int | None = None
    ttl_ms: int | None = None
    low_priority: bool = False

    def as_json(self) -> JsonObject:
        """Return RunPod's `policy` object, with only what was asked for."""
        policy: JsonObject = {}
        if self.execution_timeout_ms is not None:
            policy["executionTimeout"] = self.execution_timeout_ms
        if self.ttl_ms is not None:
            policy["ttl"] = self.ttl_ms
        if self.low_priority:
            policy["lowPriority"] = True
        return policy


@dataclass(frozen=True)
class JobRequest:
    """What is sent to `/run` or `/runsync`.

    Args:
        payload: The worker's input.
        webhook: Where RunPod posts the result.
        policy: What is asked for besides.
        s3_config: The bucket that the worker is to put files into, with its keys (API reference
            4.2).
    """

    payload: Mapping[str, JsonValue]
    webhook: str | None = None
    policy: Policy = field(default_factory=Policy)
    s3_config: Mapping[str, JsonValue] | None = field(default=None, repr=False)

    def as_json(self) -> JsonObject:
        """Return the request body."""
        body: JsonObject = {"input": dict(self.payload)}
        if self.webhook:
            body["webhook"] = self.webhook
        if policy := self.policy.as_json():
            body["policy"] = policy
        if self.s3_config is not None:
            body["s3Config"] = dict(self.s3_config)
        return body


@dataclass(frozen=True)
class Listed:
    """A job in an endpoint's list of requests.

    Args:
        job_id: RunPod's id.
        payload: What it was sent.
        has_payload: Whether the list said so.
    """

    job_id: str
    payload: JsonValue = None
    has_payload: bool = True


@dataclass(frozen=True)
class JobCounts:
    """How many jobs an endpoint has, by state (API reference 4.4)."""

    completed: int = 0
    failed: int = 0
    in_progress: int = 0
    in_queue: int = 0
    retried: int = 0


@dataclass(frozen=True)
class WorkerCounts:
    """How many workers an endpoint has, by state (API reference 4.4)."""

    idle: int = 0
    initializing: int = 0
    ready: int = 0
    running: int = 0
    throttled: int = 0
    unhealthy: int = 0


@dataclass(frozen=True)
class Health:
    """An endpoint's `/health`."""

    jobs: JobCounts
    workers: WorkerCounts


class Scaler(StrEnum):
    """When an endpoint adds a worker (API reference 4.6)."""

    QUEUE_DELAY = "QUEUE_DELAY"
    REQUEST_COUNT = "REQUEST_COUNT"


@dataclass(frozen=True)
class Template:
    """A container template (API reference 1.3).

    Args:
        template_id: RunPod's id; None before it is created.
        name: Unique in the account.
        start_command: One string; "" starts what the image says. RunPod calls it `dockerArgs`.
        volume_gb: Must be 0 for serverless.
        kept: Fields that are written back as they were read.
        bound_endpoint_id: The endpoint that uses it, where RunPod says so.
    """

    template_id: str | None
    name: str
    image: str
    container_disk_gb: int
    env: Mapping[str, str] = field(default_factory=dict)
    start_command: str = ""
    volume_gb: int = 0
    registry_auth_id: str = ""
    is_serverless: bool = True
    kept: Mapping[str, JsonValue] = field(default_factory=dict)
    bound_endpoint_id: str | None = None


@dataclass(frozen=True)
class Endpoint:
    """A serverless endpoint (API reference 1.4).

    Args:
        endpoint_id: RunPod's id; None before it is created.
        gpu_ids: Pools in order of priority and excluded cards, as RunPod writes them.
        idle_timeout_s: How long a worker stays up without work.
        execution_timeout_ms: Longest run of a job, 0 for no limit.
        scaler: A `Scaler`, or what RunPod has added since.
        scaler_value: Seconds for QUEUE_DELAY, requests per worker for REQUEST_COUNT.
        locations: Data centres, comma separated; "" is any.
        allowed_cuda_versions: Comma separated; "" is any.
        flashboot: OFF, FLASHBOOT or PRIORITY_FLASHBOOT.
        kept: Fields that are written back as they were read: `saveEndpoint` resets what it is
            not sent.
    """

    endpoint_id: str | None
    name: str
    template_id: str
    gpu_ids: str
    gpu_count: int
    workers_min: int
    workers_max: int
    idle_timeout_s: int
    execution_timeout_ms: int
    scaler: str
    scaler_value: int
    flashboot: str
    network_volume_id: str = ""
    locations: str = ""
    allowed_cuda_versions: str = ""
    kept: Mapping[str, JsonValue] = field(default_factory=dict)
