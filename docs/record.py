"""Record a real run of the README's main command as `docs/submit.svg`.

Run it in an environment with the `dev` extra:  python docs/record.py
The command runs in a pseudo-terminal against the local RunPod; what a person would see after it
started, in the middle, and at its end is kept, and drawn with rich.
"""

from __future__ import annotations

import codecs
import os
import pty
import re
import sys
import tempfile
from io import StringIO
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

COMMAND = ["submit", "--task", "text_processing", "--local"]
COLUMNS, LINES = 84, 24
TARGET = Path(__file__).with_name("submit.svg")
#: The moments to keep: the first screen on which each of these is seen.
MOMENTS = (re.compile(r"cold start"), re.compile(r" 5\d %| 6\d %"))


def run_in_terminal(folder: str) -> list[list[Text]]:
    """Run the command and return the screens at each moment and at the end."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        surroundings = {
            **os.environ,
            "RUNPODCTL_LOCAL_DIR": f"{folder}/local",
            "HOME": folder,
            "TERM": "xterm-256color",
            "COLUMNS": str(COLUMNS),
            "LINES": str(LINES),
        }
        os.execve(sys.executable, [sys.executable, "-m", "runpodctl_py", *COMMAND], surroundings)  # noqa: S606 # no shell wanted
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.Stream(screen)
    decoder = codecs.getincrementaldecoder("utf-8")()
    kept: list[list[Text]] = []
    moments = list(MOMENTS)
    while chunk := read(terminal):
        stream.feed(decoder.decode(chunk))
        if moments and any(moments[0].search(line) for line in screen.display):
            kept.append(drawn(screen))
            moments.pop(0)
    os.waitpid(pid, 0)
    return [*kept, drawn(screen)]


def read(terminal: int) -> bytes:
    """Return what the command printed next; nothing at its end."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def drawn(screen: pyte.Screen) -> list[Text]:
    """Return the lines of a screen that are not empty at its end, with their colours."""
    lines = []
    for y in range(screen.lines):
        line = Text()
        for x in range(screen.columns):
            char = screen.buffer[y][x]
            colour = None if char.fg == "default" else char.fg
            colour = f"#{colour}" if colour and re.fullmatch("[0-9a-f]{6}", colour) else colour
            colour = "yellow" if colour == "brown" else colour
            line.append(char.data, Style(color=colour, bold=char.bold))
        line.rstrip()
        lines.append(line)
    while lines and not lines[-1].plain:
        lines.pop()
    return lines


def main() -> None:
    """Record and draw."""
    with tempfile.TemporaryDirectory() as folder:
        start, middle, end = run_in_terminal(folder)
    console = Console(record=True, width=COLUMNS, file=StringIO())
    console.print(Text.assemble(("$ ", "green"), f"runpodctl-py {' '.join(COMMAND)}"))
    for line in start:
        console.print(line)
    console.print(Text("       … a moment later, in place:", "dim"))
    console.print(middle[-1])
    console.print(Text("       … and at the end:", "dim"))
    first = next(n for n, line in enumerate(end) if line.plain.startswith("✓"))
    for line in end[first:]:
        console.print(line)
    console.save_svg(str(TARGET), title="runpodctl-py", clear=False)
    print(console.export_text())  # noqa: T201 # a script


if __name__ == "__main__":
    main()
