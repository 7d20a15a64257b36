"""A worker's log as REST streams it: server-sent events, first what was written, then what comes.

Where lines come from is `workers/logs.py`'s business. RunPod marks no end of what was written
before, and never ends the stream (API reference 3.2); here it ends when the emulator does.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator import json_text
from runpodctl_py.emulator.rest import times
from runpodctl_py.emulator.rest.problems import invalid
from runpodctl_py.emulator.workers import logs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from runpodctl_py.emulator.bells import Bells
    from runpodctl_py.emulator.rest.call import Call
    from runpodctl_py.emulator.workers.record import Worker

_LOOK_S = 0.2
"""How often it is looked whether a worker that waits for room has a log by now."""


def since(call: Call) -> str | None:
    """Returns the time after which lines are asked for, as it stands in logs, if any is.

    Raises:
        ProblemError: It is no time; 422.
    """
    # RunPod's ids are times, in its examples followed by a slash and a counter.
    last_seen = call.request.headers.get("last-event-id", "").partition("/")[0]
    text = last_seen or call.query.get("since")
    if text is None:
        return None
    try:
        return logs.time_text(times.parse(text))
    except (ValueError, OverflowError):
        raise invalid(f"Last-Event-ID: '{last_seen}' is not valid date-time") from None


async def container(
    worker: Worker, after: str | None, tail: int
) -> AsyncGenerator[logs.LogLine, None]:
    """Yields what a worker wrote and writes.

    Args:
        worker: Whose log.
        after: Only lines later than this; None yields the last ones first.
        tail: How many of the last ones.
    """
    while worker.log_path is None:  # noqa: ASYNC110 -- no bell rings when a log begins
        await asyncio.sleep(_LOOK_S)
    if after is None:
        # One is read even if none is asked for: what comes after it is new.
        last = logs.read_tail(worker.log_path, max(1, tail))
        after = last[-1].time if last else None
        for line in last[-tail:] if tail else ():
            yield line
    async for line in logs.follow(worker.log_path, after):
        yield line


async def system() -> AsyncGenerator[logs.LogLine, None]:
    """Yields what RunPod's hosts write about a worker; there are none here, so it waits."""
    await asyncio.Event().wait()
    yield logs.LogLine("", "")


async def events(
    lines: AsyncGenerator[logs.LogLine, None], source: str, bells: Bells
) -> AsyncGenerator[str, None]:
    """Yields lines as events of a source, until the emulator stops."""
    async with aclosing(lines):
        with bells.listen("logs") as bell:
            closing = asyncio.ensure_future(bell.wait())
            waiting: set[asyncio.Future[Any]] = {closing}
            try:
                while not bells.closed:
                    line = asyncio.ensure_future(anext(lines))
                    waiting = {closing, line}
                    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    if line.done():
                        yield _event(line.result(), source)
            finally:
                for each in waiting:
                    each.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)


def _event(line: logs.LogLine, source: str) -> str:
    data = {"ts": line.time, "source": source, "line": line.text}
    return f"id: {line.time}\ndata: {json_text.dump(data)}\n\n"
