from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest

from runpodctl_py.api.types import Health, Job, JobCounts, JobStatus, WorkerCounts
from runpodctl_py.errors import (
    NetworkError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    ResultExpiredError,
    RunpodctlError,
    ServerError,
    UnauthorizedError,
    WaitTimeoutError,
)
from runpodctl_py.jobs.follow import (
    LONGEST_HOLD_S,
    LONGEST_INTERVAL_S,
    PATIENCE_S,
    SHORTEST_INTERVAL_S,
    Event,
    Finished,
    Progressed,
    Queued,
    Started,
    Unchanged,
    follow,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runpodctl_py.api.serverless import Serverless

pytestmark = pytest.mark.anyio

HEALTH = Health(JobCounts(), WorkerCounts(initializing=1))
#: No test of a loop that should end goes on for longer.
MOST_REQUESTS = 2_000


class StillClock:
    """A `Clock` that moves only while somebody sleeps."""

    def __init__(self) -> None:
        self._now_s = 1000.0

    def now_s(self) -> float:
        """Return the time."""
        return self._now_s

    async def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self._now_s += seconds


def job(status: str, output: object = None) -> Job:
    """Make a job in a state."""
    return Job("j", JobStatus.parse(status), output=output)  # type: ignore[arg-type] # any JSON


def state_at(*changes: tuple[float, Job | RunpodctlError]) -> Callable[[float], Job]:
    """Return what `/status` says at a time: the last change before it, or its error."""

    def state(elapsed_s: float) -> Job:
        found = [what for at_s, what in changes if at_s <= elapsed_s][-1]
        if isinstance(found, RunpodctlError):
            raise found
        return found

    return state


@dataclass
class Endpoint:
    """One job's endpoint: keeps a record of what it is asked, and answers as time goes by.

    Args:
        state: The job at a time after the beginning.
        long_poll_trouble: What `status-sync` answers instead, one per request.
        hold: Which part of the hold it really holds.
        health_trouble: What `/health` answers instead.
    """

    clock: StillClock
    state: Callable[[float], Job]
    long_poll_trouble: Iterator[RunpodctlError | None] = field(
        default_factory=lambda: itertools.repeat(None)
    )
    hold: float = 1.0
    health_trouble: RunpodctlError | None = None
    asked: list[str] = field(default_factory=list)
    holds_s: list[float] = field(default_factory=list)

    @property
    def elapsed_s(self) -> float:
        """How long the job has been followed."""
        return self.clock.now_s() - 1000.0

    async def status(self, job_id: str, *, tries: int | None = None) -> Job:
        """Answer as `/status` does."""
        assert tries == 1, "following is the loop that tries again"
        self._note("status", job_id)
        return self.state(self.elapsed_s)

    async def status_sync(self, job_id: str, wait_ms: int) -> Job:
        """Hold until the job is final or the wait is over."""
        self._note("status-sync", job_id)
        self.holds_s.append(wait_ms / 1000)
        if trouble := next(self.long_poll_trouble):
            raise trouble
        until_s = self.clock.now_s() + wait_ms / 1000 * self.hold
        while self.clock.now_s() < until_s:
            found = self.state(self.elapsed_s)
            if found.status.is_final:
                return found
            await self.clock.sleep(min(0.25, until_s - self.clock.now_s()))
        return self.state(self.elapsed_s)

    async def health(self, *, tries: int | None = None) -> Health:
        """Answer as `/health` does."""
        assert tries == 1, "what only decorates the waiting is not tried again and again"
        self.asked.append("health")
        if self.health_trouble:
            raise self.health_trouble
        return HEALTH

    def _note(self, operation: str, job_id: str) -> None:
        assert job_id == "j"
        self.asked.append(operation)
        assert len(self.asked) < MOST_REQUESTS, "this goes on for ever"

    @property
    def questions(self) -> list[str]:
        """What was asked about the job."""
        return [operation for operation in self.asked if operation != "health"]


async def events_of(
    endpoint: Endpoint,
    first: Job | None = None,
    timeout_s: float | None = None,
    *,
    was_seen: bool = False,
) -> list[Event]:
    """Follow the job to its end."""
    events = follow(
        cast("Serverless", endpoint),
        first or job("IN_QUEUE"),
        endpoint.clock,
        timeout_s=timeout_s,
        was_seen=was_seen,
    )
    return [event async for event in events]


@pytest.fixture
def clock() -> StillClock:
    """A clock at some time that is not zero."""
    return StillClock()


def kinds(events: list[Event]) -> list[str]:
    """Name the events, those that repeat once."""
    return [name for name, _ in itertools.groupby(type(e).__name__ for e in events)]


async def test_a_job_from_the_queue_to_its_end(clock: StillClock) -> None:
    """Each thing that happens is told, with its time."""
    done = job("COMPLETED", {"a": 1})
    endpoint = Endpoint(
        clock,
        state_at(
            (0, job("IN_QUEUE")),
            (0.9, job("IN_PROGRESS")),
            (1.9, job("IN_PROGRESS", {"progress": 50})),
            (2.5, done),
        ),
    )

    events = await events_of(endpoint)

    assert kinds(events) == ["Queued", "Started", "Progressed", "Finished"]
    assert events[0] == Queued(0, HEALTH)
    assert events[1] == Started(job("IN_PROGRESS"), 1.0)
    assert events[-1] == Finished(done, 2.5)
    assert endpoint.asked == ["health", "status-sync", "status-sync", "status-sync"]


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"])
async def test_a_final_job_is_not_asked_about(clock: StillClock, status: str) -> None:
    """`/runsync` often brings it at once."""
    endpoint = Endpoint(clock, state_at((0, job("IN_QUEUE"))))

    assert await events_of(endpoint, job(status)) == [Finished(job(status), 0)]
    assert endpoint.asked == []


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"])
async def test_nothing_is_asked_after_the_end(clock: StillClock, status: str) -> None:
    """One question brings the end, and there is no second."""
    endpoint = Endpoint(clock, state_at((0, job(status))))

    await events_of(endpoint)

    assert endpoint.questions == ["status-sync"]


async def test_an_unknown_state_counts_as_in_progress(clock: StillClock) -> None:
    """RunPod may invent one; the job is followed on."""
    endpoint = Endpoint(clock, state_at((0, job("PAUSED")), (2, job("COMPLETED"))))

    assert kinds(await events_of(endpoint)) == ["Queued", "Started", "Finished"]


async def test_a_job_that_lost_its_worker_starts_again(clock: StillClock) -> None:
    """It is queued again, and its progress is told from the beginning."""
    half = job("IN_PROGRESS", {"progress": 50})
    endpoint = Endpoint(
        clock, state_at((0, half), (2, job("IN_QUEUE")), (4, half), (6, job("COMPLETED")))
    )

    events = await events_of(endpoint)

    assert [k for k in kinds(events) if k != "Unchanged"] == [
        *("Queued", "Started", "Progressed"),
        *("Queued", "Started", "Progressed", "Finished"),
    ]


async def test_the_same_progress_is_told_once(clock: StillClock) -> None:
    """A question without news is an `Unchanged`."""
    half = job("IN_PROGRESS", {"progress": 50})
    endpoint = Endpoint(clock, state_at((0, half), (3.5, job("COMPLETED"))))

    events = await events_of(endpoint, half)

    assert [type(e) for e in events] == [
        *(Started, Progressed, Unchanged, Unchanged, Unchanged),
        Finished,
    ]


async def test_long_polls_grow_with_the_jobs_age(clock: StillClock) -> None:
    """A short job's progress is fresh, a long job costs few requests: 137 in ten minutes."""
    endpoint = Endpoint(clock, state_at((0, job("IN_PROGRESS")), (600, job("COMPLETED"))))

    events = await events_of(endpoint)

    assert endpoint.holds_s[:3] == [1.0, 1.0, 1.0]
    assert endpoint.holds_s == sorted(endpoint.holds_s)
    assert endpoint.holds_s[-1] == LONGEST_HOLD_S
    assert 600 <= events[-1].elapsed_s < 600.25
    assert len(endpoint.questions) == 137


@pytest.mark.parametrize("trouble", [NotFoundError("404"), RefusedError("405")])
async def test_without_a_long_poll_the_status_is_asked(
    clock: StillClock, trouble: RunpodctlError
) -> None:
    """A server that has no such route is not asked for it again."""
    endpoint = Endpoint(
        clock,
        state_at((0, job("IN_PROGRESS")), (60, job("COMPLETED"))),
        long_poll_trouble=itertools.repeat(trouble),
    )

    events = await events_of(endpoint)

    assert endpoint.questions[0] == "status-sync"
    assert set(endpoint.questions[1:]) == {"status"}
    assert len(endpoint.questions) == 59
    assert 60 <= events[-1].elapsed_s <= 60 + LONGEST_INTERVAL_S


@pytest.mark.parametrize("trouble", [ServerError("garbage", status=200), NetworkError("cut")])
async def test_a_long_poll_that_fails_twice_is_given_up(
    clock: StillClock, trouble: RunpodctlError
) -> None:
    """Once can happen; after the second time only `/status` is asked."""
    endpoint = Endpoint(
        clock,
        state_at((0, job("IN_PROGRESS")), (10, job("COMPLETED"))),
        long_poll_trouble=itertools.repeat(trouble),
    )

    await events_of(endpoint)

    assert endpoint.questions[:5] == ["status-sync", "status", "status-sync", "status", "status"]
    assert endpoint.questions.count("status-sync") == 2


async def test_a_long_poll_that_fails_once_is_used_on(clock: StillClock) -> None:
    """A single cut connection does not make a long job expensive."""
    endpoint = Endpoint(
        clock,
        state_at((0, job("IN_PROGRESS")), (30, job("COMPLETED"))),
        long_poll_trouble=itertools.chain([NetworkError("cut")], itertools.repeat(None)),
    )

    await events_of(endpoint)

    assert endpoint.questions.count("status") == 1


async def test_a_long_poll_that_does_not_hold_is_given_up(clock: StillClock) -> None:
    """A server that answers at once would be asked thousands of times."""
    endpoint = Endpoint(clock, state_at((0, job("IN_PROGRESS")), (60, job("COMPLETED"))), hold=0.1)

    events = await events_of(endpoint, job("IN_PROGRESS"))

    assert endpoint.questions.count("status-sync") == 2
    assert len(endpoint.questions) == 59
    assert events[-1].elapsed_s >= 60


async def test_news_may_come_before_the_hold_is_over(clock: StillClock) -> None:
    """A server that answers at each change behaves better than it has to."""
    steps = [(n / 10, job("IN_PROGRESS", {"progress": n})) for n in range(50)]
    endpoint = Endpoint(clock, state_at(*steps, (5, job("COMPLETED"))), hold=0.1)

    await events_of(endpoint, job("IN_PROGRESS"))

    assert set(endpoint.questions) == {"status-sync"}


async def test_a_result_that_expired_while_we_looked(clock: StillClock) -> None:
    """It was there: the error says that it is gone, and why."""
    endpoint = Endpoint(clock, state_at((0, job("IN_PROGRESS")), (5, NotFoundError("404"))))

    with pytest.raises(ResultExpiredError, match="was there and is gone") as raised:
        await events_of(endpoint)

    assert (raised.value.job_id, raised.value.exit_code) == ("j", 3)


async def test_a_job_that_never_was_is_not_called_expired(clock: StillClock) -> None:
    """It is a wrong id, or a wrong endpoint; one look with `/status` is enough to know."""
    endpoint = Endpoint(clock, state_at((0, NotFoundError("Endpoint e knows no job j"))))

    with pytest.raises(NotFoundError, match="knows no job j") as raised:
        await events_of(endpoint)

    assert not isinstance(raised.value, ResultExpiredError)
    assert endpoint.questions == ["status-sync", "status"]


@pytest.mark.parametrize("timeout_s", [0.3, 1.0, 2.5, 30.0])
async def test_the_time_limit_is_kept_to_the_moment(clock: StillClock, timeout_s: float) -> None:
    """Below RunPod's shortest hold, too; the job goes on."""
    endpoint = Endpoint(clock, state_at((0, job("IN_PROGRESS"))))

    with pytest.raises(WaitTimeoutError) as raised:
        await events_of(endpoint, timeout_s=timeout_s)

    assert endpoint.elapsed_s == pytest.approx(timeout_s)
    assert raised.value.message == f"Stopped waiting after {timeout_s:g} s; the job goes on"
    assert raised.value.job_id == "j"


async def test_a_job_that_ends_in_the_last_moment_is_seen(clock: StillClock) -> None:
    """The last sub-second is waited for, and looked at."""
    endpoint = Endpoint(clock, state_at((0, job("IN_PROGRESS")), (2.4, job("COMPLETED"))))

    events = await events_of(endpoint, timeout_s=2.5)

    assert isinstance(events[-1], Finished)
    assert endpoint.questions == ["status-sync", "status-sync", "status"]


async def test_a_limit_of_zero_asks_nothing(clock: StillClock) -> None:
    """What is known is all there is."""
    endpoint = Endpoint(clock, state_at((0, job("COMPLETED"))))

    with pytest.raises(WaitTimeoutError):
        await events_of(endpoint, timeout_s=0)

    assert endpoint.questions == []


@pytest.mark.parametrize("timeout_s", [None, 100.0])
async def test_a_rate_limit_makes_us_slower_not_faster(
    clock: StillClock, timeout_s: float | None
) -> None:
    """Only `status-sync` is limited: `/status` is asked at intervals, not in a storm."""
    endpoint = Endpoint(
        clock,
        state_at((0, job("IN_PROGRESS")), (60, job("COMPLETED"))),
        long_poll_trouble=itertools.repeat(RateLimitedError("429")),
    )

    events = await events_of(endpoint, timeout_s=timeout_s)

    assert 60 <= events[-1].elapsed_s <= 60 + LONGEST_INTERVAL_S
    assert len(endpoint.questions) == 114


async def test_after_a_rate_limit_long_polls_go_on(clock: StillClock) -> None:
    """The limit passes; that we were too fast says nothing about the route."""
    limits = itertools.chain([RateLimitedError("429")] * 5, itertools.repeat(None))
    endpoint = Endpoint(
        clock,
        state_at((0, job("IN_PROGRESS")), (60, job("COMPLETED"))),
        long_poll_trouble=limits,
    )

    await events_of(endpoint)

    assert endpoint.questions.count("status") == 5


TROUBLES = pytest.mark.parametrize("trouble", [RateLimitedError("429"), NetworkError("down")])


@TROUBLES
async def test_an_outage_that_does_not_end_is_told(
    clock: StillClock, trouble: RunpodctlError
) -> None:
    """After two minutes without any answer; not asked in a hurry meanwhile."""
    endpoint = Endpoint(clock, state_at((0, trouble)), long_poll_trouble=itertools.repeat(trouble))

    with pytest.raises(type(trouble)):
        await events_of(endpoint)

    assert PATIENCE_S < endpoint.elapsed_s < PATIENCE_S + 2 * LONGEST_INTERVAL_S
    assert endpoint.questions.count("status") < PATIENCE_S / SHORTEST_INTERVAL_S


@TROUBLES
async def test_an_outage_that_ends_is_survived(clock: StillClock, trouble: RunpodctlError) -> None:
    """The job went on meanwhile, and so does following it; the patience begins anew."""
    endpoint = Endpoint(
        clock,
        state_at(
            (0, job("IN_PROGRESS")),
            (10, trouble),
            (100, job("IN_PROGRESS")),
            (120, trouble),
            (210, job("COMPLETED")),
        ),
    )

    events = await events_of(endpoint)

    assert isinstance(events[-1], Finished)


async def test_a_key_that_is_refused_ends_it(clock: StillClock) -> None:
    """`/status` would say the same."""
    endpoint = Endpoint(
        clock,
        state_at((0, job("IN_PROGRESS"))),
        long_poll_trouble=itertools.repeat(UnauthorizedError("401")),
    )

    with pytest.raises(UnauthorizedError):
        await events_of(endpoint)

    assert endpoint.questions == ["status-sync"]


@pytest.mark.parametrize(
    "trouble",
    [
        ServerError("500", status=500),
        NotFoundError("404"),
        RefusedError("405"),
        UnauthorizedError("403"),
        RateLimitedError("429"),
    ],
)
async def test_the_workers_state_is_only_decoration(
    clock: StillClock, trouble: RunpodctlError
) -> None:
    """Whatever `/health` answers, the job is followed."""
    endpoint = Endpoint(
        clock,
        state_at((0, job("IN_QUEUE")), (2, job("COMPLETED"))),
        health_trouble=trouble,
    )

    events = await events_of(endpoint)

    assert events[0] == Queued(0, None)
    assert isinstance(events[-1], Finished)


async def test_the_workers_state_is_asked_seldom(clock: StillClock) -> None:
    """Every three seconds at most, and never once the job runs."""
    endpoint = Endpoint(
        clock,
        state_at((0, job("IN_QUEUE")), (7, job("IN_PROGRESS")), (60, job("COMPLETED"))),
    )

    await events_of(endpoint)

    assert endpoint.asked.count("health") == 3


class HangingEndpoint(Endpoint):
    """One whose answers never come; only cancelling ends a question."""

    async def status(self, job_id: str, *, tries: int | None = None) -> Job:
        """Hang."""
        await asyncio.Event().wait()
        return await super().status(job_id, tries=tries)

    async def status_sync(self, job_id: str, wait_ms: int) -> Job:
        """Hang."""
        await asyncio.Event().wait()
        return await super().status_sync(job_id, wait_ms)


async def test_a_time_limit_ends_a_question_that_hangs(clock: StillClock) -> None:
    """Whatever the network does, the person gets the terminal back."""
    endpoint = HangingEndpoint(clock, state_at((0, job("IN_PROGRESS"))))

    with pytest.raises(WaitTimeoutError, match=r"after 0\.05 s"):
        await events_of(endpoint, timeout_s=0.05)


class SlowHealth(Endpoint):
    """One whose `/health` never answers."""

    async def health(self, *, tries: int | None = None) -> Health:
        """Hang."""
        await asyncio.Event().wait()
        return await super().health(tries=tries)


async def test_a_health_that_hangs_is_not_waited_for(clock: StillClock) -> None:
    """It only decorates the waiting."""
    endpoint = SlowHealth(clock, state_at((0, job("IN_QUEUE")), (2, job("COMPLETED"))))

    events = await events_of(endpoint)

    assert next(e.health for e in events if isinstance(e, Queued)) is None
    assert isinstance(events[-1], Finished)


async def test_a_job_that_was_seen_before_and_is_gone_has_expired(clock: StillClock) -> None:
    """As `watch` knows, which has asked for it already."""
    endpoint = Endpoint(clock, state_at((0, NotFoundError("gone"))))

    with pytest.raises(ResultExpiredError):
        await events_of(endpoint, was_seen=True)
