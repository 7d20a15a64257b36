from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runpodctl_py.api.serverless import parse_streamed
from runpodctl_py.api.types import Job, JobStatus, Streamed
from runpodctl_py.errors import NetworkError, NotFoundError, RunpodctlError, ServerError
from runpodctl_py.jobs.follow import Event, Finished, Queued, Started, Unchanged
from runpodctl_py.jobs.streaming import Missed, Piece, hearing, with_pieces
from runpodctl_py.jobs.words import LiveText

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from runpodctl_py.api.serverless import Serverless

RUNNING, DONE = JobStatus.IN_PROGRESS, JobStatus.COMPLETED
STARTED = Started(Job("j", RUNNING), 0.0)
ENDED = Job("j", DONE)
Heard: TypeAlias = Event | Piece | Missed


class StillClock:
    """A `Clock` that moves only while somebody sleeps; what waits lets others go on."""

    def __init__(self) -> None:
        self._now_s = 1000.0

    def now_s(self) -> float:
        """Return the time."""
        return self._now_s

    async def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self._now_s += seconds
        await asyncio.sleep(0)


@dataclass
class Endpoint:
    """Answers `/stream` as it was told to, then for ever the same; its job goes on meanwhile."""

    answers: list[Streamed | RunpodctlError]
    events: list[Event | RunpodctlError]
    asked: int = 0
    has_no_status: bool = False
    pause: int = 10
    clock: StillClock = field(default_factory=StillClock)
    kept: list[Any] = field(default_factory=list)

    async def stream(self, job_id: str, wait_ms: int) -> Streamed:
        """Answer, or fail."""
        assert (job_id, wait_ms) in {("j", 5000), ("j", 0)}
        self.asked += 1
        assert self.asked < 1000
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, RunpodctlError):
            raise answer
        return answer

    async def status(self, job_id: str, tries: int) -> Job:
        """Return the job as it runs, or nothing."""
        assert tries == 1
        if self.has_no_status:
            raise NetworkError("no answer")
        return Job(job_id, RUNNING, worker_id="w")

    async def follow(self) -> AsyncIterator[Event]:
        """Yield the job's states, each when the stream may have been asked once more."""
        for event in self.events:
            for _ in range(self.pause):
                await asyncio.sleep(0)
            if isinstance(event, RunpodctlError):
                raise event
            yield event

    async def known(self) -> Sequence[Any]:
        """Return what was kept."""
        return self.kept

    async def keep(self, pieces: Sequence[Any]) -> None:
        """Keep what was heard."""
        self.kept += pieces

    async def hear(self) -> list[Heard]:
        """Listen to the end."""
        heard = hearing(self.follow(), cast("Serverless", self), "j", self.clock, self)
        return [event async for event in heard]

    async def completed(self, job: Job) -> Job:
        """Return an ended job with its pieces."""
        return await with_pieces(cast("Serverless", self), job, self)


def pieces_of(events: list[Heard]) -> list[Any]:
    """Return what was heard."""
    return [each.value for each in events if isinstance(each, Piece)]


@pytest.mark.anyio
@pytest.mark.parametrize("last", [("c",), ()])
async def test_pieces_come_in_order_until_all_are_handed_out(last: tuple[str, ...]) -> None:
    """Servers hand out the last pieces with the final state, or before it."""
    answers = [Streamed(RUNNING, ("a", "b")), Streamed(RUNNING), Streamed(DONE, last)]
    finished = Finished(Job("j", DONE), 1.0)
    endpoint = Endpoint([*answers, Streamed(DONE)], [STARTED, finished])
    events = await endpoint.hear()
    assert pieces_of(events) == endpoint.kept == ["a", "b", *last]
    assert events[-1] == finished


@pytest.mark.anyio
async def test_a_job_starts_before_its_first_piece_and_only_once() -> None:
    """The question about its state may be held for longer than the first piece is."""
    waiting: list[Event | RunpodctlError] = [Queued(0.0, None), Unchanged(1.0), STARTED]
    finished = Finished(Job("j", DONE), 1.0)
    answers = [Streamed(JobStatus.IN_QUEUE), Streamed(RUNNING, ("a",)), Streamed(RUNNING)]
    endpoint = Endpoint([*answers, Streamed(DONE)], [*waiting, finished])
    events = await endpoint.hear()
    kinds = [type(each) for each in events]
    assert kinds.count(Started) == 1
    assert kinds.index(Started) < kinds.index(Piece)


@pytest.mark.anyio
@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"])
async def test_every_final_state_ends_it(status: str) -> None:
    """Also those that the official client does not know (API reference 4.5)."""
    end = JobStatus.parse(status)
    finished = Finished(Job("j", end, error="e"), 0.0)
    assert await Endpoint([Streamed(end)], [finished]).hear() == [finished]


