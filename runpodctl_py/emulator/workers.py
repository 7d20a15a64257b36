"""Worker processes: starting, watching and stopping them.

How many there should be is `scaler.py`'s business, what they have to do `state.py`'s; the
processes themselves hang on the guard, so that none outlives the emulator.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator.guard_line import GuardLine
from runpodctl_py.emulator.images import command_for, environment, platform_environment
from runpodctl_py.emulator.worker_record import Leaving
from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from runpodctl_py.emulator.config import EmulatorConfig
    from runpodctl_py.emulator.model import Endpoint
    from runpodctl_py.emulator.state import State
    from runpodctl_py.emulator.worker_record import Worker


@dataclass(slots=True)
class _Backoff:
    """How an endpoint's starts went lately: the failures in a row, and when to try again."""

    failures: int = 0
    until: float = 0.0


class Workers:
    """The worker processes of one emulator.

    Args:
        config: Images, environment, folders and timings.
        state: Learns what becomes of the workers.
        url: Where the workers reach the emulator.
        key: The key they use.
    """

    def __init__(self, config: EmulatorConfig, state: State, url: str, key: str) -> None:
        self._config = config
        self._timings = config.timings
        self._state = state
        self._url = url
        self._key = key
        self._guard = GuardLine(self._exited)
        self._exits: dict[str, asyncio.Event] = {}
        self._backoffs: dict[str, _Backoff] = {}
        self._tasks: dict[tuple[str, Leaving | None], asyncio.Task[None]] = {}

    async def open(self) -> None:
        """Starts the guard; no worker yet."""
        await self._guard.open()

    def start(self, endpoint: Endpoint, count: int) -> None:
        """Begins to start some workers of an endpoint; those that failed before are forgotten."""
        for worker in self._state.fleet.of(endpoint.id):
            if worker.unhealthy and worker.id not in self._exits:
                self._state.fleet.remove(worker.id)
        for _ in range(count):
            worker = self._state.fleet.add(endpoint)
            self._do(worker.id, None, self._start(worker, endpoint))

    def stop(self, worker_id: str, how: Leaving) -> None:
        """Begins to stop a worker, unless that has begun already."""
        if (worker_id, how) in self._tasks:
            return
        going = self._leave_in_peace if how is Leaving.IN_PEACE else self._kill
        self._do(worker_id, how, going(worker_id))

    def pause_s(self, endpoint_id: str) -> float:
        """Returns how long to wait before starting workers of an endpoint again."""
        backoff = self._backoffs.get(endpoint_id)
        return 0.0 if backoff is None else backoff.until - self._config.clock.monotonic()

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

    async def _start(self, worker: Worker, endpoint: Endpoint) -> None:
        if worker.id not in self._state.fleet.workers:
            return
        template = self._state.control.template_of(endpoint)
        command = command_for(template.image_name, self._config.images)
        try:
            worker.log_path = self._log_path(worker)
            if command is None:
                reason = f"no command is known for the image {template.image_name!r}"
                self._refused(worker, reason)
                return
            home = self._folder(worker)
            platform = platform_environment(
                self._url, worker, self._key, self._timings.ping_interval_ms, home
            )
            env = environment(worker, template, command, self._config.worker_env, platform)
            self._exits[worker.id] = asyncio.Event()
            worker.pid = await self._guard.spawn(
                worker.id, command.argv, env, command.cwd or home, worker.log_path
            )
        except (EmulatorError, OSError) as error:
            self._refused(worker, str(error))

    def _refused(self, worker: Worker, reason: str) -> None:
        """Keeps a worker that never was as unhealthy, so that /health and its log tell of it."""
        # Somebody may be waiting for its end already.
        self._exits.pop(worker.id, asyncio.Event()).set()
        shutil.rmtree(self._folder_path(worker.id), ignore_errors=True)
        self._note(worker, f"The worker could not be started: {reason}")
        self._failed(worker)
        if worker.leaving is None:
            self._state.fleet.mark_unhealthy(worker.id)
        else:
            self._state.fleet.remove(worker.id)

    def _exited(self, worker_id: str, code: int) -> None:
        self._exits.pop(worker_id, asyncio.Event()).set()
        shutil.rmtree(self._folder_path(worker_id), ignore_errors=True)
        if (worker := self._state.fleet.workers.get(worker_id)) is None:
            return
        worker.pid = None
        if worker.unhealthy or not (worker.ready or worker.leaving):
            self._note(worker, f"The worker ended before it could work, with exit code {code}")
            self._failed(worker)
            self._state.fleet.mark_unhealthy(worker_id)
            return
        if worker.leaving is None and code and not worker.jobs:
            self._failed(worker)
        else:
            self._backoffs.pop(worker.endpoint_id, None)
        self._state.fleet.remove(worker_id)

    def _failed(self, worker: Worker) -> None:
        timings = self._timings
        backoff = self._backoffs.setdefault(worker.endpoint_id, _Backoff())
        pause_s = min(timings.first_backoff_s * 2**backoff.failures, timings.longest_backoff_s)
        backoff.failures += 1
        backoff.until = self._config.clock.monotonic() + pause_s

    async def _leave_in_peace(self, worker_id: str) -> None:
        """SIGTERM, then a grace; it gets no jobs any more, and its polls are let go (5.10.6)."""
        if (gone := self._exits.get(worker_id)) is None:
            self._state.fleet.remove(worker_id)
            return
        self._guard.signal(worker_id, signal.SIGTERM)
        try:
            async with asyncio.timeout(self._timings.stop_grace_s):
                await gone.wait()
        except TimeoutError:
            await self._kill(worker_id)

    async def _kill(self, worker_id: str) -> None:
        if (gone := self._exits.get(worker_id)) is None:
            self._state.fleet.remove(worker_id)
            return
        self._guard.signal(worker_id, signal.SIGKILL)
        await gone.wait()

    def _note(self, worker: Worker, line: str) -> None:
        # That its log cannot be written must not keep the state from learning what became of it.
        with suppress(OSError), self._log_path(worker).open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")

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
