"""A batch's live numbers."""

from __future__ import annotations

from runpodctl_py.batch.row import RowResult
from runpodctl_py.batch.tally import Tally
from runpodctl_py.jobs.ledger import State


def result(name: str, *, error: str | None = None, state: State = State.COMPLETED) -> RowResult:
    """Return a row's result."""
    is_success = error is None and state is State.COMPLETED
    return RowResult(
        line=1, name=name, key="k", job_id="j", state=state, is_success=is_success, error=error
    )


def test_rows_that_are_done_with() -> None:
    """One way or the other; what has no result is left."""
    tally = Tally(10, invalid=2)
    assert (tally.ended, tally.left) == (0, 8)
    for each in (result("r1"), result("r2", error="no"), result("r3", state=State.CANCELLED)):
        tally.take(each)
    assert (tally.succeeded, tally.failed, tally.ended, tally.left) == (1, 2, 3, 5)
    assert (tally.statistics.rows, tally.statistics.failures) == (3, 2)


def test_what_went_wrong() -> None:
    """By its words, or by the state if there are none."""
    tally = Tally(3)
    for each in (result("r1", error="no"), result("r2", state=State.CANCELLED), result("r3")):
        tally.take(each)
    assert sorted((each.message, each.rows) for each in tally.troubles.kinds) == [
        ("cancelled", ("r2",)),
        ("no", ("r1",)),
    ]


def test_a_job_costs_about_what_others_did() -> None:
    """Those of before included; nothing is known at the beginning, nor of jobs without a price."""
    tally = Tally(10)
    assert tally.mean_cost_usd == 0.0
    tally.add_cost(None)
    assert (tally.costs, tally.mean_cost_usd) == (0, 0.0)
    tally.add_cost(0.5)
    tally.add_cost(0.25)
    assert (tally.cost_usd, tally.costs, tally.mean_cost_usd) == (0.75, 2, 0.375)
    before = Tally(10, kept=2, cost_usd=1.0)
    before.add_cost(2.0)
    assert before.mean_cost_usd == 1.0
