"""How long to wait before a worker is started again, after others failed to start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runpodctl_py.emulator.clock import Clock
    from runpodctl_py.emulator.config import Timings
    from runpodctl_py.emulator.control.model import Endpoint
    from runpodctl_py.emulator.workers.record import Worker


@dataclass(slots=True)
class _Backoff:
    """How the starts of an endpoint's version went: failures in a row, and when to try again."""

    version: int
    failures: int = 0
    until: float = 0.0


class Backoffs:
    """The pauses of all endpoints, which double with each failure; a new version has none.

    Args:
        timings: The first pause and the longest.
        clock: Tells the machine's time, by which workers start.
    """

    def __init__(self, timings: Timings, clock: Clock) -> None:
        self._timings = timings
        self._clock = clock
        self._backoffs: dict[str, _Backoff] = {}

    def pause_s(self, endpoint: Endpoint) -> float:
        """Returns how many seconds to wait before starting workers of an endpoint again."""
        backoff = self._backoffs.get(endpoint.id)
        if backoff is None or backoff.version != endpoint.version:
            return 0.0
        return backoff.until - self._clock.machine()

    def failed(self, worker: Worker) -> None:
        """Notes that a worker ended before it could work."""
        timings = self._timings
        backoff = self._backoffs.get(worker.endpoint_id)
        if backoff is None or backoff.version != worker.version:
            backoff = self._backoffs[worker.endpoint_id] = _Backoff(worker.version)
        pause_s = min(timings.first_backoff_s * 2**backoff.failures, timings.longest_backoff_s)
        backoff.failures += 1
        backoff.until = self._clock.machine() + pause_s

    def went_well(self, endpoint_id: str) -> None:
        """Notes that a worker of an endpoint could work."""
        self._backoffs.pop(endpoint_id, None)

    def clear(self) -> None:
        """Forgets how all starts went."""
        self._backoffs.clear()
