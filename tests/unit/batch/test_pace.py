from __future__ import annotations

import asyncio
import random
import selectors
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.batch.pace import CANCEL, RUN, STATUS, Limit, Pace
from runpodctl_py.emulator.errors import JobApiError
from runpodctl_py.emulator.jobs.rate_limits import LIMITS, RateLimits
from runpodctl_py.errors import NetworkError, RateLimitedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

pytestmark = pytest.mark.anyio


class NoWaiting(selectors.SelectSelector):
    """A selector that lets time pass instead of waiting."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        """Look what is there; if nothing is to be done before, it is later at once."""
        if found := super().select(0):
            return found
        assert timeout is not None, "everybody waits for something that never happens"
        self.now_s += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which time passes only while everybody waits."""

    def __init__(self) -> None:
        self._passing = NoWaiting()
        super().__init__(self._passing)

    def time(self) -> float:
        """Return the time that has passed."""
        return self._passing.now_s

    def stall(self, seconds: float) -> None:
        """Let time pass in which nobody gets to do anything."""
        self._passing.now_s += seconds


class LoopClock:
    """The loop's time, for the pace and for the server that counts."""

    def now_s(self) -> float:
        """Return it."""
        return self.monotonic()

    def monotonic(self) -> float:
        """Return it, as the local RunPod asks for it."""
        return asyncio.get_running_loop().time()

    def now(self) -> float:
        """Return it as wall time."""
        return self.monotonic()

    machine = now

    def real_s(self, wait_s: float | None) -> float | None:
        """Return the wait as it is."""
        return wait_s

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


@pytest.fixture
def anyio_backend() -> Any:
    """A loop whose time costs none."""
    return ("asyncio", {"loop_factory": VirtualLoop})


def virtual_loop() -> VirtualLoop:
    """Return the loop that runs."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


def pace_of(limit: Limit, chance: Callable[[], float] = lambda: 1.0) -> Pace:
    """Make a pace by the loop's time, without chance."""
    return Pace(limit, LoopClock(), chance=chance)


class FarServer:
    """One operation of the local RunPod as it counts, behind a network.

    Args:
        operation: By its name there.
        latency_s: How long requests and answers take on their way, drawn anew for each.
    """

    def __init__(self, operation: str, latency_s: Callable[[], float]) -> None:
        self._limits = RateLimits({"endpoint": None}, LoopClock())
        self._operation = operation
        self._latency_s = latency_s
        self.arrived_s: list[float] = []
        self.refused = 0

    async def ask(self, held_s: float = 0.0) -> None:
        """Send a request, and return with the answer."""
        await asyncio.sleep(self._latency_s())
        self.arrived_s.append(asyncio.get_running_loop().time())
        try:
            with self._limits.admitted("endpoint", self._operation, LIMITS[self._operation]):
                await asyncio.sleep(held_s)
        except JobApiError as exc:
            self.refused += 1
            await asyncio.sleep(self._latency_s())
            raise RateLimitedError("too many") from exc
        await asyncio.sleep(self._latency_s())


async def submit(pace: Pace, ask: Callable[[], Awaitable[None]], requests: int) -> None:
    """Send requests as fast as the pace lets them, each until it is not refused."""

    async def one() -> None:
        while True:
            with suppress(RateLimitedError):
                async with pace.request():
                    await ask()
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(requests):
            group.create_task(one())


@contextmanager
def stalling(every_s: float, stall_s: float) -> Iterator[None]:
    """Stop the whole loop now and then."""
    loop = virtual_loop()

    async def stall() -> None:
        while True:
            await asyncio.sleep(every_s)
            loop.stall(stall_s)

    task = loop.create_task(stall())
    try:
        yield
    finally:
        task.cancel()


@pytest.mark.parametrize(
    ("slowest_s", "stall_s"), [(0.001, 0.0), (0.075, 0.4), (0.2, 0.1), (0.2, 0.4)]
)
async def test_nearly_all_that_is_allowed_is_used_and_nothing_is_refused(
    slowest_s: float, stall_s: float
) -> None:
    """95 submissions a second, whatever network and event loop delay on their way."""
    chance = random.Random(0)  # noqa: S311 # delays are no secret
    server = FarServer("run", lambda: chance.uniform(slowest_s / 2, slowest_s))
    with stalling(0.7, stall_s):
        await submit(pace_of(RUN), server.ask, 3000)

    taken_s = server.arrived_s[-1] - server.arrived_s[0]
    assert server.refused == 0
    assert 2999 / taken_s >= 95


async def test_a_steady_rate_comes_in_steady_steps() -> None:
    """Not a thousand at once, and then ten seconds of nothing."""
    server = FarServer("run", lambda: 0.01)
    await submit(pace_of(RUN), server.ask, 300)

    steps_s = [
        after - before
        for before, after in zip(server.arrived_s, server.arrived_s[1:], strict=False)
    ]
    assert (min(steps_s), max(steps_s)) == pytest.approx((0.01, 0.01))


async def test_after_a_pause_of_the_loop_it_catches_up_half_a_second_at_most() -> None:
    """What it missed is not lost, but neither does it all come at once."""
    pace, began_s = pace_of(RUN), []

    async def note() -> None:
        began_s.append(asyncio.get_running_loop().time())

    virtual_loop().stall(5)
    await submit(pace, note, 60)

    assert sum(each == began_s[0] for each in began_s) == 51


