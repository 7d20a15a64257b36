"""Any order of submissions, answers, losses and restarts leaves each job in exactly one true state.

The RunPod here is a model in memory: it knows what the ledger can only be told.
"""

from __future__ import annotations

import asyncio
import base64
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from runpodctl_py.api.types import Job, JobStatus, Listed
from runpodctl_py.errors import (
    AnswerLostError,
    InterruptedRunError,
    NetworkError,
    NotFoundError,
    RefusedError,
    RunpodctlError,
)
from runpodctl_py.jobs.ledger import FINAL, Filter, Ledger, State
from runpodctl_py.jobs.masking import masked
from runpodctl_py.jobs.notes import Directly, sent
from runpodctl_py.jobs.sync import Came, Syncing
from runpodctl_py.testing import FakeClock
from tests.unit.jobs.ledger.samples import intent

if TYPE_CHECKING:
    from collections.abc import Collection

    from runpodctl_py.api.serverless import Serverless
    from runpodctl_py.jobs.ledger import Record
    from runpodctl_py.jobs.save import Fetched, Sink
    from runpodctl_py.jobs.sync import Result
    from runpodctl_py.jsontypes import JsonObject, JsonValue

ENDS = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.TIMED_OUT)
ALIVE = (JobStatus.IN_QUEUE, JobStatus.IN_PROGRESS)
REPEATABLE = (JobStatus.FAILED, JobStatus.TIMED_OUT)


class KilledError(BaseException):
    """SIGKILL, as far as one process can have it and go on."""


class NoLinks:
    """A fetcher with nothing to fetch."""

    async def fetch(self, url: str, sink: Sink) -> Fetched:
        """Never called: no output here has a link."""
        raise AssertionError((url, sink))


@dataclass
class TrueJob:
    """A job as it really is."""

    job_id: str
    payload: JsonValue
    status: JobStatus = JobStatus.IN_QUEUE
    runs: int = 1
    is_dropped: bool = False
    history: set[State] = field(default_factory=lambda: {State.QUEUED})

    @property
    def content(self) -> bytes:
        """What its file has in it: another content in each run."""
        return f"{self.job_id} in run {self.runs}, {self.status}".encode()

    def become(self, status: JobStatus) -> None:
        """Come to another state."""
        self.status = status
        self.history.add(State.of(status))

    def run_again(self) -> None:
        """Begin anew, as RunPod's `/retry` has it."""
        self.runs += 1
        self.become(JobStatus.IN_QUEUE)

    def shown(self) -> Job:
        """Return it as `/status` shows it."""
        if not self.status.is_final or self.status is JobStatus.CANCELLED:
            return Job(self.job_id, self.status)
        encoded = base64.b64encode(self.content).decode()
        output = {"filename": f"{self.job_id}.bin", "content_base64": encoded}
        return Job(self.job_id, self.status, output=output, execution_ms=1000)


class ModelRunPod:
    """An endpoint that loses nothing, and shows what it wants to."""

    def __init__(self) -> None:
        self.jobs: dict[str, TrueJob] = {}
        self.lists = "all"
        self.is_reachable = True
        self.list_count = 0

    def take(self, payload: JsonValue) -> TrueJob:
        """Queue a job."""
        job = TrueJob(f"{len(self.jobs):04}-u1", payload)
        self.jobs[job.job_id] = job
        return job

    def some(self, *statuses: JobStatus) -> list[TrueJob]:
        """Return the jobs in some states that it still has."""
        return [e for e in self.jobs.values() if e.status in statuses and not e.is_dropped]

    async def status(self, job_id: str) -> Job:
        """Answer as the job API does."""
        await self._reached()
        job = self.jobs[job_id]
        if job.is_dropped:
            raise NotFoundError("gone", job_id=job_id)
        return job.shown()

    async def requests(self) -> list[Listed]:
        """List the jobs, with their inputs or without, where there is a list at all."""
        self.list_count += 1
        await self._reached()
        if self.lists == "nothing":
            raise RefusedError("no such list")
        known = [each for each in self.jobs.values() if not each.is_dropped]
        if self.lists == "ids":
            return [Listed(each.job_id, None, has_payload=False) for each in known]
        return [Listed(each.job_id, each.payload) for each in known]

    async def _reached(self) -> None:
        await asyncio.sleep(0)
        if not self.is_reachable:
            raise NetworkError("no route to RunPod")


