"""Time that passes when it is told to: frozen, advanced, and running again.

Advancing goes from one moment at which something is due to the next, and at each of them waits
until that has been done, so that all happens in its order: a job's end of life before its
endpoint's days without a request. What the clock shows outlives a restart.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runpodctl_py.emulator.bells import SCALER, TIME, WEBHOOKS
from runpodctl_py.emulator.clock import VirtualClock
from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from runpodctl_py.emulator.bells import Bells
    from runpodctl_py.emulator.clock import Clock
    from runpodctl_py.emulator.state import State
    from runpodctl_py.emulator.store import Store
    from runpodctl_py.emulator.workers.scaler import Scaler, WorkerHost

_KIND = "clock"
"""What the store calls it, and the id of the one record."""

_A_HAIR_S = 1e-6
"""How much further than asked the clock goes: sums of seconds since 1970 are not that exact."""
_PATIENCE_S = 30.0
"""How long real things that are under way are waited for: three tries of a webhook."""
_LATEST = 4_102_444_800.0
"""The year 2100: far enough for anybody, and a date in every format."""


def take_up(clock: Clock, store: Store) -> None:
    """Sets a clock to where it was before a restart, if it is one that can be moved."""
    for kept in store.of(_KIND):
        if isinstance(clock, VirtualClock):
            clock.take_up(kept)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the clock shows.

    Args:
        now: In seconds since 1970.
        frozen: Whether it stands still.
        ahead_s: How many seconds it is ahead of the machine's, to the millisecond; negative if it
            is behind.
    """

    now: float
    frozen: bool
    ahead_s: float


class Passage:
    """Moves the clock of one emulator, and has everybody do what is due by it.

    Args:
        clock: The clock; one that was handed in by a test moves by itself only.
        store: Where it is kept what it shows.
        bells: Tell those who wait for some time that it has changed.
        state: What happens when.
        scaler: Has endpoints' workers come and go.
        workers: Work by this clock, if they are simulated.
    """

    def __init__(
        self,
        clock: Clock,
        store: Store,
        bells: Bells,
        state: State,
        *,
        scaler: Scaler,
        workers: WorkerHost,
    ) -> None:
        self._clock = clock
        self._store = store
        self._bells = bells
        self._state = state
        self._scaler = scaler
        self._workers = workers
        self.alone = asyncio.Lock()
        """Held by whoever moves the clock, or changes everything else at once."""

    def read(self) -> Reading:
        """Returns what the clock shows."""
        now = self._clock.now()
        frozen = isinstance(self._clock, VirtualClock) and self._clock.frozen
        # The two are not read at once; and 0 is not to look as if it were behind.
        return Reading(now, frozen, round(now - time.time(), 3) + 0.0)

    @property
    def is_movable(self) -> bool:
        """Whether the clock is one that can be moved."""
        return isinstance(self._clock, VirtualClock)

    async def freeze(self) -> None:
        """Has the clock stand still.

        Raises:
            EmulatorError: It is not one that can be moved.
        """
        async with self.alone:
            self._movable().freeze()
            self._changed()

    async def run(self) -> None:
        """Has the clock go on from where it is.

        Raises:
            EmulatorError: It is not one that can be moved.
        """
        async with self.alone:
            self._movable().run()
            self._changed()

    async def advance(self, seconds: float) -> None:
        """Lets time pass at once, and returns when what was due by then has been done.

        Real things take real time meanwhile: a webhook's receiver may take its 10 s, and a
        worker process that has to go its grace. Jobs on real workers are not waited for.

        Args:
            seconds: How much; 0 only waits for what is due already.

        Raises:
            EmulatorError: The clock is not one that can be moved.
            ValueError: That is no time that may pass.
        """
        async with self.alone:
            clock = self._movable()
            end = clock.now() + seconds + _A_HAIR_S
            if not (seconds >= 0 and end < _LATEST):
                raise ValueError(f"{seconds:.0f} s cannot pass: time goes on until the year 2100")
            await self._settle()
            while (left_s := end - clock.now()) > 0:
                due_s = self._next_due_s()
                # A hair at the least: less may be lost in the clock's large numbers.
                clock.advance(left_s if due_s is None else min(left_s, max(due_s, _A_HAIR_S)))
                self._changed()
                await self._settle()

    def reset(self) -> None:
        """Has the clock show the machine's time again, after everything was forgotten."""
        if isinstance(self._clock, VirtualClock):
            self._clock.reset()
        self._bells.ring(TIME)

    def _movable(self) -> VirtualClock:
        if not isinstance(self._clock, VirtualClock):
            raise EmulatorError(
                "this local RunPod's clock was handed in when it was made",
                hint="leave out `clock`, or move that clock itself",
            )
        return self._clock

    def _changed(self) -> None:
        # First: what is done next has timestamps that must not lie in the future after a restart.
        self._store.put(_KIND, _KIND, self._movable().kept())
        self._bells.ring(TIME)

    def _next_due_s(self) -> float | None:
        """Returns in how many seconds something is due; what is stuck is no reason to wait."""
        parts = (self._scaler, self._workers, self._state.deliveries)
        waits = (each.next_due_s() for each in parts)
        return min((each for each in waits if each is not None and each > 0), default=None)

    async def _settle(self) -> None:
        """Has everything done that is due, until nothing changes any more."""
        rings = -1
        while rings != self._bells.rings:
            rings = self._bells.rings
            self._scaler.step()
            await self._workers.settle()
            await self._ended()
            # Others have their turn, too: requests that were held for what has just happened.
            await asyncio.sleep(0)

    async def _ended(self) -> None:
        """Waits for what takes real time, but not for ever."""
        with suppress(TimeoutError), self._bells.listen(SCALER, WEBHOOKS) as bell:
            async with asyncio.timeout(_PATIENCE_S):
                while self._is_under_way():
                    await bell.wait()
                    bell.clear()

    def _is_under_way(self) -> bool:
        workers = self._state.fleet.workers.values()
        return self._state.deliveries.under_way or any(each.due_to_go for each in workers)
