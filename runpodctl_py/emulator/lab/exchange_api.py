"""/_local/exchanges: a transcript as it comes, for as long as somebody reads it."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import StreamingResponse

from runpodctl_py.emulator import bodies, json_text
from runpodctl_py.emulator.errors import JobApiError, bad_request
from runpodctl_py.emulator.lab.transcript import header

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Iterator, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from runpodctl_py.emulator.bells import Bells
    from runpodctl_py.emulator.lab.recording import Recording
    from runpodctl_py.emulator.lab.transcript import Exchange

MOST_WAITING_BYTES = 64 * 1024 * 1024
"""How much waits for one reader; it holds the largest exchange there can be."""

CUT_OFF = "cutOff"
"""The one field of the last line that a reader gets who was too slow."""


class ExchangeApi:
    """The operations on exchanges.

    Args:
        recording: Tells of them.
        bells: Tells streams when the emulator stops.
        most_waiting_bytes: How much may wait for a reader before it is cut off.
    """

    def __init__(
        self, recording: Recording, bells: Bells, most_waiting_bytes: int = MOST_WAITING_BYTES
    ) -> None:
        self._recording = recording
        self._bells = bells
        self._most_waiting_bytes = most_waiting_bytes
        self._streams: dict[str, _Stream] = {}

    async def exchanges(self, request: Request) -> Response:
        """GET /_local/exchanges?name=: the lines of a transcript, until the stream is ended."""
        name = request.query_params.get("name", "")
        if name and name in self._streams:
            raise bad_request(f"a stream is called {name} already")
        return StreamingResponse(self._lines(name), media_type="application/x-ndjson")

    async def exchange(self, request: Request) -> Response:
        """DELETE /_local/exchanges/{name}: ends a stream, after what has been complete by now."""
        name = request.path_params["name"]
        stream = self._streams.get(name)
        if stream is None:
            raise JobApiError(HTTPStatus.NOT_FOUND, f"no stream is called {name}")
        stream.end()
        return bodies.answer({})

    async def _lines(self, name: str) -> AsyncIterator[str]:
        with self._bells.listen_to_end() as bell:
            stream = _Stream(bell, self._most_waiting_bytes)
            self._streams[name] = stream
            self._recording.listeners.append(stream)
            try:
                yield f"{header()}\n"
                while True:
                    for line in stream.taken():
                        yield f"{line}\n"
                    if stream.is_idle and (stream.has_ended or self._bells.closed):
                        return
                    if stream.is_idle:
                        bell.clear()
                        await bell.wait()
            finally:
                with suppress(ValueError):
                    self._recording.listeners.remove(stream)
                if self._streams.get(name) is stream:
                    del self._streams[name]


class _Stream:
    """What waits for one reader.

    Args:
        bell: Wakes it.
        most_bytes: How much may wait.
    """

    def __init__(self, bell: asyncio.Event, most_bytes: int) -> None:
        self._bell = bell
        self._most_bytes = most_bytes
        self._waiting: deque[str] = deque()
        self._size_bytes = 0
        self.has_ended = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    def __call__(self, exchange: Exchange) -> None:
        if self.has_ended:
            return
        line = exchange.line()
        self._size_bytes += len(line)
        self._waiting.append(line)
        if self._size_bytes > self._most_bytes:
            words = f"more than {self._most_bytes} bytes waited for this reader"
            self._waiting.clear()
            self._waiting.append(json_text.dump({CUT_OFF: words}))
            self.has_ended = True
        self._bell.set()

    def taken(self) -> Iterator[str]:
        """Yields what waits, the oldest first."""
        while self._waiting:
            line = self._waiting.popleft()
            self._size_bytes -= len(line)
            yield line

    def end(self) -> None:
        """Has the stream end when nothing waits any more."""
        self.has_ended = True
        self._bell.set()


OPERATIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "exchanges": ("exchanges", ("GET",)),
    "exchanges/{name}": ("exchange", ("DELETE",)),
}
"""Path below /_local to method of `ExchangeApi` and HTTP methods."""
