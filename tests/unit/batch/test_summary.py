"""What a batch comes to: exact numbers, whatever their order."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runpodctl_py.batch.row import RowResult
from runpodctl_py.batch.summary import Percentiles, Statistics, Times
from runpodctl_py.jobs.ledger import KeptFile, State


def result(**fields: Any) -> RowResult:
    """Return a row's result with some fields of its own."""
    needed: dict[str, Any] = {
        "line": 2,
        "name": "cat",
        "key": "k1",
        "job_id": "job-1",
        "state": State.COMPLETED,
        "is_success": True,
    }
    return RowResult(**needed | fields)


def percentiles(times_ms: list[int]) -> Percentiles | None:
    """Return the percentiles of some times."""
    times = Times()
    for each in times_ms:
        times.add(each)
    return times.percentiles()


def test_everything_is_counted() -> None:
    """Rows by state and success, attempts, files, cost and times."""
    statistics = Statistics()
    file = KeptFile(Path("a.png"), 1000, "", "image/png")
    statistics.add(result(delay_ms=10, execution_ms=100, cost_usd=0.1, files=(file, file)))
    statistics.add(result(delay_ms=20, execution_ms=200, cost_usd=0.2, attempts=3))
    statistics.add(
        result(state=State.FAILED, is_success=False, delay_ms=30, cost_usd=0.4, files=(file,))
    )
    statistics.add(result(state=State.NOT_SENT, is_success=False, attempts=0))

    assert statistics.as_json() == {
        "rows": 4,
        "succeeded": 2,
        "failed": 2,
        "states": {"not_sent": 1, "completed": 2, "failed": 1},
        "attempts": 5,
        "files": 3,
        "bytes": 3000,
        "cost_usd": 0.7,
        "delay_ms": {"p50": 20, "p95": 30, "p99": 30},
        "execution_ms": {"p50": 100, "p95": 200, "p99": 200},
        "total_ms": {"p50": 110, "p95": 220, "p99": 220},
    }
    assert statistics.states == {State.NOT_SENT: 1, State.COMPLETED: 2, State.FAILED: 1}


def test_of_nothing_there_is_nothing() -> None:
    """No division by zero, and no price where none is known."""
    statistics = Statistics()
    statistics.add(result())

    assert statistics.as_json() == {
        "rows": 1,
        "succeeded": 1,
        "failed": 0,
        "states": {"completed": 1},
        "attempts": 1,
        "files": 0,
        "bytes": 0,
        "cost_usd": None,
        "delay_ms": None,
        "execution_ms": None,
        "total_ms": None,
    }
    assert Statistics().rows == 0


@pytest.mark.parametrize(
    ("times_ms", "expected"),
    [
        ([7], Percentiles(7, 7, 7)),
        ([2, 1], Percentiles(1, 2, 2)),
        ([*range(100, 0, -1)], Percentiles(50, 95, 99)),
        ([*range(1, 21)], Percentiles(10, 19, 20)),
        ([*range(1, 1001)], Percentiles(500, 950, 990)),
        ([0, 10**300], Percentiles(0, int(1e300), int(1e300))),
    ],
    ids=["one", "two", "hundred", "twenty", "thousand", "absurd"],
)
def test_percentiles_are_times_that_occurred(times_ms: list[int], expected: Percentiles) -> None:
    """By nearest rank, with no error of rounding where the rank is a whole number."""
    assert percentiles(times_ms) == expected


@given(st.lists(st.integers(0, 2**53), min_size=1, max_size=300))
def test_as_many_are_not_longer_as_the_percentile_says(times_ms: list[int]) -> None:
    """The share of times up to it is reached, and would not be by any shorter one."""
    found = percentiles(times_ms)

    assert found is not None
    for share, bound in ((50, found.p50_ms), (95, found.p95_ms), (99, found.p99_ms)):
        needed = math.ceil(len(times_ms) * share / 100)
        assert sum(each <= bound for each in times_ms) >= needed
        assert sum(each < bound for each in times_ms) < needed


def test_memory_is_a_few_bytes_a_row() -> None:
    """Three times of eight bytes; nothing of a result is kept besides."""
    statistics = Statistics()
    tracemalloc.start()
    try:
        for number in range(3_000):
            statistics.add(result(delay_ms=1000 + number, execution_ms=2000, output=[number]))
        current_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert statistics.rows == 3_000
    assert current_bytes < 3_000 * 32
