"""The time as the emulator sees it: one protocol, and the real clock.

Whatever decides something by time takes a `Clock`, so that retention, time to live and idle
timeouts can be tested in milliseconds. How long a request is held open is not decided here.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time in two ways, because people and timeouts need different ones."""

    def now(self) -> float:
        """Returns wall time in seconds since 1970: for timestamps, and what outlives a restart."""
        ...

    def monotonic(self) -> float:
        """Returns seconds that only run forward: for waits within this process."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Returns wall time in seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Returns seconds that only run forward and stand still while the machine sleeps."""
        return time.monotonic()
