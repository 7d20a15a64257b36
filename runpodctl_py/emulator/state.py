"""What happens on the local RunPod: the one object in which endpoints, jobs and workers meet.

It does no I/O of its own and never waits: the APIs call it, a sweep tells it that time has passed,
and whoever waits is woken by name through `ring`. It decides what the words of clients mean; those
of workers are `workers/fleet.py`'s. Templates and endpoints are kept by `control/plane.py`, what
they refer to by `control/account.py`, jobs by `jobs/book.py`; `control/billing.py` counts what
workers cost.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator.bells import CHANGES, SCALER
from runpodctl_py.emulator.control.account import Account
from runpodctl_py.emulator.control.billing import Billing
from runpodctl_py.emulator.control.endpoint_rules import next_idle_limit_s
from runpodctl_py.emulator.control.plane import ControlPlane, EndpointDraft, TemplateDraft
from runpodctl_py.emulator.control.releases import Releases
from runpodctl_py.emulator.errors import endpoint_not_found
from runpodctl_py.emulator.ids import Ids
from runpodctl_py.emulator.jobs.batch_book import BatchBook
from runpodctl_py.emulator.jobs.book import JobBook
from runpodctl_py.emulator.jobs.job import RETENTION_S, Job, JobStatus, Policy
from runpodctl_py.emulator.jobs.webhooks import Deliveries
from runpodctl_py.emulator.workers.fleet import Fleet
from runpodctl_py.emulator.workers.handlers import Handlers
from runpodctl_py.emulator.workers.record import Leaving, WorkerState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runpodctl_py.emulator.clock import Clock
    from runpodctl_py.emulator.config import Timings
    from runpodctl_py.emulator.control.model import Endpoint, Template
    from runpodctl_py.emulator.jobs.job import Counters
    from runpodctl_py.emulator.store import Store


@dataclass(frozen=True, slots=True)
class Health:
    """An endpoint in numbers (API reference 4.4)."""

    counters: Counters
    in_queue: int
    in_progress: int
    initializing: int
    idle: int
    running: int
    throttled: int
    unhealthy: int


class State:
    """Everything that goes on in one local RunPod.

    Args:
        store: What outlives a restart.
        clock: Where the time comes from.
        timings: When a worker counts as deaf or dead.
        ring: Called with the id of a job, a worker or an endpoint, or `SCALER`, when something
            about it has changed that somebody may wait for.
        worker_quota: The most workers all endpoints may ask for together.
        strict: Whether an endpoint's workers must be 0 before it is deleted.
        ids: Makes all ids; unpredictable ones by default.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        timings: Timings,
        ring: Callable[[str], None],
        worker_quota: int,
        *,
        strict: bool = False,
        ids: Ids | None = None,
    ) -> None:
        self.ids = ids = ids or Ids()
        self._store = store
        self._clock = clock
        self._ring = ring
        kept = store.load()
        self.account = Account(store, kept, clock.now, ids, self._user_of)
        self.releases = Releases(store, kept, clock.now, ids)
        self.control = ControlPlane(
            store,
            kept,
            clock.now,
            self.account,
            self.releases,
            ids=ids,
            worker_quota=worker_quota,
            strict=strict,
        )
        self.handlers = Handlers(store, kept)
        self.billing = Billing(store, kept, clock.now, self.control.configuration)
        self.jobs = JobBook(store, kept, self.control.endpoints, clock, ring)
        self.deliveries = Deliveries(store, kept, clock, ids, ring)
        self.jobs.on_final.append(self.deliveries.owe)
        self.batches = BatchBook(store, kept, self.jobs, clock, ids)
        self.fleet = Fleet(self.jobs, clock, ids, timings, ring)
        self.fleet.on_added.append(self.billing.started)
        self.fleet.on_removed.append(self.billing.ended)

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
        with self._store.together():
            self.control.delete_endpoint(endpoint_id)
            self._deleted(endpoint_id)
        for worker in self.fleet.of(endpoint_id):
            self.fleet.leave(worker.id, Leaving.AT_ONCE)
        self._ring(CHANGES)

    def abandon(self) -> None:
        """Deletes all endpoints with their jobs, strict or not; all workers have to go."""
        for endpoint_id in list(self.control.endpoints):
            with self._store.together():
                self.control.drop_endpoint(endpoint_id)
                self._deleted(endpoint_id)
        for worker_id in list(self.fleet.workers):
            self.fleet.leave(worker_id, Leaving.AT_ONCE)

    def clear(self) -> None:
        """Forgets everything else, in the store, too; endpoints and workers must be gone."""
        self._store.clear()
        for part in (self.control, self.account, self.handlers, self.billing, self.deliveries):
            part.clear()

    def now(self) -> float:
        """Returns the wall time, in seconds since 1970."""
        return self._clock.now()

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
        self,
        endpoint_id: str,
        request: Mapping[str, Any],
        policy: Policy,
        *,
        sync: bool,
        retention_s: float = RETENTION_S,
    ) -> Job:
        """Puts a new job at the end of the queue.

        Args:
            endpoint_id: Whose queue.
            request: What the worker gets beside the id: input, webhook, s3Config …
            policy: How long the job may take.
            sync: Whether the client waits for the result; its id will tell so.
            retention_s: How long the result is kept.

        Raises:
            JobApiError: There is no such endpoint.
        """
        self.endpoint(endpoint_id)
        now = self._clock.now()
        job = Job(
            id=self.ids.job(sync=sync),
            endpoint_id=endpoint_id,
            request=request,
            policy=policy,
            created_at=now,
            queued_at=now,
            retention_s=retention_s,
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
        return job if job.status.final else self._cancel(job)

    def retry(self, endpoint_id: str, job_id: str) -> Job:
        """Sends a failed job through once more.

        Raises:
            JobApiError: As for `job`, or it did not fail.
        """
        with self._store.together():
            job = self.jobs.retry(self.job(endpoint_id, job_id))
            self.batches.retried(job)
        return job

    def queue(self, endpoint_id: str) -> Sequence[Job]:
        """Returns the jobs that wait, as they will be handed out.

        Raises:
            JobApiError: There is no such endpoint.
        """
        self.endpoint(endpoint_id)
        return self.jobs.queue(endpoint_id, self.jobs.queued(endpoint_id))

    def purge(self, jobs: Iterable[Job]) -> int:
        """Cancels those of some jobs that still wait, and returns how many that were."""
        waiting = [each for each in jobs if self.jobs.waits(each.id)]
        with self._store.together():
            for job in waiting:
                self._cancel(self.jobs[job.id])
        return len(waiting)

    def latest_jobs(self, endpoint_id: str, limit: int) -> Sequence[Job]:
        """Returns the jobs that were submitted last, the latest first.

        Raises:
            JobApiError: There is no such endpoint.
        """
        self.endpoint(endpoint_id)
        return self.jobs.latest(endpoint_id, limit)

    def expire(self, job: Job, ttl_ms: int) -> None:
        """Has a final job forgotten after a time, should that be sooner than by itself."""
        self.jobs.expire(job, self._clock.now() + ttl_ms / 1000)

    def health(self, endpoint_id: str) -> Health:
        """Counts an endpoint's jobs and workers.

        Raises:
            JobApiError: There is no such endpoint.
        """
        self.endpoint(endpoint_id)
        workers = Counter(each.state for each in self.fleet.staying(endpoint_id))
        return Health(
            counters=self.jobs.counters(endpoint_id),
            in_queue=self.jobs.queued(endpoint_id),
            in_progress=self.fleet.in_progress(endpoint_id),
            initializing=workers[WorkerState.INITIALIZING],
            idle=workers[WorkerState.IDLE],
            running=workers[WorkerState.RUNNING],
            throttled=workers[WorkerState.THROTTLED],
            unhealthy=workers[WorkerState.UNHEALTHY],
        )

    # What time does.

    def sweep(self) -> None:
        """Does everything that is due by now: expiry, execution timeouts, silent workers."""
        for job in self.jobs.due():
            if job.forgotten_at <= self._clock.now():
                with self._store.together():
                    self._forget(job)
                    self.batches.ended(job)
            else:
                self._time_out(job)
        self.jobs.forget_final()
        self.fleet.sweep()
        self.billing.sweep()
        self._limit_idle()

    def next_due_s(self) -> float | None:
        """Returns in how many of the machine's seconds `sweep` has something to do."""
        changes = (self.next_change_s(), self.billing.next_due_s())
        waits = (*map(self._clock.real_s, changes), self.fleet.next_due_s())
        return min((max(0.0, each) for each in waits if each is not None), default=None)

    def next_change_s(self) -> float | None:
        """Returns in how many seconds of the clock time alone changes a job or an endpoint."""
        idle = (
            next_idle_limit_s(each, self._idle_s(each)) for each in self.control.endpoints.values()
        )
        waits = (self.jobs.next_due_s(), *idle)
        return min((max(0.0, each) for each in waits if each is not None), default=None)

    def _deleted(self, endpoint_id: str) -> None:
        """Forgets the batches and jobs of an endpoint that is deleted."""
        self.batches.forget(endpoint_id)
        for job in self.jobs.unfinished(endpoint_id):
            self._forget(job)
        self.jobs.close_queue(endpoint_id)

    def _user_of(self, resource_id: str) -> str | None:
        # The account is made first: the control plane needs it, and it needs this only later.
        return self.control.user_of(resource_id)

    def _limit_idle(self) -> None:
        """Takes workers from endpoints without a request for days (API reference 1.4)."""
        for endpoint in list(self.control.endpoints.values()):
            if self.control.limit_idle(endpoint.id, self._idle_s(endpoint)):
                self._ring(SCALER)

    def _idle_s(self, endpoint: Endpoint) -> float:
        """Returns how long ago an endpoint was used; saving it counts, or it would be undone."""
        requested_at = self.jobs.counters(endpoint.id).requested_at
        used_at = max(endpoint.created_at, endpoint.changed_at or 0.0, requested_at or 0.0)
        return self._clock.now() - used_at

    def _cancel(self, job: Job) -> Job:
        self._stop(job)
        return self.jobs.move(job.cancelled(self._clock.now()))

    def _time_out(self, job: Job) -> None:
        """Ends a job that ran for too long; RunPod stops its worker, too (4.6)."""
        self.jobs.move(job.timed_out(self._clock.now()))
        self.fleet.end(job)

    def _forget(self, job: Job) -> None:
        self._stop(job)
        self.jobs.forget(job)

    def _stop(self, job: Job) -> None:
        if job.status is JobStatus.IN_PROGRESS:
            self.fleet.stop(job)
