"""What outlives a restart of the local RunPod: one SQLite file.

`Store` is what the state's parts ask for; `SqliteStore` keeps it in a file (WAL, one writer: the
event loop's thread) or, given ":memory:", only as long as it lives. Progress updates are not kept.
What is forgotten is overwritten with zeros, because it may hold keys; the log beside the file has
it until it is emptied, at the latest when the store is closed.
Resources are values of the control plane, kept as JSON under a kind and an id; jobs have columns,
because they are many and are looked for. Knows nothing of what the values mean.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from runpodctl_py.emulator import json_text
from runpodctl_py.emulator.jobs.job import Chunk, Counters, Job, JobStatus, Policy
from runpodctl_py.emulator.store_schema import MIGRATIONS
from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    Fields = Mapping[str, Any]

"""One script per schema version; new ones are appended, old ones never change."""

_OUTLINE = """
    SELECT id, endpoint_id, '{}' AS request, policy, retention_s, created_at, queued_at, status,
        worker_id, started_at, finished_at, expires_at, retries, '{}' AS outcome
    FROM job WHERE id = ?
"""


_KEYS = '"s3Config"'
"""What stands before the keys of a bucket, in whatever is kept."""

_PAGE_BYTES = 4096
"""How large the file's pages are: SQLite's default, which is never changed here."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a store holds that its readers keep in memory.

    Args:
        resources: Kind to values, in the order in which they were first kept.
        counters: By endpoint.
        jobs: Those that are not final, in the order of their submission.
    """

    resources: Mapping[str, Sequence[Fields]]
    counters: Mapping[str, Counters]
    jobs: Sequence[Job]

    def of(self, kind: str) -> Sequence[Fields]:
        """Returns the fields of all values of a kind."""
        return self.resources.get(kind, ())


class Store(Protocol):
    """Keeps what must outlive the process: whatever a call kept is there after a kill."""

    def load(self) -> Snapshot:
        """Returns what is kept in memory, too."""
        ...

    def of(self, kind: str) -> Sequence[Fields]:
        """Returns the fields of all resources of a kind."""
        ...

    def put(self, kind: str, resource_id: str, fields: Fields) -> None:
        """Keeps a resource, replacing the one of the same kind and id."""
        ...

    def drop(self, kind: str, resource_id: str) -> None:
        """Forgets a resource."""
        ...

    def put_counters(self, endpoint_id: str, counters: Counters) -> None:
        """Keeps an endpoint's counters."""
        ...

    def drop_jobs(self, endpoint_id: str) -> None:
        """Forgets an endpoint's jobs and counters."""
        ...

    def add_job(self, job: Job) -> None:
        """Keeps a new job."""
        ...

    def update_job(self, job: Job) -> None:
        """Keeps how a known job stands now."""
        ...

    def update_request(self, job: Job) -> None:
        """Keeps what is left of the request of a known job."""
        ...

    def drop_job(self, job_id: str) -> None:
        """Forgets a job and what it streamed."""
        ...

    def job(self, job_id: str) -> Job | None:
        """Returns a job."""
        ...

    def latest_jobs(self, endpoint_id: str, limit: int) -> Sequence[Job]:
        """Returns an endpoint's jobs, those submitted last first."""
        ...

    def latest_job_ids(self, endpoint_id: str, limit: int) -> Sequence[str]:
        """Returns the ids of an endpoint's jobs, those submitted last first."""
        ...

    def job_outline(self, job_id: str) -> Job | None:
        """Returns a job without what it was given and gave, however large that is."""
        ...

    def drop_forgotten(self, now: float) -> int:
        """Forgets the final jobs whose time is up, and returns how many that were."""
        ...

    def next_forgotten_at(self) -> float | None:
        """Returns when `drop_forgotten` next has something to do, in seconds since 1970."""
        ...

    def add_chunk(self, job_id: str, output: Any, number: int | None = None) -> None:
        """Keeps a piece of a streamed output, a new one or one that had a number."""
        ...

    def chunks(self, job_id: str) -> Sequence[Chunk]:
        """Returns the pieces that nobody has fetched yet, the oldest first."""
        ...

    def drop_chunks(self, job_id: str) -> None:
        """Forgets a job's pieces."""
        ...

    def clear(self) -> None:
        """Forgets everything."""
        ...

    def together(self) -> AbstractContextManager[None]:
        """Keeps everything that is written inside, or nothing if the process is killed in it.

        May stand inside another one, of which it then is a part.
        """
        ...

    def close(self) -> None:
        """Ends the store; no call may follow."""
        ...


