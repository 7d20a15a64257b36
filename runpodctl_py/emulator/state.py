"""What happens on the local RunPod: the one object in which endpoints, jobs and workers meet.

It does no I/O of its own and never waits: the APIs call it, a sweep tells it that time has
passed, and whoever waits is woken by name through `ring`. It decides what the words of clients
and workers mean; templates and endpoints are kept by `control.py`, jobs by `job_book.py`, worker
processes by `workers.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator.control import ControlPlane, EndpointDraft, TemplateDraft
from runpodctl_py.emulator.errors import endpoint_not_found
from runpodctl_py.emulator.job_book import SCALER, JobBook
from runpodctl_py.emulator.jobs import Job, JobStatus, Policy, new_job_id
from runpodctl_py.emulator.model import new_worker_id
from runpodctl_py.emulator.worker_record import Leaving, Worker, WorkerState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runpodctl_py.emulator.clock import Clock
    from runpodctl_py.emulator.config import Timings
    from runpodctl_py.emulator.model import Endpoint, Template
    from runpodctl_py.emulator.store import Counters, Store


@dataclass(frozen=True, slots=True)
class Health:
    """An endpoint in numbers (API reference 4.4)."""

    counters: Counters
    in_queue: int
    in_progress: int
    workers: Mapping[WorkerState, int]


class State:
    """Everything that goes on in one local RunPod.

    Args:
        store: What outlives a restart.
        clock: Where the time comes from.
        timings: When a worker counts as deaf or dead.
        ring: Called with the id of a job, a worker or an endpoint, or `SCALER`, when something
            about it has changed that somebody may wait for.
        worker_quota: The most workers all endpoints may ask for together.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        timings: Timings,
        ring: Callable[[str], None],
        worker_quota: int,
    ) -> None:
        self._clock = clock
        self._timings = timings
        self._ring = ring
        kept = store.load()
        endpoints = [endpoint for endpoint, _ in kept.endpoints]
        self.control = ControlPlane(store, clock.now, worker_quota, kept.templates, endpoints)
        self.jobs = JobBook(store, kept, clock, ring)
        self.workers: dict[str, Worker] = {}
        self._stopping = False

    # The control plane: its rules, and what they mean for jobs and workers.

    def save_template(self, draft: TemplateDraft) -> Template:
        """Saves a template; workers of endpoints that use it may have to be replaced."""
        template = self.control.save_template(draft)
        self._ring(SCALER)
        return template

    def save_endpoint(self, draft: EndpointDraft) -> Endpoint:
        """Saves an endpoint; workers may have to be started, replaced or stopped."""
        endpoint = self.control.save_endpoint(draft)
        self.jobs.open_queue(endpoint.id)
        self._ring(SCALER)
        return endpoint

    def change_endpoint(self, endpoint_id: str, **fields: Any) -> Endpoint:
        """Changes some fields of an endpoint; workers may have to come or go."""
        endpoint = self.control.change_endpoint(endpoint_id, **fields)
        self._ring(SCALER)
        return endpoint

    def delete_endpoint(self, endpoint_id: str) -> None:
        """Deletes an endpoint with its jobs; its workers have to go."""
        self.control.delete_endpoint(endpoint_id)
        for job in self.jobs.of_endpoint(endpoint_id):
            self._forget(job)
        self.jobs.close_queue(endpoint_id)
        for worker in self.workers_of(endpoint_id):
            self.leave(worker.id, Leaving.AT_ONCE)

    # Jobs, as their clients see them.

    def endpoint(self, endpoint_id: str) -> Endpoint:
        """Returns an endpoint.

        Raises:
            JobApiError: There is none of this id.
        """
        if (endpoint := self.control.endpoints.get(endpoint_id)) is None:
            raise endpoint_not_found(endpoint_id)
        return endpoint

    def submit(
        self, endpoint_id: str, request: Mapping[str, Any], policy: Policy, *, sync: bool
    ) -> Job:
        """Puts a new job at the end of the queue.

        Raises:
            JobApiError: There is no such endpoint.
        """
        self.endpoint(endpoint_id)
        job = Job(
            id=new_job_id(sync=sync),
            endpoint_id=endpoint_id,
            request=request,
            policy=policy,
            sync=sync,
            created_at=self._clock.now(),
        )
        self.jobs.add(job)
        return job

    def job(self, endpoint_id: str, job_id: str) -> Job:
        """Returns a job of an endpoint.

        Raises:
            JobApiError: There is no such endpoint, or no such job, or it has expired.
        """
        self.endpoint(endpoint_id)
        return self.jobs.get(endpoint_id, job_id)

    def cancel(self, endpoint_id: str, job_id: str) -> Job:
        """Cancels a job that is not final; its worker is told to stop it.

        Raises:
            JobApiError: As for `job`.
        """
        job = self.job(endpoint_id, job_id)
        if job.status.final:
            return job
        self._tell_to_stop(job)
        return self.jobs.move(job.cancelled(self._clock.now()))

    def health(self, endpoint_id: str) -> Health:
        """Counts an endpoint's jobs and workers.

        Raises:
            JobApiError: There is no such endpoint.
        """
        self.endpoint(endpoint_id)
        staying = [each for each in self.workers_of(endpoint_id) if each.leaving is None]
        return Health(
            counters=self.jobs.counters(endpoint_id),
            in_queue=self.jobs.queued(endpoint_id),
            in_progress=self.in_progress(endpoint_id),
            workers={state: sum(each.state is state for each in staying) for state in WorkerState},
        )

    # Workers: their coming and going.

    def in_progress(self, endpoint_id: str) -> int:
        """Counts the jobs that are on a worker."""
        return sum(len(each.jobs) for each in self.workers_of(endpoint_id))

    def workers_of(self, endpoint_id: str) -> list[Worker]:
        """Returns an endpoint's workers, the oldest first."""
        return [each for each in self.workers.values() if each.endpoint_id == endpoint_id]

    def add_worker(self, endpoint: Endpoint) -> Worker:
        """Notes a worker that is about to be started for an endpoint."""
        worker = Worker(new_worker_id(), endpoint.id, endpoint.version, self._clock.now())
        self.workers[worker.id] = worker
        return worker

    def remove_worker(self, worker_id: str) -> None:
        """Notes that a worker is gone; the jobs it still had are lost."""
        if (worker := self.workers.pop(worker_id, None)) is not None:
            # A poll of it may still be held; it must not be handed a job any more.
            worker.leave(Leaving.AT_ONCE)
            self._lose(worker, worker.jobs)
        self._ring(SCALER)

    def mark_unhealthy(self, worker_id: str) -> None:
        """Notes that a worker cannot work: it gets no jobs, and those it has are lost."""
        if (worker := self.workers.get(worker_id)) is not None:
            worker.unhealthy = True
            worker.leaving = None
            self._lose(worker, worker.jobs)
            self._ring(SCALER)

    def begin_stop(self) -> None:
        """Notes that the emulator stops: jobs that do not end with it begin anew, uncounted."""
        self._stopping = True

    def leave(self, worker_id: str, how: Leaving) -> None:
        """Notes that a worker has to go; it gets no more jobs from now on."""
        if (worker := self.workers.get(worker_id)) is not None:
            worker.leave(how)
            self._ring(worker_id)
            self._ring(SCALER)

    # Workers: what they ask and report.

    def poll_started(self, worker_id: str, *, holds_jobs: bool) -> Worker | None:
        """Notes that a worker asks for jobs; jobs it should have and does not are lost (5.5).

        Returns:
            The worker, or None if it may not get any.
        """
        if (worker := self.workers.get(worker_id)) is None:
            return None
        if not worker.ready:
            self._ring(SCALER)
        worker.polled(self._clock.monotonic())
        if not holds_jobs:
            worker.stopped(frozenset(worker.stopping))
            self._lose(worker, worker.jobs)
        return worker if worker.serving else None

    def take(self, worker: Worker, limit: int) -> list[Job]:
        """Hands the first queued jobs of its endpoint to a worker, at most `limit` of them."""
        taken: list[Job] = []
        while len(taken) < limit and worker.serving:
            if (job := self.jobs.take(worker.endpoint_id, worker.id)) is None:
                break
            worker.got(job.id)
            taken.append(job)
        return taken

    def put_back(self, worker: Worker, jobs: Sequence[Job]) -> None:
        """Undoes `take` for a worker that hung up: the jobs are first in the queue again."""
        for job in reversed(jobs):
            self._let_go(worker, job.id)
            self.jobs.put_back(job)

    def stop_poll_started(self, worker_id: str) -> None:
        """Notes that a worker listens for stop signals, having carried out the last ones."""
        if (worker := self.workers.get(worker_id)) is not None:
            worker.seen(self._clock.monotonic())
            worker.listened()

    def pinged(self, worker_id: str, job_ids: Iterable[str], *, unhealthy: bool) -> None:
        """Notes a worker's ping with the jobs it says it has (API reference 5.2)."""
        if (worker := self.workers.get(worker_id)) is None:
            return
        worker.seen(self._clock.monotonic())
        if unhealthy:
            self.mark_unhealthy(worker_id)
            self.leave(worker_id, Leaving.IN_PEACE)
            return
        self._lose(worker, worker.missing_from_ping(frozenset(job_ids)))

    def progress(self, worker_id: str, job_id: str, output: Any) -> None:
        """Notes a progress update; one for a job that is over is ignored (5.5)."""
        if self._has(worker_id, job_id):
            self.jobs.progress(job_id, output)

    def chunk(self, worker_id: str, job_id: str, output: Any) -> None:
        """Notes a piece of a streamed output."""
        if self._has(worker_id, job_id):
            self.jobs.chunks[job_id].append(output)
            self._ring(job_id)

    def result(self, worker_id: str, job_id: str, outcome: Mapping[str, Any]) -> None:
        """Notes a worker's last word on a job; one on a job that is over is discarded (5.10.4)."""
        if (worker := self.workers.get(worker_id)) is not None:
            worker.stopped(frozenset({job_id}))
        if self._has(worker_id, job_id):
            self._let_go(self.workers[worker_id], job_id)
            self.jobs.move(self.jobs[job_id].finished(outcome, self._clock.now()))

    # What time does.

    def sweep(self) -> None:
        """Does everything that is due by now: expiry, execution timeouts, silent workers."""
        for job in self.jobs.due():
            if job.forgotten_at <= self._clock.now():
                self._forget(job)
            else:
                self._time_out(job)
        for worker in self.workers.values():
            alarm_s = self._alarm_s(worker)
            if alarm_s is not None and alarm_s <= 0:
                self._alarm(worker)

    def next_due_s(self) -> float | None:
        """Returns in how many seconds `sweep` has something to do, if nothing else happens."""
        waits = [self.jobs.next_due_s(), *map(self._alarm_s, self.workers.values())]
        return min((max(0.0, each) for each in waits if each is not None), default=None)

    def _alarm_s(self, worker: Worker) -> float | None:
        """Returns in how many seconds the worker counts as dead, or as deaf to a stop signal."""
        if worker.leaving is Leaving.AT_ONCE or worker.unhealthy or worker.seen_at is None:
            return None
        silence_s = self._timings.missed_pings * self._timings.ping_interval_ms / 1000
        alarm_at = worker.seen_at + silence_s
        if worker.stop_asked_at is not None:
            alarm_at = min(alarm_at, worker.stop_asked_at + self._timings.cancel_grace_s)
        return alarm_at - self._clock.monotonic()

    def _alarm(self, worker: Worker) -> None:
        """Asks a worker once more to stop what it should have stopped, or ends it."""
        if worker.stop_asked_at is not None and worker.listens:
            worker.ask_to_stop(self._clock.monotonic())
            self._ring(worker.id)
            return
        self._lose(worker, worker.jobs)
        self.leave(worker.id, Leaving.AT_ONCE)

    def _time_out(self, job: Job) -> None:
        """Ends a job that ran for too long; RunPod stops its worker, too (4.6)."""
        self.jobs.move(job.timed_out(self._clock.now()))
        if (worker := self.workers.get(job.worker_id or "")) is not None:
            self._let_go(worker, job.id)
            self.leave(worker.id, Leaving.AT_ONCE)

    def _has(self, worker_id: str, job_id: str) -> bool:
        """Whether the worker has this job: nobody else's word on it counts."""
        worker = self.workers.get(worker_id)
        return worker is not None and job_id in worker.jobs

    def _let_go(self, worker: Worker, job_id: str) -> None:
        worker.let_go(job_id, self._clock.monotonic())
        if worker.due_to_go:
            self._ring(worker.id)

    def _lose(self, worker: Worker, job_ids: Iterable[str]) -> None:
        """Takes jobs from a worker that lost them: they are queued once more, or failed."""
        for job_id in list(job_ids):
            self._let_go(worker, job_id)
            if self._stopping:
                self.jobs.put_back(self.jobs[job_id])
            else:
                self.jobs.lose(job_id)

    def _tell_to_stop(self, job: Job) -> None:
        if job.status is not JobStatus.IN_PROGRESS:
            return
        if (worker := self.workers.get(job.worker_id or "")) is not None:
            worker.must_stop(job.id, self._clock.monotonic())
            self._ring(worker.id)

    def _forget(self, job: Job) -> None:
        self._tell_to_stop(job)
        self.jobs.forget(job)
