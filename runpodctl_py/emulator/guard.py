"""The guard: a process of its own that starts worker processes and lets none survive it.

Run as `python -I guard.py FD`, with the standard library only. The emulator talks to it over a
socket, one JSON object a line. When that socket ends, however the emulator ended, the guard kills
every worker's process group and leaves. Since the guard is who starts workers, there is no moment
in which a killed emulator leaves one behind. A group is also killed when its worker leaves by
itself: the SDK's ping process would live on (API reference 5.7).

Requests: `{"op": "spawn", "name", "argv", "env", "cwd", "log"}`, `{"op": "signal", "name",
"signal"}`. Events: `{"event": "spawned", "name", "pid"}`, `{"event": "refused", "name", "reason"}`,
`{"event": "exited", "name", "code"}`.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

_CHUNK_BYTES = 65536


class Guard:
    """The workers of one emulator, and the line to it.

    Args:
        line: The connected socket; its end is the emulator's end.
    """

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self._unread = b""

    def watch(self) -> None:
        """Carries out requests and reports exits until the emulator is gone."""
        wakened, waker = socket.socketpair()
        waker.settimeout(0)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        # A handler, unlike SIG_IGN, is not inherited by the workers.
        for signum in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, lambda *_: None)
        with wakened, waker, selectors.DefaultSelector() as selector:
            selector.register(self._line, selectors.EVENT_READ)
            selector.register(wakened, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is wakened:
                        wakened.recv(_CHUNK_BYTES)
                        self._bury()
                    elif not self._read():
                        signal.set_wakeup_fd(-1)
                        return

    def end(self) -> None:
        """Kills every worker with all its children."""
        for worker in self._workers.values():
            _signal_group(worker.pid, signal.SIGKILL)
        for worker in self._workers.values():
            worker.wait()

    def _read(self) -> bool:
        try:
            chunk = self._line.recv(_CHUNK_BYTES)
        except ConnectionError:
            return False
        *lines, self._unread = (self._unread + chunk).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        return bool(chunk)

    def _obey(self, request: dict[str, Any]) -> None:
        if request["op"] == "spawn":
            self._spawn(request)
        elif (worker := self._workers.get(request["name"])) is not None:
            self._signal(worker, request["signal"])

    def _spawn(self, request: dict[str, Any]) -> None:
        name = request["name"]
        try:
            with Path(request["log"]).open("ab") as log:
                # What to run is the emulator's business; the line to it is private.
                worker = subprocess.Popen(  # noqa: S603
                    request["argv"],
                    env=request["env"],
                    cwd=request["cwd"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except (OSError, ValueError) as error:
            self._tell(event="refused", name=name, reason=str(error))
            return
        self._workers[name] = worker
        self._tell(event="spawned", name=name, pid=worker.pid)

    def _signal(self, worker: subprocess.Popen[bytes], signum: int) -> None:
        if signum == signal.SIGKILL:
            _signal_group(worker.pid, signum)
            return
        # As a container's stop does: what a handler runs beside itself may finish its job.
        with suppress(ProcessLookupError, PermissionError):
            os.kill(worker.pid, signum)

    def _bury(self) -> None:
        for name, worker in list(self._workers.items()):
            if not _ended(worker):
                continue
            # Before the exit is collected: until then nobody else can have got this pid.
            _signal_group(worker.pid, signal.SIGKILL)
            del self._workers[name]
            self._tell(event="exited", name=name, code=worker.wait())

    def _tell(self, **event: Any) -> None:
        # The emulator may be gone; the next read notices.
        with suppress(ConnectionError):
            self._line.sendall(json.dumps(event).encode() + b"\n")


def _ended(worker: subprocess.Popen[bytes]) -> bool:
    """Whether a worker has ended, without collecting its exit code where that is possible."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13.
        return worker.poll() is not None
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, worker.pid, flags) is not None


def _signal_group(pid: int, signum: int) -> None:
    # macOS forbids signalling a group of which only the dead leader is left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signum)


def main() -> None:
    """Guards until the socket whose number is the first argument ends."""
    guard = Guard(socket.socket(fileno=int(sys.argv[1])))
    try:
        guard.watch()
    finally:
        guard.end()


if __name__ == "__main__":
    main()
