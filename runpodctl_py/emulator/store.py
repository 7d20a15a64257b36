"""What outlives a restart of the local RunPod: endpoints, templates and jobs in one SQLite file.

`Store` is what `state.py` asks for; `SqliteStore` keeps it in a file (WAL, one writer: the event
loop's thread) or, given ":memory:", only as long as it lives. Progress updates and stream chunks
are not kept. Knows the shape of the tables and nothing of what the values mean.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from runpodctl_py.emulator import json_text
from runpodctl_py.emulator.jobs import Job, JobStatus, Policy
from runpodctl_py.emulator.model import Endpoint, Template
from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_MIGRATIONS = (
    """
    CREATE TABLE template (id TEXT PRIMARY KEY, body TEXT NOT NULL);
    CREATE TABLE endpoint (
        id TEXT PRIMARY KEY,
        body TEXT NOT NULL,
        completed INTEGER NOT NULL DEFAULT 0,
        failed INTEGER NOT NULL DEFAULT 0,
        retried INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE job (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        endpoint_id TEXT NOT NULL,
        request TEXT NOT NULL,
        policy TEXT NOT NULL,
        sync INTEGER NOT NULL,
        created_at REAL NOT NULL,
        status TEXT NOT NULL,
        worker_id TEXT,
        started_at REAL,
        finished_at REAL,
        retries INTEGER NOT NULL,
        outcome TEXT NOT NULL
    );
    CREATE INDEX job_of_endpoint ON job (endpoint_id);
    """,
)
"""One script per schema version; new ones are appended, old ones never change."""


@dataclass(slots=True)
class Counters:
    """An endpoint's job counters since its creation, as /health shows them."""

    completed: int = 0
    failed: int = 0
    retried: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a store holds; jobs in the order of their submission."""

    templates: Sequence[Template]
    endpoints: Sequence[tuple[Endpoint, Counters]]
    jobs: Sequence[Job]


class Store(Protocol):
    """Keeps what must outlive the process: whatever a call kept is there after a kill."""

    def load(self) -> Snapshot:
        """Returns everything that is kept."""
        ...

    def put_template(self, template: Template) -> None:
        """Keeps a template, replacing the one of the same id."""
        ...

    def drop_template(self, template_id: str) -> None:
        """Forgets a template."""
        ...

    def put_endpoint(self, endpoint: Endpoint) -> None:
        """Keeps an endpoint, replacing the one of the same id; its counters stay."""
        ...

    def put_counters(self, endpoint_id: str, counters: Counters) -> None:
        """Keeps an endpoint's counters."""
        ...

    def drop_endpoint(self, endpoint_id: str) -> None:
        """Forgets an endpoint, its counters and its jobs."""
        ...

    def add_job(self, job: Job) -> None:
        """Keeps a new job."""
        ...

    def update_job(self, job: Job) -> None:
        """Keeps how a known job stands now."""
        ...

    def drop_job(self, job_id: str) -> None:
        """Forgets a job."""
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
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._migrate()

    def load(self) -> Snapshot:
        """Returns everything that is kept."""
        return Snapshot(
            templates=[Template(**_fields(row)) for row in self._all("template")],
            endpoints=[
                (
                    Endpoint(**_fields(row)),
                    Counters(row["completed"], row["failed"], row["retried"]),
                )
                for row in self._all("endpoint")
            ],
            jobs=[_job(row) for row in self._all("job")],
        )

    def put_template(self, template: Template) -> None:
        """Keeps a template, replacing the one of the same id."""
        self._write(
            "INSERT INTO template (id, body) VALUES (?, ?)"
            " ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            template.id,
            json_text.dump(asdict(template)),
        )

    def drop_template(self, template_id: str) -> None:
        """Forgets a template."""
        self._write("DELETE FROM template WHERE id = ?", template_id)

    def put_endpoint(self, endpoint: Endpoint) -> None:
        """Keeps an endpoint, replacing the one of the same id; its counters stay."""
        self._write(
            "INSERT INTO endpoint (id, body) VALUES (?, ?)"
            " ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            endpoint.id,
            json_text.dump(asdict(endpoint)),
        )

    def put_counters(self, endpoint_id: str, counters: Counters) -> None:
        """Keeps an endpoint's counters."""
        self._write(
            "UPDATE endpoint SET completed = ?, failed = ?, retried = ? WHERE id = ?",
            counters.completed,
            counters.failed,
            counters.retried,
            endpoint_id,
        )

    def drop_endpoint(self, endpoint_id: str) -> None:
        """Forgets an endpoint, its counters and its jobs."""
        self._write("DELETE FROM job WHERE endpoint_id = ?", endpoint_id)
        self._write("DELETE FROM endpoint WHERE id = ?", endpoint_id)

    def add_job(self, job: Job) -> None:
        """Keeps a new job."""
        self._write(
            "INSERT INTO job (id, endpoint_id, request, policy, sync, created_at, status,"
            " retries, outcome) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            job.id,
            job.endpoint_id,
            json_text.dump(job.request),
            json_text.dump(asdict(job.policy)),
            job.sync,
            job.created_at,
            job.status,
            job.retries,
            json_text.dump(job.outcome),
        )

    def update_job(self, job: Job) -> None:
        """Keeps how a known job stands now."""
        self._write(
            "UPDATE job SET status = ?, worker_id = ?, started_at = ?, finished_at = ?,"
            " retries = ?, outcome = ? WHERE id = ?",
            job.status,
            job.worker_id,
            job.started_at,
            job.finished_at,
            job.retries,
            json_text.dump(job.outcome),
            job.id,
        )

    def drop_job(self, job_id: str) -> None:
        """Forgets a job."""
        self._write("DELETE FROM job WHERE id = ?", job_id)

    def close(self) -> None:
        """Ends the store; no call may follow."""
        with _translated():
            self._connection.close()

    def _migrate(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise EmulatorError(
                "the local RunPod's data was written by a newer version of runpodctl-py",
                hint="update runpodctl-py, or set RUNPODCTL_LOCAL_DIR to another folder",
            )
        for number, script in enumerate(_MIGRATIONS[version:], start=version + 1):
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;"
            )

    def _all(self, table: str) -> Iterator[sqlite3.Row]:
        with _translated():
            # The table's name comes from this module only.
            yield from self._connection.execute(f"SELECT * FROM {table} ORDER BY rowid")  # noqa: S608

    def _write(self, statement: str, *values: Any) -> None:
        with _translated():
            self._connection.execute(statement, values)


def _fields(row: sqlite3.Row) -> dict[str, Any]:
    """Returns a kept value's fields; sequences are tuples again, so that equal means unchanged."""
    body: dict[str, Any] = json.loads(row["body"])
    return {name: tuple(each) if isinstance(each, list) else each for name, each in body.items()}


def _job(row: sqlite3.Row) -> Job:
    return Job(
        id=row["id"],
        endpoint_id=row["endpoint_id"],
        request=json.loads(row["request"]),
        policy=Policy(**json.loads(row["policy"])),
        sync=bool(row["sync"]),
        created_at=row["created_at"],
        status=JobStatus(row["status"]),
        worker_id=row["worker_id"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        retries=row["retries"],
        outcome=json.loads(row["outcome"]),
    )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise EmulatorError(f"the local RunPod's database cannot be used: {error}") from error