@pytest.mark.anyio
async def test_what_a_state_says_of_the_time_before_is_no_news() -> None:
    """A job that has yielded something does not wait any more, and starts once."""
    waiting: list[Event | RunpodctlError] = [Queued(0.0, None), STARTED, Finished(ENDED, 1.0)]
    endpoint = Endpoint([Streamed(RUNNING, ("a",)), Streamed(RUNNING), Streamed(DONE)], waiting)
    kinds = [type(each) for each in await endpoint.hear()]
    assert kinds == [Started, Piece, Finished]


@pytest.mark.anyio
async def test_a_job_that_lost_its_worker_waits_and_starts_again() -> None:
    """Once its start was seen, what comes later is news."""
    states: list[Event | RunpodctlError] = [STARTED, Queued(1.0, None), STARTED]
    endpoint = Endpoint([Streamed(RUNNING), Streamed(DONE)], [*states, Finished(ENDED, 1.0)])
    kinds = [type(each) for each in await endpoint.hear()]
    assert kinds == [Started, Queued, Started, Finished]


@pytest.mark.anyio
async def test_a_start_is_told_although_the_state_cannot_be_had() -> None:
    """It decorates the listening; the piece is what matters."""
    answers: list[Streamed | RunpodctlError] = [Streamed(RUNNING, ("a",)), Streamed(DONE)]
    endpoint = Endpoint(answers, [Finished(ENDED, 1.0)], has_no_status=True)
    first, *events = await endpoint.hear()
    assert isinstance(first, Started)
    assert first.job == Job("j", RUNNING)
    assert events == [Piece("a"), Finished(ENDED, 1.0)]


@pytest.mark.anyio
@pytest.mark.parametrize("trouble", [NetworkError("no answer"), NotFoundError("no such route")])
async def test_trouble_with_the_pieces_alone_does_not_end_it(trouble: RunpodctlError) -> None:
    """A worker that collects its pieces has them in its output; an answer that is lost is told."""
    finished = Finished(Job("j", DONE, output=["a"]), 1.0)
    endpoint = Endpoint([trouble], [STARTED, finished])
    events = [each for each in await endpoint.hear() if not isinstance(each, Missed)]
    assert events == [STARTED, finished]
    assert endpoint.asked <= 30


@pytest.mark.anyio
async def test_an_outage_is_waited_out() -> None:
    """What arrives after it is heard, and that something may be missing is told."""
    lost = NetworkError("no answer")
    answers = [lost, lost, Streamed(RUNNING, ("a",)), Streamed(DONE)]
    endpoint = Endpoint(answers, [Finished(ENDED, 1.0)])
    events = await endpoint.hear()
    assert pieces_of(events) == ["a"]
    assert sum(isinstance(each, Missed) for each in events) == 2


@pytest.mark.anyio
async def test_the_last_pieces_are_asked_for_three_times() -> None:
    """A job that has ended says no more than it has said; one lost answer is no reason."""
    lost = NetworkError("no answer")
    answers = [lost, lost, Streamed(DONE, ("a",)), Streamed(DONE)]
    assert pieces_of(await Endpoint(answers, [Finished(ENDED, 1.0)], pause=0).hear()) == ["a"]


@pytest.mark.anyio
async def test_a_stream_that_never_ends_ends_with_its_job() -> None:
    """Whatever state the server says that the stream is in."""
    endpoint = Endpoint([Streamed(RUNNING, ("a",)), Streamed(RUNNING)], [Finished(ENDED, 1.0)])
    assert pieces_of(await endpoint.hear()) == ["a"]
    assert endpoint.asked <= 30


@pytest.mark.anyio
async def test_a_server_that_does_not_hold_is_not_stormed() -> None:
    """Half a second is between two questions."""
    states: list[Event | RunpodctlError] = [Unchanged(1.0)] * 5
    endpoint = Endpoint([Streamed(RUNNING)], [*states, Finished(ENDED, 1.0)])
    await endpoint.hear()
    assert endpoint.clock.now_s() - 1000.0 >= 0.5 * (endpoint.asked - 2)


@pytest.mark.anyio
async def test_what_ends_the_following_ends_the_listening() -> None:
    """The job is gone, for example."""
    with pytest.raises(NotFoundError, match="gone"):
        await Endpoint([Streamed(RUNNING)], [STARTED, NotFoundError("gone")]).hear()


