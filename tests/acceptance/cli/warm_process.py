"""A process that has imported what our commands do, and becomes one of them for each request.

Run as `python -P warm_process.py FD`. A request comes over the socket FD as open files: the request
itself, the command's stdin, stdout and stderr, and where to tell its process id and its exit code.
The command is a process of its own: a fork, with its own folder, environment and end. Only what it
would import is there already, which is four fifths of what a short command costs. That a start can
do without is shown elsewhere: `tests/unit/test_start_up.py`, and all that is not run in a pipe.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import runpy
import socket
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_OURS = ("api", "cli", "jobs", "presets")
#: What is imported late, within functions of ours or of the libraries. One forgotten costs time.
_LATE = (
    *("anyio._backends._asyncio", "certifi", "concurrent.futures.thread", "dotenv", "filelock"),
    *("encodings.idna", "filetype", "gql.transport.httpx", "h11", "httpcore", "httpcore2"),
    *("platformdirs.unix", "rich.live", "rich.progress", "rich.table", "typer._click.decorators"),
)


def main() -> None:
    """Fork until there are no more requests."""
    for name in (*_ours(), *_LATE):
        with suppress(ImportError):
            importlib.import_module(name)
    # The collector need not look at, and so copy, what no command will free.
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as line:
        while files := socket.recv_fds(line, 1, 5)[1]:
            if os.fork() == 0:
                line.close()
                become(*files)
                return
            for file in files:
                os.close(file)
            # Who has ended meanwhile may go.
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _ours() -> Iterator[str]:
    """Yield the names of our modules of which commands are made."""
    yield "runpodctl_py.cli.app"
    for part in _OURS:
        package = importlib.import_module(f"runpodctl_py.{part}")
        for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield each.name


def become(request: int, stdin: int, stdout: int, stderr: int, told: int) -> None:
    """Be the command's parent until it ends, or the command."""
    if pid := os.fork():
        os.write(told, f"{pid}\n".encode())
        for file in (request, stdin, stdout, stderr):
            os.close(file)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.write(told, f"{code}\n".encode())
        os._exit(0)
    os.close(told)
    for file, place in ((stdin, 0), (stdout, 1), (stderr, 2)):
        os.dup2(file, place)
        os.close(file)
    with os.fdopen(request, "rb") as content:
        asked = json.load(content)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    time.tzset()
    run(asked["arguments"])


def run(arguments: list[str]) -> None:
    """Do what `python -P ARGUMENTS` does, for `-m MODULE …` and `FILE …`."""
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main()
