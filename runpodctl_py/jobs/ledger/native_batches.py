"""RunPod's own batches in the ledger: which were made for a batch of ours, and how far each is.

Only finalizing starts jobs (API reference 4.8), so before that nothing stands here but the draft
itself; then its rows are written down with their jobs' ids, in one piece; then it is finalized.
So a row that was handed over is never unknown. Every method blocks for as long as a disk takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from runpodctl_py.jobs.ledger.record import State

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable

    from runpodctl_py.jobs.ledger.database import Database

_WITHDRAWN = "RunPod was told to drop it before it began"
_UNSAVED = "saved_at IS NULL AND state NOT IN ('not_sent', 'expired')"


class NativeState(StrEnum):
    """How far a batch of RunPod's is."""

    CREATING = "creating"
    """It is being made: RunPod may have such a draft, whose id we do not know."""
    DRAFT = "draft"
    """Rows are uploaded; nothing of it can run, and none of its rows is written down."""
    READY = "ready"
    """Its rows are written down, and it is being finalized."""
    FINALIZED = "finalized"
    WITHDRAWN = "withdrawn"
    """What has not begun is dropped, and sent another time."""


@dataclass(frozen=True, slots=True)
class NativeRecord:
    """A batch of RunPod's that is not done with.

    Args:
        number: The ledger's name of it.
        native_id: RunPod's id; None as long as it is not known.
        state: How far it is.
        first_sha256: What its first request asks for, to know it by.
    """

    number: int
    native_id: str | None
    state: NativeState
    first_sha256: str


class NativeRecords:
    """The ledger's batches of RunPod's.

    Args:
        database: The ledger's file.
        now: The wall time, in seconds since 1970.
    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    def begin(self, batch_id: str, first_sha256: str) -> int:
        """Write down that a draft is being made, and return its number.

        Args:
            batch_id: Whose rows it gets.
            first_sha256: What its first request asks for.
        """
        with self._database.together() as sql:
            cursor = sql.execute(
                "INSERT INTO native_batch (batch_id, state, first_sha256) VALUES (?, ?, ?)",
                (batch_id, NativeState.CREATING, first_sha256),
            )
            return cursor.lastrowid or 0

    def created(self, number: int, native_id: str) -> None:
        """Note that RunPod has made a draft."""
        with self._database.together() as sql:
            sql.execute(
                "UPDATE native_batch SET native_id = ?, state = ? WHERE number = ?",
                (native_id, NativeState.DRAFT, number),
            )

    def ready(self, number: int, keys: Iterable[str]) -> None:
        """Note, before a draft is finalized, which jobs it will run."""
        with self._database.together() as sql:
            sql.executemany(
                "UPDATE job SET native_batch = ? WHERE key = ?", [(number, key) for key in keys]
            )
        self.move(number, NativeState.READY)

    def move(self, number: int, state: NativeState) -> None:
        """Note how far a batch is."""
        with self._database.together() as sql:
            sql.execute("UPDATE native_batch SET state = ? WHERE number = ?", (state, number))

    def drop(self, number: int) -> None:
        """Forget a draft that was given up, with what was written down of its rows: not sent."""
        self.withdraw_all(number)
        with self._database.together() as sql:
            sql.execute("DELETE FROM native_batch WHERE number = ?", (number,))

    def withdraw(self, key: str) -> None:
        """Note that RunPod has dropped a job before it began: as if it had never been sent."""
        with self._database.together() as sql:
            self._withdraw(sql, "key = ?", key)

    def withdraw_all(self, number: int) -> None:
        """Note that no job of a batch has begun, nor will."""
        with self._database.together() as sql:
            self._withdraw(sql, "native_batch = ?", number)

    def unfinished(self, batch_id: str) -> list[NativeRecord]:
        """Return what RunPod has of a batch, or may have: drafts, and what has unsaved results."""
        rows = self._database.rows(
            "SELECT * FROM native_batch WHERE batch_id = ? AND (state IN ('creating', 'draft')"  # noqa: S608 - our own words.
            f" OR number IN (SELECT native_batch FROM job WHERE batch_id = ? AND {_UNSAVED}))"
            " ORDER BY number",
            batch_id,
            batch_id,
        )
        return [
            NativeRecord(
                row["number"], row["native_id"], NativeState(row["state"]), row["first_sha256"]
            )
            for row in rows
        ]

    def job_ids(self, number: int) -> list[str]:
        """Return RunPod's ids of a batch's jobs whose results are not on our disk."""
        rows = self._database.rows(
            f"SELECT job_id FROM job WHERE native_batch = ? AND {_UNSAVED}",  # noqa: S608 - our own words.
            number,
        )
        return [row["job_id"] for row in rows]

    def _withdraw(self, sql: sqlite3.Connection, condition: str, value: str | int) -> None:
        which = f"{condition} AND {_UNSAVED}"
        sql.execute(
            f"INSERT INTO sighting SELECT number, ?, ? FROM job WHERE {which}",  # noqa: S608 - our own words.
            (State.NOT_SENT, self._now(), value),
        )
        sql.execute(
            "UPDATE job SET state = ?, error = ?, job_id = NULL, owner = NULL,"  # noqa: S608 - our own words.
            f" native_batch = NULL WHERE {which}",
            (State.NOT_SENT, _WITHDRAWN, value),
        )
