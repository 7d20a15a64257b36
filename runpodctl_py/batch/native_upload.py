"""From rows to a batch of RunPod's that runs, in the order that loses nothing.

A draft is made and filled, and RunPod is asked which ids its requests have. Then all its rows are
written down with these ids in one transaction, and only then it is finalized, which is what starts
jobs and costs (API reference 4.8). A kill before that transaction leaves a draft that never runs,
and rows that were never sent; a kill after it leaves jobs whose ids are known, and a batch that
tells whether it was finalized. So no row is ever unknown, and none is run twice.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runpodctl_py.api.batches import BODY_LIMIT_BYTES, LARGEST_PAGE
from runpodctl_py.api.types import Job, JobRequest, JobStatus
from runpodctl_py.batch.native_calls import fingerprint
from runpodctl_py.batch.saving import Attempt
from runpodctl_py.batch.sending import intent_of
from runpodctl_py.errors import NotFoundError, PayloadTooLargeError, RefusedError, RunpodctlError
from runpodctl_py.jobs.ledger import BatchState
from runpodctl_py.jobs.ledger.native_batches import NativeState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    from runpodctl_py.batch.homecoming import Homecoming
    from runpodctl_py.batch.native_calls import SureBatches
    from runpodctl_py.batch.row import Row
    from runpodctl_py.batch.tally import Tally
    from runpodctl_py.jobs.ledger import Batch, Ledger, Scribe
    from runpodctl_py.jsontypes import JsonObject

_AROUND_BYTES = len('{"requests": []}')
_BETWEEN_BYTES = len(", ")
_LAST_ANSWERS_S = 10.0
"""How long, when everything is to stop, we wait for the answers to what is being sent."""


@dataclass(frozen=True, slots=True)
class Due:
    """A row that is to be handed over.

    Args:
        row: The row.
        parent: The ledger's key of the attempt that this one repeats.
        number: Which attempt of the row it is; the first is 1.
        size_bytes: How large its request is.
    """

    row: Row
    parent: str | None
    number: int
    size_bytes: int

    @classmethod
    def of(cls, row: Row, parent: str | None, number: int) -> Due:
        """Return a row with the size that its request has."""
        return cls(row, parent, number, len(json.dumps(_request_of(row))))


@dataclass(frozen=True, slots=True)
class Handed:
    """A batch of RunPod's that runs.

    Args:
        number: The ledger's name of it.
        native_id: RunPod's id of it.
        attempts: Its rows, by the ids of their jobs.
    """

    number: int
    native_id: str
    attempts: dict[str, Attempt]


class DraftLostError(Exception):
    """The draft is none any more: somebody has cancelled it, say. Nothing of it has run."""


class Uploading:
    """Hands rows of a batch over to RunPod's batch API.

    Args:
        batch: Which batch.
        calls: RunPod's batch API.
        scribe: Where everything is written down.
        homecoming: Is told which rows RunPod does not take.
        tally: Kept up to date.
    """

    def __init__(
        self,
        batch: Batch,
        calls: SureBatches,
        scribe: Scribe,
        homecoming: Homecoming,
        tally: Tally,
    ) -> None:
        self._batch = batch
        self._calls = calls
        self._scribe = scribe
        self._homecoming = homecoming
        self._tally = tally
        self._underway: asyncio.Task[Handed | None] | None = None

    async def hand_over(self, rows: Sequence[Due]) -> Handed | None:
        """Have rows run as one batch of RunPod's; those it does not take get their results.

        Args:
            rows: At least one, and as many as fit into a batch.

        Returns:
            What runs; None if nothing does, since RunPod took none of the rows, or somebody has
            cancelled the batch meanwhile.

        Raises:
            DraftLostError: The draft was cancelled while it was filled; nothing was sent.
            RefusedError: RunPod does not tell which request has which id.
            NetworkError, UnauthorizedError, NotFoundError, LedgerError: It concerns all rows.
        """
        rows = await self._without_too_large(rows)
        if not rows:
            return None
        first = fingerprint(rows[0].row.payload)
        number = await self._scribe.write(
            lambda ledger: ledger.native_batches.begin(self._batch.batch_id, first)
        )
        native_id, waiting = await self._created(rows)
        await self._scribe.write(lambda ledger: ledger.native_batches.created(number, native_id))
        try:
            taken = await self._filled(native_id, rows, waiting)
            ids = await self._ids(native_id, taken) if taken else {}
        except BaseException:
            await self._give_up_soon(number, native_id)
            raise
        if not ids:
            await self.give_up(number, native_id)
            return None
        return await self._undisturbed(number, native_id, ids)

    async def finish(self) -> None:
        """Wait for the answer to what is being finalized, though not for long."""
        if self._underway is None:
            return
        await asyncio.wait([self._underway], timeout=_LAST_ANSWERS_S)
        self._underway.cancel()
        await asyncio.gather(self._underway, return_exceptions=True)

    async def give_up(self, number: int, native_id: str) -> None:
        """Cancel a draft of which nothing has run, and forget it: its rows are not sent."""
        await self._calls.cancel(native_id)
        await self._scribe.write(lambda ledger: ledger.native_batches.drop(number))

    # The steps.

    async def _without_too_large(self, rows: Sequence[Due]) -> Sequence[Due]:
        fitting = []
        for due in rows:
            if _AROUND_BYTES + due.size_bytes <= BODY_LIMIT_BYTES:
                fitting.append(due)
                continue
            await self._refused(
                due,
                f"The job's body has {due.size_bytes / 1e6:.1f} MB; RunPod's batches take "
                f"{BODY_LIMIT_BYTES / 1e6:.1f} MB",
            )
        return fitting

    async def _created(self, rows: Sequence[Due]) -> tuple[str, deque[Sequence[Due]]]:
        """Make a draft with the first row in it, by which it can be known if its id gets lost."""
        try:
            native_id = await self._calls.create([_request_of(rows[0].row)])
        except (RefusedError, PayloadTooLargeError):
            # If it is not this row's fault, it is said once more.
            return await self._calls.create([]), deque(chunks(rows))
        return native_id, deque(chunks(rows[1:]))

    async def _filled(
        self, native_id: str, rows: Sequence[Due], waiting: deque[Sequence[Due]]
    ) -> list[Due]:
        """Add rows, and return what the draft then has; a chunk that is refused goes in halves."""
        taken = [*rows[: len(rows) - sum(map(len, waiting))]]
        while waiting:
            chunk = waiting.popleft()
            try:
                requests = [_request_of(each.row) for each in chunk]
                await self._calls.add(native_id, requests, len(taken))
            except NotFoundError as exc:
                raise DraftLostError(exc.message) from exc
            except (RefusedError, PayloadTooLargeError) as exc:
                if not await self._calls.is_draft(native_id):
                    raise DraftLostError(exc.message) from exc
                if len(chunk) == 1:
                    await self._refused(chunk[0], exc.message)
                else:
                    middle = len(chunk) // 2
                    waiting.extendleft((chunk[middle:], chunk[:middle]))
            else:
                taken += chunk
        return taken

    async def _refused(self, due: Due, why: str) -> None:
        def note(ledger: Ledger) -> str:
            key = ledger.intend(intent_of(self._batch, due.row, due.parent))
            ledger.not_sent(key, why)
            return key

        key = await self._scribe.write(note)
        await self._homecoming.refused(_attempt_of(due, key, ""), why)

    async def _ids(self, native_id: str, taken: Sequence[Due]) -> dict[str, Due]:
        """Return which id RunPod has given to which row.

        Nothing promises that requests are listed in the order in which they were added, and a
        result in the wrong place is worse than none. So each is known by its input; of rows that
        ask for the same, any may have any id.
        """
        wanted: defaultdict[str, deque[Due]] = defaultdict(deque)
        for due in taken:
            wanted[fingerprint(due.row.payload)].append(due)
        listed = set()
        try:
            found = {}
            async for request_id, mark in self._listed(native_id, taken):
                listed.add(request_id)
                if request_id not in found and wanted[mark]:
                    found[request_id] = wanted[mark].popleft()
        except NotFoundError as exc:
            raise DraftLostError(exc.message) from exc
        if len(listed) > len(taken):
            # A chunk was added twice after all; nothing of it has run.
            raise DraftLostError(f"RunPod's batch {native_id} has more requests than it was given")
        if len(found) < len(taken):
            raise _unlike(native_id)
        return found

    async def _listed(self, native_id: str, taken: Sequence[Due]) -> AsyncIterator[tuple[str, str]]:
        summary = await self._calls.summary(native_id)
        offset, limit = 0, _page_limit(taken)
        while True:
            page = await self._calls.page(summary, offset, limit)
            for each in page.requests:
                if not each.has_payload:
                    raise _unlike(native_id)
                yield each.request_id, fingerprint(each.payload)
            offset += len(page.requests)
            if not page.has_more or not page.requests:
                return

    async def _undisturbed(self, number: int, native_id: str, ids: dict[str, Due]) -> Handed | None:
        """Finalize a draft; a cancellation of who waits for it leaves it alone."""
        self._underway = asyncio.create_task(self._started(number, native_id, ids))
        handed = await asyncio.shield(self._underway)
        self._underway = None
        return handed

    async def _started(self, number: int, native_id: str, ids: dict[str, Due]) -> Handed | None:
        keys = await self._scribe.write(lambda ledger: self._written(ledger, number, ids))
        if not keys:
            await self.give_up(number, native_id)
            return None
        if not await self._calls.finalize(native_id):
            await self.give_up(number, native_id)
            raise DraftLostError(f"RunPod's batch {native_id} was cancelled before it began")
        await self._scribe.write(
            lambda ledger: ledger.native_batches.move(number, NativeState.FINALIZED)
        )
        self._tally.sent += len(ids)
        attempts = {
            job_id: _attempt_of(due, key, job_id)
            for (job_id, due), key in zip(ids.items(), keys, strict=True)
        }
        return Handed(number, native_id, attempts)

    def _written(self, ledger: Ledger, number: int, ids: dict[str, Due]) -> list[str]:
        """Write down what is about to run, and return its keys; none if it must not.

        Whoever cancels a batch says so in the ledger first, and then cancels what stands there.
        """
        if ledger.batches.find(self._batch.batch_id).state is BatchState.CANCELLED:
            return []
        keys = []
        for job_id, due in ids.items():
            key = ledger.intend(intent_of(self._batch, due.row, due.parent))
            ledger.sent(key, Job(job_id, JobStatus.IN_QUEUE))
            keys.append(key)
        ledger.native_batches.ready(number, keys)
        return keys

    async def _give_up_soon(self, number: int, native_id: str) -> None:
        """Give a draft up, unless that takes long: it is known, and can be given up next time."""
        with suppress(TimeoutError, RunpodctlError):
            async with asyncio.timeout(_LAST_ANSWERS_S):
                await self.give_up(number, native_id)


def chunks(rows: Sequence[Due], limit_bytes: int = BODY_LIMIT_BYTES) -> Iterator[Sequence[Due]]:
    """Yield rows as they go into one body each; what is too large by itself goes by itself."""
    first, size = 0, _AROUND_BYTES
    for index, due in enumerate(rows):
        grown = size + due.size_bytes + (_BETWEEN_BYTES if index > first else 0)
        if index > first and grown > limit_bytes:
            yield rows[first:index]
            first, grown = index, _AROUND_BYTES + due.size_bytes
        size = grown
    if rows:
        yield rows[first:]


def _request_of(row: Row) -> JsonObject:
    return JobRequest(row.payload, policy=row.policy).as_json()


def _attempt_of(due: Due, key: str, job_id: str) -> Attempt:
    row = due.row
    return Attempt(line=row.line, name=row.name, key=key, job_id=job_id, number=due.number)


def _page_limit(rows: Iterable[Due]) -> int:
    """Return how many inputs to ask for at once: about as much as one body."""
    sizes = [due.size_bytes for due in rows]
    return min(max(1, BODY_LIMIT_BYTES * len(sizes) // sum(sizes)), LARGEST_PAGE)


def _unlike(native_id: str) -> RefusedError:
    return RefusedError(
        f"RunPod does not tell which request of its batch {native_id} is which, so results could "
        "not be told apart",
        hint="Nothing was run. Leave out --native.",
    )
