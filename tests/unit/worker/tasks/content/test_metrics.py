from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import TaskError
from worker.tasks.content.metrics import DataAnalysis

TABLE = "city,temp\nRome,20\nOslo,-4\nRome,NA\nBern,8\n"


def analyse(text: str) -> DataAnalysis:
    """Work through all the steps."""
    analysis = DataAnalysis(text)
    for step in analysis.steps:
        step.work()
    return analysis


def read_metrics(text: str) -> dict[str, dict[str, str]]:
    """Return metric values by column."""
    table = analyse(text).content().data.decode()
    metrics: dict[str, dict[str, str]] = {}
    for row in csv.DictReader(io.StringIO(table, newline=""), strict=True):
        metrics.setdefault(row["column"], {})[row["metric"]] = row["value"]
    return metrics


def test_a_numeric_column_is_measured() -> None:
    """Missing cells are counted, not computed with; the deviation is the sample's."""
    temp = read_metrics(TABLE)["temp"]
    assert temp == {
        "type": "numeric",
        "count": "3",
        "missing": "1",
        "distinct": "3",
        "min": "-4",
        "max": "20",
        "mean": "8",
        "median": "8",
        "stdev": "12",
        "most_common": "20",
        "most_common_count": "1",
    }


def test_a_text_column_is_counted() -> None:
    """No averages of words."""
    city = read_metrics(TABLE)["city"]
    assert city == {
        "type": "text",
        "count": "4",
        "missing": "0",
        "distinct": "3",
        "most_common": "Rome",
        "most_common_count": "2",
    }


def test_numbers_in_prose_are_measured() -> None:
    """The median of an even number of values lies between the middle ones."""
    numbers = read_metrics("We sold 10, then 20, then 25 and 1 more.")["numbers"]
    shown = {name: numbers[name] for name in ("count", "min", "max", "mean", "median")}
    assert shown == {"count": "4", "min": "1", "max": "25", "mean": "14", "median": "15"}


@pytest.mark.parametrize("text", ["", "  \n\n", "Q4 performance metrics analysis"])
def test_a_text_without_numbers_says_so(text: str) -> None:
    """The column of numbers is there, and empty."""
    expected = {"type": "empty", "count": "0", "missing": "0", "distinct": "0"}
    assert expected == read_metrics(text)["numbers"]


def test_huge_numbers_stay_finite_where_they_can() -> None:
    """Neither mean nor median overflows."""
    big = read_metrics("x,y\n1e308,1\n1.5e308,2\n")["x"]
    assert (big["mean"], big["median"]) == ("1.25e+308", "1.25e+308")
    opposite = read_metrics("x,y\n1.7e308,1\n-1.7e308,2\n")["x"]
    assert (opposite["mean"], opposite["stdev"]) == ("0", "inf")


def test_formulas_are_disarmed_and_numbers_are_not() -> None:
    """A spreadsheet that opens the result runs nothing of the input."""
    metrics = read_metrics("=cmd(),n\n@SUM(A1),-5\n@SUM(A1),-5\n")
    assert list(metrics) == ["'=cmd()", "n"]
    assert metrics["'=cmd()"]["most_common"] == "'@SUM(A1)"
    assert metrics["n"]["min"] == "-5"


def test_long_cells_are_cut() -> None:
    """A cell of a megabyte does not come back."""
    value = read_metrics("a,b\n" + "x" * 1000 + ",1\n")["a"]["most_common"]
    assert value == "x" * 199 + "\u2026"


def test_the_file_is_csv_with_a_preview() -> None:
    """The preview tells the format and shows the first rows."""
    content = analyse(TABLE).content()
    assert (content.label, content.extension, content.content_type) == (
        "analysis_results",
        ".csv",
        "text/csv",
    )
    assert content.preview.startswith("CSV, 2 columns, 4 rows at most\ncolumn,metric,value")


@given(st.text() | st.text("abc,;\n\"'=1-.\t|\0"))
def test_every_text_gives_a_readable_table_or_a_documented_error(text: str) -> None:
    """And no cell of the table begins a formula."""
    try:
        metrics = read_metrics(text)
    except TaskError:
        return
    for column, values in metrics.items():
        cells = [column, values.get("most_common", "")]
        assert not [c for c in cells if c.startswith(("=", "@")) or c[1:2] == "=" == c[:1]]
