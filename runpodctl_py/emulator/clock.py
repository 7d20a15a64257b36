"""The time as the emulator sees it: one protocol, the machine's clock, and one that can be moved.

Whatever decides something by RunPod's rules takes a `Clock` and asks `now` or `monotonic`, so that
retention, time to live and idle timeouts can be tested in milliseconds. What is about real
processes, such as how long one has been silent, asks `machine`, which nobody freezes or advances.
How long a request is held open is not decided here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Clock(Protocol):
    """Tells the time in three ways, because people, timeouts and processes need different ones."""

    def now(self) -> float:
        """Returns wall time in seconds since 1970: for timestamps, and what outlives a restart."""
        ...

    def monotonic(self) -> float:
        """Returns seconds that only run forward: for waits within this process."""
        ...

    def machine(self) -> float:
        """Returns seconds as this machine's processes live by them, which nobody changes."""
        ...

    def real_s(self, wait_s: float | None) -> float | None:
        """Returns how many of the machine's seconds a wait takes, as the clock runs now.

        Args:
            wait_s: Seconds of `now` and `monotonic`; None waits for ever.

        Returns:
            None if the wait does not end by itself, because this clock stands still.
        """
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Returns wall time in seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Returns seconds that only run forward and stand still while the machine sleeps."""
        return time.monotonic()

    def machine(self) -> float:
        """Returns the same as `monotonic`."""
        return time.monotonic()

    def real_s(self, wait_s: float | None) -> float | None:
        """Returns the wait as it is."""
        return wait_s


class _Hand:
    """One hand of a clock: follows a source at some distance, or stands still."""

    def __init__(self, source: Callable[[], float]) -> None:
        self._source = source
        self._ahead_s = 0.0
        self._stopped_at: float | None = None

    def read(self) -> float:
        return self._source() + self._ahead_s if self._stopped_at is None else self._stopped_at

    def stop(self) -> None:
        self._stopped_at = self.read()

    def move(self, seconds: float) -> None:
        if self._stopped_at is None:
            self._ahead_s += seconds
        else:
            self._stopped_at += seconds

    def go(self) -> None:
        if self._stopped_at is not None:
            self._ahead_s, self._stopped_at = self._stopped_at - self._source(), None


class VirtualClock:
    """A clock that runs like the machine's until it is told otherwise; it never goes back."""

    def __init__(self) -> None:
        self._wall = _Hand(time.time)
        self._monotonic = _Hand(time.monotonic)
        self.frozen = False
        """Whether it stands still."""

    @property
    def ahead_s(self) -> float:
        """How many seconds it is ahead of the machine's clock; negative if it is behind."""
        return self._wall.read() - time.time()

    def now(self) -> float:
        """Returns wall time in seconds since 1970."""
        return self._wall.read()

    def monotonic(self) -> float:
        """Returns seconds that only run forward."""
        return self._monotonic.read()

    def machine(self) -> float:
        """Returns the machine's own seconds, which go on while this clock stands still."""
        return time.monotonic()

    def real_s(self, wait_s: float | None) -> float | None:
        """Returns the wait as it is, or None while the clock stands still and it is not over."""
        if wait_s is None or wait_s <= 0:
            return wait_s
        return None if self.frozen else wait_s

    def freeze(self) -> None:
        """Stands still from now on."""
        self._wall.stop()
        self._monotonic.stop()
        self.frozen = True

    def advance(self, seconds: float) -> None:
        """Lets time pass at once, frozen or not."""
        self._wall.move(seconds)
        self._monotonic.move(seconds)

    def run(self) -> None:
        """Goes on from where it is, as fast as the machine's clock."""
        self._wall.go()
        self._monotonic.go()
        self.frozen = False

    def kept(self) -> Mapping[str, float | bool]:
        """Returns what `take_up` needs after a restart."""
        return {"frozen": self.frozen, "now": self.now(), "ahead_s": self.ahead_s}

    def take_up(self, kept: Mapping[str, float | bool]) -> None:
        """Goes on from where it was: what was written down must not lie in the future."""
        self.reset()
        ahead_s = kept["now"] - time.time() if kept["frozen"] else kept["ahead_s"]
        self._wall.move(ahead_s)
        if kept["frozen"]:
            self.freeze()

    def reset(self) -> None:
        """Shows the machine's wall time again; no timestamp may be left. `monotonic` goes on."""
        self.run()
        self._wall = _Hand(time.time)
