"""A local RunPod in a thread of its own, for tests that are synchronous or start processes."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from runpodctl_py.emulator.client_variables import client_variables
from runpodctl_py.emulator.config import EmulatorConfig, Timings, WorkerCommand
from runpodctl_py.emulator.extra import require_local_extra
from runpodctl_py.testing.faults import ServerFaults
from runpodctl_py.testing.virtual_time import VirtualTime

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from pathlib import Path
    from types import TracebackType

    from runpodctl_py.emulator.server import LocalRunPod

_NOT_STARTED = RuntimeError("the local RunPod has not been started: enter its `with` block")


class LocalRunPodServer:
    """A local RunPod that runs as long as its `with` block.

    Args:
        data_folder: Where its state and the workers' logs go; a test's temporary folder.
        images: How to start images of the test's own: image name to command.
        worker_env: Variables every worker gets.
        timings: How long the emulator waits for what.
        options: Further fields of `EmulatorConfig`, such as `strict`, `simulation` or `clock`.

    Raises:
        EmulatorError: On entering: it cannot be started here.
    """

    def __init__(
        self,
        data_folder: Path,
        *,
        images: Mapping[str, WorkerCommand] | None = None,
        worker_env: Mapping[str, str] | None = None,
        timings: Timings | None = None,
        **options: Any,
    ) -> None:
        self._config = EmulatorConfig(
            data_folder,
            images=images or {},
            worker_env=worker_env or {},
            timings=timings or Timings(),
            **options,
        )
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="local-runpod", daemon=True)
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runpod: LocalRunPod | None = None
        self._failure: BaseException | None = None

    @property
    def data_folder(self) -> Path:
        """Where its state and the workers' logs are."""
        return self._config.data_folder

    @property
    def url(self) -> str:
        """Where it answers, such as http://127.0.0.1:54321."""
        return "" if self._runpod is None else self._runpod.url

    @property
    def token(self) -> str:
        """The API key it accepts."""
        return "" if self._runpod is None else self._runpod.token

    def environment(self) -> dict[str, str]:
        """Returns the variables that point official clients and our command line here (6)."""
        return client_variables(self.url, self.token)

    @property
    def time(self) -> VirtualTime:
        """Its clock, to be frozen and advanced."""
        return VirtualTime(self._started_runpod().passage, self._carried_out)

    @property
    def faults(self) -> ServerFaults:
        """What goes wrong on purpose, to be set and cleared."""
        return ServerFaults(self._started_runpod().faults, self._carried_out)

    def reset(self) -> None:
        """Forgets everything but its configuration, and returns when the last worker is gone."""
        self._carried_out(self._started_runpod().reset.carry_out())

    def _started_runpod(self) -> LocalRunPod:
        if self._runpod is None:
            raise _NOT_STARTED
        return self._runpod

    def _carried_out(self, work: Coroutine[Any, Any, None]) -> None:
        """Does something in the emulator's thread, and waits until it has been done."""
        if self._loop is None:
            raise _NOT_STARTED
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def __enter__(self) -> Self:
        require_local_extra()
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._loop is not None and self._stop is not None:
            # A loop that is closed already belongs to an emulator that has failed.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as failure:  # noqa: BLE001 - it is raised again in the test's thread.
            self._failure = failure
        finally:
            self._started.set()

    async def _serve(self) -> None:
        from runpodctl_py.emulator.server import LocalRunPod

        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        runpod = LocalRunPod(self._config, on_broken=self._stop.set)
        await runpod.start()
        self._runpod = runpod
        self._started.set()
        await self._stop.wait()
        await runpod.stop()
