"""Whatever Python's own readers take is read alike, and whatever they do not is no crash."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from runpodctl_py.batch.names import Names
from runpodctl_py.batch.reader import rows
from runpodctl_py.batch.recipe import Recipe
from runpodctl_py.batch.row import BadRow, Row
from runpodctl_py.batch.source import FileFormat, Source
from runpodctl_py.batch.template import Template
from runpodctl_py.errors import UsageError
from runpodctl_py.jobs.naming import collision_key, safe_name
from runpodctl_py.presets import loading
from runpodctl_py.presets.fields import guess_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from runpodctl_py.jsontypes import JsonObject, JsonValue

TEST = loading.load("test")
UTF_8_MARK = b"\xef\xbb\xbf"
TRICKY = st.text(st.sampled_from('a1é𝄞 ,;"\t\r\n{}\u2028\x85'), max_size=8)
TEXTS = TRICKY | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
COLUMNS = st.lists(
    TEXTS.filter(lambda name: bool(name.strip()) and name not in {"id", "custom_id"}),
    min_size=1,
    max_size=4,
    unique=True,
)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
QUOTING = st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
# Too short for any key that means something to a batch, except one.
KEYS = st.text(max_size=4).filter(lambda key: key != "id")
SCALARS: st.SearchStrategy[JsonValue] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
)
JSON_VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(KEYS, SCALARS, max_size=2)
INPUTS = st.dictionaries(
    KEYS, JSON_VALUES | st.lists(JSON_VALUES, max_size=2), min_size=1, max_size=3
)
JSON_WRITERS = st.sampled_from([json.dumps, partial(json.dumps, ensure_ascii=False)])
FRAGMENTS = st.sampled_from(
    [
        *b'id a 7 , ; " { } [ ] : 1e999 NaN "policy" "input" \\ud800 task_type duration'.split(),
        *(b"\n", b"\r", b"\0", b"\xff", b"\xc3", b"\xff\xfe", UTF_8_MARK),
        *(b"id,a\n", b'{"id":"x","input":{"a":1}}\n'),
    ]
)


@dataclass(frozen=True)
class Table:
    """A table as Python's writer writes it."""

    columns: list[str]
    text: str
    delimiter: str
    mark: bytes


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Return tables of all kinds: delimiters, quotes, ends of lines, with a mark and without."""
    columns = draw(COLUMNS)
    cells = st.lists(TEXTS, min_size=len(columns), max_size=len(columns))
    delimiter = draw(st.sampled_from(",;\t|"))
    text = written(
        [columns, *draw(st.lists(cells, min_size=1, max_size=4))],
        draw(ENDS),
        draw(QUOTING),
        delimiter,
    )
    is_marked = text.startswith("\ufeff") or draw(st.booleans())
    return Table(columns, text, delimiter, UTF_8_MARK if is_marked else b"")


def walk(
    content: bytes, file_format: FileFormat, recipe: Recipe, *, delimiter: str | None = None
) -> list[Row | BadRow]:
    """Return the rows of a file with this content."""
    path = Path("rows")
    path.write_bytes(content)
    return list(rows(Source.at(path, file_format=file_format, delimiter=delimiter), recipe))


def written(table: list[list[str]], end: str, quoting: int, delimiter: str) -> str:
    """Return what Python's writer makes of a table."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator=end, quoting=quoting, delimiter=delimiter)  # type: ignore[arg-type]  # Any of its constants.
    writer.writerows(table)
    return file.getvalue()


def fields_of(cells: list[str], columns: list[str]) -> JsonObject:
    """Return the input that a row of cells should become."""
    pairs = zip(columns, cells, strict=True)
    return {column: guess_value(cell) for column, cell in pairs if cell}


@given(tables())
def test_a_table_is_read_as_python_reads_it(table: Table) -> None:
    """Cells, quotes, lines inside cells, Unicode, ends of lines; and the lines rows begin on."""
    reader = csv.reader(io.StringIO(table.text, newline=""), delimiter=table.delimiter)
    # An end of line that Python's writer did not quote parts a row in two, for any reader.
    assume(next(filter(None, reader)) == table.columns)
    expected: list[tuple[int, JsonObject | None]] = []
    begins = reader.line_num + 1
    for cells in reader:
        if cells:
            fits = len(cells) == len(table.columns) and any(cells)
            expected.append((begins, fields_of(cells, table.columns) if fits else None))
        begins = reader.line_num + 1
    assume(expected)

    content = table.mark + table.text.encode()
    found = walk(content, FileFormat.CSV, Recipe(), delimiter=table.delimiter)

    assert [(row.line, row.payload if isinstance(row, Row) else None) for row in found] == expected


