"""How fast a batch goes, and how long it will take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runpodctl_py.batch.tally import Tally
from runpodctl_py.cli.batch_meter import Allowed, Meter, Rate, Reading, known_cost_usd


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        """Return the time, in seconds."""
        return self.s


def rates(*samples: tuple[float, int], before: int = 0) -> list[float | None]:
    """Return the rate at each of some samples."""
    rate = Rate(before)
    return [rate.at(*each) for each in samples]


def test_there_is_no_rate_without_rows_that_end() -> None:
    """Nor with those of the first moment, which may be many at once."""
    assert rates((0, 0), (5, 0), (60, 0)) == [None] * 3
    assert rates((0, 40), (5, 40), before=40) == [None] * 2
    assert rates((5, 1), (5.5, 4), (6, 4)) == [None, None, 3.0]


def test_the_wait_for_the_first_worker_does_not_count() -> None:
    """Two minutes of cold start, and then five rows a second."""
    samples = [(120.0 + second, 5 * second + 5) for second in range(6)]

    assert rates((0, 0), (60, 0), *samples)[-1] == 5.0


def test_the_rate_is_that_of_the_last_ten_seconds() -> None:
    """What was before does not slow it down for long."""
    slow = [(float(second), second) for second in range(31)]
    fast = [(30.0 + second, 30 + 20 * second) for second in range(1, 12)]

    assert rates(*slow)[-1] == 1.0
    assert rates(*slow, *fast)[-1] == 20.0


def test_slow_batches_are_measured_over_a_longer_time() -> None:
    """A row a minute is a rate, too, and does not vanish between two rows."""
    samples = [(10.0 * step, step // 6) for step in range(100)]

    found = [each for each in rates(*samples) if each is not None]

    assert len(found) > 80
    assert all(1 / 120 < each < 1 / 59 for each in found)


def test_a_batch_that_stands_still_gets_slower() -> None:
    """The rate falls while nothing ends."""
    first, second, third = rates((0, 10), (10, 110), (20, 110), (100, 110))[1:]

    assert (first, second, third) == (10.0, 5.0, 1.0)


@given(st.lists(st.tuples(st.floats(0.01, 100), st.integers(0, 50)), max_size=50))
def test_a_rate_is_positive_and_little_is_kept(steps: list[tuple[float, int]]) -> None:
    """Whatever ends whenever."""
    rate, now_s, ended = Rate(0), 0.0, 0
    for wait_s, more in steps:
        now_s, ended = now_s + wait_s, ended + more
        found = rate.at(now_s, ended)
        assert found is None or found > 0


def test_only_samples_with_news_are_kept() -> None:
    """A batch of days does not fill the memory with its meter."""
    rate = Rate(0)
    for step in range(10_000):
        rate.at(step / 4, step // 100)

    assert len(rate._samples) < 50


def read(tally: Tally, allowed: Allowed = Allowed()) -> Reading:  # noqa: B008 - it is frozen.
    """Return what a meter says when ten rows have ended within ten seconds."""
    time = Time()
    meter = Meter(tally, allowed, time)
    time.s, tally.succeeded = 1.0, tally.succeeded + 1
    meter.read()
    time.s, tally.succeeded = 11.0, tally.succeeded + 10
    return meter.read()


@pytest.mark.parametrize(
    ("tally", "allowed", "eta_s"),
    [
        (Tally(111), Allowed(), 100.0),
        (Tally(111, invalid=50), Allowed(), 50.0),
        (Tally(111, kept=60, succeeded=60), Allowed(), 40.0),
        (Tally(111, unknown=["1", "2"]), Allowed(), 98.0),
        (Tally(1000, sent=31, in_flight=20), Allowed(rows=31), 20.0),
        (Tally(1000, sent=31, repeated=1, in_flight=20), Allowed(rows=50), 40.0),
        (Tally(11), Allowed(), None),
    ],
    ids=["all", "invalid", "kept", "unknown", "limit", "repeated", "nothing left"],
)
def test_how_long_the_rest_takes(tally: Tally, allowed: Allowed, eta_s: float | None) -> None:
    """Only what will still end in this run is waited for."""
    assert read(tally, allowed) == Reading(11.0, 1.0, eta_s)


def test_nothing_is_promised_before_rows_end() -> None:
    """There is nothing to compute it from."""
    assert Meter(Tally(10), Allowed(), Time()).read() == Reading(0.0)


def test_no_price_is_not_the_same_as_no_cost() -> None:
    """A local batch costs nothing; of another one, it may not be known."""
    free, priced = Tally(1), Tally(1, cost_usd=0.12345678)
    free.statistics.cost_usd = 0.0

    assert [known_cost_usd(each) for each in (Tally(1), free, priced)] == [None, 0.0, 0.123457]
