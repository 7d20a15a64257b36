"""Changing a `.env` in place: the one line that is asked for, and not a byte more.

Owns reading and writing dotenv files. Does not know which variables exist or what they mean
(`settings.py`). Parsing is python-dotenv's; only the writing is ours, because its `set_key` drops
the changed line's comment and `export`, follows symlinks and loses concurrent writes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from runpodctl_py.errors import ConflictError, RunpodctlError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from dotenv.parser import Binding

_BOM = "\ufeff"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_./:@%+,~^-]*")
_LEAD = re.compile(r"\s*(?:export[^\S\r\n]+)?")
_EQUALS = re.compile(r"[^\S\r\n]*(=[^\S\r\n]*)?")


def read(path: Path) -> dict[str, str]:
    """Return the variables of a dotenv file with `${NAME}` filled in; {} if there is no file.

    Raises:
        UsageError: The file is there and cannot be read.
    """
    from dotenv import dotenv_values

    values = dotenv_values(stream=StringIO(_read_text(path).removeprefix(_BOM)))
    return {name: value for name, value in values.items() if value is not None}


def set_values(path: Path, values: Mapping[str, str]) -> None:
    """Set variables, each where it already stands, or else at the end; create the file if needed.

    Everything else stays to the byte: other lines, comments (the changed line's too), order,
    quoting style and line endings. The file is replaced atomically and has mode 0600 afterwards.

    Raises:
        UsageError: A name or value that a dotenv file cannot hold, or the file cannot be written.
        ConflictError: The file is a symlink that leads out of its folder, or has an open quote
            that the change would fall into.
    """
    for name in values:
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} is not a variable name")
    _rewrite(path, lambda text: _with_values(text, values, path))


def text_of(values: Mapping[str, str]) -> str:
    """Return a dotenv file that sets these variables and nothing else.

    Raises:
        UsageError: A value that a dotenv file cannot hold.
    """
    return "".join(f"{name}={_quoted(value, '')}\n" for name, value in values.items())


def check_writable(path: Path) -> None:
    """Look whether a later `set_values` can work; writes nothing.

    Raises:
        UsageError: The file or its folder cannot be written.
        ConflictError: The file is a symlink that leads out of its folder.
    """
    folder = _checked_target(path).parent
    if not os.access(folder, os.W_OK):
        raise UsageError(f"Cannot write {path}: the folder {folder} cannot be written to")


def remove_values(path: Path, names: Iterable[str]) -> None:
    """Remove every line that sets one of the variables; other lines stay to the byte.

    Raises:
        UsageError: The file cannot be written.
        ConflictError: The file is a symlink that leads out of its folder.
    """
    gone = frozenset(names)
    if path.exists():
        _rewrite(path, lambda text: _without(text, gone))


def _read_text(path: Path) -> str:
    try:
        # Bytes that are not UTF-8 survive the round trip.
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return ""
    except OSError as exc:
        raise UsageError(f"Cannot read {path}: {exc.strerror}") from exc


def _bindings(text: str) -> list[Binding]:
    from dotenv.parser import parse_stream

    return list(parse_stream(StringIO(text, newline="")))


def _with_values(text: str, values: Mapping[str, str], path: Path) -> str:
    before = {b.key: b.value for b in _bindings(text) if b.key}
    for name, value in values.items():
        text = _with_value(text, name, value)
    after = {b.key: b.value for b in _bindings(text) if b.key}
    if after != before | dict(values):
        raise ConflictError(
            f"{path} has a line with an open quote, so {', '.join(values)} cannot be added safely",
            hint="Close the quote, then run the command again.",
        )
    return text


def _with_value(text: str, name: str, value: str) -> str:
    bindings = _bindings(text)
    # Of several lines the last one counts for every reader, so it is the one to change.
    last = max((i for i, b in enumerate(bindings) if b.key == name), default=None)
    if last is None:
        return _with_new_line(text, f"{name}={_quoted(value, '')}")
    parts = [b.original.string for b in bindings]
    parts[last] = _with_line_value(parts[last], value)
    return "".join(parts)


def _with_new_line(text: str, line: str) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    gap = "" if not text or text.endswith(("\n", "\r")) else newline
    return f"{text}{gap}{line}{newline}"


@dataclass(frozen=True)
class _ValueSpan:
    """Where a value stands in its line, how it is quoted, and whether an `=` is there."""

    start: int
    end: int
    quote: str
    has_equals: bool


def _value_span(line: str) -> _ValueSpan:
    from dotenv.parser import Reader, parse_key, parse_value

    reader = Reader(StringIO(line, newline=""))
    reader.read_regex(_LEAD)
    parse_key(reader)
    after_key = reader.position.chars
    equals = _EQUALS.match(line, after_key)
    if equals is None or not equals[1]:
        return _ValueSpan(after_key, after_key, "", has_equals=False)
    right_after = equals.start(1) + 1
    following = line[equals.end() : equals.end() + 1]
    if equals.end() > right_after and following in ("#", "\r", "\n", ""):
        return _ValueSpan(right_after, right_after, "", has_equals=True)
    reader.read_regex(_EQUALS)
    start = reader.position.chars
    value = parse_value(reader)
    quote = line[start] if line[start : start + 1] in ("'", '"') else ""
    end = reader.position.chars if quote else start + len(value)
    return _ValueSpan(start, end, quote, has_equals=True)


def _with_line_value(line: str, value: str) -> str:
    span = _value_span(line)
    equals = "" if span.has_equals else "="
    return f"{line[: span.start]}{equals}{_quoted(value, span.quote)}{line[span.end :]}"


def _quoted(value: str, quote: str) -> str:
    if "\0" in value:
        raise UsageError("A value with a NUL byte cannot stand in a .env")
    if not quote and _PLAIN_VALUE.fullmatch(value):
        return value
    if quote == '"' or not value.isprintable():
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + escaped.replace("\n", "\\n").replace("\r", "\\r") + '"'
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _without(text: str, names: frozenset[str]) -> str:
    kept = []
    for binding in _bindings(text):
        line = binding.original.string
        if binding.key in names:
            # Blank lines above are the parser's part of this line, and the person's own.
            blank = line[: len(line) - len(line.lstrip())]
            line = blank[: max(blank.rfind("\n"), blank.rfind("\r")) + 1]
        kept.append(line)
    return "".join(kept)


def _rewrite(path: Path, change: Callable[[str], str]) -> None:
    target = _checked_target(path)
    with _locked(target):
        text = _read_text(target)
        bom = _BOM if text.startswith(_BOM) else ""
        changed = bom + change(text.removeprefix(_BOM))
        try:
            _replace(target, changed.encode("utf-8", "surrogateescape"))
        except OSError as exc:
            raise UsageError(f"Cannot write {path}: {exc.strerror}") from exc


def _checked_target(path: Path) -> Path:
    target = path.resolve()
    if path.is_symlink() and not target.is_relative_to(path.parent.resolve()):
        raise ConflictError(
            f"{path} is a symlink that leads out of its folder, to {target}",
            hint="Name the file itself with --env-file, or replace the link by a file.",
        )
    if target.is_dir():
        raise UsageError(f"{path} is a folder")
    return target


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Hold the lock of one file, kept outside the project so that nothing is left in it."""
    from filelock import FileLock, Timeout
    from platformdirs import user_cache_path

    folder = user_cache_path("runpodctl-py") / "locks"
    name = hashlib.sha256(os.fsencode(target)).hexdigest()[:32]
    lock = FileLock(folder / f"{name}.lock", timeout=10)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as exc:
        raise RunpodctlError(
            f"Another process has been changing {target} for 10 s", hint="Try again."
        ) from exc
    except OSError as exc:
        raise UsageError(f"Cannot lock {target}: {exc.strerror}") from exc
    try:
        yield
    finally:
        lock.release()


def _replace(target: Path, content: bytes) -> None:
    # mkstemp makes the file with mode 0600, which is what a file with an API key should have.
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f"{target.name}.", suffix="~")
    temporary = target.parent / name
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
