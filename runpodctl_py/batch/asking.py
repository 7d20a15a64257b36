"""Asking for many jobs at once, with as few requests as can be.

Owns which jobs are asked for and how long each question is held. A question is held at RunPod
until its job ends, so most jobs cost one; when there are more jobs than questions that may be
open, they take turns. Where RunPod does not hold (the route is in no document: API reference 4.1),
`/status` is asked at a steady pace instead. What a final job means is the caller's business.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runpodctl_py.errors import NetworkError, NotFoundError, RateLimitedError, RefusedError
from runpodctl_py.jobs.streaming import may_have_more, with_pieces

if TYPE_CHECKING:
    from runpodctl_py.api.serverless import Serverless
    from runpodctl_py.api.types import Job
    from runpodctl_py.batch.pace import Pace
    from runpodctl_py.batch.patience import Patience
    from runpodctl_py.batch.tally import Tally
    from runpodctl_py.clock import Clock
    from runpodctl_py.jobs.streaming import Heard

_LONG_HOLD_S = 50.0
_TURN_S = 10.0
"""How long a question is held while nobody, and while others, wait for their turn."""
_HONEST_HOLD = 0.5
_MISBEHAVIOURS_ALLOWED = 20
_SHORTEST_INTERVAL_S = 1.0
_LONGEST_INTERVAL_S = 15.0
_INTERVAL_PER_AGE = 0.2


class Asking:
    """Asks one endpoint for all jobs of a batch.

    Args:
        endpoint: Where they run.
        pace: How often, and how often at once, it may be asked.
        at_once: How many questions may be held; the rest of the limit is for others.
        patience: How long an outage is waited out.
        tally: Told of each request.
        clock: For measuring and waiting.
    """

    def __init__(  # noqa: PLR0917 - one of each.
        self,
        endpoint: Serverless,
        pace: Pace,
        at_once: int,
        patience: Patience,
        tally: Tally,
        clock: Clock,
    ) -> None:
        self._endpoint = endpoint
        self._pace = pace
        # Who has had its turn is the last in the queue.
        self._turns = asyncio.Semaphore(at_once)
        self._patience = patience
        self._tally = tally
        self._clock = clock
        self._misbehaviours = 0

    async def until_final(self, job_id: str, heard: Heard) -> Job:
        """Return a job when it has ended, with what it has yielded if it does not collect that.

        Args:
            job_id: Which job.
            heard: Where it is kept what it has yielded.

        Raises:
            NotFoundError: RunPod does not know it, or does not know it any more.
            NetworkError: Nothing was answered for longer than the patience.
            UnauthorizedError: The key is not accepted (any more).
        """
        began_s = self._clock.now_s()
        while True:
            try:
                job = await self._ask(job_id, self._clock.now_s() - began_s)
                if may_have_more(job):
                    async with self._pace.request():
                        self._tally.requests += 1
                        job = await with_pieces(self._endpoint, job, heard)
            except RateLimitedError:
                # The pace has heard of it.
                self._patience.answered()
                continue
            except NetworkError as exc:
                await self._patience.wait(exc)
                continue
            self._patience.answered()
            if job.status.is_final:
                return job

    async def _ask(self, job_id: str, age_s: float) -> Job:
        if self._misbehaviours > _MISBEHAVIOURS_ALLOWED:
            interval_s = max(_SHORTEST_INTERVAL_S, age_s * _INTERVAL_PER_AGE)
            await self._clock.sleep(min(interval_s, _LONGEST_INTERVAL_S))
            return await self._status(job_id)
        try:
            async with self._turns:
                return await self._held(job_id)
        except (NotFoundError, RefusedError):
            # Either the job is gone or this server has no such route: `/status` knows which.
            job = await self._status(job_id)
        self._misbehaviours += _MISBEHAVIOURS_ALLOWED // 4
        return job

    async def _held(self, job_id: str) -> Job:
        hold_s = _TURN_S if self._turns.locked() else _LONG_HOLD_S
        asked_s = self._clock.now_s()
        async with self._pace.request():
            self._tally.requests += 1
            job = await self._endpoint.status_sync(job_id, round(hold_s * 1000))
        if not job.status.is_final and self._clock.now_s() - asked_s < hold_s * _HONEST_HOLD:
            self._misbehaviours += 1
        elif self._misbehaviours:
            self._misbehaviours -= 1
        return job

    async def _status(self, job_id: str) -> Job:
        async with self._pace.request():
            self._tally.requests += 1
            return await self._endpoint.status(job_id, tries=1)
