"""How a batch stands right now: numbers that change while it runs, for whoever draws them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runpodctl_py.batch.summary import Statistics
from runpodctl_py.batch.troubles import Troubles

if TYPE_CHECKING:
    from runpodctl_py.api.types import Health
    from runpodctl_py.batch.row import RowResult


@dataclass(slots=True)
class Tally:
    """The live numbers of a batch.

    Args:
        total: How many rows the file has.
        invalid: How many of them cannot be sent, and are left out.
        kept: How many were done with before this run.
        succeeded: How many rows are a success, those of before included.
        failed: How many rows ended otherwise.
        in_flight: How many jobs are sent and not done with.
        unknown: Rows of which nobody knows whether RunPod took them, by name.
        sent: How many jobs this run has sent.
        repeated: How many of these were a failed row's next attempt.
        requests: How many requests this run has made, for jobs and about jobs.
        limited: How often RunPod said that we are too fast.
        cost_usd: About what all attempts have cost, as far as prices are known.
        costs: How many attempts that is the sum of, in this run.
        health: The endpoint's workers and queue as last seen.
        statistics: Times, costs and files of the rows that are done with.
        troubles: What went wrong, by its words.
    """

    total: int
    invalid: int = 0
    kept: int = 0
    succeeded: int = 0
    failed: int = 0
    in_flight: int = 0
    unknown: list[str] = field(default_factory=list)
    sent: int = 0
    repeated: int = 0
    requests: int = 0
    limited: int = 0
    cost_usd: float = 0.0
    costs: int = 0
    health: Health | None = None
    statistics: Statistics = field(default_factory=Statistics)
    troubles: Troubles = field(default_factory=Troubles)

    @property
    def ended(self) -> int:
        """How many rows are done with, one way or the other."""
        return self.succeeded + self.failed

    @property
    def left(self) -> int:
        """How many rows have no result."""
        return self.total - self.invalid - self.ended

    @property
    def mean_cost_usd(self) -> float:
        """About what a job costs; 0 as long as nobody knows."""
        jobs = self.costs + self.kept
        return self.cost_usd / jobs if jobs else 0.0

    def add_cost(self, cost_usd: float | None) -> None:
        """Count what an attempt has cost, if that is known."""
        if cost_usd is not None:
            self.costs += 1
            self.cost_usd += cost_usd

    def take(self, result: RowResult) -> None:
        """Count a row that is done with."""
        self.statistics.add(result)
        if result.is_success:
            self.succeeded += 1
        else:
            self.failed += 1
            self.troubles.add(result.name, result.error or result.state.value)
