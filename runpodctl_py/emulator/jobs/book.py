"""All jobs of the local RunPod: their queues, their counters, and when each one is due.

Keeps every move in the store and rings for it. Jobs that are not final are in memory; final ones
are in the store only, so that memory does not grow with what has been done. Which worker a job is
on, and what a worker's words mean for it, is `workers/fleet.py`'s business; the moves themselves
are `job.py`'s.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator.bells import CHANGES, SCALER
from runpodctl_py.emulator.errors import bad_request, job_not_found
from runpodctl_py.emulator.jobs.job import Counters, Job, JobStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from runpodctl_py.emulator.clock import Clock
    from runpodctl_py.emulator.jobs.job import Chunk
    from runpodctl_py.emulator.store import Snapshot, Store

_SPARE_ENTRIES = 256


class _Queue:
    """The ids of an endpoint's waiting jobs, those of low priority behind all others."""

    def __init__(self) -> None:
        self._normal: OrderedDict[str, None] = OrderedDict()
        self._low: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._normal) + len(self._low)

    def __iter__(self) -> Iterator[str]:
        return chain(self._normal, self._low)

    def put_last(self, job: Job) -> None:
        self._line_of(job)[job.id] = None

    def put_first(self, job: Job) -> None:
        line = self._line_of(job)
        line[job.id] = None
        line.move_to_end(job.id, last=False)

    def remove(self, job: Job) -> None:
        del self._line_of(job)[job.id]

    def _line_of(self, job: Job) -> OrderedDict[str, None]:
        return self._low if job.policy.low_priority else self._normal


