"""Workers without a process, for load tests: they wait, report, and answer with a small file.

They stand in the fleet like real ones and take jobs the same way, only without HTTP. How many
there should be is `scaler.py`'s business; what they do with a job says `config.Simulation`.
"""

from __future__ import annotations

import asyncio
import base64
import heapq
import json
import random
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator.bells import TIME
from runpodctl_py.emulator.workers.record import Leaving

if TYPE_CHECKING:
    from runpodctl_py.emulator.bells import Bells
    from runpodctl_py.emulator.clock import Clock
    from runpodctl_py.emulator.config import Simulation
    from runpodctl_py.emulator.control.model import Endpoint
    from runpodctl_py.emulator.ids import Ids
    from runpodctl_py.emulator.workers.backoff import Backoffs
    from runpodctl_py.emulator.workers.fleet import Fleet
    from runpodctl_py.emulator.workers.mishaps import Mishaps
    from runpodctl_py.emulator.workers.record import Worker

_SDK_VERSION = "1.12.0"
"""The SDK whose failures they imitate (API reference 5.6)."""


class SimulatedWorkers:
    """The workers of one emulator that only pretend to work.

    Args:
        simulation: What they do with a job.
        fleet: Where they stand and get their jobs.
        bells: What tells them of jobs, and of jobs to stop.
        clock: Where the time comes from.
        ids: Makes durations and failures repeatable, unless the simulation has a seed of its own.
        backoffs: The pauses after starts that failed on purpose.
        mishaps: What goes wrong on purpose as they start.
    """

    def __init__(
        self,
        simulation: Simulation,
        fleet: Fleet,
        bells: Bells,
        clock: Clock,
        ids: Ids,
        *,
        backoffs: Backoffs,
        mishaps: Mishaps,
    ) -> None:
        self._simulation = simulation
        self._fleet = fleet
        self._bells = bells
        self._clock = clock
        self._ids = ids
        self._chance = self._decisions()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._simulated: dict[str, SimulatedWorker] = {}
        self._backoffs = backoffs
        self._mishaps = mishaps
        self._withheld: dict[str, None] = {}

    async def open(self) -> None:
        """Has nothing to prepare."""

    def start(self, endpoint: Endpoint, count: int) -> None:
        """Starts some workers of an endpoint; they are ready in the loop's next turn."""
        for worker in self._fleet.of(endpoint.id):
            if worker.unhealthy and worker.id not in self._tasks:
                self._fleet.remove(worker.id)
        for _ in range(count):
            is_withheld = self._mishaps.withholds_room()
            worker = self._fleet.add(endpoint, throttled=is_withheld)
            if is_withheld:
                self._withheld[worker.id] = None
            else:
                self._begin(worker)

    def release(self) -> None:
        """Starts the workers that were withheld room."""
        withheld = [self._fleet.workers.get(each) for each in self._withheld]
        self._withheld.clear()
        for worker in withheld:
            if worker is not None and worker.leaving is None:
                self._fleet.begin(worker)
                self._begin(worker)

    def _begin(self, worker: Worker) -> None:
        start = self._mishaps.start()
        if start.failure is not None:
            self._backoffs.failed(worker)
            self._fleet.mark_unhealthy(worker.id)
            return
        self._backoffs.went_well(worker.endpoint_id)
        simulated = SimulatedWorker(
            worker,
            self._simulation,
            self._fleet,
            self._clock,
            self._chance,
            up_at=self._clock.monotonic() + start.delay_s,
        )
        self._simulated[worker.id] = simulated
        task = asyncio.create_task(self._run(simulated, worker))
        self._tasks[worker.id] = task
        task.add_done_callback(partial(self._ended, worker.id))

    def stop(self, worker_id: str, how: Leaving) -> None:  # noqa: ARG002 - there is one way only.
        """Ends a worker; jobs it still has are lost."""
        if (task := self._tasks.get(worker_id)) is not None:
            task.cancel()
        else:
            self._withheld.pop(worker_id, None)
            self._fleet.remove(worker_id)

    def pause_s(self, endpoint: Endpoint) -> float:
        """Returns how long to wait before starting workers of an endpoint again."""
        return self._backoffs.pause_s(endpoint)

    def next_due_s(self) -> float | None:
        """Returns in how many seconds one of them has something to do, if nothing rings before."""
        waits = (each.next_due_s() for each in self._simulated.values())
        return min((each for each in waits if each is not None), default=None)

    async def settle(self) -> None:
        """Has all of them do what is due; those that were sent away are gone then."""
        ending = [each for each in self._tasks.values() if each.cancelling()]
        await asyncio.gather(*ending, return_exceptions=True)
        for each in list(self._simulated.values()):
            each.step()

    def forget(self) -> None:
        """Begins its decisions anew, where they are repeatable."""
        self._chance = self._decisions()
        self._backoffs.clear()

    async def close(self) -> None:
        """Ends all workers; their jobs are left for the next start."""
        self._fleet.begin_stop()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _decisions(self) -> random.Random:
        """Returns what decides how long jobs take, and which of them fail."""
        if self._simulation.seed is None:
            return self._ids.sequence("simulation")
        return random.Random(self._simulation.seed)  # noqa: S311 - nothing secret depends on it.

    async def _run(self, simulated: SimulatedWorker, worker: Worker) -> None:
        with self._bells.listen(worker.endpoint_id, worker.id, TIME) as bell:
            while True:
                bell.clear()
                wait_s = self._clock.real_s(simulated.step())
                try:
                    async with asyncio.timeout(wait_s):
                        await bell.wait()
                except TimeoutError:
                    continue

    def _ended(self, worker_id: str, _task: asyncio.Task[None]) -> None:
        del self._tasks[worker_id], self._simulated[worker_id]
        self._fleet.remove(worker_id)


