"""Reads data out of a text: a CSV table if it is one, else the numbers and words that stand in it.

Owns what counts as a table, as a missing cell and as a number. What is computed from a column is
`metrics`' matter.
"""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from worker.errors import ProcessingError, ResourceError
from worker.tasks.content.words import iter_words

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_COLUMNS = 256

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_RECORDS = 20
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
# Not inside words, dates or versions: neither the 4 of "Q4" nor the parts of "1.2.3".
_NUMBER_IN_TEXT = re.compile(
    r"(?<![\w.])[+-]?"
    r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
    r"(?!\w|\.[0-9])"
)


@dataclass(frozen=True)
class Column:
    """One column of the data.

    Attributes:
        name: From the header, made unique.
        cells: Every cell, stripped; a missing one is empty.
    """

    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Format:
    """How the data is written: with a delimiter it is CSV, without it is prose."""

    delimiter: str | None

    @property
    def label(self) -> str:
        """The format's name for a person."""
        return "text" if self.delimiter is None else "CSV"


def detect_format(text: str) -> Format:
    """Tell a table from prose: its first records all have the same number of cells, at least two.

    Of several delimiters that fit, the one that makes the most cells wins.
    """
    widths = {delimiter: _table_width(text, delimiter) for delimiter in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda delimiter: widths[delimiter])
    return Format(best if widths[best] else None)


def parse_records(text: str, delimiter: str) -> list[list[str]]:
    """Return the records of a CSV text without the blank ones.

    Raises:
        ProcessingError: A quote is never closed, or a cell is too long for the reader.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return [record for record in reader if _is_filled(record)]
    except csv.Error as error:
        raise ProcessingError(
            f"user_input looks like CSV, but line {reader.line_num} cannot be read: {error}"
        ) from error


def to_columns(records: list[list[str]]) -> list[Column]:
    """Turn records into columns; the first names them, unless it holds nothing but numbers.

    Missing cells at a record's end are missing values.

    Raises:
        ProcessingError: A record has more cells than the first.
        ResourceError: More than `MOST_COLUMNS` columns.
    """
    width = len(records[0])
    if width > MOST_COLUMNS:
        raise ResourceError(f"{width} columns; the worker takes {MOST_COLUMNS} at most")
    has_header = any(parse_number(cell.strip()) is None for cell in records[0])
    rows = records[1:] if has_header else records
    for number, row in enumerate(rows, start=len(records) - len(rows) + 1):
        if len(row) > width:
            raise ProcessingError(
                f"record {number} of the CSV has {len(row)} cells, the first one has {width}"
            )
    names = _unique_names(records[0] if has_header else [""] * width)
    return [
        Column(name, tuple(_clean(row[place]) if place < len(row) else "" for row in rows))
        for place, name in enumerate(names)
    ]


def columns_of_text(text: str) -> list[Column]:
    """Return prose as two columns: the numbers in it, and its words in lower case."""
    numbers = tuple(match.group().replace(",", "") for match in _NUMBER_IN_TEXT.finditer(text))
    words = tuple(word.casefold() for word in iter_words(text))
    return [Column("numbers", numbers), Column("words", words)]


def parse_number(cell: str) -> float | None:
    """Return a cell's number, or None: only finite ones in plain notation count."""
    if _NUMBER.fullmatch(cell) is None:
        return None
    number = float(cell)
    return number if math.isfinite(number) else None


def _table_width(text: str, delimiter: str) -> int:
    """Return the number of cells of a table's records, 0 if this is no such table."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        sample = list(islice(filter(_is_filled, reader), _SAMPLE_RECORDS))
    except csv.Error:
        return 0
    widths = {len(record) for record in sample}
    has_rows = len(sample) > 1
    return widths.pop() if has_rows and len(widths) == 1 and widths != {1} else 0


def _is_filled(record: list[str]) -> bool:
    return any(cell.strip() for cell in record)


def _clean(cell: str) -> str:
    stripped = cell.strip()
    return "" if stripped.casefold() in _MISSING else stripped


def _unique_names(header: list[str]) -> Iterator[str]:
    taken: set[str] = set()
    for place, cell in enumerate(header, start=1):
        name = base = cell.strip() or f"column {place}"
        repeats = 1
        while name in taken:
            repeats += 1
            name = f"{base} ({repeats})"
        taken.add(name)
        yield name
