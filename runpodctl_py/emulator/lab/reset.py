"""Back to an empty local RunPod, without a restart."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from runpodctl_py.emulator.bells import SCALER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runpodctl_py.emulator.bells import Bells
    from runpodctl_py.emulator.lab.passage import Passage
    from runpodctl_py.emulator.state import State


class Reset:
    """Forgets everything there is: endpoints, jobs, workers, templates, the account, time.

    What stays is what it was started with: its configuration, its address, its token, and what
    the process itself has logged.

    Args:
        state: What is emptied.
        bells: Tell when the workers are gone.
        passage: The time, which runs again like the machine's.
        logs: The folder of the workers' logs.
    """

    def __init__(self, state: State, bells: Bells, passage: Passage, logs: Path) -> None:
        self._state = state
        self._bells = bells
        self._passage = passage
        self._logs = logs
        self.on_reset: list[Callable[[], None]] = []
        """Called when all else is empty; each forgets what its owner remembers besides."""

    async def carry_out(self) -> None:
        """Does it, and returns when the last worker is gone."""
        async with self._passage.alone:
            await self._send_all_away()
            # From here on nothing waits: nobody can make anything new in between.
            self._state.clear()
            for forget in self.on_reset:
                forget()
            shutil.rmtree(self._logs, ignore_errors=True)
            self._passage.reset()

    async def _send_all_away(self) -> None:
        with self._bells.listen(SCALER) as bell:
            while True:
                self._state.abandon()
                if not self._state.fleet.workers:
                    return
                bell.clear()
                await bell.wait()
