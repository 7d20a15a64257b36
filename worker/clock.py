"""The worker's time: nominal seconds, which tests may let pass faster than real ones.

Owns `WORKER_TIME_SCALE`. Who waits for what, and how long, is each task's matter.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Protocol

from worker.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

TIME_SCALE_VARIABLE = "WORKER_TIME_SCALE"


class Clock(Protocol):
    """Tells nominal seconds and lets them pass."""

    def now_s(self) -> float:
        """Return the nominal seconds since some fixed moment; they never go backwards."""

    async def sleep(self, duration_s: float) -> None:
        """Let `duration_s` nominal seconds pass; other tasks run meanwhile."""


class ScaledClock:
    """Shortens waiting, not work: what is really computed counts one to one.

    Args:
        scale: Real seconds per nominal second of sleep: 1 is real time, 0 does not wait at all.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale
        self._skipped_s = 0.0

    def now_s(self) -> float:
        """Return the real seconds that passed plus those that `sleep` left out."""
        return time.monotonic() + self._skipped_s

    async def sleep(self, duration_s: float) -> None:
        """Sleep `duration_s * scale` real seconds and count `duration_s`."""
        await asyncio.sleep(duration_s * self._scale)
        self._skipped_s += duration_s * (1 - self._scale)


def read_time_scale(environ: Mapping[str, str]) -> float:
    """Return the scale that `WORKER_TIME_SCALE` asks for, 1 when it is not set.

    Raises:
        SettingError: It is no number from 0 to 1.
    """
    raw = environ.get(TIME_SCALE_VARIABLE, "1")
    try:
        scale = float(raw)
    except ValueError:
        scale = math.nan
    if not 0 <= scale <= 1:
        raise SettingError(
            f"{TIME_SCALE_VARIABLE} must be a number from 0 to 1 (1 is real time), not {raw!r}"
        )
    return scale
