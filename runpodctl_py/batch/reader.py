"""The rows of a CSV or JSON Lines file, one after the other: jobs' inputs, or what is wrong.

Owns the walk through the file. Memory does not grow with it: rows are read one at a time, and
what has to be known of all of them stands on disk (`names.py`). Nothing is sent or kept here, so
the same file can be walked through again and gives the same rows.
"""

from __future__ import annotations

import csv
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from runpodctl_py.api.types import Policy
from runpodctl_py.batch.entry import name_keys_in, parse_entry
from runpodctl_py.batch.names import Names, parse_name
from runpodctl_py.batch.row import BadRow, Row
from runpodctl_py.batch.sendable import check_sendable
from runpodctl_py.batch.source import FileFormat
from runpodctl_py.batch.text import (
    LONGEST_ROW_CHARACTERS,
    RowTooLongError,
    conversion_hint,
    opened,
)
from runpodctl_py.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from runpodctl_py.batch.recipe import Recipe
    from runpodctl_py.batch.source import Source
    from runpodctl_py.batch.text import Lines

_T = TypeVar("_T")

_DELIMITERS: Final = {",": "commas", ";": "semicolons", "\t": "tabs"}
_UNCLOSED: Final = "unexpected end of data"


def rows(source: Source, recipe: Recipe) -> Iterator[Row | BadRow]:
    """Yield a file's rows in its order.

    A row's line is the one on which it begins. Blank lines are no rows, but count as lines; in
    CSV, whatever Python's own reader takes for the end of a line is one, inside cells, too.

    Raises:
        UsageError: The whole file is no good: it cannot be read, has no rows, is in another
            encoding, or its header does not fit.
        RunpodctlError: The names of its rows cannot be kept on disk.
    """
    is_table = source.file_format is FileFormat.CSV
    has_rows = False
    with closing((_table_rows if is_table else _json_rows)(source, recipe)) as found:
        for row in found:
            has_rows = True
            yield row
    if not has_rows:
        raise UsageError(f"{source.name} has no rows")


@dataclass(frozen=True, slots=True)
class _Table:
    """A CSV file's header, and what it means.

    Args:
        columns: The columns' names.
        name_column: The one that names the rows.
        apart: Those that are no fields of the input by themselves.
    """

    columns: tuple[str, ...]
    name_column: str | None
    apart: frozenset[str]


def _json_rows(source: Source, recipe: Recipe) -> Generator[Row | BadRow, None, None]:
    with opened(source, newline="\n") as lines, Names() as names:
        for record in _records(lines, lines):
            if isinstance(record, BadRow):
                yield record
            elif not record[1].isspace():
                yield _json_row(*record, recipe, names)


def _json_row(line: int, text: str, recipe: Recipe, names: Names) -> Row | BadRow:
    try:
        entry = parse_entry(text, recipe.declared)
        name = names.take_line(line) if entry.name is None else names.take(entry.name, line)
        payload = recipe.from_values(entry.values, entry.apart)
        check_sendable(payload, entry.policy, recipe.preset)
    except UsageError as exc:
        return _bad_row(line, exc)
    return Row(line, name, payload, entry.policy)


def _table_rows(source: Source, recipe: Recipe) -> Generator[Row | BadRow, None, None]:
    with opened(source, newline="") as lines, Names() as names:
        # Strict: quotation marks in the wrong place are told, not guessed around.
        records = _records(lines, csv.reader(lines, delimiter=source.delimiter, strict=True))
        header = next((each for each in records if isinstance(each, BadRow) or each[1]), None)
        if header is None:
            return
        table = _table(header, source, recipe)
        for record in records:
            if isinstance(record, BadRow):
                yield record
            elif record[1]:
                yield _table_row(*record, table, recipe, names)


def _table_row(
    line: int, cells: list[str], table: _Table, recipe: Recipe, names: Names
) -> Row | BadRow:
    try:
        values = _cells_by_column(cells, table.columns)
        name = str(line)
        if table.name_column is not None:
            name = names.take(parse_name(values[table.name_column]), line)
        payload = recipe.from_texts(values, table.apart)
        check_sendable(payload, Policy(), recipe.preset)
    except UsageError as exc:
        return _bad_row(line, exc)
    return Row(line, name, payload)


def _cells_by_column(cells: list[str], columns: tuple[str, ...]) -> dict[str, str]:
    if len(cells) != len(columns):
        raise UsageError(f"cells: {len(cells)}; columns in the header: {len(columns)}")
    if not any(cells):
        raise UsageError("all its cells are empty")
    return dict(zip(columns, cells, strict=True))


def _table(header: BadRow | tuple[int, list[str]], source: Source, recipe: Recipe) -> _Table:
    """Read a header.

    Raises:
        UsageError: It is none, or not one for this recipe.
    """
    if isinstance(header, BadRow):
        raise UsageError(
            f"{source.name} has a broken header on line {header.line}: {header.problem}",
            hint=conversion_hint(),
        )
    columns = tuple(header[1])
    _check_delimiter(columns, source)
    for number, column in enumerate(columns, start=1):
        if not column.strip():
            raise UsageError(f"Column {number} of {source.name} has no name in the header")
        if column in columns[: number - 1]:
            raise UsageError(f"{source.name} has two columns called {column!r}")
    name_columns = name_keys_in(columns)
    apart = frozenset(each for each in name_columns if each not in recipe.declared)
    recipe.check_columns(columns, apart)
    return _Table(columns, name_columns[0] if name_columns else None, apart)


def _check_delimiter(columns: tuple[str, ...], source: Source) -> None:
    """Refuse a header of one column that has several with another delimiter."""
    if len(columns) > 1 or source.is_delimiter_chosen:
        return
    for delimiter, noun in _DELIMITERS.items():
        if delimiter != source.delimiter and delimiter in columns[0]:
            raise UsageError(
                f"{source.name} has {noun} in its header, and no {_DELIMITERS[source.delimiter]}",
                hint="Say what parts its columns:  --delimiter "
                + ("tab" if delimiter == "\t" else f"'{delimiter}'"),
            )


def _records(lines: Lines, reader: Iterator[_T]) -> Iterator[tuple[int, _T] | BadRow]:
    """Yield what is read of the lines, with the line on which each begins.

    After a row that cannot be read, the next line begins the next one.
    """
    while True:
        line = lines.begin_row()
        try:
            record = _next(reader)
        except StopIteration:
            return
        except RowTooLongError:
            yield BadRow(line, _too_long_problem(lines.number - line))
        except csv.Error as exc:
            unclosed = str(exc) == _UNCLOSED
            yield BadRow(line, "a quoted cell has no end" if unclosed else f"no CSV: {exc}")
        else:
            yield BadRow(line, lines.problem) if lines.problem else (line, record)


def _next(reader: Iterator[_T]) -> _T:
    """Read a record with cells of any size: how long it may be is judged by its lines.

    Python knows one limit, for all CSV readers of a process, and looks at it while it reads. So
    ours is in force for as long only, and whoever else reads CSV here keeps theirs.
    """
    others = csv.field_size_limit(LONGEST_ROW_CHARACTERS)
    try:
        return next(reader)
    finally:
        csv.field_size_limit(others)


def _too_long_problem(further_lines: int) -> str:
    millions = LONGEST_ROW_CHARACTERS // 1_000_000
    unclosed = "; is a closing quotation mark missing?" if further_lines else ""
    return f"it has more than {millions} million characters{unclosed}"


def _bad_row(line: int, error: UsageError) -> BadRow:
    return BadRow(line, "; ".join(error.message.splitlines()))
