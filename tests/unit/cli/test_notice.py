"""What is said at a command's end of results that are still to be fetched."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runpodctl_py.cli.notice import waiting_text
from runpodctl_py.jobs.ledger import Waiting

NOW = 1_790_000_000.0
FETCH = "Fetch:  runpodctl-py jobs sync"


def waiting(
    ended: int = 0, running: int = 0, unknown: int = 0, drop_in_s: float | None = None
) -> Waiting:
    """Return what waits."""
    return Waiting(ended, running, unknown, None if drop_in_s is None else NOW + drop_in_s)


def test_nothing_is_said_of_nothing() -> None:
    """Nobody has to read a line for that."""
    assert waiting_text(waiting(), NOW) is None


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (waiting(1, drop_in_s=90), "1 result not fetched (RunPod drops the first in 1 min 30 s)"),
        (waiting(3, drop_in_s=20), "3 results not fetched (RunPod drops the first in 20.0 s)"),
        (waiting(2, drop_in_s=0), "2 results not fetched (may be gone)"),
        (waiting(2, drop_in_s=-1), "2 results not fetched (may be gone)"),
        (waiting(1), "1 result not fetched (may be gone)"),
        (waiting(running=1), "1 job left running (kept 30 min after the end)"),
        (waiting(running=2), "2 jobs left running (kept 30 min after the end)"),
        (waiting(unknown=1), "1 job sent without an answer"),
        (waiting(unknown=2), "2 jobs sent without an answer"),
        (
            waiting(1, 2, 3, 600),
            (
                "1 result not fetched (RunPod drops the first in 10 min 0 s), "
                "2 jobs left running (kept 30 min after the end), 3 jobs sent without an answer"
            ),
        ),
    ],
)
def test_what_waits_in_words(what: Waiting, expected: str) -> None:
    """How many, for how long, and what to type."""
    assert waiting_text(what, NOW) == f"{expected}. {FETCH}"


def test_rows_of_batches_are_fetched_by_their_batches() -> None:
    """Which know what the files are called; other jobs by `jobs sync`, as ever."""
    rows = replace(waiting(2), batch_ids=("b1", "b2"))
    words = "2 results not fetched (may be gone). Fetch:  runpodctl-py batch resume b1"
    assert waiting_text(rows, NOW) == f"{words}; runpodctl-py batch resume b2"
    mixed = replace(rows, batch_ids=("b1",), others=1)
    assert waiting_text(mixed, NOW) == f"{words}; runpodctl-py jobs sync"
