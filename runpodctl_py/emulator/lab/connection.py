"""uvicorn's HTTP protocol, with a way for the app to end a connection without an answer.

ASGI knows no such thing; what an app raises is answered with 500 and logged.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable
    from typing import Any

    from starlette.types import ASGIApp, Receive, Scope, Send

_EXTENSION = "runpodctl_py.hang_up"


class HangUpProtocol(HttpToolsProtocol):
    """Gives the app what closes its connection, as an extension in the request's scope."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Notes the connection."""
        super().connection_made(transport)
        app: Any = self.app
        self.app = partial(_with_extension, app, transport.close)


def _with_extension(
    app: ASGIApp, close: Callable[[], None], scope: Scope, receive: Receive, send: Send
) -> Awaitable[None]:
    scope["extensions"] = {_EXTENSION: close}
    return app(scope, receive, send)


def told_of_hang_up(scope: Scope, told: Callable[[], None]) -> Scope:
    """Returns a request's scope in which somebody is told before its connection is closed."""
    extensions = scope.get("extensions") or {}
    close = extensions.get(_EXTENSION)

    def tell_and_close() -> None:
        told()
        if close is not None:
            close()

    return {**scope, "extensions": {**extensions, _EXTENSION: tell_and_close}}


async def hang_up(scope: Scope, receive: Receive) -> None:
    """Closes a request's connection, after what has been sent; waits until it is closed.

    Only then may the app return: without an answer on an open connection, it would seem to have
    failed.
    """
    scope["extensions"][_EXTENSION]()
    while (await receive())["type"] != "http.disconnect":
        pass
