"""What is said about a batch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runpodctl_py.api.types import Health, JobCounts, WorkerCounts
from runpodctl_py.batch.tally import Tally
from runpodctl_py.cli.batch_words import (
    cost_text,
    count_text,
    counted,
    duration_text,
    money_text,
    more_kinds_text,
    one_line,
    packed,
    rate_text,
    rows_text,
    shortened,
    workers_states,
)


def test_numbers_are_read_by_people() -> None:
    """Thousands apart, and one row is one row."""
    assert [count_text(each) for each in (0, 999, 1204, 1_000_000)] == [
        "0",
        "999",
        "1 204",
        "1 000 000",
    ]
    assert [counted(each, "row") for each in (0, 1, 2000)] == ["0 rows", "1 row", "2 000 rows"]
    assert counted(2, "row is", "rows are") == "2 rows are"


@pytest.mark.parametrize(
    ("rate_per_s", "text"),
    [
        (1204.4, "1 204/s"),
        (99.96, "100/s"),
        (38.24, "38.2/s"),
        (1, "1.0/s"),
        (0.5, "30.0/min"),
        (0.005, "18.0/h"),
    ],
)
def test_rates(rate_per_s: float, text: str) -> None:
    """In a unit in which it is a number."""
    assert rate_text(rate_per_s) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (21.4, "21 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations(seconds: float, text: str) -> None:
    """In whole seconds: nobody reads tenths that change."""
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("amount_usd", "text"),
    [(0, "$0.00"), (0.00123, "$0.0012"), (0.0994, "$0.0994"), (0.4123, "$0.41"), (12, "$12.00")],
)
def test_money(amount_usd: float, text: str) -> None:
    """In cents, as soon as there are some."""
    assert money_text(amount_usd) == text


def test_cost_is_said_when_there_is_some_or_a_cap() -> None:
    """A local batch is free, and says nothing of it."""
    assert cost_text(Tally(1), None) is None
    assert cost_text(Tally(1, cost_usd=0.41), None) == "$0.41"
    assert cost_text(Tally(1, cost_usd=0.41), 2) == "$0.41 of $2.00"
    assert cost_text(Tally(1), 2) == "$0.00 of $2.00"


@pytest.mark.parametrize(
    ("workers", "text"),
    [
        (None, "not known"),
        (WorkerCounts(), "no worker yet"),
        (WorkerCounts(initializing=2), "no worker yet: 2 starting (cold start)"),
        (WorkerCounts(idle=1), "0 running · 1 idle"),
        (
            WorkerCounts(running=12, initializing=2, throttled=1, unhealthy=3),
            "12 running · 2 starting · 1 throttled · 3 unhealthy",
        ),
    ],
)
def test_workers(workers: WorkerCounts | None, text: str) -> None:
    """How many do what; why there is none."""
    assert workers_states(None if workers is None else Health(JobCounts(), workers)) == text


@pytest.mark.parametrize(
    ("names", "count", "text"),
    [
        (["118"], 1, "row 118"),
        (["118", "977"], 2, "rows 118, 977"),
        (["1", "2", "3"], 3, "rows 1, 2 and 1 more"),
        (["1", "2", "3"], 1500, "rows 1, 2 and 1 498 more"),
        (["a\nb\x1b[2J"], 1, "row a b�[2J"),
        ([], 1, "1 row"),
    ],
)
def test_rows_by_name(names: list[str], count: int, text: str) -> None:
    """A few, and how many more; a name is not trusted."""
    assert rows_text(names, count, 2) == text


def test_kinds_that_are_not_said_are_counted() -> None:
    """Those that made room for others as well, as far as they can be."""
    tally = Tally(100)
    assert more_kinds_text(tally, 0) is None
    for number in range(60):
        tally.troubles.add("r", chr(ord("a") + number % 26) * (number // 26 + 1))
        if number == 3:
            assert more_kinds_text(tally, 3) == "and 1 more kind"
            assert more_kinds_text(tally, 4) is None

    assert more_kinds_text(tally, 3) == "and more than 47 more kinds"


@given(st.lists(st.text("abc", min_size=1, max_size=10)), st.integers(1, 40))
def test_parts_are_packed_in_order(parts: list[str], columns: int) -> None:
    """None is lost or broken, and no line is too long that could be shorter."""
    lines = packed(parts, "   ", columns)

    assert "   ".join(lines) == "   ".join(parts)
    assert all(len(line) <= columns or line in parts for line in lines)


def test_text_from_outside_is_made_to_fit() -> None:
    """By what it takes on the screen, where some characters take two columns."""
    assert one_line(" a\n\tb\x07 ") == "a b�"
    assert shortened("画像の生成", 10) == "画像の生成"
    assert shortened("画像の生成", 9) == "画像の生…"
    assert shortened("abc", 0) == "…"
