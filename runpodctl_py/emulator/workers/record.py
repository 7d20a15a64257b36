"""One worker as the emulator's state knows it; its process belongs to `processes.py`.

Knows which jobs the worker has, what it has to be told and how long it has been silent. Reads no
clock: times are given. What its process does is timed by `Clock.machine` (`due_at`, `seen_at`,
`stop_asked_at`), how long it is idle by `Clock.monotonic`, its start by `Clock.now`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class WorkerState(StrEnum):
    """A worker's state under RunPod's names (API reference 3.2, `Worker`)."""

    INITIALIZING = "INITIALIZING"
    IDLE = "IDLE"
    RUNNING = "RUNNING"
    THROTTLED = "THROTTLED"
    UNHEALTHY = "UNHEALTHY"


class Leaving(Enum):
    """How a worker has to go."""

    IN_PEACE = auto()
    """It gets no more jobs and may finish the ones it has; then it is asked to leave, and killed
    if that takes longer than `Timings.stop_grace_s`. Only the emulator's own stop asks at once."""
    AT_ONCE = auto()
    """It does not listen, or must not go on: its process group is killed."""


@dataclass(slots=True)
class Worker:
    """A worker of one endpoint.

    Args:
        id: Its id, 14 characters, also its pod id.
        endpoint_id: Whose jobs it takes.
        version: The endpoint's version that it was started for.
        started_at: When it was started, in wall time.
        due_at: When it counts as stuck, unless it has asked for a job by then.
        pid: Its process, while there is one.
        log_path: Where its output goes.
        throttled: Whether it waits for room on this machine, without a process.
    """

    id: str
    endpoint_id: str
    version: int
    started_at: float
    due_at: float
    pid: int | None = None
    log_path: Path | None = None
    ready: bool = False
    unhealthy: bool = False
    throttled: bool = False
    leaving: Leaving | None = None
    jobs: set[str] = field(default_factory=set)
    idle_since: float | None = None
    seen_at: float | None = None
    stopping: set[str] = field(default_factory=set)
    stops: list[str] = field(default_factory=list)
    stop_asked_at: float | None = None
    listens: bool = False
    absent: frozenset[str] = frozenset()

    @property
    def state(self) -> WorkerState:
        """The state RunPod would show."""
        if self.unhealthy:
            return WorkerState.UNHEALTHY
        if self.throttled:
            return WorkerState.THROTTLED
        if not self.ready:
            return WorkerState.INITIALIZING
        return WorkerState.RUNNING if self.jobs else WorkerState.IDLE

    @property
    def serving(self) -> bool:
        """Whether it has jobs, or will get some."""
        return not self.unhealthy and self.leaving is None

    @property
    def due_to_go(self) -> bool:
        """Whether its process is to be ended now, not only when its jobs are done."""
        return self.leaving is Leaving.AT_ONCE or (self.leaving is not None and not self.jobs)

    def seen(self, now: float) -> None:
        """Notes a sign of life."""
        self.seen_at = now

    def polled(self, now: float) -> None:
        """Notes that it asks for a job: it is up."""
        if not self.ready:
            self.ready = True
            self.idle_since = now

    def got(self, job_id: str) -> None:
        """Notes a job that was handed to it."""
        self.jobs.add(job_id)
        self.idle_since = None

    def let_go(self, job_id: str, now: float) -> None:
        """Notes that a job is no longer its business."""
        self.jobs.discard(job_id)
        if not self.jobs and self.ready:
            self.idle_since = now

    def must_stop(self, job_id: str, now: float, asked_at: float) -> None:
        """Notes a job it has to be told to stop; from now on it is expected to react."""
        self.stopping.add(job_id)
        self.let_go(job_id, now)
        self.ask_to_stop(asked_at)

    def ask_to_stop(self, asked_at: float) -> None:
        """Has it told about all jobs it has to stop.

        More than once may be needed: the SDK ignores a signal for a job that it has taken and
        not yet begun.
        """
        self.stops = sorted(self.stopping)
        self.stop_asked_at = asked_at
        self.listens = False

    def told_to_stop(self) -> list[str]:
        """Returns the jobs it has to stop, once for each time it is asked."""
        told, self.stops = self.stops, []
        return told

    def listened(self) -> None:
        """Notes that it asks for stop signals again: nothing blocks it."""
        self.listens = not self.stops

    def stopped(self, job_ids: frozenset[str]) -> None:
        """Notes jobs that it surely does not work on any more."""
        self.stopping -= job_ids
        if not self.stopping:
            self.stops, self.stop_asked_at = [], None

    def missing_from_ping(self, listed: frozenset[str]) -> frozenset[str]:
        """Returns the jobs that two pings in a row do not list: the worker has lost them.

        One ping proves nothing: it may have left before the job arrived.
        """
        self.stopped(frozenset(self.stopping) - listed)
        absent = frozenset(self.jobs) - listed
        lost = absent & self.absent
        self.absent = absent
        return lost

    def leave(self, how: Leaving) -> None:
        """Notes that it has to go; going at once is never softened."""
        if self.leaving is not Leaving.AT_ONCE:
            self.leaving = how
