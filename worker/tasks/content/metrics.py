"""The test family's data analysis: metrics of each column of the data, as CSV.

The result has one row per metric (`column,metric,value`), whatever the data looks like. Which text
is a table, and what its cells mean, is `records`' matter.
"""

from __future__ import annotations

import csv
import io
import math
import re
import statistics
from collections import Counter
from dataclasses import dataclass, field

from worker.tasks.content import Content, Step
from worker.tasks.content.records import (
    Column,
    Format,
    columns_of_text,
    detect_format,
    parse_number,
    parse_records,
    to_columns,
)
from worker.tasks.content.words import normalise

HEADER = ("column", "metric", "value")

_LONGEST_CELL = 200
_PREVIEW_LENGTH = 200
# What a spreadsheet takes for the beginning of a formula.
_FORMULA = re.compile(r"[=+\-@\t\r]")


@dataclass
class _Analysis:
    """One column on its way through the steps."""

    column: Column
    present: list[str] = field(default_factory=list)
    numbers: list[float] = field(default_factory=list)
    metrics: dict[str, str] = field(default_factory=dict)

    @property
    def is_numeric(self) -> bool:
        return len(self.numbers) == len(self.present) > 0


class DataAnalysis:
    """Makes `analysis_results_….csv`.

    Args:
        text: A CSV table, or any text, also an empty one.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._format = Format(None)
        self._analyses: list[_Analysis] = []
        self._table = ""

    @property
    def steps(self) -> tuple[Step, ...]:
        """The ten steps from the data to its metrics."""
        return (
            Step("Reading the data", self._read),
            Step("Detecting the format", self._detect_format),
            Step("Parsing records", self._parse),
            Step("Inferring column types", self._infer_types),
            Step("Counting values", self._count_values),
            Step("Computing ranges", self._compute_ranges),
            Step("Computing averages", self._compute_averages),
            Step("Computing the spread", self._compute_spread),
            Step("Ranking common values", self._rank_values),
            Step("Writing the table", self._write_table),
        )

    def content(self) -> Content:
        """Return the metrics as a file."""
        rows = max((len(analysis.column.cells) for analysis in self._analyses), default=0)
        summary = f"{self._format.label}, {len(self._analyses)} columns, {rows} rows at most"
        first_lines = self._table[:_PREVIEW_LENGTH].strip()
        preview = f"{summary}\n{first_lines}"
        return Content("analysis_results", ".csv", "text/csv", self._table.encode(), preview)

    def _read(self) -> None:
        self._text = normalise(self._text).strip("\n")

    def _detect_format(self) -> None:
        self._format = detect_format(self._text)

    def _parse(self) -> None:
        if self._format.delimiter is None:
            columns = columns_of_text(self._text)
        else:
            columns = to_columns(parse_records(self._text, self._format.delimiter))
        self._analyses = [_Analysis(column) for column in columns]

    def _infer_types(self) -> None:
        """Call a column numeric if each of its values is a number."""
        for analysis in self._analyses:
            analysis.present = [cell for cell in analysis.column.cells if cell]
            parsed = map(parse_number, analysis.present)
            analysis.numbers = [number for number in parsed if number is not None]
            kind = "numeric" if analysis.is_numeric else "text"
            analysis.metrics["type"] = kind if analysis.present else "empty"

    def _count_values(self) -> None:
        for analysis in self._analyses:
            missing = len(analysis.column.cells) - len(analysis.present)
            analysis.metrics["count"] = str(len(analysis.present))
            analysis.metrics["missing"] = str(missing)
            analysis.metrics["distinct"] = str(len(set(analysis.present)))

    def _compute_ranges(self) -> None:
        for analysis in self._numeric():
            analysis.metrics["min"] = _format(min(analysis.numbers))
            analysis.metrics["max"] = _format(max(analysis.numbers))

    def _compute_averages(self) -> None:
        for analysis in self._numeric():
            analysis.metrics["mean"] = _format(statistics.mean(analysis.numbers))
            analysis.metrics["median"] = _format(_median(analysis.numbers))

    def _compute_spread(self) -> None:
        """Compute the sample standard deviation, which needs two values."""
        for analysis in self._numeric():
            if len(analysis.numbers) > 1:
                analysis.metrics["stdev"] = _format(_stdev(analysis.numbers))

    def _rank_values(self) -> None:
        """Find the most common value; of several the one that comes first in the data."""
        for analysis in self._analyses:
            for value, count in Counter(analysis.present).most_common(1):
                analysis.metrics["most_common"] = value
                analysis.metrics["most_common_count"] = str(count)

    def _write_table(self) -> None:
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer)
        writer.writerow(HEADER)
        for analysis in self._analyses:
            name = _guard(analysis.column.name)
            writer.writerows((name, m, _guard(value)) for m, value in analysis.metrics.items())
        self._table = buffer.getvalue()

    def _numeric(self) -> list[_Analysis]:
        return [analysis for analysis in self._analyses if analysis.is_numeric]


def _guard(value: str) -> str:
    """Return text that no spreadsheet runs as a formula; numbers stay as they are."""
    shown = value if len(value) <= _LONGEST_CELL else value[: _LONGEST_CELL - 1] + "\u2026"
    if _FORMULA.match(shown) and parse_number(shown) is None:
        return f"'{shown}"
    return shown


def _median(numbers: list[float]) -> float:
    """Return the median; unlike `statistics.median`, the middle of two huge numbers is finite."""
    low, high = statistics.median_low(numbers), statistics.median_high(numbers)
    return statistics.mean((low, high))


def _stdev(numbers: list[float]) -> float:
    try:
        return statistics.stdev(numbers)
    except OverflowError:
        return math.inf


def _format(number: float) -> str:
    return format(number, ".12g")
