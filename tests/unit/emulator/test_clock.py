"""A clock that can be stopped and moved, and what it says of waits."""

from __future__ import annotations

import time

import pytest

from runpodctl_py.emulator.clock import Clock, SystemClock, VirtualClock
from runpodctl_py.testing import FakeClock


def test_left_alone_it_shows_the_machines_time() -> None:
    """All three of its times."""
    clock = VirtualClock()
    for read, truth in (
        (clock.now, time.time),
        (clock.monotonic, time.monotonic),
        (clock.machine, time.monotonic),
    ):
        before = truth()
        assert before <= read() <= truth()
    assert clock.ahead_s == pytest.approx(0, abs=0.5)


def test_frozen_it_stands_still() -> None:
    """But not for the machine's processes."""
    clock = VirtualClock()
    clock.freeze()
    now, monotonic, machine = clock.now(), clock.monotonic(), clock.machine()
    while clock.machine() == machine:
        pass
    assert (clock.now(), clock.monotonic()) == (now, monotonic)


@pytest.mark.parametrize("frozen", [False, True])
def test_advancing_moves_both_hands(frozen: bool) -> None:  # noqa: FBT001 - a parameter of the test.
    """By the same, and for nobody's process."""
    clock = VirtualClock()
    if frozen:
        clock.freeze()
    before = (clock.now(), clock.monotonic(), clock.machine())
    clock.advance(1800)
    after = (clock.now(), clock.monotonic(), clock.machine())
    passed = [b - a for a, b in zip(before, after, strict=True)]
    assert passed == pytest.approx([1800, 1800, 0], abs=0.5)


def test_it_goes_on_from_where_it_stood() -> None:
    """What passed meanwhile has not passed, so it may be behind the machine."""
    clock = VirtualClock()
    clock.freeze()
    now = clock.now()
    machine = clock.machine()
    while clock.machine() - machine < 0.01:
        pass
    clock.run()
    assert now <= clock.now() < now + 5
    assert clock.ahead_s < -0.005


def test_a_wait_ends_by_itself_if_time_goes_on() -> None:
    """Frozen, only one that is over does."""
    clock = VirtualClock()
    assert [clock.real_s(each) for each in (5.0, 0.0, None)] == [5.0, 0.0, None]
    clock.freeze()
    assert [clock.real_s(each) for each in (5.0, 0.0, None)] == [None, 0.0, None]
    clock.run()
    assert clock.real_s(5.0) == 5.0


@pytest.mark.parametrize("clock", [SystemClock(), FakeClock()])
def test_other_clocks_take_waits_as_they_are(clock: Clock) -> None:
    """And show processes the time they show everybody."""
    assert [clock.real_s(each) for each in (5.0, None)] == [5.0, None]
    assert clock.machine() == pytest.approx(clock.monotonic(), abs=0.5)


def test_another_process_goes_on_with_what_it_kept() -> None:
    """Ahead by as much, or standing still where it stood."""
    clock, running, frozen = VirtualClock(), VirtualClock(), VirtualClock()
    clock.advance(1000)
    running.take_up(clock.kept())
    clock.freeze()
    frozen.take_up(clock.kept())
    assert running.ahead_s == pytest.approx(1000, abs=0.5)
    assert (running.frozen, frozen.frozen) == (False, True)
    assert frozen.now() == pytest.approx(clock.now(), abs=0.5)


def test_after_a_reset_only_waits_remember() -> None:
    """The wall time is the machine's again; seconds that only run forward do."""
    clock = VirtualClock()
    clock.advance(1000)
    clock.freeze()
    monotonic = clock.monotonic()
    clock.reset()
    assert clock.ahead_s == pytest.approx(0, abs=0.5)
    assert monotonic <= clock.monotonic() < monotonic + 5


def test_what_was_kept_is_taken_up_as_often_as_one_likes() -> None:
    """It is where the clock was, not how far it went on from wherever it is now."""
    clock, other = VirtualClock(), VirtualClock()
    clock.advance(1000)
    kept = clock.kept()
    for _ in range(2):
        other.take_up(kept)
        assert other.ahead_s == pytest.approx(1000, abs=0.5)
    other.freeze()
    other.take_up(kept)
    assert not other.frozen
