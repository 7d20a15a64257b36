"""REST v2's quota: how many requests were made in this minute, hour and day (API reference 3.3).

Counts by the emulator's clock, in windows that begin with the first request in them. Whether a
client that is over the limit is refused is decided in `api.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runpodctl_py.emulator.clock import Clock


@dataclass(slots=True)
class _Window:
    """One window of the account's quota.

    Args:
        name: What RunPod calls it.
        quota: How many requests fit.
        length_s: How long it lasts.
    """

    name: str
    quota: int
    length_s: int
    used: int = 0
    ends_at: float = -math.inf

    def count(self, now: float) -> None:
        if now >= self.ends_at:
            self.used, self.ends_at = 0, now + self.length_s
        self.used += 1

    def left_s(self, now: float) -> int:
        return max(1, math.ceil(self.ends_at - now))


class Quota:
    """The account's quota of REST requests.

    Args:
        clock: Where the time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.clear()

    def clear(self) -> None:
        """Forgets the requests that were counted."""
        self._windows = (
            _Window("minute", 60, 60),
            _Window("hour", 3000, 3600),
            _Window("day", 50_000, 86_400),
        )

    def count(self) -> tuple[str, int] | None:
        """Counts one request.

        Returns:
            The window whose quota it exceeds and in how many seconds that ends, if there is one;
            of several the longest, because waiting for a shorter one does not help.
        """
        now = self._clock.monotonic()
        for window in self._windows:
            window.count(now)
        over = [each for each in self._windows if each.used > each.quota]
        return (over[-1].name, over[-1].left_s(now)) if over else None

    def headers(self) -> Mapping[str, str]:
        """Returns the state of the quota as RunPod's two headers tell it."""
        now = self._clock.monotonic()
        return {
            "RateLimit": ", ".join(
                f'"{each.name}";r={max(0, each.quota - each.used)};t={each.left_s(now)}'
                for each in self._windows
            ),
            "RateLimit-Policy": ", ".join(
                f'"{each.name}";q={each.quota};w={each.length_s}' for each in self._windows
            ),
        }
