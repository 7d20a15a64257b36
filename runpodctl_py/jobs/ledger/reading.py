"""What the ledger knows, asked in all the ways that commands ask: nothing here writes.

`store.py` adds the writing. Every method blocks for as long as a disk takes, a few milliseconds.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runpodctl_py.errors import NotFoundError, UsageError
from runpodctl_py.jobs.ledger.database import Database, path_out
from runpodctl_py.jobs.ledger.lives import Lives
from runpodctl_py.jobs.ledger.record import Deployment, KeptFile, Sighting, State
from runpodctl_py.jobs.ledger.rows import record_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runpodctl_py.jobs.ledger.record import Place, Record
    from runpodctl_py.jsontypes import JsonValue

_SHORTEST_PREFIX = 4
_PAGE = 500
_BEYOND_ANY_NUMBER = 2**62
_DONE_WITH = (
    "((created_at < ? AND (saved_at IS NOT NULL OR state IN ('not_sent', 'expired')))"
    " OR created_at < ?)"
)
"""What is done with and old enough, or so old that RunPod cannot know it any more."""
FORGETTABLE = (
    f"{_DONE_WITH} AND (batch_id IS NULL OR (batch_id NOT IN (SELECT batch_id FROM batch"  # noqa: S608 - our own words.
    " WHERE state = 'open') AND batch_id NOT IN (SELECT batch_id FROM job"
    f" WHERE batch_id IS NOT NULL AND NOT {_DONE_WITH})))"
)
"""The same, and of a batch that is over all rows or none: what goes on sends those again that
it does not know."""
UNSETTLED = "saved_at IS NULL AND state NOT IN ('not_sent', 'expired')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which jobs are meant; what is not given does not matter.

    Args:
        states: Those in one of these.
        endpoint_id: Those of this endpoint.
        preset: Those of this preset.
        batch_id: Those of this batch.
        since: Those written down at this time or later, in seconds since 1970.
        unsettled: Those of which RunPod may have something that we do not have.
    """

    states: tuple[State, ...] = ()
    endpoint_id: str | None = None
    preset: str | None = None
    batch_id: str | None = None
    since: float | None = None
    unsettled: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is not on our disk yet and nobody is working on.

    Args:
        ended: How many jobs have ended.
        running: How many were running when RunPod was asked last.
        unknown: How many were sent and never answered.
        batch_ids: The batches whose rows some of these are.
        others: How many of these are no batch's.
        first_drop_at: When RunPod drops the first result, in seconds since 1970, if one has ended.
    """

    ended: int
    running: int
    unknown: int
    first_drop_at: float | None
    batch_ids: tuple[str, ...] = ()
    others: int = 0


class Reading:
    """All jobs that this user's commands have sent, to be read.

    Args:
        path: The SQLite file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = Database(path)
        self._lives = Lives(path.with_name(f"{path.name}.lives"))

    def find(self, text: str) -> Record:
        """Return the job whose id, or whose key, begins with a text.

        Raises:
            NotFoundError: There is none.
            UsageError: There are several.
        """
        pattern = _literally(text.removeprefix("sync-"))
        rows = self._database.rows(
            "SELECT * FROM listed WHERE job_id = ? OR key = ? ORDER BY number DESC", text, text
        )
        is_whole = bool(rows)
        if not rows and len(pattern) >= _SHORTEST_PREFIX:
            rows = self._database.rows(
                "SELECT * FROM listed WHERE job_id LIKE ? ESCAPE '\\'"
                " OR job_id LIKE ? ESCAPE '\\'"
                " OR key LIKE ? ESCAPE '\\' ORDER BY number DESC LIMIT 10",
                f"{pattern}%",
                f"sync-{pattern}%",
                f"{pattern}%",
            )
        found = [record_of(each) for each in rows]
        if not found:
            raise NotFoundError(
                f"The ledger knows no job {text}",
                hint="See which it knows:  runpodctl-py jobs list",
            )
        if len(found) > 1:
            if is_whole:
                where = ", ".join(f"{each.intent.place.root} ({each.key})" for each in found)
                raise UsageError(
                    f"Several RunPods have a job {text}: {where}",
                    hint="Name its endpoint with --endpoint, or type the key in brackets.",
                )
            ids = ", ".join(each.job_id or each.key for each in found)
            raise UsageError(f"Several jobs begin with {text}: {ids}", hint="Type more of the id.")
        return found[0]

    def knows(self, job_id: str) -> bool:
        """Tell whether a job of RunPod's is in the ledger."""
        return bool(self._database.rows("SELECT 1 FROM job WHERE job_id = ? LIMIT 1", job_id))

    def twins(self, record: Record, state: State) -> int:
        """Count the jobs in a state that were sent the same input at the same endpoint."""
        rows = self._database.rows(
            "SELECT count(*) AS count FROM job JOIN payload ON job = number"
            " WHERE state = ? AND endpoint_id = ? AND root = ?"
            " AND sha256 = (SELECT sha256 FROM payload JOIN job ON job = number WHERE key = ?)",
            state,
            record.intent.endpoint_id,
            record.intent.place.root,
            record.key,
        )
        return int(rows[0]["count"])

    def record(self, key: str) -> Record:
        """Return a job by its key."""
        return record_of(self._database.rows("SELECT * FROM listed WHERE key = ?", key)[0])

    def jobs(self, wanted: Filter | None = None, limit: int | None = None) -> list[Record]:
        """Return jobs, those written down last first."""
        where, values = _conditions(wanted or Filter())
        statement = f"SELECT * FROM listed WHERE {where} ORDER BY number DESC LIMIT ?"  # noqa: S608 - our own words only.
        return [record_of(row) for row in self._database.rows(statement, *values, limit or -1)]

    def each(self, wanted: Filter) -> Iterator[Record]:
        """Yield jobs as `jobs` returns them, however many, without having all of them at once."""
        where, values = _conditions(wanted)
        last = None
        while True:
            page = self._database.rows(
                f"SELECT * FROM listed WHERE {where} AND number < ? ORDER BY number DESC LIMIT ?",  # noqa: S608 - our own words.
                *values,
                _BEYOND_ANY_NUMBER if last is None else last,
                _PAGE,
            )
            yield from map(record_of, page)
            if len(page) < _PAGE:
                return
            last = page[-1]["number"]

    def ids(self, prefix: str, limit: int) -> list[str]:
        """Return RunPod's ids that begin with a text, the newest first."""
        rows = self._database.rows(
            "SELECT job_id FROM job WHERE job_id LIKE ? ESCAPE '\\' ORDER BY number DESC LIMIT ?",
            f"{_literally(prefix)}%",
            limit,
        )
        return [row["job_id"] for row in rows]

    def payload(self, key: str) -> JsonValue:
        """Return what a job was sent, without secrets; None if nobody knows (any more)."""
        rows = self._database.rows(
            "SELECT body, sha256 FROM payload JOIN job ON job = number WHERE key = ?", key
        )
        if not rows:
            return None
        body, path = rows[0]["body"], self._aside(rows[0]["sha256"])
        if body is None:
            try:
                body = path.read_bytes()
            except OSError:
                # It stood in a file of its own, which is gone; all else is known.
                return None
        value: JsonValue = json.loads(body.decode(errors="surrogatepass"))
        return value

    def output(self, key: str) -> JsonValue:
        """Return what a job returned, with files' contents replaced by where they are."""
        rows = self._database.rows(
            "SELECT body FROM output JOIN job ON job = number WHERE key = ?", key
        )
        value: JsonValue = json.loads(rows[0]["body"]) if rows else None
        return value

    def pieces(self, key: str) -> tuple[JsonValue, ...]:
        """Return what a job has streamed and nobody has saved yet, in its order."""
        rows = self._database.rows(
            "SELECT body FROM piece JOIN job ON job = job.number WHERE key = ?"
            " ORDER BY piece.number",
            key,
        )
        return tuple(json.loads(row["body"]) for row in rows)

    def worker_error(self, key: str) -> JsonValue:
        """Return what the worker said when the job failed, as it said it, without secrets."""
        rows = self._database.rows(
            "SELECT worker_error FROM output JOIN job ON job = number WHERE key = ?", key
        )
        value: JsonValue = json.loads(rows[0]["worker_error"]) if rows else None
        return value

    def files(self, key: str) -> tuple[KeptFile, ...]:
        """Return a job's files on our disk, as they were saved."""
        rows = self._database.rows(
            "SELECT file.* FROM file JOIN job ON job = number WHERE key = ? ORDER BY file.rowid",
            key,
        )
        return tuple(
            KeptFile(path_out(row["path"]), row["size_bytes"], row["sha256"], row["content_type"])
            for row in rows
        )

    def sightings(self, key: str) -> tuple[Sighting, ...]:
        """Return every state a job was seen in, the first one first."""
        rows = self._database.rows(
            "SELECT sighting.* FROM sighting JOIN job ON job = number WHERE key = ?"
            " ORDER BY sighting.rowid",
            key,
        )
        return tuple(Sighting(State(row["state"]), row["at"]) for row in rows)

    def waiting(self, left_before: float) -> Waiting:
        """Count what nobody has fetched and nobody is working on.

        Args:
            left_before: Jobs that run count if they were written down before this time.
        """
        rows = self._database.rows(f"SELECT * FROM listed WHERE {UNSETTLED}")  # noqa: S608 - our own words.
        alive: dict[str, bool] = {}
        for owner in {row["owner"] for row in rows} - {None}:
            alive[owner] = self._lives.is_alive(owner)
        left = [record_of(row) for row in rows if not alive.get(row["owner"], False)]
        drops = [each.kept_until for each in left if each.kept_until is not None]
        return Waiting(
            ended=sum(each.state.is_final for each in left),
            running=sum(each.state.is_open and each.created_at < left_before for each in left),
            unknown=sum(each.state in {State.UNKNOWN, State.SENDING} for each in left),
            first_drop_at=min(drops, default=None),
            batch_ids=tuple(
                sorted({each.intent.batch_id for each in left if each.intent.batch_id is not None})
            ),
            others=sum(each.intent.batch_id is None for each in left),
        )

    def deployment(self, place: Place, endpoint_id: str, at: float) -> Deployment | None:
        """Return what an endpoint was at a time, as far as our own commands have set it up."""
        rows = self._database.rows(
            "SELECT * FROM deployment WHERE endpoint_id = ? AND root = ? AND at <= ?"
            " ORDER BY at DESC, number DESC LIMIT 1",
            endpoint_id,
            place.root,
            at,
        )
        if not rows:
            return None
        fields = dict(rows[0])
        for name in ("number", "root", "is_local"):
            del fields[name]
        return Deployment(place=place, **fields)

    def _aside(self, digest: str) -> Path:
        return self.path.with_name(f"{self.path.name}.inputs") / f"{digest}.json"


def _literally(text: str) -> str:
    """Return a pattern of LIKE that a text alone fits."""
    return re.sub(r"([\\%_])", r"\\\1", text)


def _conditions(wanted: Filter) -> tuple[str, list[object]]:
    """Return the words of a WHERE, and their values."""
    parts: list[tuple[str, list[object]]] = [("1", [])]
    if wanted.states:
        parts.append((f"state IN ({', '.join('?' * len(wanted.states))})", [*wanted.states]))
    if wanted.unsettled:
        # As a set: their order would have SQLite look through all jobs.
        parts.append((f"number IN (SELECT number FROM job WHERE {UNSETTLED})", []))  # noqa: S608 - our own words.
    for condition, value in (
        ("endpoint_id = ?", wanted.endpoint_id),
        ("preset = ?", wanted.preset),
        ("batch_id = ?", wanted.batch_id),
        ("created_at >= ?", wanted.since),
    ):
        if value is not None:
            parts.append((condition, [value]))
    return " AND ".join(each for each, _ in parts), [v for _, values in parts for v in values]
