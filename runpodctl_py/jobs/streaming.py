"""The pieces of a streaming job as they arrive, and the job as a whole when it has ended.

Owns when `/stream` is asked, and what stands for the output of a worker that does not collect its
pieces. What a piece says to a person is `words.py`'s; files in pieces are found in the whole.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from runpodctl_py.errors import NetworkError, RateLimitedError, WaitTimeoutError
from runpodctl_py.jobs.follow import PATIENCE_S, Finished

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from runpodctl_py.api.serverless import Serverless
    from runpodctl_py.api.types import Job
    from runpodctl_py.clock import Clock
    from runpodctl_py.jsontypes import JsonValue

_Result = TypeVar("_Result")
_HOLD_S = 5.0
"""How long RunPod may hold a question; pieces end it at once."""
_PAUSE_S = 0.5
"""Between two questions that were not held, and in an outage."""


@dataclass(frozen=True)
class Piece:
    """Something that the worker yielded.

    Args:
        value: What.
        elapsed_s: Since we began to listen.
    """

    value: JsonValue
    elapsed_s: float


async def stream(
    endpoint: Serverless,
    job_id: str,
    clock: Clock,
    *,
    timeout_s: float | None = None,
    patience_s: float = PATIENCE_S,
) -> AsyncIterator[Piece | Finished]:
    """Yield a job's pieces as they arrive; the last event is `Finished`.

    A worker that does not collect its pieces leaves an empty output (API reference 4.4): the
    finished job then has the list of what was heard, as it would have been collected.

    Args:
        endpoint: Where the job runs.
        job_id: The job; it may wait, run or have ended.
        clock: For measuring and waiting.
        timeout_s: Stop waiting after this time; the job goes on.
        patience_s: How long an outage is waited out.

    Raises:
        WaitTimeoutError: The time is over.
        NotFoundError: The job is not known any more.
        NetworkError: There was no answer for longer than `patience_s`.
    """
    listening = _Listening(endpoint, job_id, clock, timeout_s, patience_s)
    async for piece in listening.pieces():
        yield piece
    job = await listening.within_limit(endpoint.status(job_id))
    yield Finished(listening.whole(job), listening.elapsed_s)


class _Listening:
    """What listening to one job remembers between two questions."""

    def __init__(
        self,
        endpoint: Serverless,
        job_id: str,
        clock: Clock,
        timeout_s: float | None,
        patience_s: float,
    ) -> None:
        self._endpoint = endpoint
        self._job_id = job_id
        self._clock = clock
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._began_s = self._answered_s = clock.now_s()
        self._heard: list[JsonValue] = []

    @property
    def elapsed_s(self) -> float:
        return self._clock.now_s() - self._began_s

    async def pieces(self) -> AsyncIterator[Piece]:
        """Yield pieces until the job has ended and all of them were handed out."""
        while True:
            self._refuse_if_over()
            asked_s = self._clock.now_s()
            try:
                asked = self._endpoint.stream(self._job_id, round(_HOLD_S * 1000))
                found = await self.within_limit(asked)
            except (NetworkError, RateLimitedError):
                if self._clock.now_s() - self._answered_s > self._patience_s:
                    raise
                await self.within_limit(self._clock.sleep(_PAUSE_S))
                continue
            self._answered_s = self._clock.now_s()
            for value in found.pieces:
                self._heard.append(value)
                yield Piece(value, self.elapsed_s)
            # Some servers hand out the last pieces with the final state, some before it.
            if found.status.is_final and not found.pieces:
                return
            if not found.pieces and self._clock.now_s() - asked_s < _PAUSE_S:
                await self.within_limit(self._clock.sleep(_PAUSE_S))

    async def within_limit(self, waiting: Awaitable[_Result]) -> _Result:
        """Wait for something, but not beyond the time limit.

        Raises:
            WaitTimeoutError: The time is over.
        """
        left_s = None if self._timeout_s is None else self._timeout_s - self.elapsed_s
        try:
            async with asyncio.timeout(left_s):
                return await waiting
        except TimeoutError as exc:
            raise self._over() from exc

    def _refuse_if_over(self) -> None:
        if self._timeout_s is not None and self.elapsed_s >= self._timeout_s:
            raise self._over()

    def _over(self) -> WaitTimeoutError:
        return WaitTimeoutError(
            f"Stopped waiting after {self._timeout_s or 0:g} s; the job goes on",
            job_id=self._job_id,
        )

    def whole(self, job: Job) -> Job:
        """Return the ended job with all that was heard, where it has no output of its own."""
        return replace(job, output=self._heard) if self._heard and not job.output else job
