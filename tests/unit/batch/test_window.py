from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.batch.window import CEILING, FLOOR, Window

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Simulation:
    """A queue, its workers and a network, event by event.

    Args:
        window: What is tried.
        execution_s: How long a job takes.
        latency_s: How long a job takes to the queue, and its end to us.
        jitter: By which share of it the time that a job takes varies, either way.
    """

    window: Window
    execution_s: float
    latency_s: float = 0.15
    jitter: float = 0.0
    now_s: float = 0.0
    busy_s: float = 0.0
    idle: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    _queue: deque[float] = field(default_factory=deque)
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: itertools.count[int] = field(default_factory=itertools.count)
    _chance: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 # a dice

    def at(self, time_s: float, action: Callable[[], None]) -> None:
        """Have something happen later."""
        heapq.heappush(self._events, (time_s, next(self._order), action))

    def add_worker(self) -> None:
        """Have a worker more."""
        self.idle += 1
        self._begin_jobs()

    def remove_worker(self) -> None:
        """Have a worker less, when it is done."""
        self.idle -= 1

    def run_until(self, end_s: float) -> None:
        """Send what the window has room for, and go on with that."""
        self._send()
        while self._events and self._events[0][0] <= end_s:
            self.now_s, _, action = heapq.heappop(self._events)
            action()
        self.now_s = end_s

    def _send(self) -> None:
        for _ in range(self.window.room):
            self.window.sent()
            self.in_flight += 1
            self.at(self.now_s + self.latency_s, self._arrive)
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def _arrive(self) -> None:
        self._queue.append(self.now_s)
        self._begin_jobs()

    def _begin_jobs(self) -> None:
        while self._queue and self.idle > 0:
            self.idle -= 1
            delay_s = self.now_s - self._queue.popleft()
            execution_s = self.execution_s * (1 + self._chance.uniform(-self.jitter, self.jitter))
            self.at(self.now_s + execution_s, partial(self._finish, delay_s, execution_s))

    def _finish(self, delay_s: float, execution_s: float) -> None:
        self.busy_s += execution_s
        self.idle += 1
        self._begin_jobs()
        self.at(self.now_s + self.latency_s, partial(self._learn, delay_s, execution_s))

    def _learn(self, delay_s: float, execution_s: float) -> None:
        self.window.ended(round(1000 * delay_s), round(1000 * execution_s))
        self.in_flight -= 1
        self._send()


def running(workers: int, execution_s: float, *, jitter: float = 0.0) -> Simulation:
    """Return a simulation whose workers are there."""
    simulation = Simulation(Window(), execution_s, jitter=jitter)
    for _ in range(workers):
        simulation.add_worker()
    return simulation


def utilisation(simulation: Simulation, workers: int, duration_s: float) -> float:
    """Go on for a while, and return how much of it the workers had something to do."""
    before_s = simulation.busy_s
    simulation.run_until(simulation.now_s + duration_s)
    return (simulation.busy_s - before_s) / (workers * duration_s)


KNOWN_OR_NOT = pytest.mark.parametrize("is_told", [True, False], ids=["told", "unknown"])
STEADY_OR_NOT = pytest.mark.parametrize("jitter", [0.0, 0.9], ids=["steady", "varied"])


@KNOWN_OR_NOT
@STEADY_OR_NOT
@pytest.mark.parametrize(
    ("workers", "execution_s"), [(1, 60.0), (3, 10.0), (50, 0.5), (200, 2.0), (10, 0.005)]
)
def test_workers_are_busy_after_a_warm_up(
    workers: int, execution_s: float, jitter: float, *, is_told: bool
) -> None:
    """95 % of the time, whether their number is known or has to be found out."""
    simulation = running(workers, execution_s, jitter=jitter)
    if is_told:
        simulation.window.workers(workers)
    simulation.run_until(max(5, 30 * execution_s))

    assert utilisation(simulation, workers, max(1, 10 * execution_s)) > 0.95


