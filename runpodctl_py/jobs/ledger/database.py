"""The ledger's SQLite file: opening it, bringing it to today's form, writing in one piece.

Knows no table. What SQLite and the system say of the file is translated here.
"""

from __future__ import annotations

import errno
import os
import shlex
import sqlite3
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runpodctl_py.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BUSY_S = 30.0
_LOOK_ELSEWHERE = "Use another one meanwhile:  RUNPODCTL_LEDGER=other.sqlite3"


class Database:
    """One SQLite file, made and opened when it is first needed.

    Args:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def close(self) -> None:
        """Let go of the file."""
        if (connection := self.__dict__.pop("_connection", None)) is not None:
            connection.close()

    @cached_property
    def _connection(self) -> sqlite3.Connection:
        """The open file, brought to today's form.

        Raises:
            LedgerError: It cannot be used.
        """
        with translated(self._path):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make_private(self._path)
            connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)
            try:
                connection.row_factory = sqlite3.Row
                connection.execute("PRAGMA foreign_keys = ON")
                if _version(connection) < len(_migrations()):
                    connection.execute("PRAGMA journal_mode = WAL")
                    _migrate(connection)
                # A power cut must not take what was written before money was spent.
                connection.execute("PRAGMA synchronous = FULL")
            except BaseException:
                connection.close()
                raise
        if _version(connection) > len(_migrations()):
            connection.close()
            raise LedgerError(
                f"The ledger {self._path} was written by a newer version of runpodctl-py",
                hint=f"Update this one:  pip install --upgrade runpodctl-py\n{_LOOK_ELSEWHERE}",
            )
        return connection

    def rows(self, statement: str, *values: object) -> list[sqlite3.Row]:
        """Return what a statement finds."""
        with translated(self._path):
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def together(self) -> Iterator[sqlite3.Connection]:
        """Write everything inside, or nothing; the file is this process's meanwhile.

        Inside another one, it is a part of that.
        """
        with translated(self._path):
            connection = self._connection
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        if not self._path.exists():
            raise LedgerError(f"The ledger {self._path} was deleted while it was in use")

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Inside `together`: undo what is inside this, and only that, if it fails."""
        with translated(self._path):
            self._connection.execute("SAVEPOINT apart")
            try:
                yield
            except BaseException:
                # A full disk, say, has ended the whole transaction.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK TO apart")
                    self._connection.execute("RELEASE apart")
                raise
            self._connection.execute("RELEASE apart")


def _make_private(path: Path) -> None:
    """Make the file if there is none; SQLite would let everybody read it.

    One that is there is not opened: closing it would take the locks from every other connection
    that this process has to it (sqlite.org, "How To Corrupt An SQLite Database File", 2.2).
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if hasattr(os, "statvfs") and os.statvfs(path).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    if not path.stat().st_size:
        path.chmod(0o600)


def bound(value: Any) -> Any:
    """Return a value as SQLite takes it: half a character of UTF-16 is escaped."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def path_in(path: Path) -> str | bytes:
    """Return a path as it is kept: its bytes, where they are no text."""
    text = str(path)
    return text if text.isascii() or _is_text(text) else os.fsencode(path)


def path_out(kept: str | bytes) -> Path:
    """Return a path that was kept."""
    return Path(os.fsdecode(kept))


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _migrations() -> Sequence[str]:
    """Return the steps from an empty file to today's form, in their order."""
    folder = resources.files("runpodctl_py.jobs.ledger") / "schema"
    names = sorted(each.name for each in folder.iterdir() if each.name.endswith(".sql"))
    return [(folder / name).read_text("utf-8") for name in names]


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to today's form, step by step, unless another process just did."""
    for number, script in enumerate(_migrations(), start=1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _version(connection) < number:
                for statement in _statements(script):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            # On a full disk, say, SQLite has done so itself.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _statements(script: str) -> Iterator[str]:
    """Yield a script's statements: `executescript` would commit each by itself."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


_WORDS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "it cannot be written to",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_BUSY: f"another process has kept it for more than {_BUSY_S:.0f} s",
    sqlite3.SQLITE_IOERR: "the disk reports an error; it may be full",
}


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say of a file of the ledger into words."""
    try:
        yield
    except OSError as exc:
        raise LedgerError(
            f"The ledger {path} cannot be used: {exc.strerror}", hint=_LOOK_ELSEWHERE
        ) from exc
    except sqlite3.DatabaseError as exc:
        code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
            raise LedgerError(
                f"The ledger {path} is damaged: {exc}",
                hint=f"Move it away, and a new one is made:  mv {_quoted(path)}*  ELSEWHERE\n"
                f"{_LOOK_ELSEWHERE}",
            ) from exc
        raise LedgerError(
            f"The ledger {path} cannot be used: {_WORDS.get(code, exc)}", hint=_LOOK_ELSEWHERE
        ) from exc
    except (OverflowError, UnicodeError) as exc:
        raise LedgerError(f"The ledger {path} cannot keep this: {exc}") from exc


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
