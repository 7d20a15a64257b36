"""Following a job and hearing what it streams meanwhile, as one stream of events.

Owns when `/stream` is asked, and what stands for the output of a worker that does not collect its
pieces. The job's states are `follow.py`'s; what a piece says to a person is `words.py`'s; files in
pieces are found in the whole.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from runpodctl_py.api.types import Job, JobStatus
from runpodctl_py.errors import (
    NetworkError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    RunpodctlError,
)
from runpodctl_py.jobs.follow import Event, Finished, Queued, Started

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from runpodctl_py.api.serverless import Serverless
    from runpodctl_py.clock import Clock
    from runpodctl_py.jsontypes import JsonValue

_HOLD_S = 5.0
"""How long RunPod may hold a question; pieces end it at once."""
_PAUSE_S = 0.5
"""Between two questions that were not held, and in an outage."""
_MOST_ANSWERS = 100_000
"""How often the rest of a job's pieces is asked for: more than any job has."""
_LAST_TRIES = 3
"""How often the last pieces of a job that has ended are asked for, if there is no answer."""


class Heard(Protocol):
    """Where it is kept what a job has streamed: RunPod hands each piece out only once."""

    async def known(self) -> Sequence[JsonValue]:
        """Return all that was kept, in its order."""

    async def keep(self, pieces: Sequence[JsonValue]) -> None:
        """Keep what has just arrived."""


@dataclass(frozen=True)
class Piece:
    """Something that the worker yielded."""

    value: JsonValue


@dataclass(frozen=True)
class Missed:
    """A question about pieces got no answer: what it would have brought may not come again."""


async def hearing(
    events: AsyncIterator[Event], endpoint: Serverless, job_id: str, clock: Clock, heard: Heard
) -> AsyncIterator[Event | Piece | Missed]:
    """Yield what `follow` says of a job, and its pieces as they arrive; `Finished` is last.

    Args:
        events: The job's states, as `follow` yields them.
        endpoint: Where the job runs.
        job_id: Which job.
        clock: For measuring and waiting.
        heard: Told what has arrived, before it is yielded.

    Raises:
        RunpodctlError: What following the job raises. What goes wrong with the pieces alone does
            not end it: a worker that collects them has them in its output.
    """
    order = _Order()
    listening = _Listening(endpoint, job_id, clock, heard, order)
    news: asyncio.Task[Event] = asyncio.ensure_future(_next(events))
    pieces: asyncio.Task[Sequence[JsonValue]] | None = asyncio.create_task(listening.more())
    try:
        while pieces is not None or not news.done():
            listening.has_ended = news.done()
            waiting = {each for each in (news, pieces) if each is not None and not each.done()}
            if waiting:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if pieces is not None and pieces.done():
                async for told in listening.told(pieces.result()):
                    yield told
                pieces = None if listening.is_over else asyncio.create_task(listening.more())
            if news.done() and not isinstance(event := news.result(), Finished):
                if order.lets(event):
                    yield event
                news = asyncio.ensure_future(_next(events))
        yield news.result()
    finally:
        for task in filter(None, (news, pieces)):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, RunpodctlError):
                await task


class _Order:
    """What was told of a job already.

    The question about its state may be held for longer than its first piece is: then it starts
    with that piece, and what the state says of the time before is old.
    """

    def __init__(self) -> None:
        self._has_begun = False
        self._is_confirmed = False

    def begins_with_pieces(self) -> bool:
        """Tell whether the job's start has to be told, because it has yielded something."""
        begins, self._has_begun = not self._has_begun, True
        return begins

    def lets(self, event: Event) -> bool:
        """Tell whether an event is news."""
        if isinstance(event, Queued):
            if self._has_begun and not self._is_confirmed:
                return False
            self._has_begun = self._is_confirmed = False
        elif isinstance(event, Started):
            was_told, self._has_begun, self._is_confirmed = self._has_begun, True, True
            return not was_told
        return True


async def _next(events: AsyncIterator[Event]) -> Event:
    return await anext(events)


class _Listening:
    """What asking for one job's pieces remembers between two questions.

    Attributes:
        has_ended: Whether the job is known to have ended: then what is silent stays so.
        is_over: Whether nothing more is to be expected.
    """

    def __init__(
        self, endpoint: Serverless, job_id: str, clock: Clock, heard: Heard, order: _Order
    ) -> None:
        self._endpoint = endpoint
        self._job_id = job_id
        self._clock = clock
        self._heard = heard
        self._order = order
        self._began_s = clock.now_s()
        self._failures = 0
        self._has_missed = False
        self.has_ended = False
        self.is_over = False

    async def told(self, found: Sequence[JsonValue]) -> AsyncIterator[Started | Piece | Missed]:
        """Yield what an answer says; its pieces are kept before."""
        if self._has_missed:
            self._has_missed = False
            yield Missed()
        if not found:
            return
        await self._heard.keep(found)
        if self._order.begins_with_pieces():
            yield Started(await self._running_job(), self._clock.now_s() - self._began_s)
        for value in found:
            yield Piece(value)

    async def _running_job(self) -> Job:
        """Return the job, as far as it is known, that has yielded something."""
        with contextlib.suppress(RunpodctlError):
            return await self._endpoint.status(self._job_id, tries=1)
        return Job(self._job_id, JobStatus.IN_PROGRESS)

    async def more(self) -> Sequence[JsonValue]:
        """Return what has been streamed since we last asked; held until there is some, or not."""
        asked_s, had_ended = self._clock.now_s(), self.has_ended
        try:
            found = await self._endpoint.stream(self._job_id, round(_HOLD_S * 1000))
        except (NetworkError, RateLimitedError) as exc:
            self._failures += 1
            self._has_missed = isinstance(exc, NetworkError)
            self.is_over = had_ended and self._failures >= _LAST_TRIES
            await self._clock.sleep(_PAUSE_S)
            return ()
        except RunpodctlError:
            # The job is gone, or this server has no such route: following it says which.
            self.is_over = True
            return ()
        self._failures = 0
        # Some servers hand out the last pieces with the final state, some before it.
        self.is_over = not found.pieces and (found.status.is_final or had_ended)
        is_idle = not found.pieces and not self.is_over
        if is_idle and self._clock.now_s() - asked_s < _PAUSE_S:
            await self._clock.sleep(_PAUSE_S)
        return found.pieces


def may_have_more(job: Job) -> bool:
    """Tell whether an ended job may have yielded what is not in its output.

    A worker that does not collect what it yields leaves an empty output (API reference 4.4), and so
    does one that fails after it has yielded something.
    """
    return job.status in {JobStatus.COMPLETED, JobStatus.FAILED} and job.output in (None, [])


async def with_pieces(endpoint: Serverless, job: Job, heard: Heard) -> Job:
    """Return an ended job with its pieces as its output, if it has none of its own.

    What nobody has heard yet is still at RunPod; it is kept before anything else is asked.

    Args:
        endpoint: Where it ran.
        job: As RunPod shows it.
        heard: Where it is kept what was heard of it.

    Raises:
        NetworkError, RateLimitedError: Whether there is more could not be asked.
    """
    if not job.status.is_final or job.output not in (None, []):
        return job
    if may_have_more(job):
        with contextlib.suppress(NotFoundError, RefusedError):
            for _ in range(_MOST_ANSWERS):
                if not (pieces := (await endpoint.stream(job.job_id, 0)).pieces):
                    break
                await heard.keep(pieces)
    known = await heard.known()
    return replace(job, output=list(known)) if known else job
