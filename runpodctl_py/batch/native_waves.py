"""Which rows go into the next batch of RunPod's, and how many.

Owns their order, failed ones first, and what limits a wave: RunPod's 5 000 requests (API reference
4.8), our memory, `--limit`, and a cap on the cost. Sends nothing.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from runpodctl_py.api.batches import MOST_REQUESTS
from runpodctl_py.batch.native_upload import Due
from runpodctl_py.batch.working import Stop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from runpodctl_py.batch.row import Row
    from runpodctl_py.batch.tally import Tally
    from runpodctl_py.batch.walk import Walk
    from runpodctl_py.batch.working import Limits
    from runpodctl_py.jobs.ledger import Record

FIRST_WAVE = 20
"""How many rows go first, if what a row costs matters and is not known."""
_MOST_BYTES = 48 * 1024 * 1024
"""How much one wave may upload: its inputs are in memory until it runs."""


class Waves:
    """Divides what is to be sent into batches of RunPod's.

    Args:
        walk: The rows of the file that are to be sent.
        limits: What is allowed.
        tally: What it has cost, and what is in flight.
        only: The names of the rows that are meant, if not all.
    """

    def __init__(
        self, walk: Walk, limits: Limits, tally: Tally, only: frozenset[str] | None = None
    ) -> None:
        self._walk = walk
        self._only = only
        self._rows = self._meant()
        self._limits = limits
        self._tally = tally
        self._first: deque[Due] = deque()
        self._count = 0
        self._end: Stop | None = None

    @property
    def end(self) -> Stop | None:
        """Why no more rows of the file are sent; None as long as there may be some."""
        return self._end

    @property
    def waiting(self) -> int:
        """How many rows wait for their turn before the file's next ones."""
        return len(self._first)

    @property
    def room(self) -> int:
        """How many rows the next wave may have; none if they might cost more than is allowed.

        With a cap, a wave is at most half of what there is room for, because what a row costs is
        known better after it.
        """
        cap, tally = self._limits.max_cost_usd, self._tally
        if cap is None:
            return MOST_REQUESTS
        left_usd = cap - tally.cost_usd - tally.in_flight * tally.mean_cost_usd
        if left_usd <= 0:
            return 0
        if not tally.mean_cost_usd:
            # Jobs may be too short to tell, in RunPod's whole seconds: twice as many will.
            known = tally.costs + tally.kept
            return 0 if tally.in_flight else min(max(FIRST_WAVE, known), MOST_REQUESTS)
        rows = math.ceil(left_usd / tally.mean_cost_usd)
        return min(rows, max(FIRST_WAVE, rows // 2), MOST_REQUESTS)

    def put_first(self, rows: Iterable[Due]) -> None:
        """Have rows sent before the file's next ones: they failed, or were not sent after all."""
        self._first.extend(rows)

    async def is_through(self) -> bool:
        """Tell whether every row of the file had its turn."""
        return await self._peek() is None and self._end is Stop.DONE

    async def next(self) -> list[Due]:
        """Take the rows of the next wave; there are none at the end."""
        wave: list[Due] = []
        most, size = self.room, 0
        while len(wave) < most and (due := await self._peek()) is not None:
            size += due.size_bytes
            if wave and size > _MOST_BYTES:
                break
            wave.append(self._first.popleft())
        return wave

    async def _meant(self) -> AsyncIterator[tuple[Row, Record | None]]:
        async for row, before in self._walk.due():
            if self._only is None or row.name in self._only:
                yield row, before

    async def _peek(self) -> Due | None:
        if not self._first and self._end is None:
            found = await anext(self._rows, None)
            if found is None:
                self._end = Stop.DONE
            elif self._count == self._limits.rows:
                self._end = Stop.LIMIT
            else:
                self._count += 1
                row, before = found
                parent = None if before is None else before.key
                number = await self._walk.next_number(before)
                self._first.append(Due.of(row, parent, number))
        return self._first[0] if self._first else None
