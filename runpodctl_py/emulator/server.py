"""The whole local RunPod as one object: `start`, `url`, `token`, `stop`.

Puts the parts together in the running event loop and takes them down in an order that loses no
result. Which process runs it, and who else may, is `daemon.py`'s business.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack, closing, suppress
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator.app import Apis, Keys, make_app
from runpodctl_py.emulator.bells import CHANGES, Bells
from runpodctl_py.emulator.clock import SystemClock
from runpodctl_py.emulator.console.doors import Doors
from runpodctl_py.emulator.console.feed import Feed
from runpodctl_py.emulator.console.pages import Pages
from runpodctl_py.emulator.console.site import Site
from runpodctl_py.emulator.console.view import View
from runpodctl_py.emulator.data_folder import kept_token, make_private
from runpodctl_py.emulator.graphql.answering import GraphQLApi, load_schema
from runpodctl_py.emulator.ids import Ids
from runpodctl_py.emulator.jobs.api import JobApi
from runpodctl_py.emulator.jobs.batch_api import BatchApi
from runpodctl_py.emulator.jobs.openai_api import OpenAiApi
from runpodctl_py.emulator.jobs.rate_limits import RateLimits
from runpodctl_py.emulator.jobs.webhooks import Postman
from runpodctl_py.emulator.lab.exchange_api import ExchangeApi
from runpodctl_py.emulator.lab.fault_api import FaultApi
from runpodctl_py.emulator.lab.faults import Faults
from runpodctl_py.emulator.lab.injection import Injection
from runpodctl_py.emulator.lab.passage import Passage, take_up
from runpodctl_py.emulator.lab.recording import Recording
from runpodctl_py.emulator.lab.reset import Reset
from runpodctl_py.emulator.lab.time_api import TimeApi
from runpodctl_py.emulator.lab.worker_faults import WorkerFaults
from runpodctl_py.emulator.local_api import LocalApi
from runpodctl_py.emulator.rest.api import RestApi
from runpodctl_py.emulator.serving import Server, ended, listen, url_of
from runpodctl_py.emulator.state import State
from runpodctl_py.emulator.store import SqliteStore
from runpodctl_py.emulator.workers.api import WorkerApi
from runpodctl_py.emulator.workers.backoff import Backoffs
from runpodctl_py.emulator.workers.processes import Workers
from runpodctl_py.emulator.workers.reloading import Reloader
from runpodctl_py.emulator.workers.scaler import Scaler, WorkerHost
from runpodctl_py.emulator.workers.simulated import SimulatedWorkers

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from runpodctl_py.emulator.config import EmulatorConfig
    from runpodctl_py.emulator.store import Store

_STARTS = "starts"
"""What the store calls the number of starts, and the id of the one record."""


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
        self.recording: Recording
        """Tells of each exchange of RunPod's own APIs; there after `start`."""
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
        listener = ending.enter_context(listen(config.port))
        self.url = url_of(listener)
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
        local = LocalApi(state, machine, machine.now(), workers, reloader, bells, config)
        recording = self.recording = Recording((self.token, keys.worker))
        lab = (
            TimeApi(self.passage, self.reset),
            FaultApi(self.faults),
            ExchangeApi(recording, bells),
        )
        site = Site(Pages(Doors(keys.user, machine)), self._feed(state))
        apis = _apis(config, state, bells, local, lab, site=site, keys=keys)
        self.reset.on_reset += [
            # First: those that follow decide by chance.
            lambda: state.ids.begin(_count_start(store)),
            self.faults.clear,
            workers.forget,
            reloader.forget_all,
            apis.rest.quota.clear,
            *([limits.clear] if limits else ()),
        ]
        # Outside: what is recorded is what clients get, faults included.
        injection = Injection(make_app(apis, keys, limits), self.faults, bells)
        server = Server(recording.around(injection))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        ending.push_async_callback(ended, server, serving)
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

    def _feed(self, state: State) -> Feed:
        """Returns what the console shows, which is told of faults, too."""
        self.faults.on_changed.append(lambda: self._bells.ring(CHANGES))
        return Feed(
            state,
            View(state, self.faults),
            self.passage,
            self._bells,
            self._config.clock,
            logs_folder=self._config.data_folder / "logs",
        )

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
    lab: tuple[TimeApi, FaultApi, ExchangeApi],
    *,
    site: Site,
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
        site,
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