@dataclass
class Sent:
    """What really became of a job that we sent.

    Args:
        fate: How the sending went.
        job: The job it made, if it made one.
    """

    fate: str
    job: TrueJob | None = None

    @property
    def was_answered(self) -> bool:
        """Whether our side was told the id."""
        return self.fate == "answered"


FATES = st.sampled_from(
    (
        *("answered", "answered", "refused", "lost before", "lost after"),
        *("interrupted before", "interrupted after", "killed before", "killed after"),
    )
)


class LedgerMachine(RuleBasedStateMachine):
    """Our side and RunPod's, in any order."""

    news = Bundle("news")

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._root = Path(self._folder.name)
        self._clock = FakeClock()
        self.runpod = ModelRunPod()
        self.sent: dict[str, Sent] = {}
        self.ledger = self._opened()

    def teardown(self) -> None:
        """In the end, everything is asked for once more."""
        try:
            self.sync(is_reachable=True)
            self.every_state_is_true()
            self.what_is_saved_is_here()
        finally:
            self.ledger.close()
            self._folder.cleanup()

    def _opened(self) -> Ledger:
        ledger = Ledger(self._root / "ledger.sqlite3", self._clock.now)
        # No power is cut here; waiting for the disk would be all that this test does.
        ledger._database.rows("PRAGMA synchronous = OFF")
        return ledger

    @initialize(
        lists=st.sampled_from(("all", "all", "ids", "nothing")),
        fates=st.lists(FATES, min_size=1, max_size=4),
        ends=st.lists(st.sampled_from(REPEATABLE), min_size=1, max_size=2),
    )
    def begin(self, lists: str, fates: list[str], ends: list[JobStatus]) -> None:
        """Not every endpoint has a list of requests; some jobs were sent before, some failed."""
        self.runpod.lists = lists
        for end in ends:
            self.submit("answered", 1, has_secret=False)
            self.runpod.some(JobStatus.IN_QUEUE)[0].become(end)
        for fate in fates:
            self.submit(fate, 0, has_secret=False)

    # What we do.

    @rule(fate=FATES, number=st.integers(0, 2), has_secret=st.booleans())
    def submit(self, fate: str, number: int, *, has_secret: bool) -> None:
        """Send a job; its answer may be lost, and our process may end, before or after."""
        payload: JsonObject = {"n": number}
        if has_secret:
            payload["api_key"] = "s3cret"
        true = Sent(fate)

        async def send() -> Job:
            if fate in {"answered", "lost after", "interrupted after", "killed after"}:
                true.job = self.runpod.take(payload)
            if true.job is not None and fate == "answered":
                return true.job.shown()
            raise {
                "refused": RefusedError("no"),
                "lost": AnswerLostError("cut off"),
                "interrupted": InterruptedRunError("interrupted"),
                "killed": KilledError(),
            }[fate.split(maxsplit=1)[0]]

        before = {each.key for each in self.ledger.jobs()}
        try:
            asyncio.run(sent(Directly(self.ledger), intent(payload=payload), send, pytest.fail))
        except KilledError:
            self.restart()
        except RunpodctlError:
            assert fate != "answered"
        (key,) = {each.key for each in self.ledger.jobs()} - before
        self.sent[key] = true

    @rule()
    def restart(self) -> None:
        """Our process ends, whatever it had in hand; the next one looks whose sender is gone."""
        self.ledger.close()
        self.ledger = self._opened()
        self.ledger.settle()

    @precondition(lambda self: self._known())
    @rule(target=news, data=st.data())
    def ask(self, data: st.DataObject) -> tuple[str, Job]:
        """A command asks for a job; what it hears may reach the ledger much later."""
        key = data.draw(st.sampled_from(self._known()))
        return key, self._true(key).shown()

    @precondition(lambda self: self._known())
    @rule(data=st.data(), is_followed=st.booleans())
    def look(self, data: st.DataObject, *, is_followed: bool) -> None:
        """A command asks for a job, and writes down at once how it stands."""
        key = data.draw(st.sampled_from(self._known()))
        write = self.ledger.seen if is_followed else self.ledger.asked
        write(key, self._true(key).shown())

    @rule(heard=consumes(news))
    def hear(self, heard: tuple[str, Job]) -> None:
        """The answer is written down, old as it may be."""
        key, job = heard
        if key in self.sent:
            self.ledger.seen(key, job)

    @precondition(lambda self: self._known())
    @rule(data=st.data())
    def watch(self, data: st.DataObject) -> None:
        """A job is followed to where it is, and saved if it has ended, be it once more."""
        key = data.draw(st.sampled_from(self._known()))
        assert self.ledger.claim(key)
        (result,) = self._brought([self.ledger.record(key)])
        self._check_brought(result)
        self.ledger.let_go(key)

    @precondition(lambda self: self._known(REPEATABLE))
    @rule(data=st.data(), fate=FATES, is_saved=st.booleans())
    def retry(self, data: st.DataObject, fate: str, *, is_saved: bool) -> None:
        """RunPod is asked to run a job once more; its answer may be lost, and we may be killed."""
        key = data.draw(st.sampled_from(self._known(REPEATABLE)))
        if is_saved:
            self._check_brought(*self._brought([self.ledger.record(key)]))
        before = self.ledger.record(key)
        self.ledger.repeating(key)
        if fate == "answered" or fate.endswith("after"):
            self._true(key).run_again()
        if fate == "answered":
            self.ledger.begun_anew(key)
        elif fate == "refused":
            self.ledger.not_repeated(before)
            assert self.ledger.record(key) == before
        elif fate.startswith("killed"):
            self.restart()
        assert self.ledger.record(key).waits or fate == "refused"

    @rule(is_reachable=st.sampled_from((True, True, False)))
    def sync(self, *, is_reachable: bool) -> None:
        """Everything that is not settled is asked for, all at once."""
        self.runpod.is_reachable = is_reachable
        self.ledger.settle()
        wanted = self.ledger.jobs(Filter(unsettled=True))
        unknown, free = self._unknown(), self._free()
        before = {each.key: each for each in self.ledger.jobs()}
        self.runpod.list_count = 0
        results = self._brought(wanted)
        assert self.runpod.list_count <= 1 or not is_reachable
        if is_reachable:
            assert [each.record.key for each in results] == [each.key for each in wanted]
            for result in results:
                self._check_brought(result)
            self._check_found(unknown, free)
        else:
            assert {each.came for each in results} <= {Came.UNKNOWN}
            assert before == {each.key: each for each in self.ledger.jobs()}
        self.runpod.is_reachable = True

    @precondition(lambda self: len(self.sent) > 3)
    @rule()
    def prune(self) -> None:
        """All that is done with is forgotten, and nothing else."""
        self.ledger.settle()
        for record in self.ledger.jobs():
            is_done = record.saved_at is not None
            if is_done or record.state in {State.NOT_SENT, State.EXPIRED}:
                del self.sent[record.key]
        self.ledger.forget(float("inf"))

    # What RunPod does.

    @precondition(lambda self: self.runpod.some(*ALIVE))
    @rule(data=st.data(), status=st.sampled_from((*ALIVE, *ENDS, *REPEATABLE)))
    def go_on(self, data: st.DataObject, status: JobStatus) -> None:
        """A job is taken, given back, or ends."""
        self._clock.advance(1)
        data.draw(st.sampled_from(self.runpod.some(*ALIVE))).become(status)

    @precondition(lambda self: self.runpod.some(*ENDS))
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        """Half an hour has passed since a job's end."""
        data.draw(st.sampled_from(self.runpod.some(*ENDS))).is_dropped = True

    @precondition(lambda self: self.runpod.some(*REPEATABLE))
    @rule(data=st.data())
    def retry_elsewhere(self, data: st.DataObject) -> None:
        """Somebody has a job run once more in RunPod's console."""
        data.draw(st.sampled_from(self.runpod.some(*REPEATABLE))).run_again()

    # What must be true at any time.

    @invariant()
    def every_job_is_there_once(self) -> None:
        """One row for each that we meant to send, and one row at most for each of RunPod's."""
        rows = self.ledger.jobs()
        assert {each.key for each in rows} == set(self.sent)
        ids = [each.job_id for each in rows if each.job_id is not None]
        assert len(ids) == len(set(ids))

    @invariant()
    def every_state_is_true(self) -> None:
        """What the ledger says is what RunPod knows, or knew when we last heard of it."""
        for record in self.ledger.jobs():
            true = self.sent[record.key]
            assert self.ledger.sightings(record.key)[-1].state is record.state
            match record.state:
                case State.NOT_SENT:
                    assert true.fate == "refused"
                case State.SENDING:
                    assert true.fate.startswith("killed")
                case State.UNKNOWN:
                    assert true.fate.startswith(("lost", "interrupted", "killed"))
                case _:
                    self._check_known(record, true)

    @invariant()
    def what_is_saved_is_here(self) -> None:
        """Whole, under its own name, and the right one."""
        for record in self.ledger.jobs():
            if record.saved_at is None:
                continue
            assert record.state in FINAL
            if record.state is State.CANCELLED:
                assert self.ledger.files(record.key) == ()
                continue
            (file,) = self.ledger.files(record.key)
            said = file.path.read_bytes().decode()
            assert said.startswith(f"{record.job_id} in run ")
            assert said.endswith(f", {record.state.value.upper()}")

    # Shared steps.

    def _check_known(self, record: Record, true: Sent) -> None:
        job = self._true_job(record.key)
        assert job is not None
        assert true.fate != "refused"
        if true.was_answered:
            assert job is true.job
        assert job.payload == self.ledger.payload(record.key) or not record.is_payload_whole
        if record.state is State.EXPIRED:
            assert job.is_dropped
            assert record.saved_at is None
        else:
            assert record.state in job.history

    def _check_brought(self, result: Result) -> None:
        """Nothing that RunPod has is lost, and nothing is said to be lost that is not."""
        record, job = result.record, self._true_job(result.record.key)
        if job is None:
            assert (result.came, record.state) == (Came.UNKNOWN, State.UNKNOWN)
            assert not self.sent[record.key].was_answered
        elif job.is_dropped:
            assert (result.came, record.state) == (Came.EXPIRED, State.EXPIRED)
        elif job.status.is_final:
            assert (result.came, record.state) == (Came.HOME, State.of(job.status))
            files = [each.path.read_bytes() for each in self.ledger.files(record.key)]
            assert files == ([] if record.state is State.CANCELLED else [job.content])
        else:
            assert (result.came, record.state) == (Came.RUNNING, State.of(job.status))

    def _check_found(self, unknown: Counter[str], free: Counter[str]) -> None:
        """Of those that are alike, each takes one of RunPod's, unless one may be another's."""
        if self.runpod.lists != "all":
            return
        for payload, count in unknown.items():
            found = free[payload] if free[payload] <= count else 0
            assert self._unknown()[payload] == count - found

    def _unknown(self) -> Counter[str]:
        """Count the jobs that nobody knows anything of, by what they were sent."""
        records = self.ledger.jobs(Filter(states=(State.UNKNOWN,), unsettled=True))
        return Counter(str(self.ledger.payload(each.key)) for each in records)

    def _free(self) -> Counter[str]:
        """Count RunPod's jobs that are none of ours, by what they were sent."""
        jobs = self.runpod.some(*ALIVE, *ENDS)
        return Counter(str(masked(e.payload)) for e in jobs if not self.ledger.knows(e.job_id))

    def _brought(self, records: list[Record]) -> list[Result]:
        endpoint: Serverless = self.runpod  # type: ignore[assignment] # what is asked of it
        syncing = Syncing(
            self.ledger, endpoint, self._root / "outputs", NoLinks, is_directory_meant=True
        )

        async def bring() -> list[Result]:
            brought = await asyncio.gather(*map(syncing.bring, records), return_exceptions=True)
            results = []
            for each in brought:
                if isinstance(each, BaseException):
                    assert isinstance(each, NetworkError), repr(each)
                else:
                    results.append(each)
            return results

        return asyncio.run(bring())

    def _true_job(self, key: str) -> TrueJob | None:
        """Return the job that we know a record to be, if we do."""
        job_id = self.ledger.record(key).job_id
        return None if job_id is None else self.runpod.jobs[job_id]

    def _true(self, key: str) -> TrueJob:
        job = self._true_job(key)
        assert job is not None
        return job

    def _known(self, statuses: Collection[JobStatus] = (*ALIVE, *ENDS)) -> list[str]:
        """Return the keys of our jobs that RunPod has, in certain states."""
        known = {each.job_id for each in self.runpod.some(*statuses)}
        return [each.key for each in self.ledger.jobs() if each.job_id in known]


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
