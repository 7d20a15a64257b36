"""Handlers that are served anew when their code changes: who watches which folder.

What a new version means for jobs and workers is decided in `handlers.py` and `scaler.py`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from runpodctl_py.emulator.errors import ControlPlaneError
from runpodctl_py.emulator.workers.handlers import release
from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Callable

    from runpodctl_py.emulator.control.model import Endpoint
    from runpodctl_py.emulator.state import State
    from runpodctl_py.emulator.workers.handlers import Handler

_log = logging.getLogger(__name__)


class Reloader:
    """Watches the folders of handlers for changed Python files.

    Args:
        state: Where new versions begin.
        on_release: Called with the endpoint of each new version.
    """

    def __init__(self, state: State, on_release: Callable[[Endpoint], None]) -> None:
        self._state = state
        self._on_release = on_release
        self._watches: dict[str, tuple[Handler, asyncio.Task[None]]] = {}

    def watch(self, handler: Handler) -> None:
        """Watches from now on, instead of what the handler of this name was before.

        Raises:
            EmulatorError: The library that watches is not installed.
        """
        try:
            import watchfiles  # noqa: F401 - asked for here, where somebody can be told.
        except ImportError as error:
            raise EmulatorError(
                "--reload needs a library that is not installed",
                hint="Install it:  pip install 'runpodctl-py[local]'",
            ) from error
        self.forget(handler.name)
        self._watches[handler.name] = handler, asyncio.create_task(self._watch(handler))

    def watches(self, handler: Handler) -> bool:
        """Returns whether this very handler is watched already."""
        watched, _ = self._watches.get(handler.name, (None, None))
        return watched == handler

    def forget(self, name: str) -> None:
        """Watches the handler of this name no longer."""
        _, watch = self._watches.pop(name, (None, None))
        if watch is not None:
            watch.cancel()

    def forget_all(self) -> None:
        """Watches none any longer."""
        for name in list(self._watches):
            self.forget(name)

    async def close(self) -> None:
        """Stops watching."""
        watches = [watch for _, watch in self._watches.values()]
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)

    async def _watch(self, handler: Handler) -> None:
        from watchfiles import PythonFilter, awatch

        async for _ in awatch(handler.path.parent, watch_filter=PythonFilter()):
            try:
                endpoint = release(self._state, handler)
            except (ControlPlaneError, EmulatorError) as error:
                _log.warning("%s: its code has changed, and %s", handler.name, error)
                continue
            if endpoint is not None:
                _log.info("%s: its code has changed, version %d", handler.name, endpoint.version)
                self._on_release(endpoint)
