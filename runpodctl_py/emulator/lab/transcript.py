"""A transcript: the requests of a day and what was answered, a JSON object a line in a file.

Owns the values and the file. What may not be written down is `removal.py`'s business, where the
exchanges come from `recording.py`'s, and what is answered from them `replaying.py`'s.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shlex
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from runpodctl_py.emulator import json_text
from runpodctl_py.errors import ConflictError, NotFoundError, SaveError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FORMAT = "runpodctl-py transcript"
VERSION = 1

Kind: TypeAlias = Literal["json", "text", "base64"]


@dataclass(frozen=True, slots=True)
class Body:
    """What a request or an answer carried.

    Args:
        kind: How it is written down: a JSON value, other text, or base64 for what is no text.
        value: That value or text.
    """

    kind: Kind
    value: Any

    @classmethod
    def of(cls, content: bytes) -> Body | None:
        """Returns how these bytes are written down; None if there are none."""
        if not content:
            return None
        try:
            return cls("json", json_text.parse(content))
        except ValueError:
            pass
        try:
            return cls("text", content.decode())
        except UnicodeDecodeError:
            return cls("base64", base64.b64encode(content).decode("ascii"))

    def content(self) -> bytes:
        """Returns the bytes again; of JSON, in the emulator's own spelling."""
        if self.kind == "json":
            return json_text.dump(self.value).encode()
        if self.kind == "text":
            return str(self.value).encode()
        return base64.b64decode(self.value)


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked.

    Args:
        method: Such as POST.
        path: As it was sent, without the query.
        query: What stood behind the `?`.
        headers: Those that mean something, by their names in lower case.
        body: What it carried.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered.

    Args:
        status: The HTTP status.
        headers: Those that mean something, by their names in lower case.
        body: What it carried; of a stream, all of it.
        broke_off: Whether the connection ended before the answer did.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    broke_off: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer.

    Args:
        request: What was asked.
        answer: What was answered; None if the connection ended without an answer.
        began_at: When, in seconds since 1970.
        took_s: How long it took until the answer was complete.
    """

    request: Request
    answer: Answer | None
    began_at: float
    took_s: float

    def line(self) -> str:
        """Returns it as the file has it, without the line's end."""
        request, answer = self.request, self.answer
        asked = {"method": request.method, "path": request.path, "query": request.query}
        answered = answer and {
            "status": answer.status,
            **_carried(answer.headers, answer.body),
            **({"brokeOff": True} if answer.broke_off else {}),
        }
        return json_text.dump(
            {
                "request": {**asked, **_carried(request.headers, request.body)},
                "answer": answered,
                "beganAt": round(self.began_at, 6),
                "tookSeconds": round(self.took_s, 6),
            }
        )


@dataclass(frozen=True, slots=True)
class Transcript:
    """What a file holds.

    Args:
        exchanges: In the order in which they were complete.
        is_torn: Whether its last line was not written to its end; it is left out then.
    """

    exchanges: tuple[Exchange, ...]
    is_torn: bool = False


def header() -> str:
    """Returns the first line of every transcript, without its end."""
    return json_text.dump({"format": FORMAT, "version": VERSION})


def _carried(headers: Mapping[str, str], body: Body | None) -> dict[str, Any]:
    return {"headers": {**headers}, "body": None if body is None else {body.kind: body.value}}


# Reading.


