"""The ledger: writing down what happens to jobs. `reading.py` is the other half.

Owns what is written in one transaction; the steps of a job's life in it are `moves.py`'s, and
opening the file is `database.py`'s. Talks to no network and saves no job's files. Every method
blocks for as long as a disk takes, a few milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from runpodctl_py.jobs.landing import Draft
from runpodctl_py.jobs.ledger.batches import Batches
from runpodctl_py.jobs.ledger.database import bound, path_in, translated
from runpodctl_py.jobs.ledger.moves import Moves, holder, update
from runpodctl_py.jobs.ledger.native_batches import NativeRecords
from runpodctl_py.jobs.ledger.reading import FORGETTABLE, UNSETTLED, Reading
from runpodctl_py.jobs.ledger.record import (
    LONGEST_LIFE_S,
    REPEATABLE,
    Intent,
    KeptFile,
    Place,
    State,
)
from runpodctl_py.jobs.masking import masked, masked_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from runpodctl_py.api.types import Job
    from runpodctl_py.jobs.ledger.record import Deployment, Record
    from runpodctl_py.jsontypes import JsonValue

_LARGEST_OUTPUT_BYTES = 1_000_000
_LARGEST_BODY_BYTES = 64 * 1024
"""Larger payloads go into a file of their own, so that the ledger stays quick to copy and read."""


@dataclass(frozen=True, slots=True)
class Home:
    """What came of a job that has ended, as far as it is on our disk.

    Args:
        files: What was saved.
        output: The output, with files' contents replaced by where they are.
        cost_usd: About what the run cost.
        error: What the person was told, if it was no success.
        worker_error: What the worker said, as it said it.
        is_whole: Whether nothing is left to be fetched.
        keeps_pieces: Whether what it has streamed is needed still.
    """

    files: tuple[KeptFile, ...] = ()
    output: JsonValue = None
    cost_usd: float | None = None
    error: str | None = None
    worker_error: JsonValue = None
    is_whole: bool = True
    keeps_pieces: bool = False


class Ledger(Reading):
    """All jobs that this user's commands have sent. Opened when it is first needed.

    Args:
        path: The SQLite file; it and its folder are made if they are not there.
        now: The wall time, in seconds since 1970.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        super().__init__(path)
        self._now = now
        self._moves = Moves(self._lives, now)
        self.batches = Batches(self._database, self._lives, now)
        self.native_batches = NativeRecords(self._database, now)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file, and of all jobs this process was working on."""
        self._database.close()
        self._lives.end()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Take several steps in one piece: all of them are written down, or none."""
        with self._database.together():
            yield

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Take steps inside `together` that are undone by themselves if one of them fails."""
        with self._database.apart():
            yield

    # What happens to a job, in its order.

    def intend(self, intent: Intent) -> str:
        """Write down a job before it is sent, and return its key.

        Raises:
            LedgerError: That is not possible; then it must not be sent.
        """
        key = secrets.token_hex(6)
        payload = masked(intent.payload)
        is_whole = payload == intent.payload and intent.webhook == _masked(intent.webhook)
        body = json.dumps(payload, ensure_ascii=False).encode(errors="surrogatepass")
        digest = hashlib.sha256(body).hexdigest()
        is_large = len(body) > _LARGEST_BODY_BYTES
        with self._database.together() as sql:
            # Inside: nobody tidies up meanwhile.
            if is_large:
                self._put_aside(digest, body)
            number = self._moves.add(sql, key, intent, State.SENDING, is_payload_whole=is_whole)
            # Nobody looks for a job any more that was sent once more.
            sql.execute(
                "UPDATE job SET saved_at = ? WHERE key = ? AND saved_at IS NULL"
                " AND (state = 'unknown' OR batch_id IS NOT NULL)",
                (self._now(), intent.parent),
            )
            sql.execute(
                "INSERT INTO payload VALUES (?, ?, ?, ?)",
                (number, None if is_large else body, digest, len(body)),
            )
        return key

    def sent(self, key: str, job: Job) -> None:
        """Note that RunPod has taken a job, and how it answered.

        Another one that had its id is gone: a local RunPod that was reset gives its ids again.
        """
        with self._database.together() as sql:
            other = holder(sql, key, job)
            if other is not None:
                self._moves.move(sql, other, State.EXPIRED, {})
                update(sql, other, {"job_id": None})
            self._moves.move(sql, key, State.of(job.status), self._moves.news(sql, key, job))

    def found(self, key: str, job: Job) -> bool:
        """Note which job one of ours turned out to be, unless that one is another of ours."""
        with self._database.together() as sql:
            if holder(sql, key, job) is not None:
                return False
            self._moves.move(sql, key, State.of(job.status), self._moves.news(sql, key, job))
        return True

    def not_sent(self, key: str, why: str) -> None:
        """Note that RunPod has not taken a job."""
        self._move(key, State.NOT_SENT, {"error": masked_text(why), "owner": None})

    def unknown(self, key: str, why: str) -> None:
        """Note that nobody knows whether RunPod has taken a job."""
        self._move(key, State.UNKNOWN, {"error": masked_text(why), "owner": None})

    def seen(self, key: str, job: Job) -> None:
        """Note how RunPod says that a job stands; older news than what is known change nothing."""
        with self._database.together() as sql:
            self._moves.move(sql, key, State.of(job.status), self._moves.news(sql, key, job))

    def asked(self, key: str, job: Job) -> None:
        """Note how a job stands that was not followed: meanwhile RunPod may have repeated it."""
        with self._database.together() as sql:
            state, before = State.of(job.status), self._moves.state(sql, key)
            if before is not None and before in REPEATABLE and state is not before:
                self._moves.begin_anew(sql, key)
            self._moves.move(sql, key, state, self._moves.news(sql, key, job))

    def heard(self, key: str, pieces: Sequence[JsonValue]) -> None:
        """Note what a job has streamed: nobody is told it a second time.

        It is kept as it came, for it is to be saved; it goes when it is.
        """
        with self._database.together() as sql:
            sql.executemany(
                "INSERT INTO piece (job, body) SELECT number, ? FROM job WHERE key = ?",
                [(json.dumps(each), key) for each in pieces],
            )

    def home(self, key: str, home: Home) -> None:
        """Note what of an ended job is on our disk; all of it in one transaction.

        A second look that brought less than the first, for a link has expired, say, takes
        nothing back.
        """
        with self._database.together() as sql:
            row = sql.execute("SELECT number, saved_at FROM job WHERE key = ?", (key,)).fetchone()
            # It was forgotten on purpose, by another command.
            if row is None or (row["saved_at"] is not None and not home.is_whole):
                return
            number = row["number"]
            sql.execute("DELETE FROM file WHERE job = ?", (number,))
            sql.executemany(
                "INSERT INTO file VALUES (?, ?, ?, ?, ?)",
                [
                    (number, path_in(each.path), each.size_bytes, each.sha256, each.content_type)
                    for each in home.files
                ],
            )
            if not home.keeps_pieces:
                sql.execute("DELETE FROM piece WHERE job = ?", (number,))
            said = (_json(each) for each in (home.output, home.worker_error))
            sql.execute("INSERT OR REPLACE INTO output VALUES (?, ?, ?)", (number, *said))
            fields = {
                "error": _masked(home.error),
                "saved_at": self._now() if home.is_whole else None,
            }
            cost = {} if home.cost_usd is None else {"cost_usd": home.cost_usd}
            update(sql, key, {**fields, **cost})

    def expired(self, key: str) -> None:
        """Note that RunPod does not know a job any more; if its result is home, that is no loss."""
        self._move(key, State.EXPIRED, {"owner": None})

    def repeating(self, key: str) -> None:
        """Note, before RunPod is asked to run a job once more, that it has to be looked after.

        Whether it was repeated can be seen of the job itself, whatever ends us meanwhile.
        """
        with self._database.together() as sql:
            update(sql, key, {"saved_at": None})

    def not_repeated(self, before: Record) -> None:
        """Note that RunPod did not run a job once more: it is as it was."""
        with self._database.together() as sql:
            update(sql, before.key, {"saved_at": before.saved_at})

    def begun_anew(self, key: str) -> None:
        """Note that RunPod runs a job once more, under the same id (`/retry`)."""
        with self._database.together() as sql:
            self._moves.begin_anew(sql, key)

    def adopt(self, place: Place, endpoint_id: str, job: Job, *, preset: str | None = None) -> str:
        """Take up a job that somebody else has sent, and return its key; ours stay as they are."""
        with self._database.together() as sql:
            known = sql.execute(
                "SELECT key FROM job WHERE job_id = ? AND endpoint_id = ? AND root = ?",
                (job.job_id, endpoint_id, place.root),
            ).fetchone()
            if known is not None:
                return str(known["key"])
            key = secrets.token_hex(6)
            intent = Intent(
                place=place,
                endpoint_id=endpoint_id,
                payload=None,
                preset=preset,
                is_sync=job.job_id.startswith("sync-"),
            )
            self._moves.add(sql, key, intent, State.of(job.status), is_payload_whole=False)
            update(sql, key, self._moves.news(sql, key, job))
        return key

    def claim(self, key: str) -> bool:
        """Take a job in hand, unless another living process has it."""
        with self._database.together() as sql:
            row = sql.execute("SELECT owner FROM job WHERE key = ?", (key,)).fetchone()
            if row is None:
                return False
            owner = row["owner"]
            if owner is not None and self._lives.is_alive(owner) and owner != self._lives.name:
                return False
            update(sql, key, {"owner": self._lives.name})
        return True

    def let_go(self, key: str) -> None:
        """Let others take a job in hand, unless one has."""
        with self._database.together() as sql:
            sql.execute(
                "UPDATE job SET owner = NULL WHERE key = ? AND owner = ?", (key, self._lives.name)
            )

    def settle(self) -> None:
        """Find jobs whose sender was ended before it knew the answer: they are unknown."""
        # Its second half is what the index is made for.
        rows = self._database.rows(
            f"SELECT key, owner FROM job WHERE state = 'sending' AND {UNSETTLED}"  # noqa: S608 - our own words.
        )
        for row in rows:
            if row["owner"] is None or not self._lives.is_alive(row["owner"]):
                self.unknown(
                    row["key"], "the command that sent it was ended before it was answered"
                )

    def forgettable(self, before: float) -> int:
        """Count the jobs that `forget` would forget."""
        rows = self._database.rows(
            f"SELECT count(*) AS count FROM job WHERE {FORGETTABLE}",  # noqa: S608 - our own words.
            *self._forgettable(before),
        )
        return int(rows[0]["count"])

    def forget(self, before: float) -> int:
        """Forget jobs that are done with and were written down before a time; return how many.

        What RunPod may still have for us stays, and so do all jobs' files.
        """
        with self._database.together() as sql:
            sql.execute(f"DELETE FROM job WHERE {FORGETTABLE}", self._forgettable(before))  # noqa: S608 - our own words.
            count = int(sql.execute("SELECT changes()").fetchone()[0])
            self.batches.forget_empty(before)
        with self._database.together() as sql:
            rows = sql.execute("SELECT sha256 FROM payload WHERE body IS NULL").fetchall()
            kept = {self._aside(row["sha256"]) for row in rows}
            kept |= {each.source for each in self.batches.all()}
            spool = self.path.with_name(f"{self.path.name}.batches")
            found = {*self._aside("").parent.glob("*"), *spool.glob("*.rows")}
            for path in found - kept:
                with suppress(OSError):
                    path.unlink()
        return count

    def deployed(self, deployment: Deployment) -> None:
        """Note that an endpoint was set up, changed or taken down."""
        fields = asdict(deployment)
        place = fields.pop("place")
        fields |= {"root": place["root"], "is_local": place["is_local"]}
        names = ", ".join(fields)
        with self._database.together() as sql:
            sql.execute(
                f"INSERT INTO deployment ({names}) VALUES ({', '.join('?' * len(fields))})",  # noqa: S608 - our own names.
                tuple(map(bound, fields.values())),
            )

    def _move(self, key: str, state: State, fields: Mapping[str, Any]) -> None:
        with self._database.together() as sql:
            self._moves.move(sql, key, state, fields)

    def _forgettable(self, before: float) -> tuple[float, ...]:
        return (before, min(before, self._now() - LONGEST_LIFE_S)) * 2

    def _put_aside(self, digest: str, body: bytes) -> None:
        path = self._aside(digest)
        with translated(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                with Draft(path.parent, digest) as draft:
                    draft.write(body)
                    draft.replace(path.name).chmod(0o600)


def _masked(text: str | None) -> str | None:
    return None if text is None else masked_text(text)


def _json(value: JsonValue) -> str:
    """Return an output as it is kept: without secrets, and only its size if that is huge."""
    text = json.dumps(masked(value))
    if len(text) > _LARGEST_OUTPUT_BYTES:
        return json.dumps({"too_large_bytes": len(text)})
    return text
