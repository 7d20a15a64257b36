"""A text file's lines, one at a time, with their numbers and what is wrong with them.

Owns decoding, and the bounds that keep a row in memory but not the file: a closing quotation mark
that is missing would make all the rest of a CSV file one cell. Knows neither CSV nor JSON.
"""

from __future__ import annotations

import codecs
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from runpodctl_py.api.serverless import RUN_LIMIT_BYTES
from runpodctl_py.batch.source import cannot_read
from runpodctl_py.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import TextIOWrapper

    from runpodctl_py.batch.source import Source

LONGEST_ROW_CHARACTERS: Final = 2 * RUN_LIMIT_BYTES
"""What may be written for one row: twice what a job may have, since quotes need escaping."""

# UTF-32 first: in little endian, its mark begins with that of UTF-16.
_OTHER_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


class RowTooLongError(Exception):
    """A row goes on for longer than any that could be sent; its last line was skipped."""


class Lines:
    """A file's lines, as `csv.reader` takes them: one after the other, each with its end.

    Args:
        file: The file.
        name: What messages call it.

    Attributes:
        number: How many have been read; the first line is 1.
        problem: What is wrong with the text of the row's lines, if anything is.
    """

    def __init__(self, file: TextIOWrapper, name: str) -> None:
        self._file = file
        self._name = name
        self._row_characters = 0
        self.number = 0
        self.problem: str | None = None

    def begin_row(self) -> int:
        """Forget the row before; return the number of the line on which the next one begins."""
        self._row_characters = 0
        self.problem = None
        return self.number + 1

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        try:
            line = self._file.readline(LONGEST_ROW_CHARACTERS + 1)
            if not line:
                raise StopIteration
            self.number += 1
            self._row_characters += len(line)
            if self._row_characters > LONGEST_ROW_CHARACTERS:
                self._skip_rest_of(line)
                raise RowTooLongError
        except OSError as exc:
            raise cannot_read(self._name, exc) from exc
        if self.problem is None:
            self.problem = _problem(line)
        return line

    def _skip_rest_of(self, part: str) -> None:
        while part and not part.endswith(("\n", "\r")):
            part = self._file.readline(LONGEST_ROW_CHARACTERS)


@contextmanager
def opened(source: Source, *, newline: str) -> Iterator[Lines]:
    r"""Open a file for its lines; a mark of UTF-8 at the beginning is no part of them.

    Args:
        source: The file.
        newline: As for `open`: `\n`, or nothing for whatever ends a line somewhere.

    Raises:
        UsageError: It cannot be read, or is in another encoding by its own word.
    """
    _check_mark(source)
    try:
        # What is no UTF-8 becomes lone surrogates, which UTF-8 cannot hold: so a bad byte costs
        # its row, and not the file.
        file = source.path.open(encoding="utf-8-sig", errors="surrogateescape", newline=newline)
    except OSError as exc:
        raise cannot_read(source.name, exc) from exc
    with file:
        yield Lines(file, source.name)


def conversion_hint(encoding: str = "WINDOWS-1252") -> str:
    """Return what to do with a file in another encoding; the likeliest one is Excel's."""
    return f"Save it as UTF-8, or convert it:  iconv -f {encoding} -t UTF-8 FILE > converted"


def _check_mark(source: Source) -> None:
    try:
        with source.path.open("rb") as file:
            beginning = file.read(4)
    except OSError as exc:
        raise cannot_read(source.name, exc) from exc
    for mark, encoding in _OTHER_MARKS:
        if beginning.startswith(mark):
            raise UsageError(
                f"{source.name} is {encoding} text; a batch takes UTF-8",
                hint=conversion_hint(encoding),
            )


def _problem(line: str) -> str | None:
    if "\0" in line:
        return "it holds a NUL byte"
    if line.isascii():
        return None
    try:
        line.encode()
    except UnicodeEncodeError as exc:
        byte = ord(line[exc.start]) & 0xFF
        return f"it is no UTF-8 text: byte 0x{byte:02x} at character {exc.start + 1}"
    return None
