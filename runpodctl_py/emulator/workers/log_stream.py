"""Workers' logs as they go on: the last lines first, then what comes, until the emulator stops.

REST and the console send these lines, each in its own form. Reading the files is `logs.py`'s
business.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator.workers import logs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from runpodctl_py.emulator.bells import Bells

_LOOK_S = 0.2
"""How often it is looked whether a worker that waits for room has a log by now."""


async def of(
    path: Callable[[], Path | None], after: str | None, tail: int
) -> AsyncGenerator[logs.LogLine, None]:
    """Yields what a worker wrote and writes.

    Args:
        path: Returns where its log is, or None as long as it has none.
        after: Only lines later than this; None yields the last ones first.
        tail: How many of the last ones.
    """
    while (log := path()) is None:  # noqa: ASYNC110 -- no bell rings when a log begins
        await asyncio.sleep(_LOOK_S)
    if after is None:
        # One is read even if none is asked for: what comes after it is new.
        last = logs.read_tail(log, max(1, tail))
        after = last[-1].time if last else None
        for line in last[-tail:] if tail else ():
            yield line
    async for line in logs.follow(log, after):
        yield line


async def until_stopped(
    lines: AsyncGenerator[logs.LogLine, None], bells: Bells
) -> AsyncGenerator[logs.LogLine, None]:
    """Yields lines as long as the emulator runs, then ends their source."""
    async with aclosing(lines):
        with bells.listen_to_end() as end:
            closing = asyncio.ensure_future(end.wait())
            waiting: set[asyncio.Future[Any]] = {closing}
            try:
                while not bells.closed:
                    line = asyncio.ensure_future(anext(lines))
                    waiting = {closing, line}
                    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    if line.done():
                        yield line.result()
            finally:
                for each in waiting:
                    each.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)
