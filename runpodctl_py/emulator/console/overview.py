"""The overview as text, made once for all who watch, and how often it may be made.

Nothing is made while nobody asks. Between two makings is a pause of twenty times as long as the
last one took, so they take less than a twentieth of the emulator's time, however many watch.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from runpodctl_py.emulator.bells import Bells

PAUSE_S = 0.2
"""How long nothing is made after a making at least; what happens meanwhile comes in one."""
SHARE = 20
"""The pause is this many times as long as the making took: less than 5 % of the time."""


def pause_after(took_s: float) -> float:
    """Returns how long to leave the time to the others, in seconds."""
    return max(PAUSE_S, took_s * SHARE)


class SharedOverview:
    """An overview that several watch.

    Args:
        make: Makes it, as it is now.
        bells: One rings whenever something in it changes.
    """

    def __init__(self, make: Callable[[], str], bells: Bells) -> None:
        self._make = make
        self._bells = bells
        self._text = ""
        self._rings = -1
        self._due = 0.0
        self.made = 0
        """How often it was made: whoever knows this number knows the last one."""

    @property
    def is_current(self) -> bool:
        """Whether nothing has changed since it was made."""
        return self._rings == self._bells.rings

    def pause_left_s(self) -> float:
        """Returns in how many seconds it may be made again; no more than 0 if it may be now."""
        return self._due - time.perf_counter()

    def text(self) -> str:
        """Returns the overview: anew if something has changed and the pause is over."""
        if not self.is_current and self.pause_left_s() <= 0:
            rings, began = self._bells.rings, time.perf_counter()
            self._text = self._make()
            ended = time.perf_counter()
            self._rings = rings
            self._due = ended + pause_after(ended - began)
            self.made += 1
        return self._text
