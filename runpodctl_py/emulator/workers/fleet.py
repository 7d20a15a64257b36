"""The workers of the local RunPod: who there is, which jobs they have, what their words mean.

Knows no process (`processes.py` does) and waits for nothing: the worker API and the scaler call it.
What a worker does to a job goes through the job book.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator.bells import CHANGES, SCALER
from runpodctl_py.emulator.workers.record import Leaving, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runpodctl_py.emulator.clock import Clock
    from runpodctl_py.emulator.config import Timings
    from runpodctl_py.emulator.control.model import Endpoint
    from runpodctl_py.emulator.ids import Ids
    from runpodctl_py.emulator.jobs.book import JobBook
    from runpodctl_py.emulator.jobs.job import Job


class Fleet:
    """All workers of all endpoints.

    Args:
        jobs: Where the jobs are.
        clock: Where the time comes from.
        ids: Makes the ids.
        timings: When a worker counts as deaf or dead.
        ring: Called with a worker's id, or `SCALER`, when something about it has changed that
            somebody may wait for.
    """

    def __init__(
        self,
        jobs: JobBook,
        clock: Clock,
        ids: Ids,
        timings: Timings,
        ring: Callable[[str], None],
    ) -> None:
        self._jobs = jobs
        self._clock = clock
        self._ids = ids
        self._timings = timings
        self._ring = ring
        self._stopping = False
        self.workers: dict[str, Worker] = {}
        self.on_added: list[Callable[[Worker], None]] = []
        """Called with each worker that is about to be started."""
        self.on_taken: list[Callable[[Worker], None]] = []
        """Called with each worker that was handed a job; for each job."""
        self.on_removed: list[Callable[[Worker], None]] = []
        """Called with each worker that is gone."""
        self.on_lost: list[Callable[[Worker, str, str], None]] = []
        """Called with a worker, a job it had and has lost, and what the worker did."""

    # Their coming and going.

    def in_progress(self, endpoint_id: str) -> int:
        """Counts the jobs that are on a worker."""
        return sum(len(each.jobs) for each in self.of(endpoint_id))

    def of(self, endpoint_id: str) -> list[Worker]:
        """Returns an endpoint's workers, the oldest first."""
        return [each for each in self.workers.values() if each.endpoint_id == endpoint_id]

    def staying(self, endpoint_id: str) -> list[Worker]:
        """Returns those of an endpoint's workers that are not about to end, as RunPod shows."""
        return [each for each in self.of(endpoint_id) if not each.due_to_go]

    def add(self, endpoint: Endpoint, *, throttled: bool = False) -> Worker:
        """Notes a worker that is about to be started for an endpoint, or waits for room."""
        worker = Worker(
            self._ids.worker(),
            endpoint.id,
            endpoint.version,
            self._clock.now(),
            due_at=self._clock.machine() + self._timings.start_limit_s,
            throttled=throttled,
        )
        self.workers[worker.id] = worker
        if not throttled:
            self.begin(worker)
        self._ring(CHANGES)
        return worker

    def begin(self, worker: Worker) -> None:
        """Notes that a worker is about to be started now."""
        worker.throttled = False
        worker.started_at = self._clock.now()
        worker.due_at = self._clock.machine() + self._timings.start_limit_s
        for tell in self.on_added:
            tell(worker)
        self._ring(CHANGES)

    def remove(self, worker_id: str, why: str = "is gone") -> None:
        """Notes that a worker is gone; the jobs it still had are lost."""
        if (worker := self.workers.pop(worker_id, None)) is not None:
            # A poll of it may still be held; it must not be handed a job any more.
            worker.leave(Leaving.AT_ONCE)
            self._lose(worker, worker.jobs, why)
            for tell in self.on_removed:
                tell(worker)
        self._ring(SCALER)

    def mark_unhealthy(self, worker_id: str) -> None:
        """Notes that a worker cannot work: it gets no jobs, and those it has are lost."""
        if (worker := self.workers.get(worker_id)) is not None:
            worker.unhealthy = True
            worker.leaving = None
            self._lose(worker, worker.jobs, "is unhealthy")
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

    # What they ask and report.

    def poll_started(self, worker_id: str, *, holds_jobs: bool) -> Worker | None:
        """Notes that a worker asks for jobs; jobs it should have and does not are lost (5.5).

        Returns:
            The worker, or None if it may not get any.
        """
        if (worker := self.workers.get(worker_id)) is None:
            return None
        if not worker.ready:
            self._ring(SCALER)
        worker.seen(self._clock.machine())
        worker.polled(self._clock.monotonic())
        if not holds_jobs:
            worker.stopped(frozenset(worker.stopping))
            self._lose(worker, worker.jobs, "refused it, or forgot it, and asks for another one")
        return worker if worker.serving else None

    def take(self, worker: Worker, limit: int) -> list[Job]:
        """Hands the first queued jobs of its endpoint to a worker, at most `limit` of them."""
        taken: list[Job] = []
        while len(taken) < limit and worker.serving:
            if (job := self._jobs.take(worker.endpoint_id, worker.id)) is None:
                break
            worker.got(job.id)
            taken.append(job)
            for tell in self.on_taken:
                tell(worker)
        return taken

    def put_back(self, worker: Worker, jobs: Sequence[Job]) -> None:
        """Undoes `take` for a worker that hung up: the jobs are first in the queue again."""
        for job in reversed(jobs):
            self._let_go(worker, job.id)
            self._jobs.put_back(job)

    def stop_poll_started(self, worker_id: str) -> None:
        """Notes that a worker listens for stop signals, having carried out the last ones."""
        if (worker := self.workers.get(worker_id)) is not None:
            worker.seen(self._clock.machine())
            worker.listened()

    def pinged(self, worker_id: str, job_ids: Iterable[str], *, unhealthy: bool) -> None:
        """Notes a worker's ping with the jobs it says it has (API reference 5.2)."""
        if (worker := self.workers.get(worker_id)) is None:
            return
        worker.seen(self._clock.machine())
        if unhealthy:
            self.mark_unhealthy(worker_id)
            self.leave(worker_id, Leaving.IN_PEACE)
            return
        missing = worker.missing_from_ping(frozenset(job_ids))
        self._lose(worker, missing, "has left it out of two pings")

    def progress(self, worker_id: str, job_id: str, output: Any) -> None:
        """Notes a progress update; one for a job that is over is ignored (5.5)."""
        if self._has(worker_id, job_id):
            self._jobs.progress(job_id, output)

    def chunk(self, worker_id: str, job_id: str, output: Any) -> None:
        """Notes a piece of a streamed output."""
        if self._has(worker_id, job_id):
            self._jobs.stream(job_id, output)

    def result(self, worker_id: str, job_id: str, outcome: Mapping[str, Any]) -> None:
        """Notes a worker's last word on a job; one on a job that is over is discarded (5.10.4)."""
        if (worker := self.workers.get(worker_id)) is not None:
            worker.stopped(frozenset({job_id}))
        if self._has(worker_id, job_id):
            # In this order: a result that cannot be kept leaves the job with its worker.
            self._jobs.move(self._jobs[job_id].finished(outcome, self._clock.now()))
            self._let_go(self.workers[worker_id], job_id)

    def stop(self, job: Job) -> None:
        """Tells a job's worker to stop it."""
        if (worker := self._worker_of(job)) is not None:
            worker.must_stop(job.id, self._clock.monotonic(), self._clock.machine())
            self._ring(worker.id)

    def end(self, job: Job) -> None:
        """Takes a job from its worker, and ends the worker: it may be stuck in it."""
        if (worker := self._worker_of(job)) is not None:
            self._let_go(worker, job.id)
            self.leave(worker.id, Leaving.AT_ONCE)

    # What time does.

    def sweep(self) -> None:
        """Asks or ends every worker whose alarm has gone off by now."""
        for worker in self.workers.values():
            alarm_s = self._alarm_s(worker)
            if alarm_s is not None and alarm_s <= 0:
                self._alarm(worker)

    def next_due_s(self) -> float | None:
        """Returns in how many of the machine's seconds `sweep` has something to do."""
        waits = map(self._alarm_s, self.workers.values())
        return min((each for each in waits if each is not None), default=None)

    def _alarm_s(self, worker: Worker) -> float | None:
        """Returns in how many seconds the worker counts as dead, or as deaf to a stop signal."""
        if worker.leaving is Leaving.AT_ONCE or worker.unhealthy or worker.throttled:
            return None
        if not worker.ready:
            return worker.due_at - self._clock.machine()
        if worker.seen_at is None:
            return None
        silence_s = self._timings.missed_pings * self._timings.ping_interval_ms / 1000
        alarm_at = worker.seen_at + silence_s
        if worker.stop_asked_at is not None:
            alarm_at = min(alarm_at, worker.stop_asked_at + self._timings.cancel_grace_s)
        return alarm_at - self._clock.machine()

    def _alarm(self, worker: Worker) -> None:
        """Asks a worker once more to stop what it should have stopped, or ends it."""
        if not worker.ready:
            self.mark_unhealthy(worker.id)
        if worker.stop_asked_at is not None and worker.listens:
            worker.ask_to_stop(self._clock.machine())
            self._ring(worker.id)
            return
        self._lose(worker, worker.jobs, "was silent for too long")
        self.leave(worker.id, Leaving.AT_ONCE)

    def _has(self, worker_id: str, job_id: str) -> bool:
        """Whether the worker has this job: nobody else's word on it counts."""
        worker = self.workers.get(worker_id)
        return worker is not None and job_id in worker.jobs

    def _let_go(self, worker: Worker, job_id: str) -> None:
        worker.let_go(job_id, self._clock.monotonic())
        if worker.due_to_go:
            self._ring(worker.id)

    def _lose(self, worker: Worker, job_ids: Iterable[str], why: str) -> None:
        """Takes jobs from a worker that lost them: they are queued once more, or failed."""
        for job_id in list(job_ids):
            self._let_go(worker, job_id)
            if self._stopping:
                self._jobs.put_back(self._jobs[job_id])
            else:
                self._jobs.lose(job_id)
                for tell in self.on_lost:
                    tell(worker, job_id, why)

    def _worker_of(self, job: Job) -> Worker | None:
        return self.workers.get(job.worker_id or "")
