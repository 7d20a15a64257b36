"""How many workers an endpoint should have now, and when to ask again.

`plan` decides from plain values; `Scaler` asks it whenever something changed or is due, and has
`processes.py` carry it out. RunPod's rules are in API reference 4.6; what differs here is that the
first worker starts at once, because nobody pays for it. Jobs of low priority start none (4.2).

A new version of an endpoint replaces its workers one after the other (a rolling release): those
of an old version get no more jobs and go when theirs are done, idle ones at once, but for those
that `workersMin` keeps until there is a new one that is ready. As long as there are old ones, new
ones fill up what is left of `workersMax`; one of them may always come.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from runpodctl_py.emulator.bells import SCALER, TIME
from runpodctl_py.emulator.workers.record import Leaving
from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from runpodctl_py.emulator.bells import Bells
    from runpodctl_py.emulator.clock import Clock
    from runpodctl_py.emulator.control.model import Endpoint
    from runpodctl_py.emulator.jobs.job import Job
    from runpodctl_py.emulator.state import State
    from runpodctl_py.emulator.workers.record import Worker


_PAUSE_S = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about an endpoint's workers.

    Args:
        start: How many to start.
        stop: The ids of those that get no more jobs, and go when theirs are done.
        look_again_s: In how many seconds time alone will change the answer, if ever.
    """

    start: int = 0
    stop: tuple[str, ...] = ()
    look_again_s: float | None = None


def plan(
    endpoint: Endpoint,
    queue: Sequence[Job],
    in_progress: int,
    workers: Sequence[Worker],
    clock: Clock,
) -> Plan:
    """Decides how many workers to start and which to stop.

    Args:
        endpoint: With its scaling settings.
        queue: The jobs that wait, the oldest first, as many as matter; those of low priority
            come last and do not.
        in_progress: How many jobs are on workers.
        workers: All workers of the endpoint, the oldest first.
        clock: Where the time comes from.
    """
    serving = [each for each in workers if each.serving]
    current = [each for each in serving if each.version == endpoint.version]
    queue = [each for each in queue if not each.policy.low_priority]
    late = _late(endpoint, queue, clock)
    wanted = max(endpoint.workers_min, _wanted(endpoint, queue, in_progress, current, late))
    wanted = min(wanted, _room(endpoint, workers))
    # A sick worker is replaced once it is gone: only then is it known how long to wait.
    sick = any(each.unhealthy and each.leaving is not None for each in workers)
    start = 0 if sick else max(0, wanted - len(current))
    stop = _superfluous(endpoint, serving, start, clock)
    stop += tuple(each.id for each in current[wanted:] if each.throttled and each.id not in stop)
    waits = [*_idle_ends_s(endpoint, current, clock), *_late_in_s(endpoint, queue, late, clock)]
    return Plan(start, stop, min(waits, default=None))


def _room(endpoint: Endpoint, workers: Sequence[Worker]) -> int:
    """Returns how many workers of the endpoint's present version there may be."""
    outdated = [each for each in workers if each.version != endpoint.version]
    there = sum(1 for each in outdated if each.jobs or each.serving)
    return min(endpoint.workers_max, max(1, endpoint.workers_max - there))


