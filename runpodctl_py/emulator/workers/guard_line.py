"""The emulator's end of the line to its guard process: starting workers, signalling, exits.

`guard.py` says what the guard does and why there is one. Should it be killed, its workers are, too,
and the next worker gets a new guard.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_SCRIPT = Path(__file__).with_name("guard.py")


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """A process to be started.

    Args:
        argv: The program and its arguments.
        env: Its whole environment.
        cwd: Its folder.
        cleanup: A command that removes what it may leave outside its process group, in the same
            environment; run when it has ended, however it has.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    cleanup: Sequence[str] | None = None


class GuardLine:
    """Starts worker processes through a guard.

    Args:
        on_exit: Called with a worker's name and its exit code (negative: the signal that killed
            it), once for each worker that was started.
    """

    def __init__(self, on_exit: Callable[[str, int], None]) -> None:
        self._on_exit = on_exit
        self._starting: dict[str, asyncio.Future[int]] = {}
        self._running: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._opening = asyncio.Lock()
        self._is_closed = False

    async def open(self) -> None:
        """Starts the guard."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = _start_guard(theirs)
        stream, self._writer = await asyncio.open_connection(sock=ours)
        self._reader = asyncio.create_task(self._listen(stream))

    async def spawn(self, name: str, process: ProcessPlan, log: Path) -> int:
        """Starts a process in a session of its own.

        Args:
            name: What the worker is called on this line.
            process: What to run.
            log: The file its output is added to, each line with its time.

        Returns:
            The process id, which is also the id of its process group.

        Raises:
            EmulatorError: The system cannot start it.
        """
        await self._reopen_if_lost()
        started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._starting[name] = started
        self._send(
            op="spawn",
            name=name,
            argv=list(process.argv),
            env=dict(process.env),
            cwd=str(process.cwd),
            log=str(log),
            cleanup=process.cleanup and list(process.cleanup),
        )
        return await started

    def signal(self, name: str, signum: int) -> None:
        """Sends a worker a signal if it is still there; SIGKILL reaches its whole group."""
        self._send(op="signal", name=name, signal=signum)

    async def close(self) -> None:
        """Ends the guard, which kills whatever still runs."""
        self._is_closed = True
        async with self._opening:
            if self._writer is not None:
                self._writer.close()
                with suppress(ConnectionError):
                    await self._writer.wait_closed()
        if self._reader is not None:
            await self._reader
        await self._bury()

    async def _reopen_if_lost(self) -> None:
        async with self._opening:
            is_lost = self._reader is not None and self._reader.done()
            if is_lost and not self._is_closed:
                await self._bury()
                await self.open()

    async def _bury(self) -> None:
        """Waits for the end of the guard's process, which has begun."""
        if self._process is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._process.wait)

    def _send(self, **request: Any) -> None:
        if self._writer is None or self._writer.is_closing():
            self._give_up()
            return
        self._writer.write(json.dumps(request).encode() + b"\n")

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            while line := await stream.readline():
                self._hear(json.loads(line))
        if self._writer is not None:
            self._writer.close()
        self._give_up()

    def _hear(self, event: Mapping[str, Any]) -> None:
        name = event["name"]
        if event["event"] == "exited":
            self._running.pop(name, None)
            self._on_exit(name, event["code"])
            return
        started = self._starting.pop(name)
        if event["event"] == "spawned":
            self._running[name] = event["pid"]
        if started.done():
            return
        if event["event"] == "spawned":
            started.set_result(event["pid"])
        else:
            started.set_exception(EmulatorError(event["reason"]))

    def _give_up(self) -> None:
        """Ends what runs without a guard, should it have been killed, and reports it as gone."""
        for started in self._starting.values():
            if not started.done():
                started.set_exception(EmulatorError("the process that guards workers is gone"))
        self._starting.clear()
        running, self._running = self._running, {}
        for name, pid in running.items():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            self._on_exit(name, -signal.SIGKILL)


def _start_guard(line: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own interpreter, our own script.
        [sys.executable, "-I", str(_SCRIPT), str(line.fileno())],
        pass_fds=[line.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        env={},
    )
