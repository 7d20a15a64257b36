from __future__ import annotations

import pytest

from worker.errors import ProcessingError, ResourceError
from worker.tasks.content.records import (
    Column,
    columns_of_text,
    detect_format,
    parse_number,
    parse_records,
    to_columns,
)


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2,5\n", ";"),
        ("a\tb\n1\t2", "\t"),
        ("a|b\r\n1|2", "|"),
        ('a,b\n"x, y",2\n', ","),
        ("", None),
        ("1,2,3", None),
        ("one line, with a comma", None),
        ("One, two.\nThree, four, five.", None),
        ("no delimiter\nat all", None),
        ('"never closed, a\nb, c', None),
    ],
)
def test_tables_are_told_from_prose(text: str, delimiter: str | None) -> None:
    """A table has two records at least, all of one width."""
    assert delimiter == detect_format(text).delimiter


def test_the_first_record_names_the_columns() -> None:
    """Cells are stripped, blank names numbered, repeated ones told apart."""
    columns = to_columns([["a", " ", "a"], [" 1", "x", "2"]])
    assert columns == [Column("a", ("1",)), Column("column 2", ("x",)), Column("a (2)", ("2",))]


def test_numbers_on_top_are_no_header() -> None:
    """Then every record is data."""
    columns = to_columns([["1", "2"], ["3", "4"]])
    assert columns == [Column("column 1", ("1", "3")), Column("column 2", ("2", "4"))]


def test_missing_cells_are_empty() -> None:
    """Words for nothing, and cells that a record does not have."""
    columns = to_columns([["a", "b"], ["NA", "null"], ["x"]])
    assert columns == [Column("a", ("", "x")), Column("b", ("", ""))]


def test_a_record_that_is_too_long_is_named() -> None:
    """Its number counts the header."""
    with pytest.raises(ProcessingError) as caught:
        to_columns([["a", "b"], ["1", "2"], ["1", "2", "3"]])
    assert caught.value.message == "record 3 of the CSV has 3 cells, the first one has 2"


def test_too_many_columns_are_a_lack_of_resources() -> None:
    """The table of metrics would grow beyond any answer."""
    with pytest.raises(ResourceError, match=r"^257 columns; the worker takes 256 at most$"):
        to_columns([["x"] * 257])


def test_a_quote_that_never_closes_is_named_by_its_line() -> None:
    """After a good beginning the text was taken for a table."""
    with pytest.raises(ProcessingError, match=r"^user_input looks like CSV, but line 3 "):
        parse_records('a,b\n1,2\n"3,4', ",")


def test_prose_gives_its_numbers_and_words() -> None:
    """Not the digits in names, versions or dates' signs; thousands may be grouped."""
    text = "Q4 sold 1,234.5 of v1.2.3 at -3% and $+2e3, on 2026-11-20: 1,2"
    numbers, words = columns_of_text(text)
    assert numbers == Column("numbers", ("1234.5", "-3", "+2e3", "2026", "11", "20", "1", "2"))
    assert words.cells[:4] == ("q4", "sold", "1", "234")


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("1", 1.0),
        ("-2.5", -2.5),
        ("+.5", 0.5),
        ("1e3", 1000.0),
        ("1e999", None),
        ("nan", None),
        ("inf", None),
        ("1_000", None),
        ("0x10", None),
        ("\u0661", None),
        ("", None),
    ],
)
def test_only_plain_finite_numbers_count(cell: str, number: float | None) -> None:
    """Python's `float` reads more than a table means."""
    assert number == parse_number(cell)
