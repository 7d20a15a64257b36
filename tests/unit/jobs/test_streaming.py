from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runpodctl_py.api.serverless import parse_streamed
from runpodctl_py.api.types import Job, JobStatus, Streamed
from runpodctl_py.errors import NetworkError, RunpodctlError, ServerError, WaitTimeoutError
from runpodctl_py.jobs.follow import Finished
from runpodctl_py.jobs.streaming import Piece, stream
from runpodctl_py.jobs.words import LiveText

if TYPE_CHECKING:
    from runpodctl_py.api.serverless import Serverless


class StillClock:
    """A `Clock` that moves only while somebody sleeps."""

    def __init__(self) -> None:
        self._now_s = 1000.0

    def now_s(self) -> float:
        """Return the time."""
        return self._now_s

    async def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self._now_s += seconds


@dataclass
class Endpoint:
    """Answers `/stream` as it was told to, then for ever the same."""

    answers: list[Streamed | RunpodctlError]
    job: Job
    asked: int = 0
    clock: StillClock = field(default_factory=StillClock)

    async def stream(self, job_id: str, wait_ms: int) -> Streamed:
        """Answer, or fail."""
        assert (job_id, wait_ms) == ("j", 5000)
        self.asked += 1
        assert self.asked < 1000
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, RunpodctlError):
            raise answer
        return answer

    async def status(self, job_id: str) -> Job:
        """Return the job."""
        assert job_id == "j"
        return self.job

    async def hear(self, **limits: Any) -> list[Piece | Finished]:
        """Listen to the end."""
        heard = stream(cast("Serverless", self), "j", self.clock, **limits)
        return [event async for event in heard]


RUNNING, DONE = JobStatus.IN_PROGRESS, JobStatus.COMPLETED


@pytest.mark.anyio
@pytest.mark.parametrize("last", [("c",), ()])
async def test_pieces_come_in_order_until_all_are_handed_out(last: tuple[str, ...]) -> None:
    """Servers hand out the last pieces with the final state, or before it."""
    answers = [Streamed(RUNNING, ("a", "b")), Streamed(RUNNING), Streamed(DONE, last)]
    endpoint = Endpoint([*answers, Streamed(DONE)], Job("j", DONE, output=["x"]))
    *pieces, finished = await endpoint.hear()
    assert [each.value for each in pieces if isinstance(each, Piece)] == ["a", "b", *last]
    assert finished == Finished(Job("j", DONE, output=["x"]), 0.5)


@pytest.mark.anyio
@pytest.mark.parametrize("output", [[], None])
async def test_a_worker_that_does_not_collect_leaves_what_was_heard(output: Any) -> None:
    """Its output is empty; nothing that arrived is lost."""
    answers = [Streamed(RUNNING, ("a", {"b": 1})), Streamed(DONE)]
    *_, finished = await Endpoint([*answers], Job("j", DONE, output=output)).hear()
    assert isinstance(finished, Finished)
    assert finished.job.output == ["a", {"b": 1}]


@pytest.mark.anyio
@pytest.mark.parametrize("status", ["FAILED", "CANCELLED", "TIMED_OUT"])
async def test_every_final_state_ends_it(status: str) -> None:
    """Also those that the official client does not know (API reference 4.5)."""
    end = JobStatus.parse(status)
    (finished,) = await Endpoint([Streamed(end)], Job("j", end, error="e")).hear()
    assert finished == Finished(Job("j", end, error="e"), 0.0)


@pytest.mark.anyio
async def test_an_outage_is_waited_out() -> None:
    """For as long as our patience lasts; what arrives after it is heard."""
    lost = NetworkError("no answer")
    endpoint = Endpoint([lost, lost, Streamed(RUNNING, ("a",)), Streamed(DONE)], Job("j", DONE))
    first, _ = await endpoint.hear()
    assert first == Piece("a", 1.0)
    with pytest.raises(NetworkError):
        await Endpoint([lost], Job("j", DONE)).hear(patience_s=10.0)


@pytest.mark.anyio
async def test_a_time_limit_leaves_the_job() -> None:
    """Whatever it has said by then."""
    endpoint = Endpoint([Streamed(RUNNING)], Job("j", RUNNING))
    with pytest.raises(WaitTimeoutError, match=r"^Stopped waiting after 3 s; the job goes on"):
        await endpoint.hear(timeout_s=3.0)
    assert endpoint.asked <= 8


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
        ([{"progress": 5}, 7, None, ["x"]], ""),
        (['data: {"choices":[{"text":"cut off"}]}'], "cut off"),
        ([], ""),
    ],
)
def test_pieces_are_read_as_text(pieces: list[Any], text: str) -> None:
    """Plain ones, both eras of LLM workers, and what says nothing to a person."""
    assert text_of(pieces) == text