async def test_held_requests_are_open_at_once_up_to_the_limit() -> None:
    """400 long polls, not one more, and not fewer."""
    server = FarServer("status_sync", lambda: 0.05)
    pace, open_now, most = pace_of(STATUS), 0, 0

    async def held() -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await server.ask(held_s=20)
        open_now -= 1

    await submit(pace, held, 1000)

    assert (server.refused, most) == (0, 400)


async def test_an_operation_of_few_requests_keeps_its_own_limit() -> None:
    """Ten cancellations a second (API reference 4.3)."""
    server = FarServer("cancel", lambda: 0.05)
    await submit(pace_of(CANCEL), server.ask, 250)

    assert server.refused == 0
    assert 249 / (server.arrived_s[-1] - server.arrived_s[0]) >= 9.5


async def test_without_a_rate_nobody_waits() -> None:
    """A local RunPod without rate limits takes what it can."""
    pace = pace_of(Limit(None, 5000))
    await submit(pace, lambda: asyncio.sleep(0), 5000)

    assert (asyncio.get_running_loop().time(), pace.rate_per_s) == (0.0, None)


async def refuse(pace: Pace, retry_after_s: float | None = None) -> None:
    """Send a request that is refused at once."""
    with pytest.raises(RateLimitedError):
        async with pace.request():
            raise RateLimitedError("too many", retry_after_s=retry_after_s)


async def waited_s(pace: Pace) -> float:
    """Send a request, and return how long it had to wait."""
    time_s = asyncio.get_running_loop().time
    began_s = time_s()
    async with pace.request():
        return time_s() - began_s


async def test_a_refusal_makes_everybody_wait_as_long_as_runpod_asks() -> None:
    """Also those who have not asked yet."""
    pace = pace_of(Limit(100.0, 10))
    await refuse(pace, retry_after_s=7)

    assert (await waited_s(pace), pace.rate_per_s) == pytest.approx((7, 70))


async def test_without_a_word_from_runpod_pauses_double() -> None:
    """Up to a minute; a request that is let in begins anew."""
    pace, refused_s = pace_of(Limit(100.0, 10)), []
    for _ in range(8):
        await refuse(pace)
        refused_s.append(asyncio.get_running_loop().time())
    last_s = await waited_s(pace)
    await refuse(pace)

    pauses_s = [round(after_s - before_s) for before_s, after_s in pairwise(refused_s)]
    assert [*pauses_s, round(last_s)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert pytest.approx(1) == await waited_s(pace)


async def test_two_batches_do_not_pause_in_step() -> None:
    """Half of a pause is left to chance."""
    one, other = pace_of(Limit(None, 1), lambda: 0.0), pace_of(Limit(None, 1), lambda: 1.0)
    await refuse(one)
    await refuse(other)

    waits_s = await asyncio.gather(waited_s(one), waited_s(other))
    assert waits_s == pytest.approx([0.5, 1])


async def test_refusals_of_requests_that_were_on_their_way_together_count_once() -> None:
    """They tell the same; a longer wait among them is obeyed."""
    pace = pace_of(Limit(100.0, 10))

    async def refused(after_s: float, retry_after_s: float | None) -> None:
        with suppress(RateLimitedError):
            async with pace.request():
                await asyncio.sleep(after_s)
                raise RateLimitedError("too many", retry_after_s=retry_after_s)

    await asyncio.gather(refused(1.0, 2), refused(1.0, None), refused(1.0, 5), refused(1.0, 3))

    assert pytest.approx(70) == pace.rate_per_s
    assert pytest.approx(4.97, abs=0.02) == await waited_s(pace)


async def test_the_rate_recovers_to_its_ceiling_and_no_further() -> None:
    """By a fifth every ten seconds without a refusal."""
    pace, rates = pace_of(Limit(100.0, 10)), []
    await refuse(pace, retry_after_s=0)
    for _ in range(4):
        async with pace.request():
            rates.append(pace.rate_per_s)
        await asyncio.sleep(10)

    assert [pytest.approx(each) for each in (70, 84, 100, 100)] == rates


async def test_however_often_it_is_refused_it_goes_on() -> None:
    """At one request in a hundred of what is allowed."""
    pace = pace_of(Limit(100.0, 10))
    for _ in range(20):
        await refuse(pace, retry_after_s=0)

    assert pytest.approx(1) == pace.rate_per_s
    async with pace.request():
        pass


async def test_a_server_with_half_the_limit_is_found_out() -> None:
    """An endpoint that takes less than is documented is refused now and then, and all get in."""
    server = FarServer("cancel", lambda: 0.05)
    await submit(pace_of(Limit(20.0, 20)), server.ask, 400)

    assert len(server.arrived_s) - server.refused == 400
    assert server.refused < 40


async def test_other_failures_change_nothing() -> None:
    """Nor does a request that is given up keep its place."""
    pace = pace_of(Limit(100.0, 1))
    with pytest.raises(NetworkError):
        async with pace.request():
            raise NetworkError("gone")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1), pace.request():
            await asyncio.sleep(60)

    assert (await waited_s(pace), pace.rate_per_s) == (0.0, 100.0)


async def test_who_stops_waiting_leaves_the_turn_to_the_next() -> None:
    """A cancelled request neither counts nor blocks."""
    pace = pace_of(Limit(1.0, 1))
    async with pace.request():
        waiting = [asyncio.create_task(submit(pace, lambda: asyncio.sleep(0), 1)) for _ in "ab"]
        await asyncio.sleep(0.5)
        waiting[0].cancel()
    await waiting[1]

    assert pytest.approx(1, abs=0.01) == asyncio.get_running_loop().time()
