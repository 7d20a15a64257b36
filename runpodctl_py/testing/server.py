"""A local RunPod in a thread of its own, for tests that are synchronous or start processes."""

from __future__ import annotations

from contextlib import asynccontextmanager, closing, contextmanager
from typing import TYPE_CHECKING, Any, Self

from runpodctl_py.emulator.client_variables import client_variables
from runpodctl_py.emulator.config import EmulatorConfig, Timings, WorkerCommand
from runpodctl_py.emulator.extra import require_local_extra
from runpodctl_py.emulator.threaded import Threaded
from runpodctl_py.testing.faults import ServerFaults
from runpodctl_py.testing.virtual_time import VirtualTime

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from runpodctl_py.emulator.lab.recording import Listener
    from runpodctl_py.emulator.lab.transcript import TranscriptFile
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
        self._threaded = Threaded("local-runpod", self._opened)

    @property
    def data_folder(self) -> Path:
        """Where its state and the workers' logs are."""
        return self._config.data_folder

    @property
    def url(self) -> str:
        """Where it answers, such as http://127.0.0.1:54321."""
        return "" if self._threaded.thing is None else self._threaded.thing.url

    @property
    def token(self) -> str:
        """The API key it accepts."""
        return "" if self._threaded.thing is None else self._threaded.thing.token

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

    @contextmanager
    def record(self, path: Path) -> Iterator[TranscriptFile]:
        """Writes what its clients ask and get to a new file, as long as the block lasts.

        Raises:
            ConflictError: There is such a file.
            UsageError: It cannot be written.
            SaveError: It could not be written to the end.
        """
        from runpodctl_py.emulator.lab.transcript import TranscriptFile

        listeners = self._started_runpod().recording.listeners
        with closing(TranscriptFile(path)) as file:
            listeners.append(file.add)
            try:
                yield file
            finally:
                self._carried_out(_forgotten(listeners, file.add))
            if file.broken is not None:
                raise file.broken

    def _started_runpod(self) -> LocalRunPod:
        if self._threaded.thing is None:
            raise _NOT_STARTED
        return self._threaded.thing

    def _carried_out(self, work: Coroutine[Any, Any, None]) -> None:
        """Does something in the emulator's thread, and waits until it has been done."""
        self._threaded.do(work)

    def __enter__(self) -> Self:
        require_local_extra()
        self._threaded.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._threaded.close()

    @asynccontextmanager
    async def _opened(self, end: Callable[[], None]) -> AsyncIterator[LocalRunPod]:
        from runpodctl_py.emulator.server import LocalRunPod

        runpod = LocalRunPod(self._config, on_broken=end)
        await runpod.start()
        try:
            yield runpod
        finally:
            await runpod.stop()


async def _forgotten(listeners: list[Listener], listener: Listener) -> None:
    """Ends a recording between two exchanges, not within one."""
    listeners.remove(listener)