@KNOWN_OR_NOT
@STEADY_OR_NOT
@pytest.mark.parametrize(
    ("workers", "execution_s"), [(3, 10.0), (20, 30.0), (29, 100.0), (100, 10.0)]
)
def test_long_jobs_do_not_pile_up(
    workers: int, execution_s: float, jitter: float, *, is_told: bool
) -> None:
    """What lies in RunPod's queue will be billed, whatever we decide."""
    simulation = running(workers, execution_s, jitter=jitter)
    if is_told:
        simulation.window.workers(workers)
    simulation.run_until(50 * execution_s)

    assert simulation.most_in_flight <= 3 * workers + FLOOR


def test_a_ceiling_is_one() -> None:
    """Also when there are more workers, and below the usual floor."""
    window = Window(ceiling=5)
    window.workers(100)

    assert (window.size, window.room) == (5, 5)


def test_short_jobs_reach_the_ceiling_and_stop_there() -> None:
    """A thousand workers would take more."""
    simulation = running(1000, 0.1)
    simulation.run_until(6)

    assert simulation.most_in_flight == CEILING


def test_a_cold_start_is_no_evidence() -> None:
    """Jobs that waited minutes for the first worker neither shrink the window nor let it grow."""
    simulation = Simulation(Window(), execution_s=10)
    simulation.window.workers(20)
    sizes = [simulation.window.size]
    for number in range(20):
        simulation.at(200 + number, simulation.add_worker)
    for until_s in range(10, 260, 10):
        simulation.run_until(until_s)
        sizes.append(simulation.window.size)

    assert set(sizes) == {40}
    assert utilisation(simulation, 20, 500) > 0.95


def test_a_cold_start_of_unknown_workers_leaves_enough_to_go_on_with() -> None:
    """The first minutes' delays are forgotten with the jobs that had them."""
    simulation = Simulation(Window(), execution_s=2)
    for _ in range(50):
        simulation.at(180, simulation.add_worker)
    simulation.run_until(240)

    assert utilisation(simulation, 50, 60) > 0.95


def test_more_workers_get_more_jobs_at_once() -> None:
    """Before any job tells of it."""
    window = Window()
    window.workers(100)

    assert window.size == 200


def test_it_shrinks_when_workers_leave() -> None:
    """Gently, and down to two for each that stays."""
    simulation = running(100, 1.0)
    simulation.window.workers(100)
    simulation.run_until(30)
    before = simulation.window.size
    for _ in range(95):
        simulation.at(30, simulation.remove_worker)
    simulation.window.workers(5)
    simulation.run_until(60)
    between = simulation.window.size
    simulation.run_until(1000)

    assert before >= 200
    assert before > between > simulation.window.size
    assert 10 <= simulation.window.size <= 30


def test_a_window_that_is_not_filled_does_not_grow() -> None:
    """A slow file or the pace is what holds us up then, and a larger window would help neither."""
    window = Window()
    for _ in range(500):
        window.sent()
        window.ended(0, 1000)

    assert window.size == FLOOR


def test_jobs_that_did_not_complete_make_room_and_tell_nothing() -> None:
    """They have no times."""
    window = Window()
    for _ in range(FLOOR):
        window.sent()
    assert window.room == 0
    for _ in range(FLOOR):
        window.ended()

    assert (window.room, window.size) == (FLOOR, FLOOR)


def test_jobs_from_an_earlier_run_may_be_more_than_the_window() -> None:
    """Then nothing is sent until there is room again."""
    window = Window()
    for _ in range(FLOOR + 5):
        window.sent()

    rooms = [window.room]
    for _ in range(6):
        window.ended()
        rooms.append(window.room)

    assert rooms == [0, 0, 0, 0, 0, 0, 1]


def test_who_is_slow_to_bring_results_home_sends_no_more() -> None:
    """More jobs would only wait on our side; the workers have enough all the same."""
    window = Window(floor=8)
    window.workers(2)
    for _ in range(400):
        while window.room:
            window.sent()
        window.ended(0, 100, home_s=2.0)
    assert window.size == 8
