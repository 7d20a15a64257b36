"""All jobs of the local RunPod: their queues, their counters, and when each one is due.

Keeps every move in the store and rings for it. Which worker a job is on, and what a worker's
words mean for it, is `state.py`'s business; the moves themselves are `jobs.py`'s.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator.errors import job_not_found
from runpodctl_py.emulator.jobs import Job, JobStatus
from runpodctl_py.emulator.store import Counters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runpodctl_py.emulator.clock import Clock
    from runpodctl_py.emulator.store import Snapshot, Store

SCALER = "scaler"
"""The name that rings when the number of workers may have to change."""


class _Queue:
    """The ids of an endpoint's waiting jobs, those of low priority behind all others."""

    def __init__(self) -> None:
        self._normal: deque[str] = deque()
        self._low: deque[str] = deque()

    def __len__(self) -> int:
        return len(self._normal) + len(self._low)

    def __iter__(self) -> Iterator[str]:
        return chain(self._normal, self._low)

    def put_last(self, job: Job) -> None:
        self._line_of(job).append(job.id)

    def put_first(self, job: Job) -> None:
        self._line_of(job).appendleft(job.id)

    def pop_first(self) -> str:
        return (self._normal or self._low).popleft()

    def remove(self, job: Job) -> None:
        self._line_of(job).remove(job.id)

    def _line_of(self, job: Job) -> deque[str]:
        return self._low if job.policy.low_priority else self._normal


class JobBook:
    """The jobs of all endpoints.

    What a former run left behind is taken up again: jobs that were running are queued as if they
    had never begun, because it was not their worker's fault.

    Args:
        store: What outlives a restart.
        kept: What it held at the start.
        clock: Where the time comes from.
        ring: Called with a job's id, its endpoint's, or `SCALER`, when something has changed.
    """

    def __init__(
        self, store: Store, kept: Snapshot, clock: Clock, ring: Callable[[str], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._ring = ring
        self._jobs: dict[str, Job] = {}
        self._due: list[tuple[float, str]] = []
        self._queues = {each.id: _Queue() for each, _ in kept.endpoints}
        self._counters = {each.id: counters for each, counters in kept.endpoints}
        self.chunks: defaultdict[str, list[Any]] = defaultdict(list)
        """The pieces of streamed outputs that nobody has fetched yet, by job."""
        for job in kept.jobs:
            self._take_up(job)

    def open_queue(self, endpoint_id: str) -> None:
        """Makes room for an endpoint's jobs, if there is none yet."""
        self._queues.setdefault(endpoint_id, _Queue())
        self._counters.setdefault(endpoint_id, Counters())

    def close_queue(self, endpoint_id: str) -> None:
        """Forgets an endpoint's empty queue and its counters."""
        del self._queues[endpoint_id]
        del self._counters[endpoint_id]

    def counters(self, endpoint_id: str) -> Counters:
        """Returns an endpoint's counters since its creation."""
        return self._counters[endpoint_id]

    def queued(self, endpoint_id: str) -> int:
        """Counts the jobs that wait."""
        return len(self._queues[endpoint_id])

    def queue(self, endpoint_id: str, limit: int) -> Sequence[Job]:
        """Returns the jobs that wait, as they will be handed out, at most `limit` of them."""
        return [self._jobs[job_id] for job_id in islice(self._queues[endpoint_id], limit)]

    def of_endpoint(self, endpoint_id: str) -> list[Job]:
        """Returns all jobs of an endpoint."""
        return [each for each in self._jobs.values() if each.endpoint_id == endpoint_id]

    def get(self, endpoint_id: str, job_id: str) -> Job:
        """Returns a job of an endpoint.

        Raises:
            JobApiError: There is no such job, or it has expired.
        """
        job = self._jobs.get(job_id)
        if job is None or job.endpoint_id != endpoint_id or job.forgotten_at <= self._clock.now():
            raise job_not_found(job_id)
        return job

    def __getitem__(self, job_id: str) -> Job:
        """Returns a job that is known to exist."""
        return self._jobs[job_id]

    def add(self, job: Job) -> None:
        """Puts a new job at the end of its queue."""
        self._store.add_job(job)
        self._jobs[job.id] = job
        self._schedule(job)
        self._enqueue(job)
        self._ring(SCALER)

    def take(self, endpoint_id: str, worker_id: str) -> Job | None:
        """Assigns the oldest waiting job to a worker; one of low priority if there is no other."""
        if not (queue := self._queues.get(endpoint_id)):
            return None
        return self.move(self._jobs[queue.pop_first()].assigned(worker_id, self._clock.now()))

    def put_back(self, job: Job) -> None:
        """Undoes `take`: the job is first in its queue again."""
        self.chunks.pop(job.id, None)
        self._queues[job.endpoint_id].put_first(self.move(job.put_back()))
        self._ring(job.endpoint_id)

    def progress(self, job_id: str, output: Any) -> None:
        """Shows a progress update; a restart forgets it."""
        self._jobs[job_id] = self._jobs[job_id].progressed(output)
        self._ring(job_id)

    def lose(self, job_id: str) -> None:
        """Queues a job once more whose worker was lost; the second time it fails."""
        job = self.move(self._jobs[job_id].lost(self._clock.now()))
        if job.status is JobStatus.IN_QUEUE:
            self.chunks.pop(job_id, None)
            self._enqueue(job)

    def move(self, job: Job) -> Job:
        """Keeps and announces how a job stands now."""
        before = self._jobs[job.id]
        if before.status is JobStatus.IN_QUEUE and job.status.final:
            self._queues[job.endpoint_id].remove(job)
        self._jobs[job.id] = job
        self._store.update_job(job)
        self._count(before, job)
        self._schedule(job)
        self._ring(job.id)
        self._ring(SCALER)
        return job

    def forget(self, job: Job) -> None:
        """Removes a job as if it had never been."""
        if job.status is JobStatus.IN_QUEUE:
            self._queues[job.endpoint_id].remove(job)
        del self._jobs[job.id]
        self.chunks.pop(job.id, None)
        self._store.drop_job(job.id)
        self._ring(job.id)
        self._ring(SCALER)

    def due(self) -> Iterator[Job]:
        """Yields the jobs that time alone changes now; each has to be changed before the next."""
        now = self._clock.now()
        while self._due and self._due[0][0] <= now:
            # Entries are never removed when a job moves on: they are checked when they come up.
            _, job_id = heapq.heappop(self._due)
            job = self._jobs.get(job_id)
            if job is not None and job.due_at <= now:
                yield job

    def next_due_s(self) -> float | None:
        """Returns in how many seconds `due` may yield something, if nothing else happens."""
        return self._due[0][0] - self._clock.now() if self._due else None

    def _take_up(self, job: Job) -> None:
        self._jobs[job.id] = job
        if job.status is JobStatus.IN_PROGRESS:
            job = self.move(job.put_back())
        if job.status is JobStatus.IN_QUEUE:
            self._queues[job.endpoint_id].put_last(job)
        self._schedule(job)

    def _enqueue(self, job: Job) -> None:
        self._queues[job.endpoint_id].put_last(job)
        self._ring(job.endpoint_id)

    def _schedule(self, job: Job) -> None:
        heapq.heappush(self._due, (job.due_at, job.id))

    def _count(self, before: Job, job: Job) -> None:
        counters = self._counters[job.endpoint_id]
        counters.retried += job.retries - before.retries
        counters.completed += job.status is JobStatus.COMPLETED
        counters.failed += job.status in {JobStatus.FAILED, JobStatus.TIMED_OUT}
        self._store.put_counters(job.endpoint_id, counters)
