"""What a batch comes to: how many, how long, how much.

Owns the numbers; showing them is the command line's.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runpodctl_py.jobs.ledger import State

if TYPE_CHECKING:
    from runpodctl_py.batch.row import RowResult
    from runpodctl_py.jsontypes import JsonObject


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of some times: half, 95 and 99 in a hundred were not longer than this, in ms."""

    p50_ms: int
    p95_ms: int
    p99_ms: int


class Times:
    """Any number of times, at eight bytes each; a percentile is one of them, not between two."""

    def __init__(self) -> None:
        # Exact up to 2^53 ms; and whatever RunPod says, it does not overflow as whole numbers do.
        self._ms = array("d")

    def add(self, ms: float) -> None:
        """Add a time."""
        self._ms.append(ms)

    def percentiles(self) -> Percentiles | None:
        """Return the percentiles by nearest rank; None of no times."""
        if not self._ms:
            return None
        ordered = sorted(self._ms)
        # The share rounded up, in whole numbers: 0.95 * 20 is more than 19 for a float.
        p50, p95, p99 = (ordered[(len(ordered) * share + 99) // 100 - 1] for share in (50, 95, 99))
        return Percentiles(int(p50), int(p95), int(p99))

    def as_json(self) -> JsonObject | None:
        """Return the percentiles as a JSON document; None of no times."""
        found = self.percentiles()
        if found is None:
            return None
        return {"p50": found.p50_ms, "p95": found.p95_ms, "p99": found.p99_ms}


class Statistics:
    """The numbers of the results so far, each of which is added once."""

    def __init__(self) -> None:
        self.successes = 0
        self.failures = 0
        self.attempts = 0
        """How many jobs were sent for these rows, repeats included."""
        self.files = 0
        self.files_bytes = 0
        self.cost_usd: float | None = None
        """What all of it cost; None where no price is known."""
        self.delays = Times()
        """In the queue."""
        self.executions = Times()
        """On the worker."""
        self.totals = Times()
        """Both together."""
        self._states: Counter[State] = Counter()

    def add(self, result: RowResult) -> None:
        """Add a row's result."""
        self.successes += result.is_success
        self.failures += not result.is_success
        self.attempts += result.attempts
        self.files += len(result.files)
        self.files_bytes += sum(each.size_bytes for each in result.files)
        self._states[result.state] += 1
        if result.cost_usd is not None:
            self.cost_usd = (self.cost_usd or 0) + result.cost_usd
        if result.delay_ms is not None:
            self.delays.add(result.delay_ms)
        if result.execution_ms is not None:
            self.executions.add(result.execution_ms)
        if result.delay_ms is not None and result.execution_ms is not None:
            self.totals.add(result.delay_ms + result.execution_ms)

    @property
    def rows(self) -> int:
        """How many results were added."""
        return self.successes + self.failures

    @property
    def states(self) -> dict[State, int]:
        """How many ended in which state, in the order of `State`; only those with any."""
        return {state: self._states[state] for state in State if self._states[state]}

    def as_json(self) -> JsonObject:
        """Return them as a JSON document; its keys are a promise to scripts."""
        return {
            "rows": self.rows,
            "succeeded": self.successes,
            "failed": self.failures,
            "states": {state.value: count for state, count in self.states.items()},
            "attempts": self.attempts,
            "files": self.files,
            "bytes": self.files_bytes,
            "cost_usd": None if self.cost_usd is None else round(self.cost_usd, 6),
            "delay_ms": self.delays.as_json(),
            "execution_ms": self.executions.as_json(),
            "total_ms": self.totals.as_json(),
        }
