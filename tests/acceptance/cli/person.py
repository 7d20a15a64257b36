"""Somebody who uses the installed command line: in a pipe, or at a terminal.

Owns starting its processes, reading what they say and ending them. Asserts nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyte

from tests.acceptance.cli import warm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

#: Far more than any of these commands needs, even on a busy machine.
PATIENCE_S = 60.0

CTRL_C = b"\x03"

# As the installed script: without the current folder among the places of modules.
_MODULE = ("-m", "runpodctl_py")
_COMMAND = (sys.executable, "-P", *_MODULE)
_MANY_COMMANDS = Path(__file__).with_name("many_commands.py")
#: A session's first process has to ask for its terminal.
_WITH_TERMINAL = (
    sys.executable,
    "-S",
    "-c",
    """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
""",
)


@dataclass(frozen=True)
class Said:
    """What a command that has ended left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """Stdout as one JSON document."""
        return json.loads(self.stdout)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Stdout as JSON, one object a line."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def error(self) -> dict[str, Any]:
        """The last line of stderr: the error object of --json."""
        error: dict[str, Any] = json.loads(self.stderr.splitlines()[-1])
        return error


@dataclass(frozen=True)
class Person:
    """Somebody with a folder to work in and variables in their shell."""

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def run(
        self, *arguments: str, stdin: str = "", under: tuple[str, ...] = (), **variables: str
    ) -> Said:
        """Run a command to its end, in a pipe.

        Args:
            arguments: Of runpodctl-py.
            stdin: What it is given to read.
            under: A command that runs it, such as a shell that sets a limit.
            variables: More of them, for this command only.
        """
        if not under:
            return self._run_warm([*_MODULE, *arguments], stdin, variables)
        done = subprocess.run(
            [*under, *_COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment(variables),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def run_all(self, commands: Sequence[Sequence[str]]) -> Said:
        """Run commands one after the other in one process, whatever each exits with."""
        return self.run_program(_MANY_COMMANDS, json.dumps(commands))

    def run_program(self, program: Path, *arguments: str) -> Said:
        """Run a Python program of the tests to its end, in a pipe."""
        return self._run_warm([str(program), *arguments], "", {})

    def _run_warm(self, arguments: list[str], stdin: str, variables: Mapping[str, str]) -> Said:
        done = warm.run(
            arguments,
            folder=self.folder,
            environment=self.environment(variables),
            stdin=stdin,
            timeout_s=PATIENCE_S,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start a command and leave it running; its output is read with `communicate`."""
        return subprocess.Popen(
            [*_COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def at_terminal(
        self,
        *arguments: str,
        columns: int = 80,
        lines: int = 24,
        under: tuple[str, ...] = (),
        **variables: str,
    ) -> Terminal:
        """Start a command at a terminal of its own; use it as a context."""
        environment = self.environment({"TERM": "xterm-256color", **variables})
        program = shutil.which(under[0]) if under else None
        command = [*_WITH_TERMINAL, *filter(None, [program]), *under[1:], *_COMMAND, *arguments]
        return Terminal(command, self.folder, environment, columns, lines)

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """Return the whole environment of a command."""
        return {**os.environ, **self.variables, **more}


class Terminal:
    """A pseudo-terminal with one command, and the screen that a person would see."""

    def __init__(
        self,
        command: list[str],
        folder: Path,
        environment: Mapping[str, str],
        columns: int,
        lines: int,
    ) -> None:
        self.screen = pyte.Screen(columns, lines)
        #: Every screen that was different from the one before.
        self.screens: list[str] = []
        self.raw = b""
        self._stream = pyte.ByteStream(self.screen)
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._modes = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    @property
    def text(self) -> str:
        """What the screen shows now, without the empty lines below."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    @property
    def is_usable(self) -> bool:
        """Whether the cursor is visible, the colours are reset and the modes are as before."""
        cursor = self.screen.cursor
        style = (cursor.attrs.fg, cursor.attrs.bold, cursor.attrs.reverse)
        modes = termios.tcgetattr(self._master)
        return not cursor.hidden and style == ("default", False, False) and modes == self._modes

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._master, keys)

    def until(self, condition: Callable[[str], bool]) -> str:
        """Read until the screen is as wished, and return it."""
        reading = self._reading()
        while not condition(self.text):
            if next(reading, "ended") == "ended":
                raise AssertionError(f"the command ended before that; the screen:\n{self.text}")
        return self.text

    def until_text(self, text: str) -> str:
        """Read until the text stands on the screen."""
        return self.until(lambda screen: text in screen)

    def until_end(self) -> int:
        """Read until the command ends, and return its exit code."""
        for _ in self._reading():
            pass
        return self.process.wait(PATIENCE_S)

    def _reading(self) -> Iterator[None]:
        """Read what comes until nobody is left to write."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            ready, _, _ = select.select([self._master], [], [], deadline_s - time.monotonic())
            if not ready:
                raise AssertionError(f"nothing more came; the screen:\n{self.text}")
            try:
                content = os.read(self._master, 65536)
            except OSError:  # Linux says so when the last process has closed the terminal.
                return
            if not content:
                return
            self.raw += content
            self._stream.feed(content)
            if not self.screens or self.screens[-1] != self.text:
                self.screens.append(self.text)
            yield
