"""Following a batch of RunPod's: when it is asked how it stands, and which pages are read.

Owns how often. RunPod keeps a result for 30 minutes after a job ends (API reference 4.3), so
results are fetched while the batch runs, in pages as large as their results allow. Requests run in
no order, and no document says in which they are listed, so a page is read for ids and never for
places; where the last ones were found is only where the next ones are looked for first. What an
ended request means is the caller's business.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runpodctl_py.api.batches import LARGEST_PAGE
from runpodctl_py.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runpodctl_py.api.batches import BatchRequest, NativeBatch, Page
    from runpodctl_py.batch.native_calls import SureBatches
    from runpodctl_py.clock import Clock

    Land = Callable[[BatchRequest], Awaitable[None]]

_SHORTEST_INTERVAL_S = 0.5
_LONGEST_INTERVAL_S = 10.0
_SLOWER = 1.5
_REST_PER_READING = 2.0
"""How long we rest after reading pages, in times of what that took: much is read twice."""
_PAGE_BYTES = 4 * 1024 * 1024
_FIRST_PAGE = 50
_VAIN_READINGS = 5
"""So often all pages are read for requests that are counted as ended and not listed so."""


@dataclass(slots=True)
class _Watched:
    """What is known of a batch that is followed.

    Args:
        land: Told of each request that has ended.
        ended: The ids of the requests that have ended.
        offset: Where the first page is that still had others when it was last read.
        vain: How often all pages were read to no avail, though all requests are counted as ended.
        reading_s: How long we waited for pages, this time.
    """

    land: Land
    ended: set[str] = field(default_factory=set)
    offset: int = 0
    vain: int = 0
    reading_s: float = 0.0


class Following:
    """Follows batches of RunPod's.

    Args:
        calls: RunPod's batch API.
        clock: For measuring and waiting.
    """

    def __init__(self, calls: SureBatches, clock: Clock) -> None:
        self._calls = calls
        self._clock = clock
        self._mean_bytes: float | None = None

    async def follow(self, native_id: str, land: Land) -> None:
        """Return when nothing more is to be learned of a batch: it is through, or gone.

        Args:
            native_id: RunPod's id of it.
            land: Told once of each request that has ended; it may take its time.

        Raises:
            RunpodctlError: It concerns all rows.
        """
        watched, interval_s = _Watched(land), _SHORTEST_INTERVAL_S
        while True:
            try:
                batch = await self._calls.summary(native_id)
                known, watched.reading_s = len(watched.ended), 0.0
                if batch.ended > known or batch.is_broken_off:
                    await self._read(batch, watched)
            except NotFoundError:
                return
            if batch.is_broken_off or self._is_through(batch, watched, known):
                return
            is_news = len(watched.ended) > known
            interval_s = interval_s / _SLOWER if is_news else interval_s * _SLOWER
            interval_s = min(max(interval_s, _SHORTEST_INTERVAL_S), _LONGEST_INTERVAL_S)
            await self._clock.sleep(max(interval_s, _REST_PER_READING * watched.reading_s))

    def _is_through(self, batch: NativeBatch, watched: _Watched, known: int) -> bool:
        if batch.ended < batch.total:
            return False
        watched.vain = 0 if len(watched.ended) > known else watched.vain + 1
        return len(watched.ended) >= batch.total or watched.vain > _VAIN_READINGS

    async def _read(self, batch: NativeBatch, watched: _Watched) -> None:
        """Read pages from where others were last, round to there, until all news are found."""
        first = offset = watched.offset if watched.offset < batch.total else 0
        has_wrapped, found_open = False, False
        while batch.is_broken_off or len(watched.ended) < batch.ended:
            began_s = self._clock.now_s()
            page = await self._calls.page(batch, offset, self._limit)
            watched.reading_s += self._clock.now_s() - began_s
            if not found_open and not all(each.is_final for each in page.requests):
                found_open, watched.offset = True, offset
            await self._take(page, watched)
            offset += len(page.requests)
            if has_wrapped and offset >= first:
                return
            if not page.has_more or not page.requests:
                if has_wrapped or not first:
                    return
                has_wrapped, offset = True, 0

    async def _take(self, page: Page, watched: _Watched) -> None:
        """Land what has ended, all of a page at once and before the next page is read."""
        news = [
            each for each in page.requests if each.is_final and each.request_id not in watched.ended
        ]
        for each in news:
            self._measure(each)
        async with asyncio.TaskGroup() as tasks:
            for each in news:
                tasks.create_task(self._landed(each, watched))

    async def _landed(self, request: BatchRequest, watched: _Watched) -> None:
        await watched.land(request)
        watched.ended.add(request.request_id)

    @property
    def _limit(self) -> int:
        """How many requests to ask for at once: as many as are a few megabytes, if all ended."""
        if self._mean_bytes is None:
            return _FIRST_PAGE
        return min(max(1, int(_PAGE_BYTES / max(1.0, self._mean_bytes))), LARGEST_PAGE)

    def _measure(self, request: BatchRequest) -> None:
        size = len(json.dumps(request.job.output)) if request.job is not None else 0
        # The latest count most; a large one counts at once.
        mean = size if self._mean_bytes is None else 0.9 * self._mean_bytes + 0.1 * size
        self._mean_bytes = max(mean, float(size) / 10)
