"""The clock of a local RunPod as a test moves it, from its own thread."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from runpodctl_py.emulator.lab.passage import Passage


class VirtualTime:
    """What RunPod's rules go by: retention, time to live, timeouts, scaling, webhooks, bills.

    Worker processes live by the machine's time: they neither age nor fall silent.

    Args:
        passage: Moves the clock.
        carried_out: Does something in the emulator's thread, and waits until it has been done.
    """

    def __init__(
        self, passage: Passage, carried_out: Callable[[Coroutine[Any, Any, None]], None]
    ) -> None:
        self._passage = passage
        self._carried_out = carried_out

    def now(self) -> float:
        """Returns what the clock shows, in seconds since 1970."""
        return self._passage.read().now

    def freeze(self) -> None:
        """Has the clock stand still."""
        self._carried_out(self._passage.freeze())

    def advance(self, by: float | timedelta) -> None:
        """Lets time pass at once, and returns when what was due by then has been done.

        Args:
            by: How much, in seconds or as a timedelta; 0 only waits for what is due already.

        Raises:
            TypeError: That is neither; the command line's 31m is `timedelta(minutes=31)`.
            ValueError: That is no time that may pass.
        """
        seconds = by.total_seconds() if isinstance(by, timedelta) else by
        if not isinstance(seconds, int | float):
            raise TypeError(f"{by!r} is neither seconds nor a timedelta, such as timedelta(days=2)")
        self._carried_out(self._passage.advance(seconds))

    def run(self) -> None:
        """Has the clock go on from where it is, as fast as the machine's."""
        self._carried_out(self._passage.run())
