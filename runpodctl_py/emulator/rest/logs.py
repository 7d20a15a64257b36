"""A worker's log as REST streams it: server-sent events, first what was written, then what comes.

Where lines come from is `workers/log_stream.py`'s business. RunPod marks no end of what was written
before, and never ends the stream (API reference 3.2); here it ends when the emulator does.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from runpodctl_py.emulator import json_text
from runpodctl_py.emulator.rest import times
from runpodctl_py.emulator.rest.problems import invalid
from runpodctl_py.emulator.workers import log_stream, logs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from runpodctl_py.emulator.bells import Bells
    from runpodctl_py.emulator.rest.call import Call


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


async def system() -> AsyncGenerator[logs.LogLine, None]:
    """Yields what RunPod's hosts write about a worker; there are none here, so it waits."""
    await asyncio.Event().wait()
    yield logs.LogLine("", "")


async def events(
    lines: AsyncGenerator[logs.LogLine, None], source: str, bells: Bells
) -> AsyncGenerator[str, None]:
    """Yields lines as events of a source, until the emulator stops."""
    async with aclosing(log_stream.until_stopped(lines, bells)) as told:
        async for line in told:
            yield _event(line, source)


def _event(line: logs.LogLine, source: str) -> str:
    data = {"ts": line.time, "source": source, "line": line.text}
    return f"id: {line.time}\ndata: {json_text.dump(data)}\n\n"
