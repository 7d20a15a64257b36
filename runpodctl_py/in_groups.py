"""Blocking work for many at once: what comes while one group is being done is the next group.

A commit or an fsync takes as long for a hundred as for one, so the more there is to do, the less
each costs; and nobody waits for company.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

_Item = TypeVar("_Item")
_Done = TypeVar("_Done")
_LARGEST_GROUP = 500
"""Who comes first should not have to wait for everybody."""


class InGroups(Generic[_Item, _Done]):
    """Does things in groups, in a thread of its own. Use it as an async context.

    All calls of `work` are made in the same thread, one after another, in the order of `add`.

    Args:
        work: Does a group, and returns what came of each, in order: an exception, where one was
            not done. If it raises, nothing of the group is done, and each of them is told so.
        end: Called in the same thread after the last group.
    """

    def __init__(
        self,
        work: Callable[[Sequence[_Item]], Sequence[_Done | Exception]],
        end: Callable[[], None] | None = None,
    ) -> None:
        self._work = work
        self._end = end
        self._thread = ThreadPoolExecutor(1, type(self).__name__)
        self._waiting: list[tuple[_Item, asyncio.Future[_Done]]] = []
        self._runner: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Do what still waits, and end the thread."""
        if self._runner is not None:
            await asyncio.wait([self._runner])
        if self._end is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._end)
        self._thread.shutdown()

    async def add(self, item: _Item) -> _Done:
        """Have one thing done, and return what came of it.

        Who is cancelled while it waits does not learn it; it is done all the same.
        """
        done: asyncio.Future[_Done] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        return await done

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group = self._waiting[:_LARGEST_GROUP]
            del self._waiting[:_LARGEST_GROUP]
            items = [item for item, _ in group]
            try:
                results = await loop.run_in_executor(self._thread, self._work, items)
            except Exception as exc:  # noqa: BLE001 # each of them is told
                for _, done in group:
                    if not done.done():
                        done.set_exception(exc)
                continue
            for (_, done), result in zip(group, results, strict=True):
                if not done.done():
                    _settle(done, result)


def _settle(done: asyncio.Future[_Done], result: _Done | Exception) -> None:
    if isinstance(result, Exception):
        done.set_exception(result)
    else:
        done.set_result(result)