@pytest.mark.anyio
@pytest.mark.parametrize("status", [JobStatus.COMPLETED, JobStatus.FAILED])
@pytest.mark.parametrize("output", [[], None])
async def test_a_worker_that_does_not_collect_leaves_what_was_heard(
    status: JobStatus, output: Any
) -> None:
    """Its output is empty; nothing that arrived is lost, nor what nobody has fetched yet."""
    endpoint = Endpoint([Streamed(DONE, ("c",)), Streamed(DONE)], [], kept=["a", {"b": 1}])
    job = await endpoint.completed(Job("j", status, output=output))
    assert job.output == ["a", {"b": 1}, "c"]


@pytest.mark.anyio
async def test_what_is_fetched_at_the_end_is_kept_before_more_is_asked_for() -> None:
    """It does not come again: whoever tries once more has it from there."""
    lost = NetworkError("no answer")
    endpoint = Endpoint([Streamed(DONE, ("a",)), lost, Streamed(DONE, ("b",)), Streamed(DONE)], [])
    with pytest.raises(NetworkError):
        await endpoint.completed(Job("j", DONE))
    assert endpoint.kept == ["a"]
    assert (await endpoint.completed(Job("j", DONE))).output == ["a", "b"]


@pytest.mark.anyio
@pytest.mark.parametrize("status", [JobStatus.CANCELLED, JobStatus.TIMED_OUT])
async def test_what_was_heard_of_a_job_that_was_ended_is_its_output(status: JobStatus) -> None:
    """Its worker was stopped, so nothing more is asked for."""
    endpoint = Endpoint([Streamed(DONE, ("c",))], [], kept=["a"])
    assert (await endpoint.completed(Job("j", status))).output == ["a"]
    assert endpoint.asked == 0


@pytest.mark.anyio
@pytest.mark.parametrize(
    "job",
    [
        Job("j", DONE, output=["x"]),
        Job("j", RUNNING),
        Job("j", DONE, output={}),
        Job("j", JobStatus.FAILED, output=[1]),
    ],
)
async def test_an_output_of_its_own_is_left_alone(job: Job) -> None:
    """So is that of a job that has not ended; neither costs a request."""
    endpoint = Endpoint([Streamed(DONE, ("c",))], [], kept=["a"])
    assert await endpoint.completed(job) == job
    assert endpoint.asked == 0


@pytest.mark.anyio
async def test_a_job_that_said_nothing_stays_as_it_is() -> None:
    """Also where the server has no such route."""
    job = Job("j", DONE, output=[])
    assert await Endpoint([NotFoundError("no such route")], []).completed(job) == job


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"status": "IN_PROGRESS", "stream": [{"output": "a"}, {"output": None}]},
            Streamed(RUNNING, ("a", None)),
        ),
        ({"status": "COMPLETED", "stream": []}, Streamed(DONE)),
        ({"status": "COMPLETED"}, Streamed(DONE)),
        ({"status": "RUNNING", "stream": ["bare"]}, Streamed(RUNNING, ("bare",))),
    ],
)
def test_an_answer_is_read(body: Any, expected: Streamed) -> None:
    """Pieces stand in `output` (API reference 4.4)."""
    assert parse_streamed(body) == expected


@pytest.mark.parametrize("body", [{}, {"status": ""}, {"stream": []}])
def test_what_is_no_stream_is_refused(body: Any) -> None:
    """As a server's mistake."""
    with pytest.raises(ServerError):
        parse_streamed(body)


def text_of(pieces: list[Any]) -> str:
    """What is printed of pieces."""
    live = LiveText()
    return "".join(map(live.feed, pieces)) + live.end()


EVENTS = (
    'data: {"choices":[{"delta":{"content":"Hé"}}]}\n\n: a comment\n\n'
    'data: {"choices":[{"delta":{"content":"llo"}}]}\n\ndata: [DONE]\n\n'
)


@given(st.lists(st.integers(0, len(EVENTS)), max_size=6))
def test_events_are_read_however_they_are_cut(cuts: list[int]) -> None:
    """worker-vllm cuts them at any place."""
    places = [0, *sorted(cuts), len(EVENTS)]
    pieces = [EVENTS[a:b] for a, b in itertools.pairwise(places)]
    assert text_of(pieces) == "Héllo"


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["Hel", "lo, data: ", "5"], "Hello, data: 5"),
        ([{"choices": [{"tokens": ["Hel"]}]}, {"choices": [{"tokens": ["lo"]}]}], "Hello"),
        ([{"text": "Hel"}, {"text": "lo"}], "Hello"),
        ([{"progress": 5}, 7, None], ""),
        (['data: {"choices":[{"text":"cut off"}]}'], "cut off"),
        ([], ""),
    ],
)
def test_pieces_are_read_as_text(pieces: list[Any], text: str) -> None:
    """Plain ones, both eras of LLM workers, and what says nothing to a person."""
    assert text_of(pieces) == text
