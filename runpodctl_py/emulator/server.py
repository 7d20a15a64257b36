"""The whole local RunPod as one object: `start`, `url`, `token`, `stop`.

Puts the parts together in the running event loop and takes them down in an order that loses no
result. Which process runs it, and who else may, is `daemon.py`'s business.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import AsyncExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING

import uvicorn

from runpodctl_py.emulator.app import Apis, Keys, make_app
from runpodctl_py.emulator.bells import Bells
from runpodctl_py.emulator.config import PREFERRED_PORT, EmulatorConfig
from runpodctl_py.emulator.data_folder import kept_token, make_private
from runpodctl_py.emulator.graphql import GraphQLApi, load_schema
from runpodctl_py.emulator.job_api import JobApi
from runpodctl_py.emulator.local_api import LocalApi
from runpodctl_py.emulator.scaler import Scaler
from runpodctl_py.emulator.state import State
from runpodctl_py.emulator.store import SqliteStore
from runpodctl_py.emulator.worker_api import WorkerApi
from runpodctl_py.emulator.workers import Workers
from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOST = "127.0.0.1"
_BACKLOG = 1024
_KEEP_ALIVE_S = 75
"""Longer than clients wait between polls, so that they need no new connection for each."""


class LocalRunPod:
    """A local RunPod in the running event loop.

    Args:
        config: What is to be known before it starts.
    """

    def __init__(self, config: EmulatorConfig) -> None:
        self._config = config
        self.url = ""
        """Where it answers, such as http://127.0.0.1:8765; empty before `start`."""
        self.token = ""
        """The API key clients must send; empty before `start`."""
        self._bells = Bells()
        self._ending = AsyncExitStack()

    async def start(self) -> None:
        """Starts to answer.

        Raises:
            EmulatorError: The port is in use, or the data folder cannot be used.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stops the workers first, so that their last results arrive, and then everything."""
        await self._ending.aclose()

    async def _start(self) -> None:
        """Starts part after part; each says how it ends, and they end in reverse order."""
        config, bells, ending = self._config, self._bells, self._ending
        make_private(config.data_folder)
        listener = ending.enter_context(_listen(config.port))
        self.url = f"http://{_HOST}:{listener.getsockname()[1]}"
        self.token = config.token or kept_token(config.data_folder)
        store = ending.enter_context(closing(SqliteStore(config.data_folder / "state.sqlite3")))
        state = State(store, config.clock, config.timings, bells.ring, config.worker_quota)
        keys = Keys(self.token, f"worker_{secrets.token_hex(16)}")
        server = _Server(make_app(_apis(config, state, bells), keys))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        ending.push_async_callback(_served, server, serving)
        ending.callback(bells.close)
        workers = Workers(config, state, self.url, keys.worker)
        ending.push_async_callback(workers.close)
        await workers.open()
        scaling = asyncio.create_task(Scaler(state, workers, bells, config.clock).run())
        ending.push_async_callback(_cancelled, scaling)
        await server.ready.wait()


def _apis(config: EmulatorConfig, state: State, bells: Bells) -> Apis:
    return Apis(
        GraphQLApi(state, load_schema()),
        JobApi(state, bells),
        WorkerApi(state, bells, config.timings),
        LocalApi(state, config.clock, config.clock.now()),
    )


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _served(server: _Server, serving: asyncio.Task[None]) -> None:
    server.should_exit = True
    await serving


class _Server(uvicorn.Server):
    """uvicorn inside somebody else's event loop and process."""

    def __init__(self, app: object) -> None:
        super().__init__(
            uvicorn.Config(
                app,  # type: ignore[arg-type]
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
        await super().startup(sockets)
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to whoever owns the process."""
        yield


def _listen(port: int | None) -> socket.socket:
    if port is None:
        with suppress(OSError):
            return _listener(PREFERRED_PORT)
    try:
        return _listener(port or 0)
    except OSError as error:
        raise EmulatorError(
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
