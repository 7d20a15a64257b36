"""Following a job: an async stream of events until it is final.

Owns when and how we ask. A long poll on `status-sync` sees the end within a round trip and asks
rarely; it is undocumented (API reference 4.1), so where it is missing or misbehaves we ask
`/status` instead, at a growing interval. Draws nothing and saves nothing.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runpodctl_py.api.types import Health, Job, JobStatus
from runpodctl_py.errors import (
    NetworkError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    ResultExpiredError,
    RunpodctlError,
    WaitTimeoutError,
)
from runpodctl_py.jobs.progress import Progress, read_progress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runpodctl_py.api.serverless import Serverless
    from runpodctl_py.clock import Clock

#: The first long poll; later ones grow with the age of the job, so that a short job's progress is
#: fresh and a long job costs few requests.
SHORTEST_HOLD_S = 1.0
LONGEST_HOLD_S = 5.0
_HOLD_PER_ELAPSED = 0.1

#: Where long polls do not work: `/status` at this part of the time that has passed.
SHORTEST_INTERVAL_S = 0.5
LONGEST_INTERVAL_S = 5.0
_INTERVAL_PER_ELAPSED = 0.05

#: A hold that ends sooner than this part of what was asked, without news, is a misbehaviour.
_HONEST_HOLD = 0.5
_MISBEHAVIOURS_ALLOWED = 1

_HEALTH_INTERVAL_S = 3.0

#: A job outlives an outage of the network, and so does following it: this long without an answer.
PATIENCE_S = 120.0
LONGEST_PAUSE_S = 10.0

_HEALTH_LIMIT_S = 1.0

#: Sleeping until a time limit may end this much before it, in floating-point numbers.
_ROUNDING_S = 0.001


@dataclass(frozen=True)
class Queued:
    """The job waits for a worker.

    Args:
        elapsed_s: Since following began.
        health: The endpoint's workers, where we could see them.
    """

    elapsed_s: float
    health: Health | None


@dataclass(frozen=True)
class Started:
    """A worker has the job."""

    job: Job
    elapsed_s: float


@dataclass(frozen=True)
class Progressed:
    """The worker said how far it is; only sent when that has changed."""

    progress: Progress
    elapsed_s: float


@dataclass(frozen=True)
class Unchanged:
    """We asked, and the running job is as it was."""

    elapsed_s: float


@dataclass(frozen=True)
class Finished:
    """The job is final, in whatever state."""

    job: Job
    elapsed_s: float


Event = Queued | Started | Progressed | Unchanged | Finished


async def follow(
    endpoint: Serverless,
    job: Job,
    clock: Clock,
    *,
    timeout_s: float | None = None,
    was_seen: bool = False,
    patience_s: float = PATIENCE_S,
) -> AsyncIterator[Event]:
    """Yield what happens to a job; the last event is `Finished`.

    Args:
        endpoint: Where the job runs.
        job: The job as it was last seen.
        clock: For measuring and waiting.
        timeout_s: Stop waiting after this time; the job goes on.
        was_seen: Whether `/status` knew the job: then a 404 means that it has expired.
        patience_s: How long an outage is waited out.

    Raises:
        WaitTimeoutError: The time is over.
        ResultExpiredError: The job was there and is gone.
        NotFoundError: The job was never seen.
        NetworkError: There was no answer for longer than `patience_s`.
    """
    watch = _Watch(endpoint, job, clock, timeout_s, was_seen=was_seen, patience_s=patience_s)
    while not job.status.is_final:
        for event in await watch.news(job):
            yield event
        job = await watch.next(job)
    yield Finished(job, watch.elapsed_s)


class _Watch:
    """What following one job remembers between two questions."""

    def __init__(
        self,
        endpoint: Serverless,
        job: Job,
        clock: Clock,
        timeout_s: float | None,
        *,
        was_seen: bool,
        patience_s: float,
    ) -> None:
        self._endpoint = endpoint
        self._job_id = job.job_id
        self._clock = clock
        self._timeout_s = timeout_s
        self._began_s = clock.now_s()
        self._health: Health | None = None
        self._health_due_s = 0.0
        self._has_started = False
        self._progress: Progress | None = None
        self._was_seen = was_seen
        self._patience_s = patience_s
        self._answered_s = clock.now_s()
        self._misbehaviours = 0

    @property
    def elapsed_s(self) -> float:
        return self._clock.now_s() - self._began_s

    @property
    def _left_s(self) -> float:
        return math.inf if self._timeout_s is None else self._timeout_s - self.elapsed_s

    async def news(self, job: Job) -> list[Event]:
        """Return the events that an unfinished job's state stands for."""
        if job.status is JobStatus.IN_QUEUE:
            # A job that lost its worker starts, and tells its progress, from the beginning.
            self._has_started = False
            self._progress = None
            await self._look_at_workers()
            return [Queued(self.elapsed_s, self._health)]
        events: list[Event] = []
        if not self._has_started:
            self._has_started = True
            events.append(Started(job, self.elapsed_s))
        progress = read_progress(job.output)
        if progress is not None and progress != self._progress:
            self._progress = progress
            events.append(Progressed(progress, self.elapsed_s))
        return events or [Unchanged(self.elapsed_s)]

    async def next(self, job: Job) -> Job:
        """Ask until there is an answer that is worth a look."""
        if self._left_s < _ROUNDING_S:
            raise self._over()
        try:
            async with asyncio.timeout(None if self._timeout_s is None else self._left_s):
                found = await self._ask(job)
        except TimeoutError as exc:
            raise self._over() from exc
        except NotFoundError as exc:
            if not self._was_seen:
                raise
            raise ResultExpiredError(
                f"Job {job.job_id} was there and is gone: it has expired",
                hint="RunPod keeps a result for 30 minutes after the job ends (1 minute for "
                "--sync), and drops a job when its --ttl is over.",
                job_id=job.job_id,
            ) from exc
        except NetworkError:
            silent_s = self._clock.now_s() - self._answered_s
            if silent_s > self._patience_s:
                raise
            pause_s = _between(SHORTEST_INTERVAL_S, silent_s / 2, LONGEST_PAUSE_S)
            await self._clock.sleep(max(min(pause_s, self._left_s), 0.0))
            return job
        self._was_seen = True
        self._answered_s = self._clock.now_s()
        return found

    def _over(self) -> WaitTimeoutError:
        return WaitTimeoutError(
            f"Stopped waiting after {self._timeout_s or 0:g} s; the job goes on",
            job_id=self._job_id,
        )

    async def _status(self) -> Job:
        # Once: following is the loop that tries again, and it keeps the time limit.
        return await self._endpoint.status(self._job_id, tries=1)

    async def _ask(self, job: Job) -> Job:
        left_s = self._left_s
        if left_s < SHORTEST_HOLD_S:
            # RunPod holds for a second at least; the last moment before a time limit is shorter.
            await self._clock.sleep(left_s)
            return await self._status()
        if self._misbehaviours > _MISBEHAVIOURS_ALLOWED:
            return await self._poll(left_s)
        return await self._long_poll(job, left_s)

    async def _long_poll(self, job: Job, left_s: float) -> Job:
        grown_s = self.elapsed_s * _HOLD_PER_ELAPSED
        hold_s = min(_between(SHORTEST_HOLD_S, grown_s, LONGEST_HOLD_S), left_s)
        asked_s = self._clock.now_s()
        try:
            found = await self._endpoint.status_sync(self._job_id, round(hold_s * 1000))
        except (NotFoundError, RefusedError):
            # Either the job is gone or this server has no such route: `/status` knows which.
            self._misbehaviours = _MISBEHAVIOURS_ALLOWED + 1
            return await self._status()
        except RateLimitedError:
            # The two have limits of their own; without a pause a free `/status` would be stormed.
            return await self._poll(left_s)
        except NetworkError:
            self._misbehaviours += 1
            return await self._status()
        is_news = (found.status, found.output) != (job.status, job.output)
        if not is_news and self._clock.now_s() - asked_s < hold_s * _HONEST_HOLD:
            self._misbehaviours += 1
        return found

    async def _poll(self, left_s: float) -> Job:
        grown_s = self.elapsed_s * _INTERVAL_PER_ELAPSED
        interval_s = _between(SHORTEST_INTERVAL_S, grown_s, LONGEST_INTERVAL_S)
        await self._clock.sleep(min(interval_s, left_s))
        return await self._status()

    async def _look_at_workers(self) -> None:
        if self._clock.now_s() < self._health_due_s:
            return
        self._health_due_s = self._clock.now_s() + _HEALTH_INTERVAL_S
        try:
            async with asyncio.timeout(_HEALTH_LIMIT_S):
                self._health = await self._endpoint.health(tries=1)
        except (RunpodctlError, TimeoutError):
            # It only decorates the waiting; the job is what matters.
            self._health = None


def _between(low: float, value: float, high: float) -> float:
    return min(max(value, low), high)
