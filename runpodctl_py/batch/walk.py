"""Walking a batch's file: which rows are to be sent, and what the ledger knows of them.

Shared by whoever sends rows. Sends nothing and follows nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runpodctl_py.batch.row import Row
from runpodctl_py.batch.saving import Attempt
from runpodctl_py.jobs.ledger import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from runpodctl_py.batch.row import BadRow
    from runpodctl_py.jobs.ledger import Batch, Ledger, Record, Scribe

_CHUNK = 200


class Walk:
    """The rows of a batch, beside what the ledger knows of them.

    Args:
        batch: Which batch.
        rows: Reads its file.
        scribe: Where it is written down.
        is_begun: Whether some of its rows may have been sent before.
        repeats: Which rows that have ended are sent once more.
    """

    def __init__(
        self,
        batch: Batch,
        rows: Callable[[], Iterator[Row | BadRow]],
        scribe: Scribe,
        *,
        is_begun: bool,
        repeats: Callable[[Record], bool],
    ) -> None:
        self._batch_id = batch.batch_id
        self._rows = rows
        self._scribe = scribe
        self._is_begun = is_begun
        self._repeats = repeats

    async def due(self) -> AsyncIterator[tuple[Row, Record | None]]:
        """Yield the rows that have no result and are not in flight, with their last attempts."""
        for chunk in _chunks(self._rows()):
            before = await self.attempts(chunk) if self._is_begun else {}
            for row in chunk:
                record = before.get(row.name)
                if record is None or self.is_due(record):
                    yield row, record

    def is_due(self, record: Record) -> bool:
        """Tell whether a row whose last attempt is known is to be sent once more."""
        return record.state is State.NOT_SENT or self._repeats(record)

    async def attempts(self, rows: Sequence[Row]) -> dict[str, Record]:
        """Return the last attempts of some rows, by name; those never tried are missing."""
        names = [row.name for row in rows]
        return await self._scribe.write(
            lambda ledger: ledger.batches.attempts(self._batch_id, names)
        )

    async def in_flight(self) -> list[Attempt]:
        """Return what was sent before and has no result on our disk."""
        return await self._scribe.write(self._unsaved) if self._is_begun else []

    def _unsaved(self, ledger: Ledger) -> list[Attempt]:
        rows = list(ledger.batches.unsaved(self._batch_id))
        for record in rows:
            # Or `jobs sync` would bring it home, by names of its own.
            ledger.claim(record.key)
        return [self._attempt(ledger, each) for each in rows]

    async def attempt_of(self, record: Record) -> Attempt:
        """Return an attempt that the ledger knows."""
        return await self._scribe.write(lambda ledger: self._attempt(ledger, record))

    def _attempt(self, ledger: Ledger, record: Record) -> Attempt:
        name = record.intent.row or ""
        return Attempt(
            line=record.intent.line or 0,
            name=name,
            key=record.key,
            job_id=record.job_id or "",
            number=ledger.batches.attempt_count(self._batch_id, name),
        )

    async def next_number(self, before: Record | None) -> int:
        """Return which attempt of a row the next one is; the first is 1."""
        return 1 if before is None else 1 + (await self.attempt_of(before)).number

    async def row_of(self, attempt: Attempt) -> Row | None:
        """Return a row that was sent before us, unless what was sent is not known in whole."""
        record = await self._scribe.write(lambda ledger: ledger.record(attempt.key))
        payload = await self._scribe.write(lambda ledger: ledger.payload(attempt.key))
        if not record.is_payload_whole or not isinstance(payload, dict):
            return None
        return Row(attempt.line, attempt.name, payload, record.intent.policy)


def _chunks(rows: Iterator[Row | BadRow]) -> Iterator[list[Row]]:
    chunk: list[Row] = []
    for row in rows:
        # What cannot be sent was told when the file was read first.
        if isinstance(row, Row):
            chunk.append(row)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
