"""How fast a batch may ask: RunPod's limits for one operation of one endpoint, kept from our side.

Owns the rate and the pauses. Does not know what is sent, nor when a job should be (`window.py`).

RunPod counts what arrived within ten seconds (API reference 4.3), and when something arrives is
known only roughly: after it left, and before it was answered. So a request takes its place in our
count when it leaves and keeps it until ten seconds after its answer. Whatever the network and the
event loop delay in between, RunPod cannot count more than we do. That costs the share of a
round trip in ten seconds: with 150 ms, 98.5 of 100 requests a second are left.

pyrate-limiter counts when permission was given and so is refused when requests catch up with each
other; its rate cannot change, it waits by its own clock, and it lets a whole window go at once.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runpodctl_py.clock import SystemClock
from runpodctl_py.errors import RateLimitedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from runpodctl_py.clock import Clock

#: Over how long RunPod counts requests (API reference 4.3).
WINDOW_S = 10.0

_SHRINK = 0.7
_GROW = 1.2
_SLOWEST = 0.01
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
# What an event loop that was busy for a moment may send at once to catch up.
_CATCH_UP_S = 0.5


@dataclass(frozen=True, slots=True)
class Limit:
    """How often an operation may be asked for.

    Args:
        rate_per_s: How many requests a second, over ten seconds; None for any number.
        at_once: How many may be open.
    """

    rate_per_s: float | None
    at_once: int


#: What RunPod documents (API reference 4.3). `status-sync`, of which it tells nothing, is a status.
RUN = Limit(100.0, 200)
STATUS = Limit(200.0, 400)
CANCEL = Limit(10.0, 20)


class Pace:
    """Permission for the requests of one operation of one endpoint, in the order asked for.

    Args:
        limit: The most there may be.
        clock: What measures and waits.
        chance: Numbers from 0 to 1, which keep two batches from pausing in step.
    """

    def __init__(
        self,
        limit: Limit,
        clock: Clock | None = None,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._ceiling_per_s = limit.rate_per_s
        self._rate_per_s = limit.rate_per_s
        self._clock = clock or SystemClock()
        self._chance = chance
        self._places = asyncio.Semaphore(limit.at_once)
        self._turn = asyncio.Lock()
        self._answered = asyncio.Event()
        self._open = 0
        self._answered_s: deque[float] = deque()
        self._next_s = self._resumes_s = self._calm_since_s = self._clock.now_s()
        self._pause_s = _FIRST_PAUSE_S

    @property
    def rate_per_s(self) -> float | None:
        """How many requests a second there may be now; None for any number."""
        return self._rate_per_s

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Wait for permission to send one request, which is open until the block ends.

        A `RateLimitedError` that leaves the block makes everybody pause and go on more slowly.
        Each try is a request, so what is sent in the block must not repeat itself.
        """
        async with self._places:
            async with self._turn:
                await self._wait()
                began_s = self._take()
            try:
                yield
                self._accepted(began_s)
            except RateLimitedError as exc:
                self._refused(began_s, exc.retry_after_s)
                raise
            finally:
                self._leave()

    async def _wait(self) -> None:
        while not self._may_begin():
            if (wait_s := self._wait_s()) is None:
                self._answered.clear()
                await self._answered.wait()
            else:
                await self._clock.sleep(wait_s)

    def _may_begin(self) -> bool:
        now_s = self._clock.now_s()
        while self._answered_s and self._answered_s[0] + WINDOW_S <= now_s:
            self._answered_s.popleft()
        return now_s >= max(self._resumes_s, self._next_s) and not self._is_full()

    def _is_full(self) -> bool:
        if self._rate_per_s is None:
            return False
        return self._open + len(self._answered_s) >= max(1, int(self._rate_per_s * WINDOW_S))

    def _wait_s(self) -> float | None:
        """Return how long nothing can begin for sure; None until an answer comes."""
        now_s = self._clock.now_s()
        if (soonest_s := max(self._resumes_s, self._next_s)) > now_s:
            return soonest_s - now_s
        return self._answered_s[0] + WINDOW_S - now_s if self._answered_s else None

    def _take(self) -> float:
        now_s = self._clock.now_s()
        self._open += 1
        if self._rate_per_s is not None:
            self._recover(now_s)
            self._next_s = max(self._next_s, now_s - _CATCH_UP_S) + 1 / self._rate_per_s
        return now_s

    def _leave(self) -> None:
        self._open -= 1
        if self._rate_per_s is not None:
            self._answered_s.append(self._clock.now_s())
        self._answered.set()

    def _accepted(self, began_s: float) -> None:
        if began_s >= self._resumes_s:
            self._pause_s = _FIRST_PAUSE_S

    def _refused(self, began_s: float, retry_after_s: float | None) -> None:
        """Pause, and go on more slowly: once for all that were on their way together."""
        now_s = self._clock.now_s()
        pause_s = retry_after_s
        if began_s >= self._resumes_s:
            if pause_s is None:
                pause_s = self._pause_s * (1 + self._chance()) / 2
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
            self._set_rate(_SHRINK)
        self._resumes_s = max(self._resumes_s, now_s + (pause_s or 0.0))
        self._next_s = self._calm_since_s = self._resumes_s

    def _recover(self, now_s: float) -> None:
        if now_s - self._calm_since_s >= WINDOW_S:
            self._calm_since_s = now_s
            self._set_rate(_GROW)

    def _set_rate(self, factor: float) -> None:
        if self._rate_per_s is not None and self._ceiling_per_s is not None:
            slowest_per_s = self._ceiling_per_s * _SLOWEST
            rate_per_s = max(self._rate_per_s * factor, slowest_per_s)
            self._rate_per_s = min(rate_per_s, self._ceiling_per_s)
