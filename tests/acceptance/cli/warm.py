"""Python commands without the half second in which each would import the same modules.

Owns the process that forks them (`warm_process.py`) and what goes to it and comes from it.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_PROGRAM = Path(__file__).with_name("warm_process.py")
_CHUNK_BYTES = 65536


def run(
    arguments: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    stdin: str,
    timeout_s: float,
) -> subprocess.CompletedProcess[str]:
    """Run what `python -P` would run with these arguments, in a pipe, to its end.

    Raises:
        subprocess.TimeoutExpired: It took too long, and was killed.
    """
    request = {"arguments": arguments, "folder": str(folder), "environment": dict(environment)}
    with ExitStack() as ours, ExitStack() as theirs:
        given = [theirs.enter_context(_file(each)) for each in (json.dumps(request), stdin)]
        pipes = [_pipe(ours, theirs) for _ in range(3)]
        files = [*(each.fileno() for each in given), *(writer for _, writer in pipes)]
        socket.send_fds(_source().line, [b"run"], files)
        theirs.close()
        stdout, stderr, told = _read_all([reader for reader, _ in pipes], timeout_s)
    code = int(told.split()[1])
    return subprocess.CompletedProcess(list(arguments), code, _text(stdout), _text(stderr))


class _Source:
    """The process that forks; it ends when nobody is left who could ask it."""

    def __init__(self) -> None:
        self.line, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_PROGRAM), str(its.fileno())],
                cwd="/",
                # Of the kind that a command has: a stream looks once at what it is.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[its.fileno()],
            )

    def end(self) -> None:
        """Let it end."""
        self.line.close()
        self._process.communicate()


@cache
def _source() -> _Source:
    source = _Source()
    atexit.register(source.end)
    return source


@contextmanager
def _file(text: str) -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as file:
        file.write(text.encode())
        file.seek(0)
        yield file


def _pipe(ours: ExitStack, theirs: ExitStack) -> tuple[int, int]:
    reader, writer = os.pipe()
    ours.callback(os.close, reader)
    theirs.callback(os.close, writer)
    return reader, writer


def _read_all(readers: list[int], timeout_s: float) -> list[bytes]:
    """Return what each brings until its end; the last one names the process to kill."""
    read = dict.fromkeys(readers, b"")
    deadline_s = time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        for reader in readers:
            selector.register(reader, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(deadline_s - time.monotonic())
            if not ready:
                os.kill(int(read[readers[-1]].split()[0]), signal.SIGKILL)
                raise subprocess.TimeoutExpired("a warm command", timeout_s)
            for key, _ in ready:
                chunk = os.read(key.fd, _CHUNK_BYTES)
                read[key.fd] += chunk
                if not chunk:
                    selector.unregister(key.fd)
    return list(read.values())


def _text(content: bytes) -> str:
    return content.decode().replace("\r\n", "\n").replace("\r", "\n")
