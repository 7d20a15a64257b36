"""The overview that is made once for all who watch."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.emulator.bells import Bells
from runpodctl_py.emulator.console.feed import Feed
from runpodctl_py.emulator.console.overview import PAUSE_S, SharedOverview, pause_after
from runpodctl_py.emulator.console.view import View
from runpodctl_py.emulator.lab.faults import Faults
from runpodctl_py.emulator.lab.passage import Reading

if TYPE_CHECKING:
    from conftest import World


class CountingView(View):
    """A view that counts how often it is asked for everything."""

    asked = 0

    def overview(self) -> dict[str, Any]:
        """Counts, and returns it."""
        self.asked += 1
        return super().overview()


class StandingTime:
    """A time that stands still."""

    def read(self) -> Reading:
        """Returns it."""
        return Reading(now=1.0, frozen=True, ahead_s=0.0)


def made_by(shared: SharedOverview, bells: Bells, seconds: float) -> int:
    """Returns how often it was made for two who ask all the time while it changes all the time."""
    before, began = shared.made, time.perf_counter()
    while time.perf_counter() - began < seconds:
        bells.ring("job")
        assert shared.text() == shared.text()
    return shared.made - before


def test_it_is_made_when_something_changed() -> None:
    """Not for each who asks, and not before somebody does."""
    bells, texts = Bells(), iter("abc")
    shared = SharedOverview(lambda: next(texts), bells)
    assert (shared.made, shared.is_current) == (0, False)
    assert [shared.text() for _ in range(3)] == ["a", "a", "a"]
    assert (shared.made, shared.is_current) == (1, True)
    bells.ring("job")
    assert (shared.text(), shared.is_current) == ("a", False)
    assert 0 < shared.pause_left_s() <= PAUSE_S


def test_many_changes_are_made_together() -> None:
    """Once in each pause, however many changes there are and however many ask."""
    bells = Bells()
    shared = SharedOverview(lambda: "text", bells)
    assert made_by(shared, bells, 4.5 * PAUSE_S) <= 5


def test_a_slow_one_takes_a_twentieth_of_the_time() -> None:
    """However long it takes: the pause grows with it, without an end."""
    bells = Bells()

    def slow() -> str:
        time.sleep(0.05)
        return "text"

    shared = SharedOverview(slow, bells)
    began = time.perf_counter()
    shared.text()
    took_s = time.perf_counter() - began
    assert 19 * 0.05 < shared.pause_left_s() <= 20 * took_s
    assert made_by(shared, bells, 0.5) == 0
    assert [took / (took + pause_after(took)) < 1 / 20 for took in (0.001, 0.2, 5.0)] == [True] * 3


def test_one_that_fails_is_made_again() -> None:
    """It does not count as made."""
    bells, given = Bells(), iter([0, 1])
    shared = SharedOverview(lambda: str(1 // next(given)), bells)
    with pytest.raises(ZeroDivisionError):
        shared.text()
    assert (shared.made, shared.is_current) == (0, False)
    assert shared.text() == "1"


@pytest.mark.anyio
async def test_all_streams_send_the_same_one(world: World) -> None:
    """Of each change it is made once, however many streams tell of it."""
    view = CountingView(world.state, Faults(lambda: world.state.ids.sequence("faults")))
    feed = Feed(
        world.state, view, StandingTime(), world.bells, world.clock, logs_folder=Path("none")
    )
    streams = [(await feed.overview(None)).body_iterator for _ in range(5)]
    for count in (1, 2, 3):
        told = await asyncio.gather(*map(anext, streams))
        assert (len(set(told)), told[0].count('"latest"'), view.asked) == (1, count - 1, count)
        world.endpoint()
    for each in streams:
        await each.aclose()
