"""Serving an ASGI app on 127.0.0.1 inside somebody else's event loop and process.

Owns the socket and uvicorn. What is served is others' business: the emulator, a replay, a
forwarding to RunPod.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

import uvicorn

from runpodctl_py.emulator.config import PREFERRED_PORT
from runpodctl_py.emulator.lab.connection import HangUpProtocol
from runpodctl_py.errors import ConflictError, EmulatorError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_HOST = "127.0.0.1"
_BACKLOG = 1024
_KEEP_ALIVE_S = 75
"""Longer than clients wait between polls, so that they need no new connection for each."""


@asynccontextmanager
async def serving(app: object, port: int | None = 0) -> AsyncIterator[str]:
    """Serves an app as long as the block lasts; yields where.

    Raises:
        ConflictError: The port is in use.
        EmulatorError: It cannot be used.
    """
    with listen(port) as listener:
        server = Server(app)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await server.ready.wait()
            yield url_of(listener)
        finally:
            await ended(server, task)


async def ended(server: Server, serving: asyncio.Task[None]) -> None:
    """Ends a server, with what it still has to answer."""
    server.should_exit = True
    await serving


class Server(uvicorn.Server):
    """uvicorn inside somebody else's event loop and process."""

    def __init__(self, app: object) -> None:
        super().__init__(
            uvicorn.Config(
                app,  # type: ignore[arg-type]
                interface="asgi3",
                http=HangUpProtocol,
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=1,
            )
        )
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to answer, and says so."""
        await super().startup(sockets)
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to whoever owns the process."""
        yield


def url_of(listener: socket.socket) -> str:
    """Returns where a server on this socket answers, without a slash at the end."""
    return f"http://{_HOST}:{listener.getsockname()[1]}"


def listen(port: int | None) -> socket.socket:
    """Returns a socket of this machine only.

    Args:
        port: Which; 0 takes any free one, None prefers 8765.

    Raises:
        ConflictError: The port is in use.
        EmulatorError: It cannot be used.
    """
    if port is None:
        with suppress(OSError):
            return _listener(PREFERRED_PORT)
    try:
        return _listener(port or 0)
    except OSError as error:
        kind = ConflictError if error.errno == errno.EADDRINUSE else EmulatorError
        raise kind(
            f"port {port} of {_HOST} cannot be used: {error.strerror}",
            hint="choose another port, or none to get any free one",
        ) from error


def _listener(port: int) -> socket.socket:
    # The protocol is named because asyncio switches Nagle's algorithm off only then; with it,
    # every answer takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
