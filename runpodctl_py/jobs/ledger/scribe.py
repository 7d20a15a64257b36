"""Writing news of many jobs down at once: what is told meanwhile becomes one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from runpodctl_py.in_groups import InGroups
from runpodctl_py.jobs.ledger.store import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_Result = TypeVar("_Result")


class Scribe(InGroups["Callable[[Ledger], Any]", Any]):
    """A ledger in a thread of its own, for those who have much to write.

    Args:
        path: The ledger's file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(self._together, self._close)
        self._ledger = Ledger(path)

    async def write(self, step: Callable[[Ledger], _Result]) -> _Result:
        """Take a step, and return what it returns when it is committed.

        Raises:
            LedgerError: It could not be written down.
        """
        result: _Result = await self.add(step)
        return result

    def _together(self, steps: Sequence[Callable[[Ledger], Any]]) -> list[Any]:
        with self._ledger.together():
            return [self._taken(step) for step in steps]

    def _taken(self, step: Callable[[Ledger], Any]) -> Any:
        """Take a step, or none of it: the others are not to lose what they have to tell."""
        try:
            with self._ledger.apart():
                return step(self._ledger)
        except Exception as exc:  # noqa: BLE001 - who wanted it is told.
            return exc

    def _close(self) -> None:
        self._ledger.close()
