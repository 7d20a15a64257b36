"""The faults of a local RunPod as a test sets them, from its own thread."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from runpodctl_py.errors import NotFoundError, RunpodctlError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from runpodctl_py.emulator.lab.faults import Faults


class ServerFaults:
    """What goes wrong on purpose: `WHERE:WHAT[:ARG][*N | @X]`, such as `run:429*3`.

    Called with faults it is a context: they are added, and gone with the `with` block.

    Args:
        faults: Those that are set.
        carried_out: Does something in the emulator's thread, and waits until it has been done.
    """

    def __init__(
        self, faults: Faults, carried_out: Callable[[Coroutine[Any, Any, None]], None]
    ) -> None:
        self._faults = faults
        self._carried_out = carried_out

    @contextmanager
    def __call__(self, *faults: str) -> Iterator[ServerFaults]:
        """Adds faults for the length of a `with` block.

        Raises:
            UsageError: One of them is none.
        """
        before = {each.id for each in self._faults}
        self.add(*faults)
        added = [each.id for each in self._faults if each.id not in before]
        try:
            yield self
        finally:
            left = {each.id for each in self._faults}
            self._do(lambda: self._faults.remove(each for each in added if each in left))

    def set(self, *faults: str) -> None:
        """Sets these faults and no others.

        Raises:
            UsageError: One of them is none; then all stays as it is.
        """
        self._do(lambda: self._faults.replace(faults))

    def add(self, *faults: str) -> None:
        """Sets more faults, after those that are set.

        Raises:
            UsageError: One of them is none; then none is set.
        """
        self._do(lambda: self._faults.add(faults))

    def clear(self, *faults: str) -> None:
        """Forgets some faults, as they were written, or all.

        Raises:
            NotFoundError: One of them is not set; then none is forgotten.
        """
        self._do(lambda: self._faults.remove(faults) if faults else self._faults.clear())

    def struck(self, fault: str | None = None) -> int:
        """Returns how often a fault has struck, as it was written; or all that are set.

        Raises:
            NotFoundError: It is not set: a test that counts it would always see none.
        """
        meant = [each for each in self._faults if fault in {None, each.fault.text}]
        if fault is not None and not meant:
            raise NotFoundError(f"no fault {fault} is set")
        return sum(each.struck for each in meant)

    def _do(self, work: Callable[[], object]) -> None:
        async def there() -> None:
            work()

        try:
            self._carried_out(there())
        except RunpodctlError as error:
            # A test's report shows the exception only, and what is possible stands in its hint.
            if error.hint:
                error.add_note(error.hint)
            raise
