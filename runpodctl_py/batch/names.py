"""The names of a file's rows: what may be one, and that no two are the same.

Two names are the same if files called after them would be, on any file system. Which names there
were is kept on disk: 100 000 of them must not count in memory.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from runpodctl_py.errors import RunpodctlError, UsageError
from runpodctl_py.jobs.naming import collision_key, safe_name
from runpodctl_py.presets.fields import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from runpodctl_py.jsontypes import JsonValue

NAME_KEYS: Final = ("id", "custom_id")
"""The columns and keys that name a row."""

_LONGEST_CHARACTERS: Final = 200
# Nothing of it is read by anybody else, and a crash may take it along.
_TABLE: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
BEGIN;
CREATE TABLE taken (key TEXT PRIMARY KEY, name TEXT, line INTEGER) WITHOUT ROWID;
"""


def parse_name(value: JsonValue) -> str:
    """Return the name that a row gives itself; a number is taken as its text.

    Raises:
        UsageError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UsageError(f"the id must be a text or a number, not {shown(value)}")
    name = str(value)
    if not name.strip():
        raise UsageError("the id is empty")
    if len(name) > _LONGEST_CHARACTERS:
        raise UsageError(
            f"the id has {len(name)} characters; at most {_LONGEST_CHARACTERS} are taken"
        )
    try:
        name.encode()
    except UnicodeEncodeError as exc:
        raise UsageError(f"the id {shown(name)} holds half a character") from exc
    return name


@dataclass(frozen=True, slots=True)
class _Taken:
    """A name that a row has."""

    name: str
    line: int


class Names:
    """The names that the rows of one file have had so far.

    Rows without an id are named after their lines, so an id can be the number of such a line. As
    long as no row has an id, nothing is kept.
    """

    def __init__(self) -> None:
        self._connection: sqlite3.Connection | None = None
        self._unnamed_until = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._connection is not None:
            self._connection.close()

    def take_line(self, line: int) -> str:
        """Return the name of a row that has no id.

        Raises:
            UsageError: It is the id of a row before.
        """
        name = str(line)
        if self._connection is None:
            self._unnamed_until = line
        elif taken := _insert(self._connection, name, name, line):
            raise UsageError(f"its line's number is the id of line {taken.line}")
        return name

    def take(self, name: str, line: int) -> str:
        """Return the name, which is this row's from now on.

        Raises:
            UsageError: A row before has it, or one that gives files the same names.
        """
        if self._connection is None:
            self._connection = _new_database()
        key = collision_key(safe_name(name))
        taken = self._unnamed(key) or _insert(self._connection, key, name, line)
        if taken is None:
            return name
        if taken.name == name:
            raise UsageError(f"the id {shown(name)} is that of line {taken.line}, too")
        raise UsageError(
            f"the id {shown(name)} gives files the same names as {shown(taken.name)}, "
            f"that of line {taken.line}"
        )

    def _unnamed(self, key: str) -> _Taken | None:
        """Return the row that has this for its line's number, from before names were kept."""
        is_number = key.isascii() and key.isdecimal() and not key.startswith("0")
        return _Taken(key, int(key)) if is_number and int(key) <= self._unnamed_until else None


def _insert(connection: sqlite3.Connection, key: str, name: str, line: int) -> _Taken | None:
    """Note a name, or return the one that stands in its way."""
    with _translated():
        added = connection.execute(
            "INSERT INTO taken VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (key, name, line)
        )
        if added.rowcount:
            return None
        found = connection.execute("SELECT name, line FROM taken WHERE key = ?", (key,))
        return _Taken(*found.fetchone())


def _new_database() -> sqlite3.Connection:
    """Return a database without a name: SQLite writes to disk what exceeds a few megabytes."""
    with _translated():
        # A reader may go on in another thread than the one that began; it is never in two at once.
        connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        connection.executescript(_TABLE)
    return connection


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        raise RunpodctlError(
            f"The rows' names cannot be compared: {exc}",
            hint="They are kept in a temporary file. Choose where:  SQLITE_TMPDIR=FOLDER",
        ) from exc