class JobBook:
    """The jobs of all endpoints.

    What a former run left behind is taken up again: jobs that were running are queued as if they
    had never begun, because it was not their worker's fault.

    Args:
        store: What outlives a restart.
        kept: What it held at the start.
        endpoint_ids: The endpoints there are.
        clock: Where the time comes from.
        ring: Called with a job's id, its endpoint's, or `SCALER`, when something has changed.
    """

    def __init__(
        self,
        store: Store,
        kept: Snapshot,
        endpoint_ids: Iterable[str],
        clock: Clock,
        ring: Callable[[str], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._ring = ring
        self._unfinished: dict[str, Job] = {}
        self._due: list[tuple[float, str]] = []
        self._queues: dict[str, _Queue] = {}
        self._counters = dict(kept.counters)
        self.on_final: list[Callable[[Job], None]] = []
        """Called with each job that has just become final; what they keep is kept with it."""
        for endpoint_id in endpoint_ids:
            self.open_queue(endpoint_id)
        for job in kept.jobs:
            self._take_up(job)

    def open_queue(self, endpoint_id: str) -> None:
        """Makes room for an endpoint's jobs, if there is none yet."""
        self._queues.setdefault(endpoint_id, _Queue())
        self._counters.setdefault(endpoint_id, Counters())

    def close_queue(self, endpoint_id: str) -> None:
        """Forgets an endpoint's empty queue, its final jobs and its counters."""
        del self._queues[endpoint_id]
        del self._counters[endpoint_id]
        self._store.drop_jobs(endpoint_id)

    def counters(self, endpoint_id: str) -> Counters:
        """Returns what is counted of an endpoint's jobs since its creation."""
        return self._counters[endpoint_id]

    def queued(self, endpoint_id: str) -> int:
        """Counts the jobs that wait."""
        return len(self._queues[endpoint_id])

    def waits(self, job_id: str) -> bool:
        """Whether a job is in a queue."""
        job = self._unfinished.get(job_id)
        return job is not None and job.status is JobStatus.IN_QUEUE

    def queue(self, endpoint_id: str, limit: int) -> Sequence[Job]:
        """Returns the jobs that wait, as they will be handed out, at most `limit` of them."""
        return [self._unfinished[job_id] for job_id in islice(self._queues[endpoint_id], limit)]

    def unfinished(self, endpoint_id: str) -> list[Job]:
        """Returns the jobs of an endpoint that are not final."""
        return [each for each in self._unfinished.values() if each.endpoint_id == endpoint_id]

    def latest(self, endpoint_id: str, limit: int) -> Sequence[Job]:
        """Returns the jobs of an endpoint that were submitted last, the latest first."""
        now = self._clock.now()
        kept = self._store.latest_jobs(endpoint_id, limit)
        # What a job reports while it runs is not in the store.
        jobs = [self._unfinished.get(each.id, each) for each in kept]
        return [each for each in jobs if each.forgotten_at > now]

    def newest_ids(self, endpoint_id: str, limit: int) -> Sequence[str]:
        """Returns the ids of the jobs of an endpoint that were submitted last, the latest first."""
        return self._store.latest_job_ids(endpoint_id, limit)

    def is_unfinished(self, job_id: str) -> bool:
        """Whether there is such a job and it is not final."""
        return job_id in self._unfinished

    def outline(self, job_id: str) -> Job | None:
        """Returns a job; one that is final without what it was given and gave, which may be large.

        One whose time is up may be there until it is swept away.
        """
        return self._unfinished.get(job_id) or self._store.job_outline(job_id)

    def get(self, endpoint_id: str, job_id: str) -> Job:
        """Returns a job of an endpoint.

        Raises:
            JobApiError: There is no such job, or it has expired.
        """
        job = self._unfinished.get(job_id) or self._store.job(job_id)
        if job is None or job.endpoint_id != endpoint_id or job.forgotten_at <= self._clock.now():
            raise job_not_found(job_id)
        return job

    def __getitem__(self, job_id: str) -> Job:
        """Returns a job that is known not to be final."""
        return self._unfinished[job_id]

    def add(self, job: Job) -> None:
        """Puts a new job at the end of its queue."""
        with self._store.together():
            self._store.add_job(job)
            self._requested(job)
        self._unfinished[job.id] = job
        self._schedule(job)
        self._enqueue(job)

    def retry(self, job: Job) -> Job:
        """Puts a failed job into its queue again, without what it had streamed.

        Raises:
            JobApiError: It did not fail (API reference 4.1).
        """
        if job.status not in {JobStatus.FAILED, JobStatus.TIMED_OUT}:
            raise bad_request(
                f"job {job.id} is {job.status}; only FAILED and TIMED_OUT are retried"
            )
        job = job.retried(self._clock.now())
        with self._store.together():
            self._store.drop_chunks(job.id)
            self._store.update_job(job)
            self._requested(job)
        self._unfinished[job.id] = job
        self._schedule(job)
        self._enqueue(job)
        return job

    def expire(self, job: Job, at: float) -> None:
        """Has a final job forgotten at a time, should that be sooner than by itself."""
        if job.status.final and at < job.forgotten_at:
            self._store.update_job(replace(job, expires_at=at))
            self._ring(SCALER)

    def take(self, endpoint_id: str, worker_id: str) -> Job | None:
        """Assigns the oldest waiting job to a worker; one of low priority if there is no other."""
        if not (queue := self._queues.get(endpoint_id)):
            return None
        job = self._unfinished[next(iter(queue))]
        taken = self.move(job.assigned(worker_id, self._clock.now()))
        queue.remove(job)
        return taken

    def put_back(self, job: Job) -> None:
        """Undoes `take`: the job is first in its queue again."""
        self._queues[job.endpoint_id].put_first(self.move(job.put_back()))
        self._ring(job.endpoint_id)

    def progress(self, job_id: str, output: Any) -> None:
        """Shows a progress update; a restart forgets it."""
        self._unfinished[job_id] = self._unfinished[job_id].progressed(output)
        self._ring(job_id)

    def stream(self, job_id: str, output: Any) -> None:
        """Keeps a piece of a streamed output until somebody fetches it."""
        self._store.add_chunk(job_id, output)
        self._ring(job_id)

    def take_chunks(self, job: Job) -> Sequence[Chunk]:
        """Hands out what a job has streamed and nobody has fetched yet."""
        if chunks := self._store.chunks(job.id):
            self._store.drop_chunks(job.id)
        return chunks

    def put_chunks_back(self, job: Job, chunks: Iterable[Chunk]) -> None:
        """Undoes `take_chunks`."""
        with self._store.together():
            for each in chunks:
                self._store.add_chunk(job.id, each.output, each.number)
        self._ring(job.id)

    def lose(self, job_id: str) -> None:
        """Queues a job once more whose worker was lost; the second time it fails."""
        job = self.move(self._unfinished[job_id].lost(self._clock.now()))
        if job.status is JobStatus.IN_QUEUE:
            self._enqueue(job)

    def move(self, job: Job) -> Job:
        """Keeps and announces how a job stands now, and what its end means for others."""
        before = self._unfinished[job.id]
        counters = _counted(self._counters[job.endpoint_id], before, job)
        if job.status.final:
            # Not before: until then a worker may be given it again.
            job = job.keyless()
        with self._store.together():
            self._store.update_job(job)
            if job.request != before.request:
                self._store.update_request(job)
            if counters != self._counters[job.endpoint_id]:
                self._store.put_counters(job.endpoint_id, counters)
            if job.status is JobStatus.IN_QUEUE:
                # What a run that is void has streamed is void, too.
                self._store.drop_chunks(job.id)
            if job.status.final:
                for tell in self.on_final:
                    tell(job)
        # Not before it is kept: where that fails, nothing has happened.
        self._counters[job.endpoint_id] = counters
        if before.status is JobStatus.IN_QUEUE and job.status.final:
            self._queues[job.endpoint_id].remove(job)
        if job.status.final:
            del self._unfinished[job.id]
        else:
            self._unfinished[job.id] = job
            self._schedule(job)
        self._ring(job.id)
        self._ring(SCALER)
        return job

    def forget(self, job: Job) -> None:
        """Removes a job that is not final as if it had never been."""
        if job.status is JobStatus.IN_QUEUE:
            self._queues[job.endpoint_id].remove(job)
        del self._unfinished[job.id]
        self._store.drop_job(job.id)
        self._ring(job.id)
        self._ring(SCALER)

    def forget_final(self) -> None:
        """Removes the final jobs whose retention is over."""
        if self._store.drop_forgotten(self._clock.now()):
            self._ring(CHANGES)

    def due(self) -> Iterator[Job]:
        """Yields the unfinished jobs that time changes now; change each before the next."""
        now = self._clock.now()
        while self._due and self._due[0][0] <= now:
            # Entries are never removed when a job moves on: they are checked when they come up.
            _, job_id = heapq.heappop(self._due)
            job = self._unfinished.get(job_id)
            if job is not None and job.due_at <= now:
                yield job

    def next_due_s(self) -> float | None:
        """Returns in how many seconds `due` or `forget_final` may have something to do."""
        firsts = [self._store.next_forgotten_at(), self._due[0][0] if self._due else None]
        first = min((each for each in firsts if each is not None), default=None)
        return None if first is None else first - self._clock.now()

    def _take_up(self, job: Job) -> None:
        self._unfinished[job.id] = job
        if job.status is JobStatus.IN_PROGRESS:
            job = self.move(job.put_back())
        self._queues[job.endpoint_id].put_last(job)
        self._schedule(job)

    def _enqueue(self, job: Job) -> None:
        self._queues[job.endpoint_id].put_last(job)
        self._ring(job.endpoint_id)
        self._ring(SCALER)

    def _requested(self, job: Job) -> None:
        counters = replace(self._counters[job.endpoint_id], requested_at=job.queued_at)
        self._store.put_counters(job.endpoint_id, counters)
        self._counters[job.endpoint_id] = counters

    def _schedule(self, job: Job) -> None:
        if len(self._due) > 2 * len(self._unfinished) + _SPARE_ENTRIES:
            # What moved on long ago would fill the memory until its time to live is over.
            self._due = [(each.due_at, each.id) for each in self._unfinished.values()]
            heapq.heapify(self._due)
        heapq.heappush(self._due, (job.due_at, job.id))


def _counted(counters: Counters, before: Job, job: Job) -> Counters:
    """Returns an endpoint's counters after one of its jobs has moved."""
    return replace(
        counters,
        completed=counters.completed + (job.status is JobStatus.COMPLETED),
        failed=counters.failed + (job.status in {JobStatus.FAILED, JobStatus.TIMED_OUT}),
        retried=counters.retried + max(0, job.retries - before.retries),
    )
