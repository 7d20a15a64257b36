"""The quota of REST requests, by a clock that only tests move."""

from __future__ import annotations

import pytest

from runpodctl_py.emulator.rest.quota import Quota
from runpodctl_py.testing import FakeClock


@pytest.mark.proves("rule: rest-rate-limits")
def test_windows_end_one_after_the_other() -> None:
    """A minute that is used up is over after a minute; the hour goes on."""
    clock = FakeClock()
    quota = Quota(clock)
    answers = [quota.count() for _ in range(61)]
    assert answers == [None] * 60 + [("minute", 60)]
    clock.advance(59.5)
    assert quota.count() == ("minute", 1)
    clock.advance(0.5)
    assert quota.count() is None
    headers = quota.headers()
    assert headers["RateLimit"] == (
        '"minute";r=59;t=60, "hour";r=2937;t=3540, "day";r=49937;t=86340'
    )


def test_of_several_windows_the_longest_is_told() -> None:
    """Waiting for the end of a shorter one would not help."""
    clock = FakeClock()
    quota = Quota(clock)
    for _ in range(3000):
        quota.count()
    assert quota.count() == ("hour", 3600)
