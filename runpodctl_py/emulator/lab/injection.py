"""Faults of requests: an ASGI app around the emulator's that does them.

Without faults a request is passed on as it is. Which fault strikes is decided by `faults.py`;
what strikes workers is done by `worker_faults.py`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import Response

from runpodctl_py.emulator import bodies
from runpodctl_py.emulator.lab.connection import hang_up
from runpodctl_py.emulator.lab.faults import Kind
from runpodctl_py.emulator.lab.places import (
    POSTED_BY_WORKERS,
    place_of,
    places_of,
    possible_places,
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from runpodctl_py.emulator.bells import Bells
    from runpodctl_py.emulator.lab.faults import Fault, Faults

_LONGEST_BODY_BYTES = 32 * 1024 * 1024
"""How much of a request is read before a fault strikes; more than any API takes."""

_PIECES = 20
"""In how many pieces a slow body comes."""

_GARBAGE = "<html><body>This is no JSON: a fault was set on this local RunPod.</body></html>"

_STOPPING = "faults"
"""The bell that pauses listen to; nobody rings it but the emulator's end."""


class Injection:
    """Passes requests on, and does to them what a fault says.

    Args:
        app: Answers the requests.
        faults: The faults that are set.
        bells: Tells pauses when the emulator stops.
    """

    def __init__(self, app: ASGIApp, faults: Faults, bells: Bells) -> None:
        self._app = app
        self._faults = faults
        self._bells = bells

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        place = place_of(scope["path"]) if self._faults and scope["type"] == "http" else None
        if place is None or not self._faults.concern(possible_places(place)):
            await self._app(scope, receive, send)
            return
        # All of it is read first: a client that is still sending would see other failures.
        upload = Upload(receive)
        if not await upload.read():
            return
        fault = self._faults.strike(places_of(place, upload.body()))
        if fault is None:
            await self._app(scope, upload, send)
        else:
            await self._do(fault, scope, upload, send)

    async def _do(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        is_late_post = fault.kind is Kind.DELAY and fault.where in POSTED_BY_WORKERS
        if is_late_post:
            await self._pause(fault.seconds)
        if fault.kind is Kind.DELAY:
            late = send if is_late_post else self._late(fault, send)
            await self._app(scope, receive, late)
            return
        answer = _Recording()
        if fault.after or fault.kind in {Kind.SLOW, Kind.TRUNCATE}:
            await self._app(scope, receive, answer)
        match fault.kind:
            case Kind.DROP:
                await hang_up(scope, receive)
            case Kind.STATUS | Kind.GARBAGE:
                await _instead(fault)(scope, receive, send)
            case Kind.TRUNCATE:
                await answer.send_half(send)
                await hang_up(scope, receive)
            case _:
                await self._trickle(answer, fault, send)

    def _late(self, fault: Fault, send: Send) -> Send:
        async def late(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._pause(fault.seconds)
            await send(message)

        return late

    async def _trickle(self, answer: _Recording, fault: Fault, send: Send) -> None:
        body, start = answer.body, answer.start
        await send(start)
        size_bytes = -(-len(body) // _PIECES) or 1
        pieces = [body[at : at + size_bytes] for at in range(0, len(body), size_bytes)]
        for piece in pieces:
            await self._pause((fault.seconds or 0.0) / len(pieces))
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pause(self, seconds: float | None) -> None:
        """Waits in real time, as everything that holds a request; not beyond the emulator's end."""
        with self._bells.listen(_STOPPING) as bell, suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if not self._bells.closed:
                    await bell.wait()


def _instead(fault: Fault) -> Response:
    """Returns what is answered in the place of the emulator's own answer."""
    if fault.kind is Kind.GARBAGE:
        return Response(_GARBAGE, media_type="text/html")
    words = f"the fault {fault.text} was set on this local RunPod"
    response = bodies.answer({"error": words}, HTTPStatus.OK)
    # Any number may have been asked for, not only those that have a name.
    response.status_code = fault.status
    if fault.seconds is not None:
        response.headers["Retry-After"] = str(int(fault.seconds))
    return response


class Upload:
    """A request's body that was read already, for the app to read; then what comes after it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read: list[Message] = []
        self._replayed = 0

    async def read(self) -> bool:
        """Reads the body, or as much of it as any API takes; returns whether the client stayed."""
        size_bytes = 0
        while size_bytes <= _LONGEST_BODY_BYTES:
            message = await self._receive()
            if message["type"] != "http.request":
                return False
            self._read.append(message)
            size_bytes += len(message.get("body", b""))
            if not message.get("more_body", False):
                break
        return True

    def body(self) -> bytes:
        """Returns what was read."""
        return b"".join(each.get("body", b"") for each in self._read)

    async def __call__(self) -> Message:
        """Returns the next part of what was read, and what comes after it."""
        if self._replayed < len(self._read):
            self._replayed += 1
            return self._read[self._replayed - 1]
        return await self._receive()


class _Recording:
    """An answer that is not sent yet, or never will be."""

    def __init__(self) -> None:
        self.start: Message = {}
        self._parts: list[bytes] = []

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self._parts)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
        else:
            self._parts.append(message.get("body", b""))

    async def send_half(self, send: Send) -> None:
        """Sends the head with the whole body's length, and half of the body."""
        await send(self.start)
        body = self.body
        half = body[: len(body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
