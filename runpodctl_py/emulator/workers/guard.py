"""The guard: a process of its own that starts worker processes and lets none survive it.

Run as `python -I guard.py FD`, with the standard library only. The emulator talks to it over a
socket, one JSON object a line. When that socket ends, however the emulator ended, the guard kills
every worker's process group and leaves. Since the guard is who starts workers, there is no moment
in which a killed emulator leaves one behind. A group is also killed when its worker leaves by
itself: the SDK's ping process would live on (API reference 5.7). What a worker runs outside its
group, such as a container, is removed by a command that came with it.

It also writes the workers' logs: what a worker prints comes through a pipe and is written line by
line with the time it came, `2026-11-21T10:50:00.123456Z TEXT`. `logs.py` reads them. A log that has
become too large goes on in a new file; the one before it is kept as `WORKER.1.log`. Of the logs of
an endpoint's workers that are gone, the oldest are removed.

Requests: `{"op": "spawn", "name", "argv", "env", "cwd", "log", "cleanup"}`, `{"op": "signal",
"name", "signal"}`. Events: `{"event": "spawned", "name", "pid"}`, `{"event": "refused", "name",
"reason"}`, `{"event": "exited", "name", "code"}`.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

_CHUNK_BYTES = 65536
_LONGEST_LINE_BYTES = 65536
_DRAINED_CHUNKS = 64
"""More than a pipe holds: what still comes then is from somebody who outlived the worker."""
_SDK_LINE = b'{"requestId": '
"""What a line of the SDK's own log begins with (5.1)."""
_MOST_LOG_BYTES = 64 * 1024 * 1024
"""How large a worker's log becomes, both files together; a chunk more is possible."""
_KEPT_LOGS = 50
"""How many logs there may be in an endpoint's folder; `data_folder.py` has the same number."""
_CLEANUP_LIMIT_S = 10.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Output:
    """What one worker prints, on its way from a pipe to its log.

    Args:
        path: The log; lines are added to it.
        most_bytes: How large the log may become, with the older file of it.

    Raises:
        OSError: The log cannot be written.
    """

    def __init__(self, path: Path, most_bytes: int = _MOST_LOG_BYTES) -> None:
        self._most_bytes = most_bytes
        self.path = path
        self.older_path = path.with_suffix(".1.log")
        self._log = path.open("ab", buffering=0)
        self._last_us = 0
        self._line = b""
        self.is_at_end = False
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)

    def read(self) -> bool:
        """Writes the whole lines of what has come, at most a chunk; returns whether any has."""
        try:
            chunk = os.read(self.reader, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        self.is_at_end = not chunk
        *lines, self._line = (self._line + chunk).split(b"\n")
        if len(self._line) >= _LONGEST_LINE_BYTES:
            lines.append(self._line)
            self._line = b""
        self._write(lines)
        return bool(chunk)

    def close(self) -> None:
        """Writes what is still in the pipe; whoever holds its other end is not waited for."""
        for _ in range(_DRAINED_CHUNKS):
            if not self.read():
                break
        if self._line:
            self._write([self._line])
        os.close(self.reader)
        self._log.close()

    def _write(self, lines: list[bytes]) -> None:
        # A full disk must not end the workers; it costs these lines.
        with suppress(OSError):
            if lines and self._log.tell() >= self._most_bytes // 2:
                self._begin_anew()
            whole = (each for line in lines for each in _unglued(line))
            for piece in (piece for line in whole for piece in _pieces(line)):
                self._log.write(b"%b %b\n" % (self._time(), piece))

    def _begin_anew(self) -> None:
        """Goes on in a new file; the full one takes the place of the older one."""
        # It is gone already if an earlier attempt could not make the new one.
        with suppress(FileNotFoundError):
            self.path.replace(self.older_path)
        log = self.path.open("ab", buffering=0)
        self._log.close()
        self._log = log

    def _time(self) -> bytes:
        """Returns the time, but later than the one before: it names the line."""
        self._last_us = max(time.time_ns() // 1000, self._last_us + 1)
        now = _EPOCH + timedelta(microseconds=self._last_us)
        return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()


def _unglued(line: bytes) -> list[bytes]:
    """Returns a line, or the lines that it was meant to be.

    Python writes a printed text and its end of line apart where output is unbuffered: the SDK's
    heartbeat, a thread, gets its own line between them.
    """
    lines = []
    start = line.find(_SDK_LINE, 1)
    while start > 0:
        if _is_sdk_line(line[start:]):
            lines.append(line[:start])
            line, start = line[start:], 0
        start = line.find(_SDK_LINE, start + 1)
    return [*lines, line]


def _is_sdk_line(line: bytes) -> bool:
    """Returns whether what a line begins with was written by the SDK's logger."""
    with suppress(ValueError, RecursionError):
        message, _ = json.JSONDecoder().raw_decode(line.decode("utf-8", "replace"))
        return "message" in message and "level" in message
    return False


def _pieces(line: bytes) -> list[bytes]:
    """Returns a line in pieces that nobody has trouble reading."""
    starts = range(0, max(1, len(line)), _LONGEST_LINE_BYTES)
    return [line[start : start + _LONGEST_LINE_BYTES] for start in starts]


class Worker:
    """A worker's process and its output.

    Args:
        request: The request to spawn it.

    Raises:
        OSError: It cannot be started.
        ValueError: The same, because of what its arguments are.
        TypeError: The same.
    """

    def __init__(self, request: dict[str, Any]) -> None:
        self.cleanup: list[str] | None = request["cleanup"]
        self.env: dict[str, str] = request["env"]
        self.output = Output(Path(request["log"]))
        try:
            # What to run is the emulator's business; the line to it is private.
            self.process = subprocess.Popen(  # noqa: S603
                request["argv"],
                env=self.env,
                cwd=request["cwd"],
                stdin=subprocess.DEVNULL,
                stdout=self.output.writer,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError, TypeError):
            self.output.close()
            raise
        finally:
            os.close(self.output.writer)

    def signal(self, signum: int) -> None:
        """Sends it a signal; SIGKILL reaches its whole group.

        Others do as a container's stop does: what a handler runs beside itself may finish its job.
        """
        # macOS forbids signalling a group of which only the dead leader is left.
        with suppress(ProcessLookupError, PermissionError):
            if signum == signal.SIGKILL:
                os.killpg(self.process.pid, signum)
            else:
                os.kill(self.process.pid, signum)

    def has_ended(self) -> bool:
        """Returns whether it has, without collecting its exit code where that is possible."""
        if not hasattr(os, "waitid"):  # macOS before Python 3.13.
            return self.process.poll() is not None
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.process.pid, flags) is not None

    def start_cleanup(self) -> subprocess.Popen[bytes] | None:
        """Starts to remove what it may have left outside its process group."""
        if self.cleanup is None:
            return None
        with suppress(OSError):
            return subprocess.Popen(  # noqa: S603 - as the worker itself.
                self.cleanup,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        return None


class Guard:
    """The workers of one emulator, and the line to it.

    Args:
        line: The connected socket; its end is the emulator's end.
    """

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._workers: dict[str, Worker] = {}
        self._cleanups: list[subprocess.Popen[bytes]] = []
        self._selector = selectors.DefaultSelector()
        self._unread = b""

    def watch(self) -> None:
        """Carries out requests, writes logs and reports exits until the emulator is gone."""
        wakened, waker = socket.socketpair()
        waker.settimeout(0)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        # A handler, unlike SIG_IGN, is not inherited by the workers.
        for signum in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, lambda *_: None)
        with wakened, waker:
            self._selector.register(self._line, selectors.EVENT_READ)
            self._selector.register(wakened, selectors.EVENT_READ)
            while self._step(wakened):
                pass
            signal.set_wakeup_fd(-1)

    def end(self) -> None:
        """Kills every worker with all its children, and removes what they left."""
        for worker in self._workers.values():
            worker.signal(signal.SIGKILL)
        for worker in self._workers.values():
            worker.process.wait()
            worker.output.close()
            self._clean_up(worker)
        deadline = time.monotonic() + _CLEANUP_LIMIT_S
        for cleanup in self._cleanups:
            with suppress(subprocess.TimeoutExpired):
                cleanup.wait(max(0.0, deadline - time.monotonic()))

    def _step(self, wakened: socket.socket) -> bool:
        """Does what there is to do; returns whether the emulator is still there."""
        ready = [key for key, _ in self._selector.select()]
        # Outputs first: what else there is to do may close them.
        for output in [key.data for key in ready if key.data is not None]:
            output.read()
            if output.is_at_end:
                self._selector.unregister(output.reader)
        if any(key.fileobj is wakened for key in ready):
            wakened.recv(_CHUNK_BYTES)
            self._bury()
        return self._read() if any(key.fileobj is self._line for key in ready) else True

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
            worker.signal(request["signal"])

    def _spawn(self, request: dict[str, Any]) -> None:
        name = request["name"]
        try:
            worker = Worker(request)
        except (OSError, ValueError, TypeError) as error:
            self._tell(event="refused", name=name, reason=str(error))
            return
        self._workers[name] = worker
        self._selector.register(worker.output.reader, selectors.EVENT_READ, worker.output)
        self._tell(event="spawned", name=name, pid=worker.process.pid)
        self._remove_old_logs(worker.output.path.parent)

    def _remove_old_logs(self, folder: Path) -> None:
        """Removes the logs in a folder that were written to longest ago, never one in use."""
        outputs = [each.output for each in self._workers.values()]
        used = {path for each in outputs for path in (each.path, each.older_path)}
        # The emulator may remove some, too, or the whole folder.
        with suppress(OSError):
            by_age = sorted(folder.glob("*.log"), key=lambda log: log.stat().st_mtime)
            for log in by_age[:-_KEPT_LOGS]:
                if log not in used:
                    log.unlink()

    def _bury(self) -> None:
        for name, worker in list(self._workers.items()):
            if not worker.has_ended():
                continue
            # Before the exit is collected: until then nobody else can have got this pid.
            worker.signal(signal.SIGKILL)
            del self._workers[name]
            with suppress(KeyError):
                self._selector.unregister(worker.output.reader)
            worker.output.close()
            self._clean_up(worker)
            self._tell(event="exited", name=name, code=worker.process.wait())
        self._cleanups = [each for each in self._cleanups if each.poll() is None]

    def _clean_up(self, worker: Worker) -> None:
        if (cleanup := worker.start_cleanup()) is not None:
            self._cleanups.append(cleanup)

    def _tell(self, **event: Any) -> None:
        # The emulator may be gone; the next read notices.
        with suppress(ConnectionError):
            self._line.sendall(json.dumps(event).encode() + b"\n")


def main() -> None:
    """Guards until the socket whose number is the first argument ends."""
    guard = Guard(socket.socket(fileno=int(sys.argv[1])))
    try:
        guard.watch()
    finally:
        guard.end()


if __name__ == "__main__":
    main()