class SqliteStore:
    """A store in an SQLite file.

    Args:
        path: The file, made if it is not there; ":memory:" keeps nothing.

    Raises:
        EmulatorError: The file cannot be used, or a newer version of this package wrote it.
    """

    def __init__(self, path: Path | str) -> None:
        with _translated():
            self._connection = sqlite3.connect(path, isolation_level=None)
            with ExitStack() as failing:
                failing.callback(self._connection.close)
                self._connection.row_factory = sqlite3.Row
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = NORMAL")
                self._connection.execute("PRAGMA secure_delete = ON")
                self._migrate()
                failing.pop_all()

    def load(self) -> Snapshot:
        """Returns what is kept in memory, too."""
        resources: dict[str, list[Fields]] = {}
        for row in self._rows("SELECT kind, body FROM resource ORDER BY number"):
            resources.setdefault(row["kind"], []).append(json.loads(row["body"]))
        counters = {
            row["endpoint_id"]: Counters(
                row["completed"], row["failed"], row["retried"], row["requested_at"]
            )
            for row in self._rows("SELECT * FROM counters")
        }
        jobs = self._rows("SELECT * FROM job WHERE forgotten_at IS NULL ORDER BY number")
        return Snapshot(resources, counters, [_job(row) for row in jobs])

    def of(self, kind: str) -> Sequence[Fields]:
        """Returns the fields of all resources of a kind."""
        rows = self._rows("SELECT body FROM resource WHERE kind = ? ORDER BY number", kind)
        return [json.loads(row["body"]) for row in rows]

    def put(self, kind: str, resource_id: str, fields: Fields) -> None:
        """Keeps a resource, replacing the one of the same kind and id."""
        self._write(
            "INSERT INTO resource (kind, id, body) VALUES (?, ?, ?)"
            " ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body",
            kind,
            resource_id,
            _text(fields),
        )

    def drop(self, kind: str, resource_id: str) -> None:
        """Forgets a resource."""
        self._write("DELETE FROM resource WHERE kind = ? AND id = ?", kind, resource_id)

    def put_counters(self, endpoint_id: str, counters: Counters) -> None:
        """Keeps an endpoint's counters."""
        self._write(
            "INSERT OR REPLACE INTO counters VALUES (?, ?, ?, ?, ?)",
            endpoint_id,
            counters.completed,
            counters.failed,
            counters.retried,
            counters.requested_at,
        )

    def drop_jobs(self, endpoint_id: str) -> None:
        """Forgets an endpoint's jobs and counters."""
        self._write(
            "DELETE FROM chunk WHERE job_id IN (SELECT id FROM job WHERE endpoint_id = ?)",
            endpoint_id,
        )
        self._write("DELETE FROM job WHERE endpoint_id = ?", endpoint_id)
        self._write("DELETE FROM counters WHERE endpoint_id = ?", endpoint_id)

    def add_job(self, job: Job) -> None:
        """Keeps a new job."""
        self._write(
            "INSERT INTO job (id, endpoint_id, request, policy, retention_s, created_at,"
            " queued_at, status, retries, outcome) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            job.id,
            job.endpoint_id,
            _text(job.request),
            json_text.dump(asdict(job.policy)),
            job.retention_s,
            job.created_at,
            job.queued_at,
            job.status,
            job.retries,
            json_text.dump(job.outcome),
        )

    def update_job(self, job: Job) -> None:
        """Keeps how a known job stands now."""
        self._write(
            "UPDATE job SET status = ?, worker_id = ?, queued_at = ?, started_at = ?,"
            " finished_at = ?, expires_at = ?, forgotten_at = ?, retries = ?, outcome = ?"
            " WHERE id = ?",
            job.status,
            job.worker_id,
            job.queued_at,
            job.started_at,
            job.finished_at,
            job.expires_at,
            job.forgotten_at if job.status.final else None,
            job.retries,
            json_text.dump(job.outcome),
            job.id,
        )

    def update_request(self, job: Job) -> None:
        """Keeps what is left of the request of a known job."""
        self._write("UPDATE job SET request = ? WHERE id = ?", _text(job.request), job.id)

    def drop_job(self, job_id: str) -> None:
        """Forgets a job and what it streamed."""
        self.drop_chunks(job_id)
        self._write("DELETE FROM job WHERE id = ?", job_id)

    def job(self, job_id: str) -> Job | None:
        """Returns a job."""
        return next(map(_job, self._rows("SELECT * FROM job WHERE id = ?", job_id)), None)

    def latest_jobs(self, endpoint_id: str, limit: int) -> Sequence[Job]:
        """Returns an endpoint's jobs, those submitted last first."""
        statement = "SELECT * FROM job WHERE endpoint_id = ? ORDER BY number DESC LIMIT ?"
        return [_job(row) for row in self._rows(statement, endpoint_id, limit)]

    def latest_job_ids(self, endpoint_id: str, limit: int) -> Sequence[str]:
        """Returns the ids of an endpoint's jobs, those submitted last first."""
        statement = "SELECT id FROM job WHERE endpoint_id = ? ORDER BY number DESC LIMIT ?"
        return [row["id"] for row in self._rows(statement, endpoint_id, limit)]

    def job_outline(self, job_id: str) -> Job | None:
        """Returns a job without what it was given and gave, however large that is."""
        return next(map(_job, self._rows(_OUTLINE, job_id)), None)

    def drop_forgotten(self, now: float) -> int:
        """Forgets the final jobs whose time is up, and returns how many that were."""
        self._write(
            "DELETE FROM chunk WHERE job_id IN (SELECT id FROM job WHERE forgotten_at <= ?)", now
        )
        return self._write("DELETE FROM job WHERE forgotten_at <= ?", now)

    def next_forgotten_at(self) -> float | None:
        """Returns when `drop_forgotten` next has something to do, in seconds since 1970."""
        # The condition is what the index is made for; without it, every job is looked at.
        statement = "SELECT min(forgotten_at) AS first FROM job WHERE forgotten_at IS NOT NULL"
        (row,) = self._rows(statement)
        first: float | None = row["first"]
        return first

    def add_chunk(self, job_id: str, output: Any, number: int | None = None) -> None:
        """Keeps a piece of a streamed output, a new one or one that had a number."""
        self._write(
            "INSERT INTO chunk (number, job_id, body) VALUES (?, ?, ?)",
            number,
            job_id,
            json_text.dump(output),
        )

    def chunks(self, job_id: str) -> Sequence[Chunk]:
        """Returns the pieces that nobody has fetched yet, the oldest first."""
        rows = self._rows("SELECT * FROM chunk WHERE job_id = ? ORDER BY number", job_id)
        return [Chunk(row["number"], json.loads(row["body"])) for row in rows]

    def drop_chunks(self, job_id: str) -> None:
        """Forgets a job's pieces."""
        self._write("DELETE FROM chunk WHERE job_id = ?", job_id)

    def clear(self) -> None:
        """Forgets everything."""
        with self.together():
            for table in ("resource", "counters", "job", "chunk"):
                self._write(f"DELETE FROM {table}")  # noqa: S608 - one of these words.

    @contextmanager
    def together(self) -> Iterator[None]:
        """Keeps everything that is written inside, or nothing if the process is killed in it.

        May stand inside another one, of which it then is a part.
        """
        if self._connection.in_transaction:
            yield
            return
        self._write("BEGIN IMMEDIATE")
        try:
            yield
            self._write("COMMIT")
        except BaseException:
            # A full disk, for one, has undone everything already.
            if self._connection.in_transaction:
                self._write("ROLLBACK")
            raise

    def close(self) -> None:
        """Ends the store; no call may follow."""
        with _translated():
            self._connection.close()

    def _migrate(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise EmulatorError(
                "the local RunPod's data was written by a newer version of runpodctl-py",
                hint="update runpodctl-py, or set RUNPODCTL_LOCAL_DIR to another folder",
            )
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;"
            )

    def _rows(self, statement: str, *values: Any) -> Iterator[sqlite3.Row]:
        with _translated():
            yield from self._connection.execute(statement, values)

    def _write(self, statement: str, *values: Any) -> int:
        """Carries out a statement, and returns how many rows it concerned."""
        with _translated():
            return self._connection.execute(statement, values).rowcount


def _text(value: Any) -> str:
    """Returns a value as JSON, on pages of its own in the file if it holds a bucket's keys.

    SQLite overwrites what is deleted, but not the copies that stay behind where it has moved a row
    to another page. Only what has no room on a page is never moved.
    """
    text = json_text.dump(value)
    return text if _KEYS not in text else " " * _PAGE_BYTES + text


def _job(row: sqlite3.Row) -> Job:
    return Job(
        id=row["id"],
        endpoint_id=row["endpoint_id"],
        request=json.loads(row["request"]),
        policy=Policy(**json.loads(row["policy"])),
        retention_s=row["retention_s"],
        created_at=row["created_at"],
        queued_at=row["queued_at"],
        status=JobStatus(row["status"]),
        worker_id=row["worker_id"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        expires_at=row["expires_at"],
        retries=row["retries"],
        outcome=json.loads(row["outcome"]),
    )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise EmulatorError(f"the local RunPod's database cannot be used: {error}") from error
