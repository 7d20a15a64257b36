"""A clock for tests of whatever decides by time."""

from __future__ import annotations

_SOME_DAY = 1_790_000_000.0


class FakeClock:
    """A `Clock` that stands still until a test moves it."""

    def __init__(self) -> None:
        self._elapsed_s = 0.0

    def advance(self, seconds: float) -> None:
        """Lets time pass at once."""
        self._elapsed_s += seconds

    def now(self) -> float:
        """Returns wall time: some day in 2026, and what has passed since."""
        return _SOME_DAY + self._elapsed_s

    def monotonic(self) -> float:
        """Returns what has passed, in seconds."""
        return self._elapsed_s

    def machine(self) -> float:
        """Returns the same: processes live by this clock, too."""
        return self._elapsed_s

    def real_s(self, wait_s: float | None) -> float | None:
        """Returns the wait as it is: who moves this clock wakes nobody."""
        return wait_s
