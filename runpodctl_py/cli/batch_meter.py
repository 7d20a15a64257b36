"""How fast a batch goes and how long it will take, read off its tally.

Owns the rate and what follows from it. Counting is the runner's, words are `batch_words.py`'s.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from runpodctl_py.batch.tally import Tally

_WINDOW_S = 10.0
_FEWEST = 10
"""The rate is that of the last ten seconds, or of so long as it takes for ten rows to end."""
_SHORTEST_S = 1.0


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a person allows a batch.

    Args:
        max_cost_usd: Nothing is sent any more when it has cost that much.
        rows: The most rows to send.
    """

    max_cost_usd: float | None = None
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What the meter says.

    Args:
        elapsed_s: How long this run has taken.
        rate_per_s: How many rows end in a second, once enough have.
        eta_s: How long the rest will take, at that rate.
    """

    elapsed_s: float
    rate_per_s: float | None = None
    eta_s: float | None = None


class Rate:
    """How many rows end in a second.

    What ends first is the beginning and does not count: the wait for the first worker says nothing
    about how fast it is.

    Args:
        ended: How many have ended already.
    """

    def __init__(self, ended: int) -> None:
        self._ended = ended
        # When, and how many had ended then; only those with news.
        self._samples: deque[tuple[float, int]] = deque()

    def at(self, now_s: float, ended: int) -> float | None:
        """Take a sample, and return the rate; None where too little has ended yet."""
        samples = self._samples
        if ended != self._ended:
            samples.append((now_s, ended))
            self._ended = ended
        while len(samples) > 1 and self._is_enough_since(samples[1], now_s):
            samples.popleft()
        if not samples:
            return None
        began_s, before = samples[0]
        if ended == before or now_s - began_s < _SHORTEST_S:
            return None
        return (ended - before) / (now_s - began_s)

    def _is_enough_since(self, sample: tuple[float, int], now_s: float) -> bool:
        at_s, ended = sample
        return now_s - at_s >= _WINDOW_S and self._ended - ended >= _FEWEST


class Meter:
    """Reads a tally again and again.

    Args:
        tally: The live numbers.
        allowed: What may stop the batch before its last row.
        now_s: Seconds that never run backwards.
    """

    def __init__(self, tally: Tally, allowed: Allowed, now_s: Callable[[], float]) -> None:
        self._tally = tally
        self._allowed = allowed
        self._now_s = now_s
        self._began_s = now_s()
        self._rate = Rate(tally.ended)

    def read(self) -> Reading:
        """Return how it stands now; the more often this is called, the better the rate."""
        now_s = self._now_s()
        rate = self._rate.at(now_s, self._tally.ended)
        eta_s = self._to_end / rate if rate and self._to_end else None
        return Reading(now_s - self._began_s, rate, eta_s)

    @property
    def _to_end(self) -> int:
        """How many rows will still end in this run."""
        tally = self._tally
        left = tally.left - len(tally.unknown)
        if self._allowed.rows is None:
            return left
        unsent = max(0, self._allowed.rows - (tally.sent - tally.repeated))
        return min(left, tally.in_flight + unsent)


def known_cost_usd(tally: Tally) -> float | None:
    """Return what a batch has cost, rounded; None as long as no price is known."""
    if tally.statistics.cost_usd is None and not tally.cost_usd:
        return None
    return round(tally.cost_usd, 6)
