"""Many who write at once: each step is whole, and what is told together is one transaction."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.errors import LedgerError, NotFoundError
from runpodctl_py.jobs.ledger import Home, Ledger, Scribe, State
from tests.unit.jobs.ledger.samples import INTENT, intent, job

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger is; it is made when it is needed."""
    return tmp_path / "data" / "ledger.sqlite3"


async def one(scribe: Scribe, number: int) -> str:
    """Lead a job through its life, as those who run batches do, and return its key."""
    key = await scribe.write(lambda ledger: ledger.intend(intent(payload={"n": number})))
    await scribe.write(lambda ledger: ledger.sent(key, job(f"{number}-u1")))

    def end(ledger: Ledger) -> None:
        ledger.asked(key, job(f"{number}-u1", "COMPLETED"))
        ledger.home(key, Home(output=number))

    await scribe.write(end)
    return key


async def test_many_at_once(path: Path) -> None:
    """All of it is there when it has been said that it is."""
    async with Scribe(path) as scribe:
        keys = await asyncio.gather(*(one(scribe, number) for number in range(50)))
        with Ledger(path) as other:
            assert [other.output(key) for key in keys] == [*range(50)]
            assert {each.state for each in other.jobs()} == {State.COMPLETED}


async def test_what_a_step_returns(path: Path) -> None:
    """Is what it read, after what was written before it."""
    async with Scribe(path) as scribe:
        _, count = await asyncio.gather(
            scribe.write(lambda ledger: ledger.intend(INTENT)),
            scribe.write(lambda ledger: len(ledger.jobs())),
        )
    assert count == 1


async def test_a_step_that_fails_takes_nobody_with_it(path: Path) -> None:
    """Nothing of it is written down, and it is told; what others had to tell is there."""

    def fail(ledger: Ledger) -> None:
        ledger.intend(INTENT)
        ledger.find("nowhere")

    async with Scribe(path) as scribe:
        came = await asyncio.gather(
            scribe.write(lambda ledger: ledger.intend(INTENT)),
            scribe.write(fail),
            return_exceptions=True,
        )
        assert [type(each) for each in came] == [str, NotFoundError]
        assert await scribe.write(lambda ledger: [each.key for each in ledger.jobs()]) == came[:1]


async def test_a_ledger_that_cannot_be_used(tmp_path: Path) -> None:
    """Everybody who writes is told, with the file's name: here is a folder in its place."""
    async with Scribe(tmp_path) as scribe:
        with pytest.raises(LedgerError, match=f"The ledger {tmp_path} cannot be used"):
            await scribe.write(lambda ledger: ledger.intend(INTENT))


async def test_another_process_writes_meanwhile(path: Path) -> None:
    """They take turns."""
    async with Scribe(path) as scribe:
        with Ledger(path) as other:
            for number in range(5):
                key = await one(scribe, number)
                other.expired(key)
                other.intend(INTENT)
            assert len(other.jobs()) == 10


async def test_who_wrote_is_not_at_work_any_more(path: Path) -> None:
    """What was on its way when it ended is unknown."""
    async with Scribe(path) as scribe:
        key = await scribe.write(lambda ledger: ledger.intend(INTENT))
        with Ledger(path) as other:
            other.settle()
            assert other.record(key).state is State.SENDING
    with Ledger(path) as other:
        other.settle()
        assert other.record(key).state is State.UNKNOWN


async def test_a_write_that_is_cancelled_is_whole(path: Path) -> None:
    """It is written down, or it would be unknown what was."""
    async with Scribe(path) as scribe:
        task = asyncio.create_task(one(scribe, 1))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    with Ledger(path) as other:
        assert [each.state for each in other.jobs()] == [State.SENDING]
