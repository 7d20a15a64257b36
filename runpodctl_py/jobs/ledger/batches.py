"""Batches in the ledger: what was asked for, who is at work on it, and how its rows stand.

A row is a job of the batch, or several, if it was sent several times; then the last one counts.
Their news are written by `store.py`, as any job's. Every method blocks for as long as a disk takes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from runpodctl_py.errors import NotFoundError, UsageError
from runpodctl_py.jobs.ledger.database import bound, path_in, path_out
from runpodctl_py.jobs.ledger.record import Place, Record, State
from runpodctl_py.jobs.ledger.rows import record_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from runpodctl_py.jobs.ledger.database import Database
    from runpodctl_py.jobs.ledger.lives import Lives
    from runpodctl_py.jsontypes import JsonObject

_PAGE = 500
_LATEST = (
    "batch_id = ? AND NOT EXISTS (SELECT 1 FROM job AS later WHERE later.batch_id = {0}.batch_id"
    " AND later.batch_row = {0}.batch_row AND later.number > {0}.number)"
)
_LATEST_JOBS = _LATEST.format("job")
_LATEST_LISTED = _LATEST.format("listed")
_UNSAVED = "saved_at IS NULL AND job_id IS NOT NULL"


class BatchState(StrEnum):
    """Where a batch stands; whether somebody is at work on it is another question."""

    OPEN = "open"
    """Some of its rows are not done."""
    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A file of jobs, as it was asked for. Times are in seconds since 1970.

    Args:
        batch_id: What a person types for it.
        identity: What the same command has in common with this one.
        place: Which RunPod.
        endpoint_id: Which endpoint.
        preset: The preset's name, if it is one's.
        source: The file; what came from stdin is a file, too.
        sha256: Of the file's content.
        total: How many rows it has.
        invalid: How many of them cannot be sent, and are left out.
        options: How a row becomes a job: what is needed to go on.
        output_dir: Where files and results go.
        state: Where it stands.
        owner: Which process was at work on it last.
        created_at: When it was written down.
        ended_at: When its last row was done.
    """

    batch_id: str
    identity: str
    place: Place
    endpoint_id: str
    preset: str | None
    source: Path
    sha256: str
    total: int
    invalid: int = 0
    options: JsonObject = field(default_factory=dict)
    output_dir: Path
    state: BatchState = BatchState.OPEN
    owner: str | None = None
    created_at: float = 0.0
    ended_at: float | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How a batch's rows stand, and what it has cost.

    Args:
        states: How many rows' last attempts are in each state.
        saved: How many rows are done with: all they returned is here, or known not to be.
        succeeded: How many of these completed without an error.
        cost_usd: About what all attempts cost.
    """

    states: Mapping[State, int]
    saved: int = 0
    succeeded: int = 0
    cost_usd: float = 0.0

    @property
    def failed(self) -> int:
        """How many rows ended without success: their results are here, or lost."""
        lost = (State.EXPIRED, State.NOT_SENT)
        return self.saved - self.succeeded + sum(self.states.get(each, 0) for each in lost)


class Batches:
    """The ledger's batches.

    Args:
        database: The ledger's file.
        lives: Which processes are at work.
        now: The wall time, in seconds since 1970.
    """

    def __init__(self, database: Database, lives: Lives, now: Callable[[], float]) -> None:
        self._database = database
        self._lives = lives
        self._now = now

    def add(self, batch: Batch) -> None:
        """Write down a batch that begins, and take it in hand."""
        fields = {
            "batch_id": batch.batch_id,
            "identity": batch.identity,
            "root": batch.place.root,
            "is_local": batch.place.is_local,
            "endpoint_id": batch.endpoint_id,
            "preset": batch.preset,
            "source": path_in(batch.source),
            "sha256": batch.sha256,
            "total": batch.total,
            "invalid": batch.invalid,
            "options": json.dumps(batch.options),
            "output_dir": path_in(batch.output_dir),
            "state": batch.state,
            "owner": self._lives.name,
            "created_at": self._now(),
        }
        with self._database.together() as sql:
            sql.execute(
                f"INSERT INTO batch ({', '.join(fields)}) VALUES ({', '.join('?' * len(fields))})",  # noqa: S608 - our own names.
                tuple(map(bound, fields.values())),
            )

    def find(self, text: str) -> Batch:
        """Return the batch whose id is, or begins with, a text.

        Raises:
            NotFoundError: There is none.
            UsageError: There are several.
        """
        rows = self._rows("batch_id = ?", text) or self._rows(
            "substr(batch_id, 1, ?) = ?", len(text), text
        )
        if not rows or not text:
            raise NotFoundError(
                f"The ledger knows no batch {text}",
                hint="See which it knows:  runpodctl-py batch list",
            )
        if len(rows) > 1:
            ids = ", ".join(each.batch_id for each in rows)
            raise UsageError(
                f"Several batches begin with {text}: {ids}", hint="Type more of the id."
            )
        return rows[0]

    def same(self, identity: str) -> Batch | None:
        """Return the last batch that the same command made, also if it was cancelled."""
        rows = self._rows("identity = ?", identity)
        return rows[0] if rows else None

    def unfinished(self, source: Path, endpoint_id: str) -> Batch | None:
        """Return the last batch of a file at an endpoint that may go on."""
        condition = "source = ? AND endpoint_id = ? AND state = 'open'"
        rows = self._rows(condition, path_in(source), endpoint_id)
        return rows[0] if rows else None

    def all(self) -> list[Batch]:
        """Return all of them, the newest first."""
        return self._rows("1")

    def is_running(self, batch: Batch) -> bool:
        """Tell whether a process is at work on it."""
        return batch.owner is not None and self._lives.is_alive(batch.owner)

    def claim(self, batch_id: str) -> bool:
        """Take a batch in hand, unless another living process has it."""
        with self._database.together() as sql:
            owner = sql.execute(
                "SELECT owner FROM batch WHERE batch_id = ?", (batch_id,)
            ).fetchone()["owner"]
            if owner is not None and owner != self._lives.name and self._lives.is_alive(owner):
                return False
            sql.execute(
                "UPDATE batch SET owner = ? WHERE batch_id = ?", (self._lives.name, batch_id)
            )
        return True

    def let_go(self, batch_id: str) -> None:
        """Let others take a batch in hand, unless one has."""
        with self._database.together() as sql:
            sql.execute(
                "UPDATE batch SET owner = NULL WHERE batch_id = ? AND owner = ?",
                (batch_id, self._lives.name),
            )

    def move(self, batch_id: str, state: BatchState) -> None:
        """Note where a batch stands."""
        ended_at = None if state is BatchState.OPEN else self._now()
        with self._database.together() as sql:
            sql.execute(
                "UPDATE batch SET state = ?, ended_at = ? WHERE batch_id = ?",
                (state, ended_at, batch_id),
            )

    def forget_empty(self, before: float) -> None:
        """Forget batches of which no job is left, and that were begun before a time."""
        with self._database.together() as sql:
            sql.execute(
                "DELETE FROM batch WHERE state != 'open' AND created_at < ?"
                " AND batch_id NOT IN (SELECT batch_id FROM job WHERE batch_id IS NOT NULL)",
                (before,),
            )

    # Rows.

    def attempts(self, batch_id: str, names: Iterable[str]) -> dict[str, Record]:
        """Return the last attempts of some rows, by name; those never tried are missing."""
        found = {}
        for name in names:
            rows = self._database.rows(
                "SELECT * FROM listed WHERE batch_id = ? AND batch_row = ?"
                " ORDER BY number DESC LIMIT 1",
                batch_id,
                bound(name),
            )
            if rows:
                found[name] = record_of(rows[0])
        return found

    def attempt_count(self, batch_id: str, name: str) -> int:
        """Return how often a row was sent."""
        rows = self._database.rows(
            "SELECT count(*) AS count FROM job WHERE batch_id = ? AND batch_row = ?"
            " AND state != 'not_sent'",
            batch_id,
            bound(name),
        )
        return int(rows[0]["count"])

    def rows(self, batch_id: str) -> Iterator[Record]:
        """Yield the last attempts of all rows that were tried, in the file's order."""
        return self._attempts(batch_id, "1")

    def in_flight(self, batch_id: str) -> Iterator[Record]:
        """Yield those that RunPod has, and that have not ended as far as we know."""
        return self._attempts(batch_id, f"{_UNSAVED} AND state IN ('queued', 'running')")

    def unsaved(self, batch_id: str) -> Iterator[Record]:
        """Yield those that RunPod took, ended or not, whose results are still to be fetched."""
        return self._attempts(batch_id, f"{_UNSAVED} AND state != 'expired'")

    def unknown(self, batch_id: str) -> Iterator[Record]:
        """Yield those of which nobody knows whether RunPod took them."""
        return self._attempts(batch_id, "state = 'unknown'")

    def _attempts(self, batch_id: str, condition: str) -> Iterator[Record]:
        last = -1
        while True:
            page = self._database.rows(
                f"SELECT * FROM listed WHERE {_LATEST_LISTED} AND ({condition})"  # noqa: S608 - our own words.
                " AND batch_line > ? ORDER BY batch_line LIMIT ?",
                batch_id,
                last,
                _PAGE,
            )
            yield from map(record_of, page)
            if len(page) < _PAGE:
                return
            last = page[-1]["batch_line"]

    def counts(self, batch_id: str) -> Counts:
        """Count a batch's rows by how they stand."""
        rows = self._database.rows(
            "SELECT state, count(*) AS count, sum(saved_at IS NOT NULL) AS saved,"  # noqa: S608 - our own words.
            " sum(saved_at IS NOT NULL AND state = 'completed' AND error IS NULL) AS succeeded"
            f" FROM job WHERE {_LATEST_JOBS} GROUP BY state",
            batch_id,
        )
        cost = self._database.rows(
            "SELECT total(cost_usd) AS cost FROM job WHERE batch_id = ?", batch_id
        )
        return Counts(
            {State(row["state"]): row["count"] for row in rows},
            sum(row["saved"] for row in rows),
            sum(row["succeeded"] for row in rows),
            cost[0]["cost"],
        )

    def _rows(self, condition: str, *values: Any) -> list[Batch]:
        rows = self._database.rows(
            f"SELECT * FROM batch WHERE {condition} ORDER BY number DESC",  # noqa: S608 - our own words.
            *values,
        )
        return [_batch(each) for each in rows]


def _batch(row: sqlite3.Row) -> Batch:
    return Batch(
        batch_id=row["batch_id"],
        identity=row["identity"],
        place=Place(row["root"], bool(row["is_local"])),
        endpoint_id=row["endpoint_id"],
        preset=row["preset"],
        source=path_out(row["source"]),
        sha256=row["sha256"],
        total=row["total"],
        invalid=row["invalid"],
        options=json.loads(row["options"]),
        output_dir=path_out(row["output_dir"]),
        state=BatchState(row["state"]),
        owner=row["owner"],
        created_at=row["created_at"],
        ended_at=row["ended_at"],
    )