@settings(max_examples=50)
@given(st.lists(st.lists(TEXTS, min_size=2, max_size=2), min_size=1, max_size=4), ENDS)
def test_rows_are_on_the_lines_that_an_editor_shows(table: list[list[str]], end: str) -> None:
    """Counted by hand: the ends of lines in what stands before a row."""
    begins = []
    text = written([["a", "b"]], end, csv.QUOTE_ALL, ",")
    for cells in table:
        begins.append(1 + len(re.findall(r"\r\n|\r|\n", text)))
        text += written([cells], end, csv.QUOTE_ALL, ",")

    found = walk(text.encode(), FileFormat.CSV, Recipe())

    assert [row.line for row in found] == begins


@settings(max_examples=60)
@given(
    st.lists(INPUTS | st.none(), min_size=1, max_size=5),
    JSON_WRITERS,
    st.sampled_from(["\n", "\r\n"]),
)
def test_json_lines_are_read_as_python_reads_them(
    inputs: list[JsonObject | None], write: Callable[[JsonObject], str], end: str
) -> None:
    """Whatever `json.dumps` writes; blank lines in between count as lines only."""
    assume(any(inputs))
    lines = ["" if each is None else write(each) for each in inputs]
    content = end.join(lines)

    found = walk(content.encode(errors="replace"), FileFormat.JSONL, Recipe())

    assert found == [
        Row(number, str(number), json.loads(line.encode(errors="replace")))
        for number, line in enumerate(lines, start=1)
        if line
    ]


@settings(max_examples=60)
@given(INPUTS, st.text(st.characters(codec="utf-8"), min_size=1, max_size=9) | st.integers())
def test_wrapped_json_lines_are_read_as_python_reads_them(
    payload: JsonObject, name: str | int
) -> None:
    """The input is what stands under `input`, with keys that would name the row outside, too."""
    assume(str(name).strip())
    payload["id"] = payload["custom_id"] = "inside"
    line = json.dumps({"custom_id": name, "input": payload})

    assert walk(line.encode(), FileFormat.JSONL, Recipe()) == [Row(1, str(name), payload)]


@given(
    st.binary(max_size=60) | st.lists(FRAGMENTS, max_size=25).map(b"".join),
    st.sampled_from(FileFormat) | st.none(),
    st.sampled_from([Recipe(), Recipe(preset=TEST), Recipe.parse(["b=a"], ["c={a}"], None)]),
)
def test_no_bytes_are_a_crash(
    content: bytes, file_format: FileFormat | None, recipe: Recipe
) -> None:
    """A file is refused as a whole, or each of its rows is good or bad, in one line of words."""
    path = Path("rows")
    path.write_bytes(content)
    try:
        found = list(rows(Source.at(path, file_format=file_format), recipe))
    except UsageError as error:
        assert error.message  # noqa: PT017 - being refused is one of two good ends.
        return

    assert found
    lines = [row.line for row in found]
    assert lines == sorted(set(lines))
    for row in found:
        if isinstance(row, BadRow):
            assert len(row.problem.splitlines()) == 1
        else:
            assert json.loads(json.dumps(row.payload, allow_nan=False)) == row.payload


@given(st.lists(st.sampled_from(["a", "A", "a/b", "b", "1", "01", "2", "3", "con", "_con"])))
def test_no_two_rows_have_names_that_meet(ids: list[str]) -> None:
    """As a set of what file systems tell apart would have it."""
    taken: set[str] = set()
    with Names() as names:
        for line, name in enumerate(ids, start=1):
            key = collision_key(safe_name(name))
            if key in taken:
                with pytest.raises(UsageError):
                    names.take(name, line)
            else:
                assert names.take(name, line) == name
            taken.add(key)


@given(st.lists(st.sampled_from(["", "1", "2", "3", "5", "x"]), max_size=8))
def test_numbers_of_lines_and_ids_are_told_apart(ids: list[str]) -> None:
    """Rows with an id and rows without, in any order."""
    taken: set[str] = set()
    with Names() as names:
        for line, name in enumerate(ids, start=1):
            meant = name or str(line)
            try:
                got = names.take(name, line) if name else names.take_line(line)
            except UsageError:
                assert meant in taken
            else:
                assert meant not in taken
                assert got == meant
            taken.add(meant)


@given(TEXTS, st.text())
def test_a_template_is_its_text_with_the_holes_filled(text: str, cell: str) -> None:
    """Doubled braces come out single, and what fills a hole is not looked into."""
    escaped = text.replace("{", "{{").replace("}", "}}")

    template = Template.parse(f"{escaped}{{a b}}{escaped}")

    assert template.columns == ("a b",)
    assert template.fill({"a b": cell}) == f"{text}{cell}{text}"
