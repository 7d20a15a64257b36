"""What `local record` and `local replay` have in common: until when they go on, and what they give.

They serve while a command of the person's own runs, or until Ctrl-C. What is served is theirs.
"""

from __future__ import annotations

import os
import queue
import shlex
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runpodctl_py.cli.local_exec import run_to_end

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType

_SHORTEST_KEY = 8


class Ending:
    """Tells the main thread that it is over: any thread may, and so may a signal."""

    def __init__(self) -> None:
        self._told: queue.SimpleQueue[None] = queue.SimpleQueue()

    def tell(self) -> None:
        """Say that it is over."""
        self._told.put(None)

    def wait(self) -> None:
        """Wait until it is."""
        self._told.get()

    @contextmanager
    def told_by_signals(self) -> Iterator[None]:
        """Have Ctrl-C and SIGTERM end it in order; a second one is the system's to carry out."""

        def received(signum: int, _frame: FrameType | None) -> None:
            signal.signal(signum, signal.SIG_DFL)
            self.tell()

        wanted = (signal.SIGINT, signal.SIGTERM)
        # What is ignored, as in the background of a script, stays so.
        heeded = [each for each in wanted if signal.getsignal(each) is not signal.SIG_IGN]
        before = {each: signal.signal(each, received) for each in heeded}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)


def environment(variables: Mapping[str, str], hidden: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a command.

    Args:
        variables: What is set in it.
        hidden: What must not be in it, and what takes its place.
    """
    return {**{name: _without(value, hidden) for name, value in os.environ.items()}, **variables}


def _without(value: str, hidden: Mapping[str, str]) -> str:
    for secret, instead in hidden.items():
        # What is too short for a key stands in many words by chance.
        if value == secret or len(secret) >= _SHORTEST_KEY:
            value = value.replace(secret, instead)
    return value


def until_over(command: Sequence[str] | None, given: Mapping[str, str], ending: Ending) -> int:
    """Run a command to its end, or wait for Ctrl-C; return the command's exit code, or 0."""
    if command:
        return run_to_end(command, given)
    ending.wait()
    return 0


def print_exports(variables: Mapping[str, str]) -> None:
    """Print variables for a shell's eval."""
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}", flush=True)
