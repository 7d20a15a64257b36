"""Following a job and hearing what it streams meanwhile, as one stream of events.

Owns when `/stream` is asked, and what stands for the output of a worker that does not collect its
pieces. The job's states are `follow.py`'s; what a piece says to a person is `words.py`'s; files in
pieces are found in the whole.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runpodctl_py.api.types import JobStatus
from runpodctl_py.errors import (
    NetworkError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    RunpodctlError,
)
from runpodctl_py.jobs.follow import Event, Finished, Queued, Started

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from runpodctl_py.api.serverless import Serverless
    from runpodctl_py.api.types import Job
    from runpodctl_py.clock import Clock
    from runpodctl_py.jsontypes import JsonValue

    Keep = Callable[[Sequence[JsonValue]], Awaitable[None]]

_HOLD_S = 5.0
"""How long RunPod may hold a question; pieces end it at once."""
_PAUSE_S = 0.5
"""Between two questions that were not held, and in an outage."""
_LAST_TRIES = 3
"""How often the last pieces of a job that has ended are asked for, if there is no answer."""


@dataclass(frozen=True)
class Piece:
    """Something that the worker yielded."""

    value: JsonValue


async def hearing(
    events: AsyncIterator[Event], endpoint: Serverless, job_id: str, clock: Clock, keep: Keep
) -> AsyncIterator[Event | Piece]:
    """Yield what `follow` says of a job, and its pieces as they arrive; `Finished` is last.

    Args:
        events: The job's states, as `follow` yields them.
        endpoint: Where the job runs.
        job_id: Which job.
        clock: For measuring and waiting.
        keep: Told what has arrived, before it is yielded: RunPod hands it out only once.

    Raises:
        RunpodctlError: What following the job raises. What goes wrong with the pieces alone does
            not end it: a worker that collects them has them in its output.
    """
    began_s = clock.now_s()
    listening = _Listening(endpoint, job_id, clock)
    news: asyncio.Task[Event] = asyncio.ensure_future(_next(events))
    pieces: asyncio.Task[Sequence[JsonValue]] | None = asyncio.create_task(listening.more())
    has_started = False
    try:
        while pieces is not None or not news.done():
            listening.has_ended = news.done()
            waiting = {each for each in (news, pieces) if each is not None and not each.done()}
            if waiting:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if pieces is not None and pieces.done():
                heard = pieces.result()
                pieces = None if listening.is_over else asyncio.create_task(listening.more())
                if heard:
                    await keep(heard)
                if heard and not has_started:
                    # The long poll on the job's state is held for longer than the first piece is.
                    has_started = True
                    yield Started(await endpoint.status(job_id), clock.now_s() - began_s)
                for value in heard:
                    yield Piece(value)
            if news.done() and not isinstance(event := news.result(), Finished):
                if not (isinstance(event, Started) and has_started):
                    yield event
                has_started = not isinstance(event, Queued)
                news = asyncio.ensure_future(_next(events))
        yield news.result()
    finally:
        for task in filter(None, (news, pieces)):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, RunpodctlError):
                await task


async def _next(events: AsyncIterator[Event]) -> Event:
    return await anext(events)


class _Listening:
    """What asking for one job's pieces remembers between two questions.

    Attributes:
        has_ended: Whether the job is known to have ended: then what is silent stays so.
        is_over: Whether nothing more is to be expected.
    """

    def __init__(self, endpoint: Serverless, job_id: str, clock: Clock) -> None:
        self._endpoint = endpoint
        self._job_id = job_id
        self._clock = clock
        self._failures = 0
        self.has_ended = False
        self.is_over = False

    async def more(self) -> Sequence[JsonValue]:
        """Return what has been streamed since we last asked; held until there is some, or not."""
        asked_s = self._clock.now_s()
        try:
            found = await self._endpoint.stream(self._job_id, round(_HOLD_S * 1000))
        except (NetworkError, RateLimitedError):
            self._failures += 1
            self.is_over = self.has_ended and self._failures >= _LAST_TRIES
            await self._clock.sleep(_PAUSE_S)
            return ()
        except RunpodctlError:
            # The job is gone, or this server has no such route: following it says which.
            self.is_over = True
            return ()
        self._failures = 0
        # Some servers hand out the last pieces with the final state, some before it.
        self.is_over = found.status.is_final and not found.pieces
        is_idle = not found.pieces and not self.is_over
        if is_idle and self._clock.now_s() - asked_s < _PAUSE_S:
            await self._clock.sleep(_PAUSE_S)
        return found.pieces


def is_uncollected(job: Job) -> bool:
    """Tell whether a job may have yielded what is not in its output."""
    return job.status is JobStatus.COMPLETED and job.output in (None, [])


async def with_pieces(endpoint: Serverless, job: Job, known: Sequence[JsonValue]) -> Job:
    """Return an ended job with its pieces as its output, if it has none of its own.

    A worker that does not collect what it yields leaves an empty output (API reference 4.4); what
    nobody has heard yet is still at RunPod.

    Args:
        endpoint: Where it ran.
        job: As RunPod shows it.
        known: What was heard of it.

    Raises:
        NetworkError, RateLimitedError: Whether there is more could not be asked.
    """
    if not (is_uncollected(job) or (known and job.status.is_final and not job.output)):
        return job
    pieces = [*known, *await _rest(endpoint, job.job_id)]
    return replace(job, output=pieces) if pieces else job


async def _rest(endpoint: Serverless, job_id: str) -> list[JsonValue]:
    rest: list[JsonValue] = []
    with contextlib.suppress(NotFoundError, RefusedError):
        while pieces := (await endpoint.stream(job_id, 0)).pieces:
            rest += pieces
    return rest
