"""Whatever clients, workers and time do in whatever order, a job's life makes sense."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from runpodctl_py.emulator.config import Timings
from runpodctl_py.emulator.control.plane import EndpointDraft, TemplateDraft
from runpodctl_py.emulator.errors import JobApiError
from runpodctl_py.emulator.jobs.job import Job, JobStatus, Policy
from runpodctl_py.emulator.state import State
from runpodctl_py.emulator.store import SqliteStore
from runpodctl_py.testing import FakeClock

if TYPE_CHECKING:
    from runpodctl_py.emulator.workers.record import Worker

pytestmark = pytest.mark.proves("rule: job-states")

_FROM_THE_QUEUE = {JobStatus.IN_QUEUE, JobStatus.IN_PROGRESS, JobStatus.CANCELLED}
_WAITS_S = st.sampled_from([0.5, 4.0, 31.0, 600.0])


class JobLifeCycle(RuleBasedStateMachine):
    """One endpoint under everything that can happen to it, restarts of the emulator included."""

    workers = Bundle("workers")

    def __init__(self) -> None:
        super().__init__()
        self.store = SqliteStore(":memory:")
        self.clock = FakeClock()
        self.state = self.started()
        given = {"name": "t", "image_name": "i", "is_serverless": True}
        template = self.state.save_template(TemplateDraft(None, given))
        self.endpoint = self.state.save_endpoint(
            EndpointDraft(None, {"name": "e", "template_id": template.id})
        )
        self.seen: dict[str, Job] = {}

    def started(self) -> State:
        """Returns the state as a start of the emulator makes it."""
        return State(self.store, self.clock, Timings(), lambda _: None, worker_quota=30)

    def jobs(self) -> list[Job]:
        """Returns all jobs there are."""
        return list(self.state.jobs.latest(self.endpoint.id, 10_000))

    def teardown(self) -> None:
        """Closes what the run opened."""
        self.store.close()

    @rule(sync=st.booleans(), ttl_s=st.sampled_from([10, 3600]), limit_s=st.sampled_from([0, 5]))
    def submit(self, sync: bool, ttl_s: int, limit_s: int) -> None:  # noqa: FBT001 - a rule's argument.
        """A client submits a job."""
        policy = Policy(execution_timeout_ms=limit_s * 1000, ttl_ms=ttl_s * 1000)
        self.state.submit(self.endpoint.id, {"input": 1}, policy, sync=sync)

    @rule(target=workers)
    def start_worker(self) -> Worker:
        """A worker comes up."""
        worker = self.state.fleet.add(self.endpoint)
        self.state.fleet.poll_started(worker.id, holds_jobs=False)
        return worker

    @rule(worker=workers, limit=st.integers(1, 3))
    def take(self, worker: Worker, limit: int) -> None:
        """A worker with free slots gets jobs."""
        if self.state.fleet.poll_started(worker.id, holds_jobs=True) is not None:
            for job in self.state.fleet.take(worker, limit):
                assert job.worker_id == worker.id

    @rule(worker=workers, error=st.booleans())
    def finish(self, worker: Worker, error: bool) -> None:  # noqa: FBT001 - a rule's argument.
        """A worker posts a result for each job it was ever given."""
        for job in self.jobs():
            if job.worker_id == worker.id:
                self.state.fleet.result(worker.id, job.id, {"error" if error else "output": 1})

    @rule(worker=workers)
    def progress(self, worker: Worker) -> None:
        """A worker posts an update for each job it was ever given."""
        for job in self.jobs():
            self.state.fleet.progress(worker.id, job.id, "half")

    @rule(worker=workers, holds_jobs=st.booleans())
    def poll(self, worker: Worker, holds_jobs: bool) -> None:  # noqa: FBT001 - a rule's argument.
        """A worker asks for a job, with or without jobs in hand."""
        self.state.fleet.poll_started(worker.id, holds_jobs=holds_jobs)

    @rule(worker=consumes(workers))
    def lose_worker(self, worker: Worker) -> None:
        """A worker dies."""
        self.state.fleet.remove(worker.id)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """A client cancels one of the jobs."""
        if jobs := self.jobs():
            job = data.draw(st.sampled_from(jobs))
            try:
                assert self.state.cancel(self.endpoint.id, job.id).status.final
            except JobApiError:
                assert job.forgotten_at <= self.clock.now()

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """A client sends one of the jobs through once more, which only failed ones allow."""
        if jobs := self.jobs():
            job = data.draw(st.sampled_from(jobs))
            try:
                assert self.state.retry(self.endpoint.id, job.id).status is JobStatus.IN_QUEUE
                del self.seen[job.id]
            except JobApiError:
                failed = job.status in {JobStatus.FAILED, JobStatus.TIMED_OUT}
                assert not failed or job.forgotten_at <= self.clock.now()

    @rule(wait_s=_WAITS_S)
    def wait(self, wait_s: float) -> None:
        """Time passes."""
        self.clock.advance(wait_s)
        self.state.sweep()

    @rule(target=workers)
    def restart(self) -> object:
        """The emulator is killed and started again; its workers die with it."""
        self.state = self.started()
        assert self.state.fleet.in_progress(self.endpoint.id) == 0
        return multiple()

    @invariant()
    def no_move_is_senseless(self) -> None:
        """What has ended never moves again, what waits does not end by itself.

        And nothing is forgotten before its time.
        """
        now = {job.id: job for job in self.jobs()}
        for job_id, before in self.seen.items():
            if before.status.final and job_id in now:
                assert now[job_id] == before
            if before.status is JobStatus.IN_QUEUE and job_id in now:
                assert now[job_id].status in _FROM_THE_QUEUE
            if job_id not in now:
                assert before.created_at + 10 <= self.clock.now()
        self.seen = now

    @invariant()
    def every_job_is_in_one_place(self) -> None:
        """Queued jobs are in the queue, running ones on one worker, final ones nowhere."""
        state = self.state
        queued = {job.id for job in state.jobs.queue(self.endpoint.id, 1000)}
        held = [job_id for worker in state.fleet.workers.values() for job_id in worker.jobs]
        assert len(held) == len(set(held))
        for job in self.jobs():
            assert (job.id in queued) == (job.status is JobStatus.IN_QUEUE)
            assert (job.id in held) == (job.status is JobStatus.IN_PROGRESS)
            assert job.retries <= 1

    @invariant()
    def the_store_agrees(self) -> None:
        """What a restart would find is what there is, but for progress."""
        kept = {job.id: job.status for job in self.store.load().jobs}
        assert kept == {job.id: job.status for job in self.jobs() if not job.status.final}


JobLifeCycle.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestJobLifeCycle = JobLifeCycle.TestCase
