"""Which processes are at work on jobs: each holds a lock that the system lets go when it ends.

A process id would not do: it may belong to somebody else by now.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from filelock import FileLock


class Lives:
    """The processes that work with one ledger, this one among them.

    Args:
        folder: Where their locks are; made when there is something to lock.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: FileLock | None = None
        self._name = secrets.token_hex(8)

    @property
    def name(self) -> str:
        """This process's name; from now on others see that it is alive.

        Raises:
            OSError: The lock cannot be made.
        """
        if self._own is None:
            # Reading needs no lock, and should not wait for this.
            from filelock import FileLock

            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = FileLock(self._path(self._name), timeout=0, mode=0o600)
            lock.acquire()
            self._own = lock
        return self._name

    def is_alive(self, name: str) -> bool:
        """Tell whether a process still runs; litter of one that does not is removed."""
        if name == self._name:
            return True
        from filelock import FileLock, Timeout

        path = self._path(name)
        if not path.exists():
            return False
        try:
            lock = FileLock(path, timeout=0, mode=0o600)
            lock.acquire()
            lock.release()
        except (Timeout, OSError):
            # Where nobody can tell, nothing is taken from anybody.
            return True
        # Not while it is locked, which Windows forbids; no other process ever has this name.
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return False

    def end(self) -> None:
        """Show that this process works on nothing any more."""
        if self._own is not None:
            self._own.release()
            self._own = None
            with suppress(OSError):
                self._path(self._name).unlink(missing_ok=True)
            self._name = secrets.token_hex(8)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.lock"
