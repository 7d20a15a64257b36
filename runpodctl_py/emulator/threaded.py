"""Something asynchronous that is kept open in a thread of its own, with an event loop of its own.

For test suites, and for commands that wait for a process in their main thread. What is kept open
is others' business: a local RunPod, a replay, a forwarding.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

_Thing = TypeVar("_Thing")
_Result = TypeVar("_Result")


class Threaded(Generic[_Thing]):
    """Keeps something open from `open` to `close`.

    Args:
        name: The thread's name.
        opened: Opens it. It is given what has it closed from inside, when it is broken.
    """

    def __init__(
        self,
        name: str,
        opened: Callable[[Callable[[], None]], AbstractAsyncContextManager[_Thing]],
    ) -> None:
        self._opened = opened
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: BaseException | None = None
        self.thing: _Thing | None = None
        """What is kept open; None before."""

    def open(self) -> _Thing:
        """Opens it, and raises what opening it raises."""
        self._thread.start()
        self._started.wait()
        if self._failure is not None or self.thing is None:
            self._thread.join()
            raise self._failure or RuntimeError("it was closed while it was opened")
        return self.thing

    def close(self) -> None:
        """Closes it, and raises what closing it raises, or why it was closed already."""
        if self._loop is not None and self._stop is not None:
            # A loop that is closed already belongs to something that has failed.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def do(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Does something in its thread, and waits until it has been done."""
        if self._loop is None:
            work.close()
            raise RuntimeError("it has not been opened")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _run(self) -> None:
        try:
            asyncio.run(self._keep_open())
        except BaseException as failure:  # noqa: BLE001 - it is raised again in the other thread.
            self._failure = failure
        finally:
            self._started.set()

    async def _keep_open(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with self._opened(self._stop.set) as thing:
            self.thing = thing
            self._started.set()
            await self._stop.wait()
