"""Waiting out an outage, and giving up at last."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runpodctl_py.batch.patience import Patience
from runpodctl_py.errors import NetworkError
from tests.unit.batch.scene import InstantLoop, LoopClock

pytestmark = pytest.mark.anyio

DOWN = NetworkError("no route to host")


@pytest.fixture
def anyio_backend() -> Any:
    """A loop whose time costs none."""
    return ("asyncio", {"loop_factory": InstantLoop})


async def outage(patience: Patience) -> list[float]:
    """Wait until the patience is at an end, and return how long each pause was."""
    clock, pauses = LoopClock(), []
    while True:
        began_s = clock.now_s()
        try:
            await patience.wait(DOWN)
        except NetworkError:
            return pauses
        pauses.append(clock.now_s() - began_s)


async def test_an_outage_is_waited_out_for_a_while() -> None:
    """At first it is looked often, then more and more rarely; and then it is told."""
    patience, clock = Patience(LoopClock(), 300.0), LoopClock()
    pauses = await outage(patience)
    assert 300 < clock.now_s() < 316
    assert 0.1 <= pauses[0] <= 0.3
    assert max(pauses) <= 15
    assert 30 < len(pauses) < 100


async def test_an_answer_ends_it() -> None:
    """The next one is another outage."""
    patience, clock = Patience(LoopClock(), 10.0), LoopClock()
    for _ in range(5):
        began_s = clock.now_s()
        while clock.now_s() < began_s + 8:
            await patience.wait(DOWN)
        patience.answered()
    assert clock.now_s() > 40


async def test_a_silence_in_which_nobody_asked_is_none() -> None:
    """A question may be held for longer than an outage may last."""
    patience, clock = Patience(LoopClock(), 10.0), LoopClock()
    await clock.sleep(50)
    await patience.wait(DOWN)
    patience.answered()
    await clock.sleep(50)
    await patience.wait(DOWN)


async def test_many_who_wait_come_back_one_after_another() -> None:
    """Not all at once; and all of them are told at the end."""
    patience = Patience(LoopClock(), 10.0)
    ends: list[float] = []

    async def one() -> None:
        await outage(patience)
        ends.append(LoopClock().now_s())

    await asyncio.gather(*(one() for _ in range(20)))
    assert len(set(ends)) == 20
    assert 10 < min(ends) < max(ends) < 14
