"""Calls of RunPod's batch API whose effect is known when they return.

Owns waiting out refusals and outages, and finding out what became of a call whose answer was lost:
nothing of a batch runs before it is finalized, and its summary tells whether it is (API reference
4.8), so each lost answer can be found out or made good. What is uploaded is `native_upload.py`'s
business.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, TypeVar

from runpodctl_py.api.batches import BatchStatus
from runpodctl_py.errors import (
    AnswerLostError,
    NetworkError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    ServerError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from runpodctl_py.api.batches import NativeBatch, NativeBatches, Page
    from runpodctl_py.batch.patience import Patience
    from runpodctl_py.batch.tally import Tally
    from runpodctl_py.clock import Clock
    from runpodctl_py.jsontypes import JsonObject, JsonValue

_Result = TypeVar("_Result")
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0
"""Between two tries while RunPod has no room: another batch has to end first."""


class SureBatches:
    """RunPod's batches of one endpoint, through outages.

    Every method raises NetworkError when nothing was answered for longer than the patience, and
    UnauthorizedError when the key is not accepted (any more).

    Args:
        batches: The calls.
        patience: How long an outage is waited out.
        clock: For waiting.
        tally: Counts the requests, and how often RunPod had no room.
    """

    def __init__(
        self, batches: NativeBatches, patience: Patience, clock: Clock, tally: Tally
    ) -> None:
        self._batches = batches
        self._patience = patience
        self._clock = clock
        self._tally = tally

    async def create(self, requests: Sequence[JsonObject]) -> str:
        """Make a draft, as soon as the endpoint may have one more, and return its id.

        Raises:
            NotFoundError: There is no such endpoint, or it takes no batches.
            RefusedError, PayloadTooLargeError: RunPod does not take one of the requests.
        """
        while True:
            try:
                return await self._answered(lambda: self._batches.create(requests))
            except AnswerLostError as exc:
                await self._patience.wait(exc)
                if requests:
                    await self.give_up_lost(fingerprint(requests[0]["input"]))

    async def add(self, native_id: str, requests: Sequence[JsonObject], before: int) -> None:
        """Add requests to a draft, each once.

        Args:
            native_id: The draft.
            requests: What is added.
            before: How many it has.

        Raises:
            NotFoundError: There is no such draft any more.
            RefusedError, PayloadTooLargeError: RunPod does not take one of them, or it is no draft.
            ServerError: It has another number of requests than it can have.
        """
        while True:
            try:
                await self._answered(lambda: self._batches.add(native_id, requests))
            except AnswerLostError as exc:
                await self._patience.wait(exc)
                total = (await self.summary(native_id)).total
                if total == before + len(requests):
                    return
                if total != before:
                    raise ServerError(
                        f"RunPod's batch {native_id} has {total} requests, and should have {before}"
                    ) from exc
            else:
                return

    async def finalize(self, native_id: str) -> bool:
        """Have a draft run, as soon as there is room; tell whether it runs, or did.

        It does not if it was cancelled or is gone.

        Raises:
            RefusedError: RunPod does not finalize it, though it is a draft.
        """
        while True:
            try:
                await self._answered(lambda: self._batches.finalize(native_id))
            except AnswerLostError as exc:
                await self._patience.wait(exc)
                if not await self.is_draft(native_id):
                    return await self._has_begun(native_id)
            except NotFoundError:
                return False
            except RefusedError:
                if await self.is_draft(native_id):
                    raise
                return await self._has_begun(native_id)
            else:
                return True

    async def _has_begun(self, native_id: str) -> bool:
        try:
            summary = await self.summary(native_id)
        except NotFoundError:
            return False
        # One that was cancelled after it was finalized may have run in part.
        return summary.status is not BatchStatus.CANCELLED or summary.ended > 0

    async def is_draft(self, native_id: str) -> bool:
        """Tell whether there is such a draft."""
        try:
            return (await self.summary(native_id)).status is BatchStatus.DRAFT
        except NotFoundError:
            return False

    async def cancel(self, native_id: str) -> None:
        """Cancel what waits; what is gone needs no cancelling."""
        try:
            await self._answered(lambda: self._batches.cancel(native_id))
        except (NotFoundError, RefusedError):
            return

    async def summary(self, native_id: str) -> NativeBatch:
        """Return how a batch stands.

        Raises:
            NotFoundError: RunPod does not know it (any more).
        """
        return await self._answered(lambda: self._batches.summary(native_id))

    async def page(self, batch: NativeBatch, offset: int, limit: int) -> Page:
        """Return some requests of a batch; fewer at once if RunPod does not answer.

        Raises:
            NotFoundError: RunPod does not know the batch (any more).
        """
        while True:
            self._tally.requests += 1
            try:
                found = await self._batches.page(batch, offset, limit)
            except RateLimitedError:
                await self._no_room(_FIRST_PAUSE_S)
            except NetworkError as exc:
                # A page of large results can be more than comes through.
                limit = max(1, limit // 2)
                await self._patience.wait(exc)
            else:
                self._patience.answered()
                return found

    async def give_up_lost(self, first_sha256: str) -> None:
        """Cancel the draft whose id we never learned, if RunPod shows that it has one of ours.

        It would cost nothing, but take one of the few places for batches. It is known by its only
        request. If RunPod does not list its batches, it stays.
        """
        self._tally.requests += 1
        try:
            listed = await self._batches.newest()
        except (NotFoundError, RefusedError, NetworkError):
            return
        for batch in listed:
            if batch.status is BatchStatus.DRAFT and batch.total == 1:
                try:
                    only = (await self.page(batch, 0, 1)).requests
                except NotFoundError:
                    continue
                if only and only[0].has_payload and fingerprint(only[0].payload) == first_sha256:
                    await self.cancel(batch.native_id)
                    return

    async def _answered(self, call: Callable[[], Awaitable[_Result]]) -> _Result:
        """Repeat what had no effect for sure."""
        pause_s = _FIRST_PAUSE_S
        while True:
            self._tally.requests += 1
            try:
                answer = await call()
            except AnswerLostError:
                raise
            except RateLimitedError as exc:
                await self._no_room(exc.retry_after_s or pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            except NetworkError as exc:
                await self._patience.wait(exc)
            else:
                self._patience.answered()
                return answer

    async def _no_room(self, pause_s: float) -> None:
        self._patience.answered()
        self._tally.limited += 1
        await self._clock.sleep(pause_s)


def fingerprint(payload: JsonValue) -> str:
    """Return what two inputs have in common if they ask for the same.

    Numbers are compared as JavaScript would: who keeps them for us may know one kind only.
    """
    return sha256(json.dumps(_plain(payload), sort_keys=True).encode()).hexdigest()


def _plain(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return str(value)
    return value
