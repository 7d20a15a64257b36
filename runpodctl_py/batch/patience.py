"""Waiting out an outage: shared by all requests of a batch, since one answer ends it for all."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runpodctl_py.clock import Clock
    from runpodctl_py.errors import NetworkError

PATIENCE_S = 300.0
"""RunPod keeps a result for 30 minutes; who waits longer than this should be told."""
LOCAL_PATIENCE_S = 10.0
"""A local RunPod that is gone does not come back by waiting."""
_SHORTEST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0
_PAUSE_PER_SILENCE = 0.25


class Patience:
    """How long requests have gone without any answer, and what to do about it.

    Args:
        clock: For measuring and waiting.
        limit_s: How long an outage is waited out.
    """

    def __init__(self, clock: Clock, limit_s: float) -> None:
        self._clock = clock
        self._limit_s = limit_s
        # While a question is held, there is nothing to answer: an outage begins with its error.
        self._failing_since_s: float | None = None

    def answered(self) -> None:
        """Note that RunPod is there."""
        self._failing_since_s = None

    async def wait(self, error: NetworkError) -> None:
        """Wait a while before the next try; longer, the longer it lasts, and not all at once.

        Raises:
            NetworkError: The error, if it has lasted for too long.
        """
        now_s = self._clock.now_s()
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        silent_s = now_s - self._failing_since_s
        if silent_s > self._limit_s:
            raise error
        pause_s = min(max(_SHORTEST_PAUSE_S, silent_s * _PAUSE_PER_SILENCE), _LONGEST_PAUSE_S)
        await self._clock.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - no secret.
