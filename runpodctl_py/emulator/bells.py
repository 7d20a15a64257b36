"""Holding a request open until something changes: who waits, who wakes them.

State changes ring a bell by name: a job's, a worker's or an endpoint's id, or that of a part of the
emulator that has something to do. A held request listens to some of them. Nothing here polls.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.requests import Request

T = TypeVar("T")

SCALER = "scaler"
"""Rings when the number of workers may have to change, or something is due."""

WEBHOOKS = "webhooks"
"""Rings when there is something new to deliver, or room to deliver it."""


TIME = "time"
"""Rings when the clock was moved, stopped, or set going: waits have to be measured anew."""

CHANGES = "changes"
"""Rings for what nobody waits for but who shows everything, such as a new worker."""

_END = "end"
"""Rings at the emulator's end only."""


class ClientGoneError(Exception):
    """The client hung up while its request was held."""


class Bells:
    """All bells of one emulator, by name; used from its event loop only."""

    def __init__(self) -> None:
        # In order: with the same seed, the same worker has to be the first to take a job.
        self._listeners: defaultdict[str, dict[asyncio.Event, None]] = defaultdict(dict)
        self._listeners_to_all: dict[asyncio.Event, None] = {}
        self.closed = False
        self.rings = 0
        """How often any of them rang: as long as it stays the same, nothing has changed."""

    def ring(self, name: str) -> None:
        """Wakes everybody who listens to this name."""
        self.rings += 1
        for event in self._listeners.get(name, ()):
            event.set()
        for event in self._listeners_to_all:
            event.set()

    def close(self) -> None:
        """Wakes everybody for good: the emulator stops, held requests are answered now."""
        self.closed = True
        for name in (*self._listeners, _END):
            self.ring(name)

    @contextmanager
    def listen(self, *names: str) -> Iterator[asyncio.Event]:
        """Yields an event that is set whenever one of the names rings."""
        event = asyncio.Event()
        for name in names:
            self._listeners[name][event] = None
        try:
            yield event
        finally:
            for name in names:
                self._listeners[name].pop(event, None)
                if not self._listeners[name]:
                    del self._listeners[name]

    @contextmanager
    def listen_to_all(self) -> Iterator[asyncio.Event]:
        """Yields an event that is set whenever any of them rings."""
        event = asyncio.Event()
        self._listeners_to_all[event] = None
        try:
            yield event
        finally:
            del self._listeners_to_all[event]

    @contextmanager
    def listen_to_end(self) -> Iterator[asyncio.Event]:
        """Yields an event that is set when the emulator stops, or has begun to."""
        with self.listen(_END) as event:
            if self.closed:
                event.set()
            yield event


async def hold(
    request: Request,
    bells: Bells,
    names: tuple[str, ...],
    ready: Callable[[], T | None],
    timeout_s: float,
    *,
    undo: Callable[[T], None] | None = None,
) -> T | None:
    """Waits for an answer to a request while its client is there.

    Args:
        request: The request to hold; its body has been read.
        bells: Where the names ring.
        names: What wakes the request to ask `ready` again.
        ready: Returns the answer, or None as long as there is none. It is only asked while the
            connection is open, so it may hand something over.
        timeout_s: How long to wait at most.
        undo: Takes back what `ready` handed over to a client that was hanging up meanwhile.

    Returns:
        The answer, or None when the time is over or the emulator stops.

    Raises:
        ClientGoneError: The client hung up; nothing was handed over.
    """
    gone = asyncio.ensure_future(_hung_up(request))
    deadline = asyncio.get_running_loop().time() + timeout_s
    try:
        with bells.listen(*names) as bell:
            gone.add_done_callback(lambda _: bell.set())
            # A connection that has closed already tells so only after a turn of the loop.
            await asyncio.sleep(0)
            while not gone.done():
                bell.clear()
                if (answer := ready()) is None and not bells.closed:
                    if not await _rung(bell, deadline):
                        return None
                    continue
                await asyncio.sleep(0)
                if not gone.done():
                    return answer
                if undo is not None and answer is not None:
                    undo(answer)
    finally:
        gone.cancel()
        with suppress(asyncio.CancelledError):
            await gone
    raise ClientGoneError


async def _rung(bell: asyncio.Event, deadline: float) -> bool:
    try:
        async with asyncio.timeout_at(deadline):
            return await bell.wait()
    except TimeoutError:
        return False


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
