"""Sending one row at a time, in the order that loses nothing.

Owns the turn, the intent in the ledger, the request, and waiting out outages. A job of which nobody
knows whether it exists is the worst thing to leave behind, so what has begun to be sent is not
broken off.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from runpodctl_py.api.types import JobRequest
from runpodctl_py.errors import AnswerLostError, NetworkError, RateLimitedError
from runpodctl_py.jobs.buckets import place_in
from runpodctl_py.jobs.ledger import Intent
from runpodctl_py.jobs.notes import sent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runpodctl_py.api.serverless import Serverless
    from runpodctl_py.api.types import Job
    from runpodctl_py.batch.pace import Pace
    from runpodctl_py.batch.patience import Patience
    from runpodctl_py.batch.row import Row
    from runpodctl_py.batch.tally import Tally
    from runpodctl_py.errors import LedgerError
    from runpodctl_py.jobs.ledger import Batch, Scribe
    from runpodctl_py.jsontypes import JsonValue

_LAST_ANSWERS_S = 40.0
"""How long, when everything is to stop, we wait for the answers to what is being sent."""


class Sending:
    """Sends the rows of a batch.

    Args:
        batch: Which batch.
        endpoint: Where they go.
        scribe: Where it is written down.
        pace: How often, and how often at once, jobs may be sent.
        patience: How long an outage is waited out.
        tally: Kept up to date.
        s3_config: The bucket that workers put files into, with its keys.
        returns_object: Whether a mere text as an output says what went wrong.
    """

    def __init__(  # noqa: PLR0917 - one of each.
        self,
        batch: Batch,
        endpoint: Serverless,
        scribe: Scribe,
        pace: Pace,
        patience: Patience,
        tally: Tally,
        s3_config: Mapping[str, JsonValue] | None = None,
        *,
        returns_object: bool = False,
    ) -> None:
        self._batch = batch
        self._endpoint = endpoint
        self._scribe = scribe
        self._pace = pace
        self._patience = patience
        self._tally = tally
        self._s3_config = s3_config
        self._bucket = place_in(s3_config)
        self._returns_object = returns_object
        self._underway: set[asyncio.Task[tuple[str, Job]]] = set()
        self._is_stopped = False
        self._outage = asyncio.Lock()

    def stop(self) -> None:
        """Begin to send nothing more: whose turn comes from now on is left unsent."""
        self._is_stopped = True

    async def send(self, row: Row, parent: str | None) -> tuple[str, Job] | None:
        """Send a row when it is its turn; what RunPod surely did not take, once more.

        Args:
            row: The row.
            parent: The ledger's key of the attempt that this one repeats.

        Returns:
            The ledger's key of this attempt, and the job; None if it was left unsent.

        Raises:
            AnswerLostError: It was sent, and nobody knows what became of it.
            RefusedError, PayloadTooLargeError: RunPod does not take this row.
            NetworkError, UnauthorizedError, NotFoundError, LedgerError: It concerns all rows.
        """
        while True:
            try:
                async with self._pace.request():
                    if self._is_stopped:
                        return None
                    self._tally.requests += 1
                    found = await self._undisturbed(row, parent)
            except AnswerLostError:
                raise
            except RateLimitedError:
                # The pace has heard of it.
                self._patience.answered()
                self._tally.limited += 1
            except NetworkError as exc:
                # One at a time: each try stands in the ledger.
                async with self._outage:
                    await self._patience.wait(exc)
            else:
                self._patience.answered()
                self._tally.sent += 1
                return found

    async def finish(self) -> None:
        """Wait for the answers to what is being sent, though not for long."""
        if self._underway:
            await asyncio.wait(self._underway, timeout=_LAST_ANSWERS_S)
        for task in self._underway:
            task.cancel()
        await asyncio.gather(*self._underway, return_exceptions=True)

    async def _undisturbed(self, row: Row, parent: str | None) -> tuple[str, Job]:
        """Send a row; a cancellation of who waits for it leaves it alone."""
        task = asyncio.create_task(self._send(row, parent))
        self._underway.add(task)
        task.add_done_callback(self._answered)
        return await asyncio.shield(task)

    def _answered(self, task: asyncio.Task[tuple[str, Job]]) -> None:
        self._underway.discard(task)
        if not task.cancelled():
            # Who was cancelled meanwhile does not look at it.
            task.exception()

    async def _send(self, row: Row, parent: str | None) -> tuple[str, Job]:
        broken: list[LedgerError] = []
        request = JobRequest(row.payload, policy=row.policy, s3_config=self._s3_config)
        intent = replace(
            intent_of(self._batch, row, parent),
            bucket=self._bucket,
            returns_object=self._returns_object,
        )
        post = partial(self._endpoint.run, request, tries=1)
        job, notes = await sent(self._scribe, intent, post, broken.append)
        if broken:
            raise broken[0]
        return notes.key, job


def intent_of(batch: Batch, row: Row, parent: str | None) -> Intent:
    """Return what is written down of a row before it is sent."""
    return Intent(
        place=batch.place,
        endpoint_id=batch.endpoint_id,
        payload=row.payload,
        preset=batch.preset,
        policy=row.policy,
        output_dir=batch.output_dir,
        parent=parent,
        batch_id=batch.batch_id,
        row=row.name,
        line=row.line,
    )
