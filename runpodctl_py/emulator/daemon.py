"""The emulator's process: one per data folder, found, shared, started and left by commands.

Three files in the data folder carry it. `emulator.lock` is locked exclusively by the process that
runs the emulator. `emulator.json` says where it answers. `users.lock` is locked shared by every
command that uses it: the kernel drops that lease however a command ends, and an emulator that was
started by a command leaves when it gets the exclusive lock on it. It keeps that lock until it is
gone, so a command that comes meanwhile waits and then starts its own.

What the emulator does is `server.py`'s business; nothing of it is imported until it has to run.
"""

from __future__ import annotations

import asyncio
import fcntl
import http.client
import json
import os
import signal
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from runpodctl_py import __version__
from runpodctl_py.emulator import own_log
from runpodctl_py.emulator.data_folder import (
    data_folder,
    make_private,
    remove_leftovers,
    write_private,
)
from runpodctl_py.emulator.extra import require_local_extra
from runpodctl_py.errors import ConflictError, EmulatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from runpodctl_py.emulator.config import EmulatorConfig

_LOOK_S = 0.05
"""How often files are looked at that the kernel cannot wait for together with a time limit."""
_UNUSED_LOOK_S = 0.25
_ANSWER_TIMEOUT_S = 2.0
_LOCK_PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class Announcement:
    """Where a running emulator answers.

    Args:
        url: Such as http://127.0.0.1:8765.
        port: The port in it.
        token: The API key it accepts; keep it out of anything shown.
        pid: Its process.
        version: The version of this package it runs.
        started_at: When it started, in seconds since 1970.
        until_unused: Whether it leaves when no command uses it.
    """

    url: str
    port: int
    token: str
    pid: int
    version: str
    started_at: float
    until_unused: bool


def find_running(folder: Path) -> Announcement | None:
    """Returns the emulator that runs on a data folder, if one does and answers."""
    announcement = _announced(folder)
    if announcement is None or not _is_locked(folder) or not _answers(announcement):
        return None
    return announcement


@contextmanager
def joined(folder: Path, command: Sequence[str], timeout_s: float) -> Iterator[Announcement]:
    """Uses the running emulator, or one started for this purpose, as long as the block lasts.

    Args:
        folder: The data folder.
        command: Starts an emulator on this folder that leaves when nobody uses it.
        timeout_s: How long to wait for it to answer.

    Raises:
        EmulatorError: It did not start, or not in time.
    """
    deadline = time.monotonic() + timeout_s
    with _locked(folder / "users.lock", fcntl.LOCK_SH, deadline):
        yield _found_or_started(folder, command, deadline)


def start_detached(folder: Path, command: Sequence[str], timeout_s: float) -> Announcement:
    """Starts an emulator that outlives this command.

    Args:
        folder: The data folder.
        command: Starts an emulator on this folder.
        timeout_s: How long to wait for it to answer.

    Raises:
        ConflictError: One is running already.
        EmulatorError: It did not start, or not in time.
    """
    if running := find_running(folder):
        raise _already_running(running)
    return _found_or_started(folder, command, time.monotonic() + timeout_s)


def stop_running(folder: Path, timeout_s: float) -> bool:
    """Stops the emulator that runs on a data folder and waits until it is gone.

    Returns:
        Whether one ran.

    Raises:
        EmulatorError: It did not leave in time.
    """
    announcement = _announced(folder)
    if announcement is None or not _is_locked(folder):
        return False
    with suppress(ProcessLookupError):
        os.kill(announcement.pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while _is_locked(folder):
        if time.monotonic() > deadline:
            raise EmulatorError(
                f"the local RunPod (process {announcement.pid}) did not stop in {timeout_s:g} s",
                hint=f"kill -9 {announcement.pid}",
            )
        time.sleep(_LOOK_S)
    return True


@contextmanager
def announced(folder: Path, url: str, token: str) -> Iterator[Announcement]:
    """Has commands find a server of this process as if it were an emulator on a data folder.

    Args:
        folder: The data folder, on which no emulator runs.
        url: Where the server answers.
        token: The API key it accepts.

    Raises:
        EmulatorError: An emulator runs on the folder, or it cannot be used.
    """
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    with _locked(folder / "emulator.lock", fcntl.LOCK_EX, deadline):
        yield _announce(folder, url, token, until_unused=False)


async def run_until_stopped(
    config: EmulatorConfig,
    *,
    until_unused: bool,
    on_ready: Callable[[Announcement], None],
    on_stopping: Callable[[], None] = lambda: None,
) -> None:
    """Runs an emulator in this process until SIGTERM, SIGINT, or until nobody uses it.

    A second signal ends the process at once; the guard then kills the workers. What killed runs
    left in the folder, and logs beyond those `remove_leftovers` keeps, is removed first.

    Args:
        config: What to run; its data folder is locked meanwhile.
        until_unused: Whether to leave when no command holds a lease.
        on_ready: Called once it answers.
        on_stopping: Called when it begins to stop, which takes as long as its workers do.

    Raises:
        ConflictError: Another one runs on this folder.
        EmulatorError: It cannot be started here.
    """
    require_local_extra()
    folder = config.data_folder
    make_private(folder)
    try:
        with _locked(folder / "emulator.lock", fcntl.LOCK_EX, time.monotonic() + _LOCK_PATIENCE_S):
            await _run(config, on_ready, on_stopping, until_unused=until_unused)
    except _LockTimeoutError:
        raise _already_running(_announced(folder)) from None


async def _run(
    config: EmulatorConfig,
    on_ready: Callable[[Announcement], None],
    on_stopping: Callable[[], None],
    *,
    until_unused: bool,
) -> None:
    from runpodctl_py.emulator.server import LocalRunPod

    stopped = asyncio.Event()
    # One that was killed may have left its own; it must not be taken for ours while we start.
    _announcement_path(config.data_folder).unlink(missing_ok=True)
    remove_leftovers(config.data_folder, time.time())
    runpod = LocalRunPod(config, on_broken=stopped.set)
    # Opened before and closed after everything else: what it locks is kept until the very end.
    with (
        (config.data_folder / "users.lock").open("ab") as users,
        own_log.kept(config.data_folder),
        _stopped_by_signals(stopped),
    ):
        await runpod.start()
        try:
            on_ready(
                _announce(config.data_folder, runpod.url, runpod.token, until_unused=until_unused)
            )
            while not stopped.is_set():
                if until_unused and _try_lock(users, fcntl.LOCK_EX):
                    break
                await _set_within(stopped, _UNUSED_LOOK_S if until_unused else None)
        finally:
            _announcement_path(config.data_folder).unlink(missing_ok=True)
            on_stopping()
            await runpod.stop()


@contextmanager
def _stopped_by_signals(stopped: asyncio.Event) -> Iterator[None]:
    """Sets the event at the first signal; the second one is the system's to carry out."""
    loop = asyncio.get_running_loop()
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}

    def stop() -> None:
        stopped.set()
        for signum in before:
            loop.remove_signal_handler(signum)
            signal.signal(signum, signal.SIG_DFL)

    for signum in before:
        loop.add_signal_handler(signum, stop)
    try:
        yield
    finally:
        for signum, handler in before.items():
            loop.remove_signal_handler(signum)
            signal.signal(signum, handler)


