"""The steps of a job's life in the ledger's file, each inside a transaction of `store.py`'s.

Owns what may follow what there, and the history that each step leaves behind. Which steps belong
together, and what they mean, is `store.py`'s.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from runpodctl_py.jobs.ledger.database import bound, path_in
from runpodctl_py.jobs.ledger.record import FOLLOWED_BY, State
from runpodctl_py.jobs.masking import masked_text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

    from runpodctl_py.api.types import Job
    from runpodctl_py.jobs.ledger.lives import Lives
    from runpodctl_py.jobs.ledger.record import Intent


class Moves:
    """Takes jobs from state to state.

    Args:
        lives: Which processes are at work.
        now: The wall time, in seconds since 1970.
    """

    def __init__(self, lives: Lives, now: Callable[[], float]) -> None:
        self._lives = lives
        self._now = now

    def add(
        self,
        sql: sqlite3.Connection,
        key: str,
        intent: Intent,
        state: State,
        *,
        is_payload_whole: bool,
    ) -> int:
        """Write a new job down, in our hands, and return its number."""
        cursor = sql.execute(
            "INSERT INTO job (key, root, is_local, endpoint_id, preset, state, owner, policy,"
            " webhook, is_sync, output_dir, parent, batch_id, batch_row, is_payload_whole,"
            " batch_line, output_name, bucket, returns_object, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            tuple(
                map(
                    bound,
                    (
                        key,
                        intent.place.root,
                        intent.place.is_local,
                        intent.endpoint_id,
                        intent.preset,
                        state,
                        self._lives.name,
                        json.dumps(asdict(intent.policy)),
                        None if intent.webhook is None else masked_text(intent.webhook),
                        intent.is_sync,
                        None if intent.output_dir is None else path_in(intent.output_dir),
                        intent.parent,
                        intent.batch_id,
                        intent.row,
                        is_payload_whole,
                        intent.line,
                        intent.output_name,
                        None if intent.bucket is None else json.dumps(asdict(intent.bucket)),
                        intent.returns_object,
                        self._now(),
                    ),
                )
            ),
        )
        number = cursor.lastrowid or 0
        self._sight(sql, number, state)
        return number

    def move(
        self, sql: sqlite3.Connection, key: str, state: State, fields: Mapping[str, Any]
    ) -> None:
        """Move a job to a state, with what comes with it, unless that cannot follow."""
        row = sql.execute(
            "SELECT number, state, saved_at FROM job WHERE key = ?", (key,)
        ).fetchone()
        if row is None:
            # It was forgotten on purpose, by another command.
            return
        before = State(row["state"])
        if state is not before and state not in FOLLOWED_BY[before]:
            return
        if state is State.EXPIRED and row["saved_at"] is not None:
            return
        # A job that was cancelled returns nothing that would have to be fetched.
        is_settled = state is State.CANCELLED and row["saved_at"] is None
        settled = {"saved_at": self._now()} if is_settled else {}
        update(sql, key, {"state": state, **fields, **settled})
        if state is not before:
            self._sight(sql, row["number"], state)

    def begin_anew(self, sql: sqlite3.Connection, key: str) -> None:
        """Take back what came of a job: it runs once more."""
        number = self._number(sql, key)
        if number is None:
            return
        sql.execute("DELETE FROM output WHERE job = ?", (number,))
        sql.execute("DELETE FROM file WHERE job = ?", (number,))
        sql.execute("DELETE FROM piece WHERE job = ?", (number,))
        dropped = ("finished_at", "saved_at", "delay_ms", "execution_ms", "cost_usd", "error")
        update(sql, key, {"state": State.QUEUED, **dict.fromkeys(dropped)})
        self._sight(sql, number, State.QUEUED)

    def state(self, sql: sqlite3.Connection, key: str) -> State | None:
        """Return where a job stands; None if it was forgotten."""
        row = sql.execute("SELECT state FROM job WHERE key = ?", (key,)).fetchone()
        return None if row is None else State(row["state"])

    def news(self, sql: sqlite3.Connection, key: str, job: Job) -> dict[str, Any]:
        """Return what RunPod's word on a job changes."""
        said = {
            "job_id": job.job_id,
            "seen_at": self._now(),
            "delay_ms": job.delay_ms,
            "execution_ms": job.execution_ms,
            "worker_id": job.worker_id,
        }
        if job.status.is_final:
            said["finished_at"] = self._finished_at(sql, key, job)
        return {name: value for name, value in said.items() if value is not None}

    def _sight(self, sql: sqlite3.Connection, number: int, state: State) -> None:
        sql.execute("INSERT INTO sighting VALUES (?, ?, ?)", (number, state, self._now()))

    def _number(self, sql: sqlite3.Connection, key: str) -> int | None:
        row = sql.execute("SELECT number FROM job WHERE key = ?", (key,)).fetchone()
        return None if row is None else int(row["number"])

    def _finished_at(self, sql: sqlite3.Connection, key: str, job: Job) -> float:
        """Return when a job ended: not later than we first knew, and not before it can have."""
        row = sql.execute(
            "SELECT finished_at, (SELECT max(at) FROM sighting WHERE job = number"
            " AND state IN ('sending', 'queued')) FROM job WHERE key = ?",
            (key,),
        ).fetchone()
        known_at, queued_at = row or (None, None)
        latest = self._now() if known_at is None else float(known_at)
        if job.execution_ms is None or queued_at is None:
            return latest
        took_s = ((job.delay_ms or 0) + job.execution_ms) / 1000
        return min(latest, float(queued_at) + took_s)


def holder(sql: sqlite3.Connection, key: str, job: Job) -> str | None:
    """Return the key of the other job that has an id at a job's endpoint, if there is one."""
    row = sql.execute(
        "SELECT other.key FROM job JOIN job AS other USING (endpoint_id, root)"
        " WHERE job.key = ? AND other.job_id = ? AND other.key != job.key",
        (key, job.job_id),
    ).fetchone()
    return None if row is None else str(row["key"])


def update(sql: sqlite3.Connection, key: str, fields: Mapping[str, Any]) -> None:
    """Set some of a job's fields, by their names in the database."""
    names = ", ".join(f"{name} = ?" for name in fields)
    values = map(bound, fields.values())
    sql.execute(f"UPDATE job SET {names} WHERE key = ?", (*values, key))  # noqa: S608 - our own names.
