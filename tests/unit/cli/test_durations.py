"""Durations as people write them."""

from __future__ import annotations

import pytest

from runpodctl_py.cli.durations import parsed_duration
from runpodctl_py.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("90s", 90),
        ("31m", 1860),
        ("1h30m", 5400),
        ("7d", 604_800),
        ("1.5h", 5400),
        ("0s", 0),
    ],
)
def test_a_duration_is_numbers_with_units(text: str, seconds: float) -> None:
    """One or several of them."""
    assert parsed_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "31", "m", "-31m", "31 m", "31x", "1h30", "٣m"])
def test_all_else_is_refused(text: str) -> None:
    """With words that say what is possible."""
    with pytest.raises(UsageError, match="write numbers with ms, s, m, h or d"):
        parsed_duration(text)
