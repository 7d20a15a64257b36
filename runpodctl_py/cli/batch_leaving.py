"""Ctrl-C: while a batch runs, the first one ends it in good order, and the second one at once.

Python would raise KeyboardInterrupt wherever the second one finds the program. Among hundreds of
tasks that are ending, that is often where one tells another that it has ended, and who is not told
waits forever. A batch may be killed at any time without losing anything, so it is.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from runpodctl_py.errors import InterruptedRunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def reading() -> Iterator[None]:
    """Have Ctrl-C end at once what reads without waiting: a large file takes its time."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def leaving(last_words: Callable[[], None]) -> Iterator[None]:
    """Have Ctrl-C cancel the task that this is called in, and a second one end the process.

    Args:
        last_words: Called before the process ends.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    is_leaving = False

    def interrupt() -> None:
        nonlocal is_leaving
        if is_leaving or task is None:
            last_words()
            os._exit(InterruptedRunError.exit_code)
        is_leaving = True
        task.cancel()

    with suppress(NotImplementedError):  # Windows has no such handlers.
        loop.add_signal_handler(signal.SIGINT, interrupt)
        if task is not None:
            # The terminal was closed.
            loop.add_signal_handler(signal.SIGHUP, task.cancel)
    try:
        yield
    finally:
        with suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGINT)
            loop.remove_signal_handler(signal.SIGHUP)