def read(path: Path) -> Transcript:
    """Returns what a file holds.

    Raises:
        NotFoundError: There is no such file.
        UsageError: It cannot be read, or is no transcript; the line is named.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(
            f"There is no transcript {path}",
            hint=f"Record one:  runpodctl-py local record {shlex.quote(str(path))} -- COMMAND",
        ) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    *lines, rest = text.split(b"\n")
    if not lines:
        raise _wrong(path, 1, "it has no whole line")
    _check_header(path, lines[0])
    found = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            found.append(_exchange(_parsed(line)))
        except ValueError as error:
            raise _wrong(path, number, str(error)) from error
    return Transcript(tuple(found), is_torn=bool(rest))


def _check_header(path: Path, line: bytes) -> None:
    try:
        given = _parsed(line)
    except ValueError as error:
        raise _wrong(path, 1, str(error)) from error
    if given.get("format") != FORMAT:
        raise _wrong(path, 1, f'its "format" is not "{FORMAT}"')
    if given.get("version") != VERSION:
        raise UsageError(
            f"{path} is a transcript of version {json.dumps(given.get('version'))}, "
            f"and this program knows version {VERSION}",
            hint="Record it again, or use the program that made it.",
        )


def _wrong(path: Path, number: int, reason: str) -> UsageError:
    return UsageError(
        f"{path} is no transcript: line {number}: {reason}",
        hint="A transcript is made by:  runpodctl-py local record FILE -- COMMAND",
    )


def _exchange(given: Mapping[str, Any]) -> Exchange:
    asked, answered = _object(_of(given, "request")), _of(given, "answer")
    return Exchange(
        Request(
            _text(asked, "method"),
            _text(asked, "path"),
            _text(asked, "query"),
            _headers(asked),
            _body(asked),
        ),
        None if answered is None else _answer(_object(answered)),
        _number(given, "beganAt"),
        _number(given, "tookSeconds"),
    )


def _answer(given: Mapping[str, Any]) -> Answer:
    status = _of(given, "status")
    if not isinstance(status, int) or not 100 <= status <= 999:  # noqa: PLR2004 - of three digits
        raise ValueError('"status" is no HTTP status')
    return Answer(status, _headers(given), _body(given), given.get("brokeOff") is True)


def _headers(given: Mapping[str, Any]) -> Mapping[str, str]:
    headers = _object(_of(given, "headers"))
    return {name: _text(headers, name) for name in headers}


def _body(given: Mapping[str, Any]) -> Body | None:
    body = _of(given, "body")
    if body is None:
        return None
    match _object(body):
        case {"json": value, **others} if not others:
            return Body("json", value)
        case {"text": str(text), **others} if not others:
            return Body("text", text)
        case {"base64": str(text), **others} if not others:
            return _decodable(text)
    raise ValueError('"body" is neither null nor one of "json", "text" and "base64"')


def _decodable(text: str) -> Body:
    try:
        base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError('"body" is no base64') from error
    return Body("base64", text)


def _parsed(line: bytes) -> Mapping[str, Any]:
    try:
        # Not `json_text`: a body may be as deep as that allows, and stands in a line.
        return _object(json.loads(line))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("a JSON object is missing there")  # noqa: TRY004 - wrong JSON, not a wrong call
    return value


def _of(given: Mapping[str, Any], name: str) -> Any:
    if name not in given:
        raise ValueError(f'"{name}" is missing')
    return given[name]


def _text(given: Mapping[str, Any], name: str) -> str:
    value = _of(given, name)
    if not isinstance(value, str):
        raise ValueError(f'"{name}" is no text')  # noqa: TRY004 - wrong JSON, not a wrong call
    return value


def _number(given: Mapping[str, Any], name: str) -> float:
    value = _of(given, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError(f'"{name}" is no number of seconds')
    return float(value)


# Writing.


class TranscriptFile:
    """A transcript that is being written, line by line, so that a kill leaves what came before.

    What cannot be written ends it: `failure` says why, and what follows is not written either.

    Args:
        path: Where; only its owner may read the file.
        replace: Whether a file that is there may go.

    Raises:
        ConflictError: There is one, and it may not; or another recording goes to it.
        UsageError: It cannot be written there.
    """

    def __init__(self, path: Path, *, replace: bool = False) -> None:
        self.path = path
        self.exchanges = 0
        """How many are in it."""
        self.failure: OSError | None = None
        """Why no more can be written."""
        how = os.O_WRONLY | os.O_CREAT | (0 if replace else os.O_EXCL)
        try:
            self._descriptor = os.open(path, how, 0o600)
        except FileExistsError as error:
            raise already_there(path) from error
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}") from error
        if stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            self._empty()
        self._size_bytes = 0
        self._write(header())
        if self.failure is not None:
            self.close()
            raise UsageError(f"{path} cannot be written: {self.failure.strerror}")

    def _empty(self) -> None:
        """Makes it empty and ours; one that is replaced may have been open to others."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._descriptor)
            raise ConflictError(f"another recording is being written to {self.path}") from error
        os.ftruncate(self._descriptor, 0)
        os.fchmod(self._descriptor, 0o600)

    def add(self, exchange: Exchange) -> None:
        """Writes an exchange."""
        self.add_line(exchange.line())

    def add_line(self, line: str) -> None:
        """Writes an exchange that is a line already."""
        if self.failure is None:
            self._write(line)
            self.exchanges += self.failure is None

    @property
    def broken(self) -> SaveError | None:
        """What ended it too early, in words; None if nothing did."""
        if self.failure is None:
            return None
        return SaveError(
            f"The recording broke off: {self.path} cannot be written any more: "
            f"{self.failure.strerror}",
            hint=f"What came before is in it: {self.exchanges} requests and their answers.",
        )

    def close(self) -> None:
        """Ends it."""
        os.close(self._descriptor)

    def _write(self, line: str) -> None:
        rest = memoryview(f"{line}\n".encode())
        size_bytes = len(rest)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            self._size_bytes += size_bytes
        except OSError as error:
            self.failure = error
            self._cut()

    def _cut(self) -> None:
        """Takes back half a line."""
        try:
            os.ftruncate(self._descriptor, self._size_bytes)
        except OSError:
            # A device cannot be cut; readers leave out half a line anyway.
            return


def already_there(path: Path) -> ConflictError:
    """Returns what to say of a file that would have to go."""
    return ConflictError(
        f"{path} is there already", hint="Name another file, or replace it with --force."
    )
