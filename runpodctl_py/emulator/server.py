"""The whole local RunPod as one object: `start`, `url`, `token`, `stop`.

Puts the parts together in the running event loop and takes them down in an order that loses no
result. Which process runs it, and who else may, is `daemon.py`'s business.
"""

from __future__ import annotations

import asyncio
import errno
import secrets
import socket
from contextlib import AsyncExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import uvicorn

from runpodctl_py.emulator.app import Apis, Keys, make_app
from runpodctl_py.emulator.bells import Bells
from runpodctl_py.emulator.clock import SystemClock
from runpodctl_py.emulator.config import PREFERRED_PORT, EmulatorConfig
from runpodctl_py.emulator.data_folder import kept_token, make_private
from runpodctl_py.emulator.graphql.answering import GraphQLApi, load_schema
from runpodctl_py.emulator.ids import Ids
from runpodctl_py.emulator.jobs.api import JobApi
from runpodctl_py.emulator.jobs.batch_api import BatchApi
from runpodctl_py.emulator.jobs.openai_api import OpenAiApi
from runpodctl_py.emulator.jobs.rate_limits import RateLimits
from runpodctl_py.emulator.jobs.webhooks import Postman
from runpodctl_py.emulator.lab.connection import HangUpProtocol
from runpodctl_py.emulator.lab.fault_api import FaultApi
from runpodctl_py.emulator.lab.faults import Faults
from runpodctl_py.emulator.lab.injection import Injection
from runpodctl_py.emulator.lab.passage import Passage, take_up
from runpodctl_py.emulator.lab.reset import Reset
from runpodctl_py.emulator.lab.time_api import TimeApi
from runpodctl_py.emulator.lab.worker_faults import WorkerFaults
from runpodctl_py.emulator.local_api import LocalApi
from runpodctl_py.emulator.rest.api import RestApi
from runpodctl_py.emulator.state import State
from runpodctl_py.emulator.store import SqliteStore
from runpodctl_py.emulator.workers.api import WorkerApi
from runpodctl_py.emulator.workers.backoff import Backoffs
from runpodctl_py.emulator.workers.processes import Workers
from runpodctl_py.emulator.workers.reloading import Reloader
from runpodctl_py.emulator.workers.scaler import Scaler, WorkerHost
from runpodctl_py.emulator.workers.simulated import SimulatedWorkers
from runpodctl_py.errors import ConflictError, EmulatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from runpodctl_py.emulator.store import Store

_STARTS = "starts"
"""What the store calls the number of starts, and the id of the one record."""
_HOST = "127.0.0.1"
_BACKLOG = 1024
_KEEP_ALIVE_S = 75
"""Longer than clients wait between polls, so that they need no new connection for each."""


class LocalRunPod:
    """A local RunPod in the running event loop.

    Args:
        config: What is to be known before it starts.
        on_broken: Called when a part of it has failed, without which no worker would start any
            more; `stop` then raises why.
    """

    def __init__(
        self, config: EmulatorConfig, on_broken: Callable[[], None] = lambda: None
    ) -> None:
        self._config = config
        self._on_broken = on_broken
        self.url = ""
        """Where it answers, such as http://127.0.0.1:8765; empty before `start`."""
        self.token = ""
        """The API key clients must send; empty before `start`."""
        self.passage: Passage
        """Moves its clock; there after `start`, like what follows."""
        self.reset: Reset
        """Empties it."""
        self.faults: Faults
        """What goes wrong on purpose; there from `start` on."""
        self._bells = Bells()
        self._ending = AsyncExitStack()

    async def start(self) -> None:
        """Starts to answer.

        Raises:
            ConflictError: The port is in use.
            EmulatorError: The port or the data folder cannot be used.
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
        take_up(config.clock, store)
        state = State(
            store,
            config.clock,
            config.timings,
            bells.ring,
            config.worker_quota,
            strict=config.strict,
            ids=Ids(config.seed, _count_start(store)),
        )
        keys = Keys(self.token, f"worker_{secrets.token_hex(16)}")
        limits = RateLimits(state.control.endpoints, config.clock) if config.rate_limits else None
        self.faults = Faults(lambda: state.ids.sequence("faults"))
        self.faults.add(config.faults)
        workers = self._workers(state, keys.worker)
        reloader = Reloader(state, lambda endpoint: workers.start(endpoint, 1))
        scaler = Scaler(state, workers, bells, config.clock)
        self.passage = Passage(config.clock, store, bells, state, scaler=scaler, workers=workers)
        self.reset = Reset(state, bells, self.passage, config.data_folder / "logs")
        machine = SystemClock()
        local = LocalApi(state, machine, machine.now(), workers, reloader, bells)
        lab = (TimeApi(self.passage, self.reset), FaultApi(self.faults))
        apis = _apis(config, state, bells, local, lab, keys=keys)
        self.reset.on_reset += [
            # First: those that follow decide by chance.
            lambda: state.ids.begin(_count_start(store)),
            self.faults.clear,
            workers.forget,
            reloader.forget_all,
            apis.rest.quota.clear,
            *([limits.clear] if limits else ()),
        ]
        server = _Server(Injection(make_app(apis, keys, limits), self.faults, bells))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        ending.push_async_callback(_served, server, serving)
        ending.callback(bells.close)
        posting = self._going_on(Postman(state.deliveries, bells).run())
        ending.push_async_callback(_cancelled, posting)
        ending.push_async_callback(workers.close)
        await workers.open()
        ending.push_async_callback(reloader.close)
        scaling = self._going_on(scaler.run())
        ending.push_async_callback(_cancelled, scaling)
        await server.ready.wait()

    def _going_on(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Starts what must not end by itself; should it fail, whoever owns this is told."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and task.exception() is not None:
                self._on_broken()

        task = asyncio.create_task(work)
        task.add_done_callback(ended)
        return task

    def _workers(self, state: State, key: str) -> WorkerHost:
        """Returns what starts the workers; what it withholds room is released with the fault."""
        config, mishaps = self._config, WorkerFaults(self.faults, state.fleet)
        host: WorkerHost
        if config.simulation is None:
            host = Workers(config, state, self.url, key, mishaps)
        else:
            host = SimulatedWorkers(
                config.simulation,
                state.fleet,
                self._bells,
                config.clock,
                state.ids,
                backoffs=Backoffs(config.timings, config.clock),
                mishaps=mishaps,
            )

        def release() -> None:
            if not mishaps.throttles:
                host.release()

        self.faults.on_changed.append(release)
        return host


def _apis(
    config: EmulatorConfig,
    state: State,
    bells: Bells,
    local: LocalApi,
    lab: tuple[TimeApi, FaultApi],
    *,
    keys: Keys,
) -> Apis:
    return Apis(
        GraphQLApi(state, load_schema(), config.introspection),
        JobApi(state, bells),
        WorkerApi(state, bells, config.timings),
        local,
        RestApi(state, bells, config, user_key=keys.user, worker_key=keys.worker),
        BatchApi(state),
        OpenAiApi(state, bells),
        *lab,
    )


def _count_start(store: Store) -> int:
    """Returns how often this data was taken up before, and counts this time."""
    number: int = sum(each["number"] for each in store.of(_STARTS))
    store.put(_STARTS, _STARTS, {"number": number + 1})
    return number


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
