"""`local exec`: a command of the person's own, with the local RunPod around it.

Owns the command's process: what it is given, the signals on their way to it, and its exit code.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from runpodctl_py.cli import options
from runpodctl_py.cli.context import joined
from runpodctl_py.cli.output import Output
from runpodctl_py.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

_FROM_KEYS = frozenset({"SIGINT", "SIGQUIT"})
"""What a terminal sends to everybody in the foreground when Ctrl-C or Ctrl-\\ is pressed."""
_PASSED_ON = (*_FROM_KEYS, "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
"""By name: not every system has all of them."""
_ENDED_BY_SIGNAL = 128
"""What shells add to a signal's number to make it an exit code."""


def execute(
    *,
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND...", help="What to run, with its arguments.")
    ],
    as_json: options.Json = False,
) -> None:
    """Run a command that finds the local RunPod: with the variables of `local env` set.

    Uses a local RunPod that runs, or starts one that stops after the command. The command's
    exit code is this one's.

    Examples:
      runpodctl-py local exec -- pytest tests/
      runpodctl-py local exec -- sh -c 'echo $RUNPOD_API_BASE_URL'
    """
    from runpodctl_py.emulator import daemon
    from runpodctl_py.emulator.client_variables import client_variables

    refuse_unknown(command)
    output = Output(as_json=as_json, is_quiet=not Output().draws)
    with joined(output, daemon.data_folder(os.environ)) as running:
        variables = client_variables(running.url, running.token)
        code = run_to_end(command, {**os.environ, **variables})
    raise typer.Exit(code)


def refuse_unknown(command: Sequence[str]) -> None:
    """Raise if there is no such command, before anything is started for it.

    Raises:
        UsageError: There is none.
    """
    if shutil.which(command[0]) is None:
        raise UsageError(
            f"There is no command {command[0]}",
            hint="Name a program on the PATH, or a file that may be executed:  ./my-script",
        )


def run_to_end(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command to its end, whatever signals come meanwhile, and return its exit code.

    Args:
        command: The program and its arguments.
        environment: All its environment variables.

    Raises:
        UsageError: It cannot be started.
    """
    with _signals_passed_on() as pass_to:
        try:
            process = subprocess.Popen(  # noqa: S603 - the command the person named.
                command, env=dict(environment)
            )
        except OSError as exc:
            raise UsageError(f"{command[0]} cannot be started: {exc.strerror}") from exc
        pass_to(process)
        code = process.wait()
    return code if code >= 0 else _ENDED_BY_SIGNAL - code


@contextmanager
def _signals_passed_on() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Pass signals on to a process, those that came before it was named as well."""
    target: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def received(signum: int, _frame: FrameType | None) -> None:
        if signal.Signals(signum).name in _FROM_KEYS and _is_in_foreground():
            return
        if target:
            target[0].send_signal(signum)
        else:
            early.append(signum)

    def pass_to(process: subprocess.Popen[bytes]) -> None:
        target.append(process)
        for signum in early:
            process.send_signal(signum)

    # What is ignored, as under nohup, the command shall ignore, too.
    known = [each for each in signal.Signals if each.name in _PASSED_ON]
    heeded = [each for each in known if signal.getsignal(each) is not signal.SIG_IGN]
    before = {each: signal.signal(each, received) for each in heeded}
    try:
        yield pass_to
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _is_in_foreground() -> bool:
    """Whether what is typed at our terminal reaches us, and so the command, which is one of us."""
    try:
        with open("/dev/tty", "rb") as terminal:  # noqa: PTH123 - a device, to be opened as it is.
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False