@dataclass(slots=True, eq=False)
class _Run:
    """A job on its way, through marks that share its duration evenly; the last is the end."""

    job_id: str
    began_at: float
    duration_s: float
    fails: bool
    marks: int
    passed: int = 0

    @property
    def next_at(self) -> float:
        """When it passes its next mark."""
        return self.began_at + self.duration_s * ((self.passed + 1) / self.marks)


class SimulatedWorker:
    """What one of them does; waits for nothing by itself.

    Args:
        worker: How the fleet knows it.
        simulation: What it does with a job.
        fleet: Where its jobs come from, and where it reports.
        clock: Where the time comes from.
        chance: Decides about durations and failures, in the order in which jobs are taken.
        up_at: When it is up.
    """

    def __init__(
        self,
        worker: Worker,
        simulation: Simulation,
        fleet: Fleet,
        clock: Clock,
        chance: random.Random,
        *,
        up_at: float = 0.0,
    ) -> None:
        self._up_at = up_at
        self._worker = worker
        self._simulation = simulation
        self._fleet = fleet
        self._clock = clock
        self._chance = chance
        self._runs: dict[str, _Run] = {}
        self._due: list[tuple[float, int, _Run]] = []
        self._numbers = count()

    def step(self) -> float | None:
        """Does all that is due by now, and takes jobs, as many as it may have at once.

        Returns:
            In how many seconds to do so again, if nothing rings before.
        """
        if self._clock.monotonic() < self._up_at:
            return self.next_due_s()
        self._report_for_duty()
        self._stop_jobs()
        now = self._clock.monotonic()
        while self._due and self._due[0][0] <= now:
            self._go_on(heapq.heappop(self._due)[2], now)
        room = self._simulation.concurrency - len(self._runs)
        taken = self._fleet.take(self._worker, room)
        if self._worker.leaving is Leaving.AT_ONCE:
            # It crashed as it took the last of them.
            return None
        for job in taken:
            self._go_on(self._begun(job.id, now), now)
        if len(taken) == room and len(self._runs) < self._simulation.concurrency:
            # There may be more to take, but only after others had their turn.
            return 0.0
        return self.next_due_s()

    def next_due_s(self) -> float | None:
        """Returns in how many seconds it is up, or one of its jobs passes its next mark."""
        now = self._clock.monotonic()
        if now < self._up_at:
            return self._up_at - now
        return self._due[0][0] - now if self._due else None

    def _report_for_duty(self) -> None:
        if not self._worker.ready:
            self._fleet.poll_started(self._worker.id, holds_jobs=False)
            # Nobody pings for it, and it cannot fall silent.
            self._worker.seen_at = None

    def _stop_jobs(self) -> None:
        told = self._worker.told_to_stop()
        for job_id in told:
            self._runs.pop(job_id, None)
        self._worker.stopped(frozenset(told))

    def _begun(self, job_id: str, now: float) -> _Run:
        simulation = self._simulation
        jitter_s = self._chance.uniform(-simulation.jitter_s, simulation.jitter_s)
        run = _Run(
            job_id,
            began_at=now,
            duration_s=max(0.0, simulation.delay_s + jitter_s),
            fails=self._chance.random() < simulation.fail,
            marks=simulation.progress + 1,
        )
        self._runs[job_id] = run
        return run

    def _go_on(self, run: _Run, now: float) -> None:
        """Passes the marks a job has reached, and comes back at the next one."""
        if self._runs.get(run.job_id) is not run:
            # It was stopped meanwhile.
            return
        while run.next_at <= now:
            run.passed += 1
            if run.passed == run.marks:
                self._finish(run)
                return
            update = _progress(run.passed, self._simulation.progress)
            self._fleet.progress(self._worker.id, run.job_id, update)
        heapq.heappush(self._due, (run.next_at, next(self._numbers), run))

    def _finish(self, run: _Run) -> None:
        del self._runs[run.job_id]
        outcome = _failure(self._worker.id) if run.fails else {"output": _output(run.job_id)}
        self._fleet.result(self._worker.id, run.job_id, outcome)


def _progress(step: int, steps: int) -> dict[str, Any]:
    return {
        "status": "processing",
        "progress": 100 * step // steps,
        "current_step": f"Simulated step {step}",
        "step": step,
        "total_steps": steps,
    }


def _failure(worker_id: str) -> dict[str, Any]:
    """Returns what the SDK posts of an exception: JSON in a string (API reference 5.6)."""
    error = {
        "error_type": "<class 'RuntimeError'>",
        "error_message": "the simulated worker fails this job, as it was asked to",
        "error_traceback": "",
        "hostname": f"{worker_id}-local",
        "worker_id": worker_id,
        "runpod_version": _SDK_VERSION,
    }
    return {"error": json.dumps(error)}


def _output(job_id: str) -> dict[str, Any]:
    content = f"A simulated worker made this file for the job {job_id}.\n".encode()
    return {
        "success": True,
        "result": {
            "filename": f"simulated_{job_id.removeprefix('sync-')[:8]}.txt",
            "content_type": "text/plain",
            "size_bytes": len(content),
            "content_base64": base64.b64encode(content).decode("ascii"),
            "preview": "A file from a simulated worker",
        },
    }
