"""Worker processes: starting, watching and stopping them.

How many there should be is `scaler.py`'s business, what they have to do `state.py`'s; the
processes themselves hang on the guard, so that none outlives the emulator.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator.workers import containers
from runpodctl_py.emulator.workers.backoff import Backoffs
from runpodctl_py.emulator.workers.guard_line import GuardLine, ProcessPlan
from runpodctl_py.emulator.workers.images import (
    command_for,
    environment,
    inherited_environment,
    platform_environment,
)
from runpodctl_py.emulator.workers.logs import loss_text, time_text
from runpodctl_py.emulator.workers.mishaps import NoMishaps
from runpodctl_py.emulator.workers.record import Leaving
from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from runpodctl_py.emulator.config import EmulatorConfig
    from runpodctl_py.emulator.control.model import Endpoint, Template
    from runpodctl_py.emulator.state import State
    from runpodctl_py.emulator.workers.mishaps import Mishaps
    from runpodctl_py.emulator.workers.record import Worker

_log = logging.getLogger(__name__)

_INIT_TIMEOUT = "RUNPOD_INIT_TIMEOUT"
"""The template's variable that says in how many seconds its workers have to be up."""


class Workers:
    """The worker processes of one emulator.

    Args:
        config: Images, environment, folders and timings.
        state: Learns what becomes of the workers.
        url: Where the workers reach the emulator.
        key: The key they use.
        mishaps: What goes wrong on purpose as they start.
    """

    def __init__(
        self,
        config: EmulatorConfig,
        state: State,
        url: str,
        key: str,
        mishaps: Mishaps | None = None,
    ) -> None:
        self._config = config
        self._timings = config.timings
        self._state = state
        self._url = url
        self._key = key
        self._guard = GuardLine(self._exited)
        self._exits: dict[str, asyncio.Event] = {}
        self._placed: set[str] = set()
        self._backoffs = Backoffs(config.timings, config.clock)
        self._mishaps = mishaps or NoMishaps()
        self._withheld: set[str] = set()
        self._cold: dict[str, asyncio.Event] = {}
        self._tasks: dict[tuple[str, Leaving | None], asyncio.Task[None]] = {}
        state.fleet.on_lost.append(self._note_loss)

    async def open(self) -> None:
        """Starts the guard; no worker yet."""
        await self._guard.open()

    def start(self, endpoint: Endpoint, count: int) -> None:
        """Begins to start some workers of an endpoint; those that failed before are forgotten.

        Those for which this machine has no room are throttled, and start when there is some.
        """
        for worker in self._state.fleet.of(endpoint.id):
            if worker.unhealthy and worker.id not in self._exits:
                self._state.fleet.remove(worker.id)
        for _ in range(count):
            is_withheld = self._mishaps.withholds_room()
            has_room = not is_withheld and len(self._placed) < self._config.capacity
            worker = self._state.fleet.add(endpoint, throttled=not has_room)
            if is_withheld:
                self._withheld.add(worker.id)
            if has_room:
                self._place(worker, endpoint)

    def release(self) -> None:
        """Lets workers start that were withheld room, as far as there is room."""
        self._withheld.clear()
        self._fill()

    def stop(self, worker_id: str, how: Leaving) -> None:
        """Begins to stop a worker, unless that has begun already."""
        if (worker_id, how) in self._tasks:
            return
        going = self._leave_in_peace if how is Leaving.IN_PEACE else self._kill
        self._do(worker_id, how, going(worker_id))

    def pause_s(self, endpoint: Endpoint) -> float:
        """Returns how long to wait before starting workers of an endpoint again."""
        return self._backoffs.pause_s(endpoint)

    def next_due_s(self) -> float | None:
        """Returns None: what real processes do does not depend on the emulator's clock."""
        return None

    async def settle(self) -> None:
        """Has nothing to do: real processes take real time."""

    def forget(self) -> None:
        """Forgets how the starts went; no worker may be left."""
        self._backoffs.clear()

    async def close(self) -> None:
        """Stops all workers, gently where they follow, and then the guard.

        Results that arrive in the meantime count; other running jobs are left for the next start.
        """
        self._state.fleet.begin_stop()
        for worker in list(self._state.fleet.workers.values()):
            self._state.fleet.leave(worker.id, Leaving.IN_PEACE)
            self.stop(worker.id, Leaving.IN_PEACE)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._guard.close()

    def _do(self, worker_id: str, how: Leaving | None, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks[worker_id, how] = task
        task.add_done_callback(lambda _: self._tasks.pop((worker_id, how), None))

    def _place(self, worker: Worker, endpoint: Endpoint) -> None:
        """Begins to start a worker for which there is room."""
        template = self._state.control.template_of(endpoint)
        self._placed.add(worker.id)
        if worker.throttled:
            self._state.fleet.begin(worker)
        with suppress(KeyError, ValueError):
            limit_s = max(0.0, float(template.env[_INIT_TIMEOUT]))
            worker.due_at = self._config.clock.machine() + limit_s
        self._do(worker.id, None, self._start(worker, template))

    def _left(self, worker_id: str) -> None:
        """Gives the room that a worker has left to the one that has waited for longest."""
        self._placed.discard(worker_id)
        self._withheld.discard(worker_id)
        self._fill()

    def _fill(self) -> None:
        for waiting in list(self._state.fleet.workers.values()):
            if len(self._placed) >= self._config.capacity:
                return
            endpoint = self._state.control.endpoints.get(waiting.endpoint_id)
            is_waiting = waiting.throttled and waiting.id not in self._withheld
            if is_waiting and waiting.leaving is None and endpoint is not None:
                self._place(waiting, endpoint)

    async def _start(self, worker: Worker, template: Template) -> None:
        start = self._mishaps.start()
        if start.delay_s:
            await self._stay_cold(worker, start.delay_s)
        if worker.id not in self._state.fleet.workers:
            self._left(worker.id)
            return
        if start.failure is not None:
            self._refused(worker, start.failure)
            return
        try:
            worker.log_path = self._log_path(worker)
            plan = self._plan(worker, template)
            self._exits[worker.id] = asyncio.Event()
            worker.pid = await self._guard.spawn(worker.id, plan, worker.log_path)
        except (EmulatorError, OSError) as error:
            self._refused(worker, str(error))

    async def _stay_cold(self, worker: Worker, delay_s: float) -> None:
        """Waits before a worker is started, unless it has to go meanwhile."""
        gone = self._cold[worker.id] = asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await gone.wait()
        del self._cold[worker.id]

    def _plan(self, worker: Worker, template: Template) -> ProcessPlan:
        """Returns what to run: the person's own handler, a command that was told, or the image."""
        config, home = self._config, self._folder(worker)
        platform = platform_environment(
            self._url, worker, self._key, self._timings.ping_interval_ms
        )
        filled = replace(template, env=self._state.account.fill(template.env))
        given = environment(worker, filled, config.worker_env, platform)
        handler = self._state.handlers.of_image(template.image_name)
        if handler is None and config.containers is not None:
            return containers.plan(config.containers, worker.id, template, given, home=home)
        command = handler.command if handler else command_for(template.image_name, config.images)
        if command is None:
            raise EmulatorError(f"no command is known for the image {template.image_name!r}")
        # HOME is an empty folder, because the SDK prefers a key it finds there (5.1).
        env = {**inherited_environment(), **command.env, **given, "HOME": str(home)}
        return ProcessPlan(command.argv, env, command.cwd or home)

    def _refused(self, worker: Worker, reason: str) -> None:
        """Keeps a worker that never was as unhealthy, so that /health and its log tell of it."""
        # Somebody may be waiting for its end already.
        self._exits.pop(worker.id, asyncio.Event()).set()
        shutil.rmtree(self._folder_path(worker.id), ignore_errors=True)
        self._note(worker, f"The worker could not be started: {reason}")
        self._backoffs.failed(worker)
        if worker.leaving is None:
            self._state.fleet.mark_unhealthy(worker.id)
        else:
            self._state.fleet.remove(worker.id)
        self._left(worker.id)

    def _exited(self, worker_id: str, code: int) -> None:
        self._exits.pop(worker_id, asyncio.Event()).set()
        shutil.rmtree(self._folder_path(worker_id), ignore_errors=True)
        if (worker := self._state.fleet.workers.get(worker_id)) is not None:
            self._bury(worker, code)
        self._left(worker_id)

    def _bury(self, worker: Worker, code: int) -> None:
        worker.pid = None
        if worker.unhealthy or not (worker.ready or worker.leaving):
            reason = f"The worker ended before it could work, with exit code {code}"
            self._note(worker, reason)
            self._backoffs.failed(worker)
            self._state.fleet.mark_unhealthy(worker.id)
            return
        if worker.leaving is None and code and not worker.jobs:
            self._backoffs.failed(worker)
        else:
            self._backoffs.went_well(worker.endpoint_id)
        self._state.fleet.remove(worker.id, _end_of(code))

    async def _leave_in_peace(self, worker_id: str) -> None:
        """SIGTERM, then a grace; it gets no jobs any more, and its polls are let go (5.10.6)."""
        if (gone := self._exits.get(worker_id)) is None:
            self._remove_unstarted(worker_id)
            return
        self._guard.signal(worker_id, signal.SIGTERM)
        try:
            async with asyncio.timeout(self._timings.stop_grace_s):
                await gone.wait()
        except TimeoutError:
            await self._kill(worker_id)

    async def _kill(self, worker_id: str) -> None:
        if (gone := self._exits.get(worker_id)) is None:
            self._remove_unstarted(worker_id)
            return
        self._guard.signal(worker_id, signal.SIGKILL)
        await gone.wait()

    def _remove_unstarted(self, worker_id: str) -> None:
        worker, gone = self._state.fleet.workers.get(worker_id), self._cold.get(worker_id)
        if worker is not None and worker.unhealthy and gone is not None:
            self._note(worker, "The worker could not be started: it was cold for too long")
            self._backoffs.failed(worker)
        self._state.fleet.remove(worker_id)
        if gone is not None:
            gone.set()

    def _note(self, worker: Worker, line: str) -> None:
        """Tells whoever looks at the emulator, and whoever reads the worker's log."""
        self._warn(worker, line)
        self._write(worker, line)

    def _note_loss(self, worker: Worker, job_id: str, why: str) -> None:
        self._warn(worker, f"job {job_id} was lost: its worker {why}")
        self._write(worker, loss_text(job_id, why))

    def _warn(self, worker: Worker, line: str) -> None:
        endpoint = self._state.control.endpoints.get(worker.endpoint_id)
        name = worker.endpoint_id if endpoint is None else endpoint.name
        _log.warning("%s, version %d: %s", name, worker.version, line)

    def _write(self, worker: Worker, line: str) -> None:
        # That its log cannot be written must not keep the state from learning what became of it.
        with suppress(OSError), self._log_path(worker).open("a", encoding="utf-8") as log:
            # The machine's time, as in the lines that the worker's process writes.
            log.write(f"{time_text(time.time())} {line}\n")

    def _log_path(self, worker: Worker) -> Path:
        folder = self._config.data_folder / "logs" / worker.endpoint_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{worker.id}.log"

    def _folder_path(self, worker_id: str) -> Path:
        return self._config.data_folder / "homes" / worker_id

    def _folder(self, worker: Worker) -> Path:
        folder = self._folder_path(worker.id)
        folder.mkdir(parents=True)
        return folder


def _end_of(code: int) -> str:
    """Returns how a process ended, as `Popen.returncode` tells it."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
