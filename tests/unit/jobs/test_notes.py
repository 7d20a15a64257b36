from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.api.types import Job, JobStatus
from runpodctl_py.errors import (
    AnswerLostError,
    InterruptedRunError,
    LedgerError,
    NetworkError,
    NotFoundError,
    PayloadTooLargeError,
    RateLimitedError,
    RefusedError,
    RunpodctlError,
    SaveError,
    ServerError,
    UnauthorizedError,
)
from runpodctl_py.jobs.collect import Summary
from runpodctl_py.jobs.ledger import Intent, KeptFile, Ledger, Place, Record, State
from runpodctl_py.jobs.notes import Directly, Notes, home_of, sent
from runpodctl_py.jobs.save import SavedFile

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

INTENT = Intent(place=Place("https://api.runpod.ai/v2"), endpoint_id="e", payload={"n": 1})
QUEUED = Job("8f3c2a54-u1", JobStatus.IN_QUEUE)
DONE = Job("8f3c2a54-u1", JobStatus.COMPLETED, output="fine", error={"error_type": "E"})


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An empty one."""
    with Ledger(tmp_path / "data" / "ledger.sqlite3") as it:
        yield it


@pytest.fixture
def told() -> list[str]:
    """What the person was told of the ledger's troubles."""
    return []


def only(ledger: Ledger) -> Record:
    """Return the one job in the ledger."""
    (record,) = ledger.jobs()
    return record


def damage(ledger: Ledger) -> None:
    """Let the ledger's file be none any more."""
    ledger.close()
    ledger.path.parent.mkdir(exist_ok=True)
    for path in ledger.path.parent.glob("*.sqlite3*"):
        if path.is_file():
            path.unlink()
    ledger.path.write_text("Dear diary, today nothing happened. " * 9)


async def test_it_is_written_down_before_it_is_sent(ledger: Ledger, told: list[str]) -> None:
    """And its id as soon as it is known."""
    states: list[State] = []

    async def send() -> Job:
        states.append(only(ledger).state)
        return QUEUED

    job, notes = await sent(
        Directly(ledger), INTENT, send, lambda error: told.append(error.message)
    )
    assert (job, notes.key, states) == (QUEUED, only(ledger).key, [State.SENDING])
    assert (only(ledger).state, only(ledger).job_id) == (State.QUEUED, QUEUED.job_id)
    assert told == []


async def test_what_cannot_be_written_down_is_not_sent(ledger: Ledger, told: list[str]) -> None:
    """Nobody could find it again."""
    damage(ledger)
    calls: list[None] = []

    async def send() -> Job:
        calls.append(None)
        return QUEUED

    with pytest.raises(LedgerError, match="is damaged"):
        await sent(Directly(ledger), INTENT, send, lambda error: told.append(error.message))
    assert (calls, told) == ([], [])


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (AnswerLostError("cut off"), State.UNKNOWN),
        (InterruptedRunError("interrupted while it was being sent"), State.UNKNOWN),
        (NetworkError("no route"), State.NOT_SENT),
        (ServerError("busy", status=503), State.NOT_SENT),
        (RateLimitedError("too many"), State.NOT_SENT),
        (UnauthorizedError("no key"), State.NOT_SENT),
        (NotFoundError("no endpoint"), State.NOT_SENT),
        (RefusedError("no"), State.NOT_SENT),
        (PayloadTooLargeError("too large"), State.NOT_SENT),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else str(each),
)
async def test_what_an_error_says_of_the_job(
    ledger: Ledger, told: list[str], error: RunpodctlError, state: State
) -> None:
    """Only where nobody can know whether RunPod took it, it is unknown."""

    async def send() -> Job:
        raise error

    with pytest.raises(type(error)) as caught:
        await sent(Directly(ledger), INTENT, send, lambda error: told.append(error.message))
    assert caught.value is error
    assert (only(ledger).state, only(ledger).error, told) == (state, error.message, [])


async def test_a_lost_answer_says_how_to_look(ledger: Ledger) -> None:
    """After what it said itself."""

    async def send() -> Job:
        raise AnswerLostError("cut off", hint="Look:  health")

    with pytest.raises(AnswerLostError) as caught:
        await sent(Directly(ledger), INTENT, send, lambda _: None)
    assert caught.value.hint == "Look:  health\nLook for it:  runpodctl-py jobs sync"


async def test_who_is_cancelled_while_sending_does_not_know(ledger: Ledger) -> None:
    """RunPod may have the job."""
    began = asyncio.Event()

    async def send() -> Job:
        began.set()
        await asyncio.Event().wait()
        raise AssertionError

    task = asyncio.create_task(sent(Directly(ledger), INTENT, send, lambda _: None))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert only(ledger).state is State.UNKNOWN


async def test_trouble_after_the_sending_is_told_once(ledger: Ledger, told: list[str]) -> None:
    """The job goes on."""

    async def send() -> Job:
        damage(ledger)
        return QUEUED

    job, notes = await sent(
        Directly(ledger), INTENT, send, lambda error: told.append(error.message)
    )
    await notes.seen(DONE)
    await notes.home(Summary(DONE))
    await notes.expired()
    assert (job, len(told)) == (QUEUED, 1)
    assert "is damaged" in told[0]


async def test_trouble_with_a_job_of_before_is_told_once(ledger: Ledger, told: list[str]) -> None:
    """It is followed all the same."""
    damage(ledger)
    notes = await Notes.of(
        Directly(ledger),
        lambda error: told.append(error.message),
        lambda ledger: ledger.adopt(INTENT.place, "e", QUEUED),
    )
    await notes.seen(DONE)
    await notes.home(Summary(DONE))
    assert len(told) == 1


@pytest.mark.parametrize(
    ("is_whole", "is_wanted", "expected"),
    [(True, True, True), (False, True, False), (False, False, True)],
)
def test_what_is_kept_of_a_summary(
    tmp_path: Path, *, is_whole: bool, is_wanted: bool, expected: bool
) -> None:
    """Whole paths: the next command may be called in another folder."""
    file = SavedFile(Path("outputs/a.png"), 4, "0" * 64, "image/png", "output.image")
    error = SaveError("b.png: the disk is full")
    home = home_of(
        Summary(DONE, (file,), error=error, cost_usd=0.5, output="fine", is_whole=is_whole),
        is_wanted=is_wanted,
    )
    path = tmp_path / "work" / "outputs" / "a.png"
    assert home.files == (KeptFile(path, 4, "0" * 64, "image/png"),)
    assert (home.output, home.cost_usd, home.error) == ("fine", 0.5, error.message)
    assert (home.worker_error, home.is_whole) == (DONE.error, expected)