def _wanted(
    endpoint: Endpoint,
    queue: Sequence[Job],
    in_progress: int,
    current: Sequence[Worker],
    late: int,
) -> int:
    """Returns how many workers the jobs ask for."""
    if not queue:
        return 0
    if endpoint.scaler_type == "REQUEST_COUNT":
        return -(-(len(queue) + in_progress) // endpoint.scaler_value)
    busy = sum(1 for each in current if each.jobs)
    return max(1, busy + late)


def _late(endpoint: Endpoint, queue: Sequence[Job], clock: Clock) -> int:
    """Counts the jobs that have waited for longer than the queue delay, as far as it matters."""
    longest_s, now, late = endpoint.scaler_value, clock.now(), 0
    for job in queue:
        if now - job.queued_at < longest_s or late >= endpoint.workers_max:
            break
        late += 1
    return late


def _late_in_s(
    endpoint: Endpoint, queue: Sequence[Job], late: int, clock: Clock
) -> Iterator[float]:
    """Yields when the next job will have waited for too long."""
    if endpoint.scaler_type == "QUEUE_DELAY" and late < endpoint.workers_max:
        now = clock.now()
        for job in queue:
            left_s = job.queued_at + endpoint.scaler_value - now
            if left_s > 0:
                yield left_s
                return


def _superfluous(
    endpoint: Endpoint, serving: Sequence[Worker], starting: int, clock: Clock
) -> tuple[str, ...]:
    """Returns the workers that may go: outdated, too many, or idle for too long."""
    current = [each for each in serving if each.version == endpoint.version]
    outdated = [each for each in serving if each.version != endpoint.version]
    idle = [each for each in outdated if each.ready and not each.jobs]
    missing = max(0, endpoint.workers_min - sum(each.ready for each in current))
    kept = idle[:missing]
    stop: list[str] = []
    for worker in sorted(
        current, key=lambda each: (each.idle_since is None, each.idle_since or 0.0)
    ):
        left = len(current) + starting - len(stop)
        too_many = left > endpoint.workers_max and not worker.jobs
        bored = left > endpoint.workers_min and _idle_for(worker, clock) >= endpoint.idle_timeout
        if too_many or bored:
            stop.append(worker.id)
    return (*(each.id for each in outdated if each not in kept), *stop)


def _idle_for(worker: Worker, clock: Clock) -> float:
    return 0.0 if worker.idle_since is None else clock.monotonic() - worker.idle_since


def _idle_ends_s(endpoint: Endpoint, current: Iterable[Worker], clock: Clock) -> Iterator[float]:
    for worker in current:
        left_s = endpoint.idle_timeout - _idle_for(worker, clock)
        if worker.idle_since is not None and left_s > 0:
            yield left_s


class WorkerHost(Protocol):
    """What carries plans out: `processes.py` with processes, `simulated.py` without."""

    async def open(self) -> None:
        """Prepares to start workers; called once, before all else."""
        ...

    def start(self, endpoint: Endpoint, count: int) -> None:
        """Begins to start some workers of an endpoint."""
        ...

    def release(self) -> None:
        """Lets workers start that were withheld room on purpose."""
        ...

    def stop(self, worker_id: str, how: Leaving) -> None:
        """Begins to stop a worker; more than once is the same as once."""
        ...

    def pause_s(self, endpoint: Endpoint) -> float:
        """Returns how many of the machine's seconds to wait before starting any again."""
        ...

    def next_due_s(self) -> float | None:
        """Returns in how many seconds of the emulator's clock `settle` has something to do."""
        ...

    async def settle(self) -> None:
        """Does what the emulator's clock has made due, for workers that live by it."""
        ...

    def forget(self) -> None:
        """Forgets what was learned of former workers; none may be left."""
        ...

    async def close(self) -> None:
        """Stops all workers; jobs that do not end with it are left for the next start."""
        ...


class Scaler:
    """Keeps every endpoint's workers as planned, until it is cancelled.

    Args:
        state: What there is.
        workers: Starts and stops them.
        bells: What tells of changes.
        clock: Where the time comes from.
    """

    def __init__(self, state: State, workers: WorkerHost, bells: Bells, clock: Clock) -> None:
        self._state = state
        self._workers = workers
        self._bells = bells
        self._clock = clock

    async def run(self) -> None:
        """Acts whenever something has changed or is due."""
        with self._bells.listen(SCALER, TIME) as bell:
            while True:
                bell.clear()
                wait_s = self._step_if_possible()
                try:
                    async with asyncio.timeout(wait_s):
                        await bell.wait()
                except TimeoutError:
                    continue

    def _step_if_possible(self) -> float | None:
        try:
            return self.step()
        except EmulatorError as error:
            # The disk may be full; when it is not any more, everything goes on.
            _log.warning("%s; trying again in %g s", error, _PAUSE_S)
            return _PAUSE_S

    def step(self) -> float | None:
        """Acts once on everything that is due.

        Returns:
            In how many of the machine's seconds to act again, if nothing rings before.
        """
        self._state.sweep()
        self._send_away()
        endpoints = list(self._state.control.endpoints.values())
        # Last: a worker that is started now has a time limit, too.
        waits = [*map(self._carry_out, endpoints), self._state.next_due_s()]
        return min((each for each in waits if each is not None), default=None)

    def next_due_s(self) -> float | None:
        """Returns in how many seconds of the emulator's clock time alone changes something."""
        plans = map(self._plan, self._state.control.endpoints.values())
        waits = [*(each.look_again_s for each in plans), self._state.next_change_s()]
        return min((each for each in waits if each is not None), default=None)

    def _send_away(self) -> None:
        for worker in list(self._state.fleet.workers.values()):
            if worker.leaving is not None and worker.due_to_go:
                self._workers.stop(worker.id, worker.leaving)

    def _carry_out(self, endpoint: Endpoint) -> float | None:
        todo = self._plan(endpoint)
        for worker_id in todo.stop:
            # It rings; `_send_away` ends it now, or when its jobs are done.
            self._state.fleet.leave(worker_id, Leaving.IN_PEACE)
        waits = [self._clock.real_s(todo.look_again_s)]
        if todo.start and (pause_s := self._workers.pause_s(endpoint)) > 0:
            waits.append(pause_s)
        elif todo.start:
            self._workers.start(endpoint, todo.start)
        return min((each for each in waits if each is not None), default=None)

    def _plan(self, endpoint: Endpoint) -> Plan:
        state = self._state
        return plan(
            endpoint,
            # More jobs than these cannot make the endpoint larger.
            state.jobs.queue(endpoint.id, endpoint.workers_max * endpoint.scaler_value + 1),
            state.fleet.in_progress(endpoint.id),
            state.fleet.of(endpoint.id),
            self._clock,
        )
