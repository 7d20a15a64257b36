"""Recording: an ASGI app around the emulator's that tells of each exchange when it is complete.

Told is what the clients of RunPod's own APIs asked and really got, faults included, and without
secrets; what workers, this machine's command line and the console ask is not. While nobody
listens, a request is passed on as it is.
"""

from __future__ import annotations

import re
import time
import zlib
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from runpodctl_py.emulator.lab.cleaning import kept
from runpodctl_py.emulator.lab.connection import told_of_hang_up
from runpodctl_py.emulator.lab.injection import Upload
from runpodctl_py.emulator.lab.paths import is_of_users
from runpodctl_py.emulator.lab.removal import PLACEHOLDER, Removal
from runpodctl_py.emulator.lab.secret_names import REMOVED
from runpodctl_py.emulator.lab.transcript import Answer, Body, Exchange, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    Listener = Callable[[Exchange], None]

_MOST_BYTES = 32 * 1024 * 1024
"""How much of an answer is kept; a longer one looks as if it had broken off."""

_HTTP_CLIENT_CLOSED_REQUEST = 499
_STREAM = "text/event-stream"
_KNOWN_ENCODINGS = frozenset({"gzip", "x-gzip", "deflate"})
_BEARER = re.compile(r"\Abearer\s+", re.IGNORECASE)


UNREACHED = "runpodctl_py.unreached"
"""Set in a request's scope by an app that had no answer to pass on: what it says is its own."""


class Recording:
    """Tells listeners of each exchange of the apps that it is around.

    Args:
        secrets: What is taken out wherever it stands; what a client sends as its key is, too.
        upstream: The roots of the RunPod that answers, where it is not the server that was
            asked, and what stands for each in the transcript.
    """

    def __init__(
        self,
        secrets: Collection[str] = (),
        upstream: Mapping[str, str] | None = None,
    ) -> None:
        self._secrets = frozenset(secrets)
        self._upstream = upstream or {}
        self._heard: set[str] = set()
        self.listeners: list[Listener] = []
        """Who is told; a function that is added hears of what begins afterwards."""

    def around(self, app: ASGIApp) -> ASGIApp:
        """Returns an app that passes requests on to another one, and is heard."""
        return partial(self._serve, app)

    async def _serve(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.listeners or scope["type"] != "http" or not is_of_users(scope["path"]):
            await app(scope, receive, send)
            return
        listeners = tuple(self.listeners)
        # All of it is read first: an app that refuses a request does not read it to its end.
        upload = Upload(receive)
        if not await upload.read():
            return
        capture = _Capture(send, lambda: self._tell(listeners, own, upload, capture))
        own = told_of_hang_up(scope, capture.end)
        try:
            await app(own, upload, capture)
        except BaseException:
            capture.end()
            raise
        capture.leave()

    def _tell(
        self, listeners: tuple[Listener, ...], scope: Scope, upload: Upload, capture: _Capture
    ) -> None:
        if capture.status == _HTTP_CLIENT_CLOSED_REQUEST:
            # The client hung up, so this was no answer to anybody.
            return
        headers = _headers(scope["headers"])
        exchange = Exchange(
            request_of(scope, upload.body()),
            None if UNREACHED in scope else capture.answer(),
            capture.began_at,
            time.monotonic() - capture.began,
        )
        cleaned = self._removal(scope, headers).exchange(exchange)
        for listener in listeners:
            if listener in self.listeners:
                listener(cleaned)

    def _removal(self, scope: Scope, headers: Mapping[str, str]) -> Removal:
        known = self._secrets | key_of(scope, headers)
        return Removal(known, {own_address(scope): PLACEHOLDER}, self._upstream, self._heard)


def request_of(scope: Scope, body: bytes) -> Request:
    """Returns a request as a transcript has it, its secrets still in it."""
    headers = _headers(scope["headers"])
    return Request(
        scope["method"],
        scope["path"],
        scope["query_string"].decode("latin-1"),
        kept(headers),
        _body(body, headers),
    )


def own_address(scope: Scope) -> str:
    """Returns the root of the server that was asked, as its answers name it."""
    headers = _headers(scope["headers"])
    host, port = scope["server"]
    return f"{scope['scheme']}://{headers.get('host', f'{host}:{port}')}"


def key_of(scope: Scope, headers: Mapping[str, str] | None = None) -> frozenset[str]:
    """Returns the key that a client sent, in either of the two places (API reference 1.1)."""
    given = (_headers(scope["headers"]) if headers is None else headers).get("authorization", "")
    query = parse_qs(scope["query_string"].decode("latin-1"))
    keys = {_BEARER.sub("", given).strip(), *query.get("api_key", ())}
    return frozenset(key for key in keys if key)


def _body(content: bytes, headers: Mapping[str, str]) -> Body | None:
    """Returns a body as it can be looked through; of what is compressed otherwise, nothing."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity" or not content:
        return Body.of(content)
    plain = _decompressed(content) if encoding in _KNOWN_ENCODINGS else None
    return Body("text", REMOVED) if plain is None else Body.of(plain)


def _decompressed(content: bytes) -> bytes | None:
    """Returns what is compressed, or None if it is not whole, or grows beyond measure."""
    reader = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # 32: zlib or gzip, as it begins.
    try:
        plain = reader.decompress(content, _MOST_BYTES)
    except zlib.error:
        return None
    return plain if reader.eof and not reader.unused_data else None


def _headers(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw}


class _Capture:
    """Passes an answer on and keeps it.

    Args:
        send: Where it goes.
        on_end: Called once, before the client has the last of it or the connection is closed.
    """

    def __init__(self, send: Send, on_end: Callable[[], None]) -> None:
        self._send = send
        self._on_end = on_end
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []
        self._size_bytes = 0
        self._is_whole = False
        self._has_ended = False
        self.status: int | None = None
        self.began_at = time.time()
        self.began = time.monotonic()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self._headers = message["status"], _headers(message["headers"])
        elif message["type"] == "http.response.body":
            self._keep(message.get("body", b""))
            if not message.get("more_body", False):
                self._is_whole = self._size_bytes <= _MOST_BYTES
                # Who has the whole answer may end the recording at once, and wants this in it.
                self.end()
        await self._send(message)

    def _keep(self, part: bytes) -> None:
        self._size_bytes += len(part)
        if self._size_bytes <= _MOST_BYTES:
            self._parts.append(part)

    def answer(self) -> Answer | None:
        """Returns what the client got."""
        if self.status is None:
            return None
        body = _body(b"".join(self._parts), self._headers)
        return Answer(self.status, kept(self._headers), body, broke_off=not self._is_whole)

    def leave(self) -> None:
        """Tells that the app is done: what is not whole by now, the client did not wait for.

        Of a stream it got what it wanted: OpenAI's client hangs up when it has read `[DONE]`. Half
        of any other answer was none.
        """
        if not self._headers.get("content-type", "").startswith(_STREAM):
            self._has_ended = True
        elif not self._has_ended:
            self._is_whole = self._size_bytes <= _MOST_BYTES
            self.end()

    def end(self) -> None:
        """Tells that no more will come."""
        if not self._has_ended:
            self._has_ended = True
            self._on_end()
