"""The output port: results on stdout, talk on stderr, for a terminal, a pipe or a program.

Owns colour, JSON, tables and how an error looks. What is data (a table, a document, a path) goes
to stdout and nothing else does, so that a pipe never breaks. Drawing a job that runs is
`job_view.py`'s.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TextIO

from runpodctl_py.errors import InterruptedRunError, RunpodctlError, WaitTimeoutError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runpodctl_py.jsontypes import JsonObject, JsonValue

Style = Literal["green", "yellow", "red", "dim", "bold"]

_ANSI: Mapping[Style, str] = {
    "green": "32",
    "yellow": "33",
    "red": "31",
    "dim": "2",
    "bold": "1",
}


#: A column of a table whose cells are all this short is not broken into lines.
_NEVER_WRAPPED = 30
_NARROWEST = 30


def is_terminal(stream: TextIO) -> bool:
    """Whether a person sees this stream on a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def has_colour(stream: TextIO) -> bool:
    """Whether to colour: NO_COLOR and FORCE_COLOR decide, else whether it is a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or is_terminal(stream)


def paint(text: str, style: Style, stream: TextIO) -> str:
    """Return the text in a colour, where there is colour."""
    return f"\x1b[{_ANSI[style]}m{text}\x1b[0m" if has_colour(stream) else text


def printable(text: str) -> str:
    """Return text from outside without what would move a cursor or ring a bell."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)


def _as_data(text: str) -> str:
    """Return text for stdout: as it is for a program or a file, and harmless for a terminal."""
    return printable(text) if is_terminal(sys.stdout) else text


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading, and whether it holds numbers."""

    heading: str
    is_number: bool = False


class Output:
    """Where everything a command says goes.

    Args:
        as_json: The person asked for JSON.
        is_quiet: Only results and errors.
    """

    def __init__(self, *, as_json: bool = False, is_quiet: bool = False) -> None:
        self.as_json = as_json
        self.is_quiet = is_quiet

    @property
    def draws(self) -> bool:
        """Whether progress can be drawn in place."""
        return not (self.as_json or self.is_quiet) and is_terminal(sys.stderr)

    def note(self, text: str = "", *, style: Style | None = None) -> None:
        """Say something to the person: progress, a hint, what comes next."""
        if not (self.as_json or self.is_quiet):
            text = printable(text)
            _write(paint(text, style, sys.stderr) if style else text, sys.stderr)

    def done(self, text: str) -> None:
        """Say that a step is done."""
        if not (self.as_json or self.is_quiet):
            _write(f"{paint('✓', 'green', sys.stderr)} {printable(text)}", sys.stderr)

    def warn(self, text: str) -> None:
        """Say something that should not be missed; in JSON it goes to stderr, too."""
        if self.as_json:
            _print_json({"warning": text}, sys.stderr)
        else:
            _write(f"{paint('!', 'yellow', sys.stderr)} {printable(text)}", sys.stderr)

    def result(self, text: str) -> None:
        """Print what was asked for, as text."""
        _write(_as_data(text), sys.stdout)

    def text(self, text: str) -> None:
        """Print a part of what was asked for, as it comes; nobody ends the line but the text."""
        _write(_as_data(text), sys.stdout, end="")

    def document(self, value: JsonValue) -> None:
        """Print what was asked for, as one JSON document."""
        _write(_json_text(value, indent=2), sys.stdout)

    def event(self, event: JsonValue) -> None:
        """Print one JSON line of a stream."""
        _print_json(event, sys.stdout)

    def table(
        self, columns: Sequence[Column], rows: Sequence[Sequence[str]], document: JsonValue
    ) -> None:
        """Print a table on a terminal, and the document anywhere else."""
        if self.as_json or not sys.stdout.isatty():
            self.document(document)
        else:
            print_table(columns, rows)

    def record(self, document: JsonObject) -> None:
        """Print one thing: a row a field on a terminal, and the document anywhere else."""
        rows = [(name, _cell(value)) for name, value in document.items()]
        self.table([Column("field"), Column("value")], rows, document)

    def error(self, error: RunpodctlError) -> None:
        """Say what happened, why, and what helps."""
        if self.as_json:
            self._error_line(error)
            return
        first, *more = _wrapped(printable(error.message), sys.stderr)
        # A job that goes on is no failure.
        goes_on = isinstance(error, InterruptedRunError | WaitTimeoutError)
        mark = paint("!", "yellow", sys.stderr) if goes_on else paint("✗", "red", sys.stderr)
        lines = [f"{mark} {first}", *(f"  {line}" for line in more)]
        if error.hint:
            lines += [
                "",
                *(f"  {line}".rstrip() for line in _wrapped(printable(error.hint), sys.stderr)),
            ]
        _write("\n".join(lines), sys.stderr)

    def _error_line(self, error: RunpodctlError) -> None:
        line: JsonObject = {
            "error": error.code,
            "message": error.message,
            "hint": error.hint,
            "id": error.job_id,
        }
        _print_json(line, sys.stderr)


def _cell(value: JsonValue) -> str:
    if value is None or value in ("", []):
        return "-"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: numbers right, words left; only the last column may wrap."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for number, column in enumerate(columns, start=1):
        table.add_column(
            column.heading,
            justify="right" if column.is_number else "left",
            no_wrap=number < len(columns) and _widest(rows, number - 1) <= _NEVER_WRAPPED,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console().print(table)


def _widest(rows: Sequence[Sequence[str]], column: int) -> int:
    return max((len(row[column]) for row in rows), default=0)


def _wrapped(text: str, stream: TextIO) -> list[str]:
    """Break prose at words for a terminal; a line with a command stays whole, to be copied."""
    columns = shutil.get_terminal_size().columns if is_terminal(stream) else 0
    lines = []
    for line in text.split("\n"):
        if columns < _NARROWEST or "runpodctl-py " in line:
            lines.append(line)
        else:
            lines += textwrap.wrap(
                line, columns - 3, break_long_words=False, break_on_hyphens=False
            ) or [""]
    return lines


def _print_json(value: JsonValue, stream: TextIO) -> None:
    _write(_json_text(value), stream)


def _write(text: str, stream: TextIO, end: str = "\n") -> None:
    """Write a line. If nobody reads any more (`| head`), the work goes on: files are saved."""
    try:
        print(text, end=end, file=stream, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except OSError as exc:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise RunpodctlError(f"Cannot write the output: {exc.strerror}") from exc


def _json_text(value: JsonValue, indent: int | None = None) -> str:
    """Write JSON in which what cannot be printed is escaped: the value stays the same."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return re.sub(
        r"[^ -~\n]", lambda found: found[0] if found[0].isprintable() else _escaped(found[0]), text
    )


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1]


def bytes_text(size_bytes: int) -> str:
    """Return a size as people say it: `312 B`, `1.2 kB`, `3.4 MB`."""
    if size_bytes < 1000:  # noqa: PLR2004 # the step between units
        return f"{size_bytes} B"
    size = float(size_bytes)
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.95 or unit == "GB":  # noqa: PLR2004
            break
    return f"{size:.1f} {unit}"


def seconds_text(seconds: float) -> str:
    """Return a duration as people say it: `8.1 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 59.95:  # noqa: PLR2004 # clock arithmetic, and no "60.0 s"
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def usd_text(amount_usd: float) -> str:
    """Return money with as many digits as a small job needs."""
    if 0 < amount_usd < 0.00005:  # noqa: PLR2004 # it would be shown as nothing
        return "<$0.0001"
    return f"${amount_usd:.4f}" if amount_usd < 0.99995 else f"${amount_usd:.2f}"  # noqa: PLR2004
