"""Sending a row: written down before, never broken off in the middle, and sent once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.api.types import Policy
from runpodctl_py.batch.pace import Limit, Pace
from runpodctl_py.batch.patience import Patience
from runpodctl_py.batch.row import Row
from runpodctl_py.batch.sending import Sending, intent_of
from runpodctl_py.batch.tally import Tally
from runpodctl_py.errors import (
    AnswerLostError,
    LedgerError,
    NetworkError,
    NotFoundError,
    RefusedError,
    RunpodctlError,
    UnauthorizedError,
)
from runpodctl_py.jobs.ledger import Intent, Ledger, Record, Scribe, State
from tests.unit.batch.scene import (
    ENDPOINT,
    RUNPOD,
    FarRunPod,
    InstantLoop,
    LoopClock,
    batch_of,
    row_of,
    script,
    serverless,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> Any:
    """A loop whose time costs none."""
    return ("asyncio", {"loop_factory": InstantLoop})


class Post:
    """What sends, and all that it sends with.

    Args:
        folder: Where the ledger is.
        scribe: Where it is written down.
        troubles: What goes wrong with the first requests.
    """

    def __init__(self, folder: Path, scribe: Scribe, *troubles: str | None) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, InstantLoop)
        self.path = folder / "ledger.sqlite3"
        self.runpod = FarRunPod(loop.machine, trouble=script(run=troubles))
        self.tally = Tally(9)
        clock = LoopClock()
        self.pace = Pace(Limit(100.0, 2), clock)
        self.patience = Patience(clock, 60.0)
        self.sending = Sending(
            batch_of(folder),
            serverless(self.runpod),
            scribe,
            self.pace,
            self.patience,
            self.tally,
        )

    def records(self) -> list[Record]:
        """Return what the ledger knows, the first attempt first."""
        with Ledger(self.path) as ledger:
            return [*reversed(ledger.jobs())]

    def states(self) -> list[State]:
        """Return where those stand."""
        return [each.state for each in self.records()]


@pytest.fixture
async def scribe(tmp_path: Path) -> AsyncIterator[Scribe]:
    """Where it is written down."""
    async with Scribe(tmp_path / "ledger.sqlite3") as it:
        yield it


def test_what_is_written_down_of_a_row(tmp_path: Path) -> None:
    """Enough to follow it, and to send it again."""
    row = Row(7, "r1", {"n": 1}, Policy(ttl_ms=60_000))
    assert intent_of(batch_of(tmp_path, preset="chatterbox"), row, "0123") == Intent(
        place=RUNPOD,
        endpoint_id=ENDPOINT,
        payload={"n": 1},
        preset="chatterbox",
        policy=Policy(ttl_ms=60_000),
        output_dir=tmp_path / "out",
        parent="0123",
        batch_id="b7f3a2",
        row="r1",
        line=7,
    )


async def test_a_row_is_sent(tmp_path: Path, scribe: Scribe) -> None:
    """The ledger knows it under the key that is returned."""
    post = Post(tmp_path, scribe)
    sent = await post.sending.send(row_of(1), None)
    assert sent is not None
    key, job = sent
    (record,) = post.records()
    assert (record.key, record.job_id, record.state) == (key, job.job_id, State.QUEUED)
    assert (record.intent.row, record.intent.line, record.intent.parent) == ("r1", 1, None)
    assert (post.tally.sent, post.tally.requests, list(post.runpod.jobs)) == (1, 1, [job.job_id])


@pytest.mark.parametrize("word", ["429", "down", "503"])
async def test_what_runpod_surely_did_not_take(tmp_path: Path, scribe: Scribe, word: str) -> None:
    """It is sent once more; each try is written down, since each might have been the last."""
    post = Post(tmp_path, scribe, word, word)
    sent = await post.sending.send(row_of(1), None)
    assert sent is not None
    assert post.states() == [State.NOT_SENT, State.NOT_SENT, State.QUEUED]
    assert (post.tally.sent, post.tally.requests, len(post.runpod.jobs)) == (1, 3, 1)
    assert post.tally.limited == (2 if word == "429" else 0)


@pytest.mark.parametrize(
    ("word", "error", "state"),
    [
        ("lost", AnswerLostError, State.UNKNOWN),
        ("lost-before", AnswerLostError, State.UNKNOWN),
        ("refused", RefusedError, State.NOT_SENT),
        ("401", UnauthorizedError, State.NOT_SENT),
        ("404", NotFoundError, State.NOT_SENT),
    ],
)
async def test_what_is_not_repeated(
    tmp_path: Path, scribe: Scribe, word: str, error: type[RunpodctlError], state: State
) -> None:
    """Nobody knows, or it would be the same again; one request was made."""
    post = Post(tmp_path, scribe, word)
    with pytest.raises(error):
        await post.sending.send(row_of(1), None)
    assert (post.states(), post.runpod.calls, post.tally.sent) == ([state], {"run": 1}, 0)


async def test_an_outage_that_does_not_end(tmp_path: Path, scribe: Scribe) -> None:
    """After the patience it is told; nothing was sent."""
    post = Post(tmp_path, scribe, *["down"] * 999)
    with pytest.raises(NetworkError, match="no route"):
        await post.sending.send(row_of(1), None)
    assert set(post.states()) == {State.NOT_SENT}
    assert 60 < LoopClock().now_s() < 75


async def test_a_refusal_is_an_answer(tmp_path: Path, scribe: Scribe) -> None:
    """However long it goes on, it is no outage: the next one begins anew."""
    post = Post(tmp_path, scribe, "down", *["429"] * 65, "down")
    assert await post.sending.send(row_of(1), None) is not None
    assert LoopClock().now_s() > 65


async def test_a_ledger_that_cannot_be_written(tmp_path: Path, scribe: Scribe) -> None:
    """Then nothing is sent at all."""
    post = Post(tmp_path, scribe)
    post.path.mkdir()
    with pytest.raises(LedgerError):
        await post.sending.send(row_of(1), None)
    assert post.runpod.calls == {}


async def test_a_ledger_that_is_lost_while_a_row_is_on_its_way(
    tmp_path: Path, scribe: Scribe
) -> None:
    """It concerns all rows: they could be sent twice."""
    post = Post(tmp_path, scribe)
    asyncio.get_running_loop().call_later(0.06, post.path.unlink)
    with pytest.raises(LedgerError, match="was deleted while it was in use"):
        await post.sending.send(row_of(1), None)
    assert len(post.runpod.jobs) == 1


@pytest.mark.parametrize("at_s", [0.0005, 0.03, 0.06, 0.102])
async def test_who_is_cancelled_does_not_break_off_a_request(
    tmp_path: Path, scribe: Scribe, at_s: float
) -> None:
    """The answer is waited for, and written down, whoever wants to know."""
    post = Post(tmp_path, scribe)
    task = asyncio.create_task(post.sending.send(row_of(1), None))
    await asyncio.sleep(at_s)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    await post.sending.finish()
    assert (post.states(), len(post.runpod.jobs)) == ([State.QUEUED], 1)


async def test_an_answer_is_not_waited_for_for_ever(tmp_path: Path, scribe: Scribe) -> None:
    """After forty seconds the row is unknown."""
    post = Post(tmp_path, scribe)
    post.runpod.latency_s = lambda: 3600.0
    task = asyncio.create_task(post.sending.send(row_of(1), None))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    await post.sending.finish()
    assert post.states() == [State.UNKNOWN]
    assert LoopClock().now_s() == pytest.approx(41, abs=0.1)


async def test_an_error_that_nobody_waits_for(tmp_path: Path, scribe: Scribe) -> None:
    """It is written down, and no one complains that it was not looked at."""
    complaints: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    post = Post(tmp_path, scribe, "refused")
    task = asyncio.create_task(post.sending.send(row_of(1), None))
    await asyncio.sleep(0.03)
    task.cancel()
    await asyncio.wait([task])
    await post.sending.finish()
    del task
    assert (post.states(), complaints) == ([State.NOT_SENT], [])


async def test_nothing_to_finish(tmp_path: Path, scribe: Scribe) -> None:
    """It takes no time."""
    await Post(tmp_path, scribe).sending.finish()
    assert LoopClock().now_s() == 0.0


async def test_what_waits_for_its_turn_when_it_is_stopped(tmp_path: Path, scribe: Scribe) -> None:
    """It is left unsent; what is on its way is answered."""
    post = Post(tmp_path, scribe)
    tasks = [asyncio.create_task(post.sending.send(row_of(each), None)) for each in range(1, 6)]
    await asyncio.sleep(0.05)
    post.sending.stop()
    sent = await asyncio.gather(*tasks)
    assert [each is not None for each in sent] == [True, True, False, False, False]
    assert (len(post.runpod.jobs), post.tally.requests) == (2, 2)


async def test_what_is_to_be_repeated_when_it_is_stopped(tmp_path: Path, scribe: Scribe) -> None:
    """It is not."""
    post = Post(tmp_path, scribe, "down")
    task = asyncio.create_task(post.sending.send(row_of(1), None))
    await asyncio.sleep(0.03)
    post.sending.stop()
    assert await task is None
    assert post.states() == [State.NOT_SENT]
