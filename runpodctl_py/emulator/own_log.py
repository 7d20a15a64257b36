"""What the emulator itself says: `emulator.log`, and of the one before it `emulator.1.log`.

All that an emulator in the background prints goes there (`daemon.py` starts it so). One in the
foreground prints to the screen, and writes what it logs there, too. The workers' logs are
`workers/guard.py`'s business.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LAST_LINES = 15
_STDERR = 2


def path_in(folder: Path) -> Path:
    """Returns the log of the emulator that runs on a data folder, or that ran last."""
    return folder / "emulator.log"


def is_our_output(folder: Path) -> bool:
    """Returns whether what this process prints goes to the log: it was put into the background."""
    try:
        return os.path.samestat(os.fstat(_STDERR), path_in(folder).stat())
    except OSError:
        return False


def keep_former(folder: Path) -> None:
    """Puts the last emulator's log aside: it may tell why that one is no more."""
    log = path_in(folder)
    with suppress(OSError):
        if log.stat().st_size:
            log.replace(log.with_suffix(".1.log"))


@contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Writes what is logged meanwhile to a new log, unless all output goes there anyway.

    Raises:
        EmulatorError: There cannot be one.
    """
    if is_our_output(folder):
        yield
        return
    keep_former(folder)
    try:
        log = _Log(path_in(folder), encoding="utf-8")
    except OSError as error:
        raise EmulatorError(f"{path_in(folder)} cannot be written: {error.strerror}") from error
    logging.getLogger().addHandler(log)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(log)
        with suppress(OSError):
            log.close()


class _Log(logging.FileHandler):
    """Keeps to itself what a full disk has no room for; the screen has it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name.
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


def last_words(folder: Path) -> str:
    """Returns the log's end as it follows a colon: lines of their own, or why there are none."""
    try:
        log = path_in(folder).read_text("utf-8", errors="replace")
        if lines := log.strip().splitlines():
            return "\n".join(["", *lines[-_LAST_LINES:]])
        # There may have been no room to say anything.
        path_in(folder).write_text("nobody said why\n", "utf-8")
    except OSError as error:
        return f" {path_in(folder)} cannot be written: {error.strerror}"
    return " nobody said why"
