"""Faults of workers, done where they start and take jobs: crashes, throttling, cold starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runpodctl_py.emulator.lab.faults import Kind
from runpodctl_py.emulator.lab.places import COLD_START, WORKER
from runpodctl_py.emulator.workers.mishaps import Start
from runpodctl_py.emulator.workers.record import Leaving

if TYPE_CHECKING:
    from runpodctl_py.emulator.lab.faults import Faults
    from runpodctl_py.emulator.workers.fleet import Fleet
    from runpodctl_py.emulator.workers.record import Worker


class WorkerFaults:
    """The mishaps of workers that faults ask for.

    Args:
        faults: The faults that are set.
        fleet: Where workers take jobs.
    """

    def __init__(self, faults: Faults, fleet: Fleet) -> None:
        self._faults = faults
        self._fleet = fleet
        fleet.on_taken.append(self._taken)

    @property
    def throttles(self) -> bool:
        """Whether workers may still be withheld room."""
        return self._faults.has(WORKER, Kind.THROTTLE)

    def withholds_room(self) -> bool:
        """Whether a new worker is throttled."""
        return self._faults.strike((WORKER,), Kind.THROTTLE) is not None

    def start(self) -> Start:
        """How the next worker starts."""
        fault = self._faults.strike((COLD_START,))
        if fault is None:
            return Start()
        if fault.kind is Kind.CRASH:
            return Start(failure=f"the fault {fault.text} was set")
        return Start(delay_s=fault.seconds or 0.0)

    def _taken(self, worker: Worker) -> None:
        """Has a worker that took a job killed, if a fault says so; the job is lost with it."""
        if self._faults.strike((WORKER,), Kind.CRASH) is not None:
            self._fleet.leave(worker.id, Leaving.AT_ONCE)
