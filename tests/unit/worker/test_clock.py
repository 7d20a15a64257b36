from __future__ import annotations

import time

import pytest

from worker.clock import ScaledClock, read_time_scale
from worker.errors import SettingError


@pytest.mark.anyio
async def test_scaled_sleep_counts_in_full_and_passes_at_once() -> None:
    """An hour at scale 0 takes no time and counts as an hour."""
    clock = ScaledClock(0)
    real_s, nominal_s = time.monotonic(), clock.now_s()
    await clock.sleep(3600)
    assert time.monotonic() - real_s < 60
    assert 3600 <= clock.now_s() - nominal_s < 3660


@pytest.mark.anyio
async def test_unscaled_sleep_really_sleeps() -> None:
    """At scale 1 nominal and real seconds are the same."""
    clock = ScaledClock()
    real_s = time.monotonic()
    nominal_s = clock.now_s()
    await clock.sleep(0.05)
    assert clock.now_s() - nominal_s == pytest.approx(time.monotonic() - real_s, abs=0.01)
    assert time.monotonic() - real_s >= 0.05


@pytest.mark.parametrize(("raw", "scale"), [("0.02", 0.02), ("1", 1.0), ("0", 0.0), ("1e-2", 0.01)])
def test_a_scale_is_a_number_from_0_to_1(raw: str, scale: float) -> None:
    """Both ends are allowed."""
    assert scale == read_time_scale({"WORKER_TIME_SCALE": raw})


def test_without_the_variable_time_is_real() -> None:
    """Only tests set it."""
    assert read_time_scale({}) == 1.0


@pytest.mark.parametrize("raw", ["", "fast", "-0.1", "1.1", "nan", "inf"])
def test_a_wrong_scale_is_refused_by_name(raw: str) -> None:
    """The message names the variable, the range and what was found."""
    with pytest.raises(SettingError) as caught:
        read_time_scale({"WORKER_TIME_SCALE": raw})
    assert str(caught.value) == (
        f"WORKER_TIME_SCALE must be a number from 0 to 1 (1 is real time), not {raw!r}"
    )