async def _set_within(event: asyncio.Event, timeout_s: float | None) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()


__all__ = [
    "Announcement",
    "announced",
    "data_folder",
    "find_running",
    "joined",
    "run_until_stopped",
    "start_detached",
    "stop_running",
]


# Announcements.


def _announcement_path(folder: Path) -> Path:
    return folder / "emulator.json"


def _announce(folder: Path, url: str, token: str, *, until_unused: bool) -> Announcement:
    announcement = Announcement(
        url=url,
        port=urlsplit(url).port or 0,
        token=token,
        pid=os.getpid(),
        version=__version__,
        started_at=time.time(),
        until_unused=until_unused,
    )
    write_private(_announcement_path(folder), json.dumps(asdict(announcement)))
    return announcement


def _announced(folder: Path) -> Announcement | None:
    try:
        return Announcement(**json.loads(_announcement_path(folder).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _answers(announcement: Announcement) -> bool:
    # Not through urllib: a proxy set for the machine must not see a local request.
    connection = http.client.HTTPConnection(
        "127.0.0.1", announcement.port, timeout=_ANSWER_TIMEOUT_S
    )
    try:
        connection.request(
            "GET", "/_local/status", headers={"Authorization": f"Bearer {announcement.token}"}
        )
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _already_running(announcement: Announcement | None) -> ConflictError:
    where = f" on {announcement.url}" if announcement else ""
    return ConflictError(
        f"a local RunPod is running already{where}", hint="runpodctl-py local down stops it"
    )


# Starting.


def _found_or_started(folder: Path, command: Sequence[str], deadline: float) -> Announcement:
    """Returns the running emulator, or starts one; only one command starts one at a time."""
    with _locked(folder / "starting.lock", fcntl.LOCK_EX, deadline):
        pid = None
        while (running := find_running(folder)) is None:
            if pid is None and not _is_locked(folder):
                require_local_extra()
                pid = _spawn(folder, command)
            if pid is not None and os.waitpid(pid, os.WNOHANG)[0]:
                # It may have lost to one that was started in the foreground meanwhile.
                if (running := find_running(folder)) is not None:
                    return running
                raise EmulatorError(
                    f"the local RunPod did not start:{own_log.last_words(folder)}",
                    hint=f"its whole log is in {own_log.path_in(folder)}",
                )
            if time.monotonic() > deadline:
                raise EmulatorError(
                    "the local RunPod did not answer in time",
                    hint=f"its log is in {own_log.path_in(folder)}",
                )
            time.sleep(_LOOK_S)
        return running


def _spawn(folder: Path, command: Sequence[str]) -> int:
    """Starts a process in a session of its own that this one need not outlive."""
    own_log.keep_former(folder)
    log = os.fspath(own_log.path_in(folder))
    streams = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    try:
        return os.posix_spawnp(
            command[0], list(command), os.environ, file_actions=streams, setsid=True
        )
    except OSError as error:
        raise EmulatorError(f"{command[0]} cannot be started: {error.strerror}") from error


# Locks. `flock` belongs to an open file: whoever holds one keeps the file open.


class _LockTimeoutError(EmulatorError):
    """Somebody else kept the lock for too long."""


@contextmanager
def _locked(path: Path, kind: int, deadline: float) -> Iterator[None]:
    make_private(path.parent)
    with path.open("ab") as file:
        while not _try_lock(file, kind):
            if time.monotonic() > deadline:
                raise _LockTimeoutError(
                    f"another process keeps {path} locked",
                    hint="is a local RunPod stopping? try again, or see its emulator.log",
                )
            time.sleep(_LOOK_S)
        yield


def _try_lock(file: IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_locked(folder: Path) -> bool:
    """Whether an emulator runs on the folder, by its lock; looks without keeping anything."""
    try:
        with (folder / "emulator.lock").open("rb") as file:
            return not _try_lock(file, fcntl.LOCK_SH)
    except OSError:
        return False
