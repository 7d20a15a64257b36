"""Reading the logs that `guard.py` writes of workers' output: lines with their times.

A line is `2026-11-21T10:50:00.123456Z TEXT`, and each line of one file is later than the one
before it, so that the time names the line. A log that became too large goes on in a new file, and
what came last before is in `WORKER.1.log` then; whoever reads sees one log. Writes nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator
    from pathlib import Path

_LOOK_S = 0.2
"""How often a file is looked at: no portable event tells that one has grown."""
_BLOCK_BYTES = 65536
_TIME_BYTES = 27
_STAMPED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) (.*)", re.DOTALL)
_FIRST_WORDS, _LAST_WORDS = "Started.", "Finished."
"""What the SDK says of a job before its handler runs, and when its result is posted."""
_LOST_WORDS = "The job was lost: its worker "
"""What we say of a job that ended with its worker, in the SDK's way."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a worker wrote.

    Args:
        time: When, in UTC with microseconds, as RFC 3339 writes it; empty for a line without.
        text: What, without its end of line.
    """

    time: str
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """A line of the official SDK's own log.

    Args:
        job_id: Which job it is about, if about one.
        text: What it says; may have several lines.
        level: DEBUG, INFO, WARN, ERROR …
    """

    job_id: str | None
    text: str
    level: str


def time_text(now: float) -> str:
    """Returns a time, in seconds since 1970, as it stands in logs."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse(raw: str) -> LogLine:
    """Returns a line of a log; one without a time is text only."""
    stamped = _STAMPED.fullmatch(raw)
    return LogLine(*stamped.groups()) if stamped else LogLine("", raw)


def loss_text(job_id: str, why: str) -> str:
    """Returns the line that tells of a job that its worker has lost, and how."""
    message = f"{_LOST_WORDS}{why}."
    return json.dumps({"requestId": job_id, "message": message, "level": "ERROR"})


def message_of(text: str) -> Message | None:
    """Returns what the SDK's logger meant by a line, or None if it did not write it (5.1)."""
    if not text.startswith('{"requestId": '):
        return None
    with suppress(ValueError, RecursionError):
        given: Any = json.loads(text)
        if isinstance(given.get("message"), str):
            job_id = given["requestId"]
            return Message(
                job_id if isinstance(job_id, str) else None,
                given["message"],
                str(given.get("level", "INFO")),
            )
    return None


def read_tail(path: Path, count: int) -> list[LogLine]:
    """Returns the last lines of a log, the oldest first; none if there is no such log.

    Args:
        path: The log.
        count: How many lines at most.

    Raises:
        OSError: It cannot be read.
    """
    lines: list[LogLine] = []
    with _opened(path) as files:
        for file in reversed(files):
            if (missing := count - len(lines)) > 0:
                lines = _lines(_last_block(file, missing))[-missing:] + lines
    return lines


def _last_block(file: IO[bytes], count: int) -> bytes:
    """Returns the end of a file from some start of a line on, with that many lines if it has."""
    start = file.seek(0, 2)
    content = b""
    # One end of line more than lines: the first of the block may be a part of one.
    while start > 0 and content.count(b"\n") <= count:
        length = min(_BLOCK_BYTES, start)
        start = file.seek(start - length)
        content = file.read(length) + content
    return content


async def follow(path: Path, after: str | None) -> AsyncGenerator[LogLine, None]:
    """Yields the lines of a log as they are written, for as long as somebody listens.

    Args:
        path: The log; it may not be there yet.
        after: Only lines later than this time, such as the last line that was seen; None yields
            the log from its start.

    Raises:
        OSError: It cannot be read.
    """
    growth = Growth(path)
    while True:
        content = growth.read()
        for line in _lines(content):
            if not after or line.time > after:
                yield line
        # Also for those who wait while a long log is read.
        await asyncio.sleep(0 if content else _LOOK_S)


class Growth:
    """What is added to a log, wherever its lines are moved to meanwhile.

    Args:
        path: The log; it may not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes: dict[tuple[int, bytes], int] = {}

    def read(self, *, is_last: bool = False) -> bytes:
        """Returns the next whole lines, as far as one block goes; none if nothing was added.

        Args:
            is_last: Whether a line that is not finished is returned, too.

        Raises:
            OSError: The log cannot be read.
        """
        with _opened(self._path) as files:
            for file in files:
                if content := self._added(file, is_last=is_last):
                    return content
        return b""

    def _added(self, file: IO[bytes], *, is_last: bool) -> bytes:
        # A file keeps its number when it is renamed; a new one may get that of a removed one, but
        # begins at another time, or is shorter.
        told = os.fstat(file.fileno())
        name = told.st_ino, file.readline(_TIME_BYTES)
        start = self._read_bytes.get(name, 0)
        if start > told.st_size:
            start = 0
        file.seek(start)
        content = file.read(_BLOCK_BYTES)
        while content and b"\n" not in content and (more := file.read(_BLOCK_BYTES)):
            content += more
        added = _whole(content) or (content if is_last else b"")
        self._read_bytes[name] = start + len(added)
        return added


@contextmanager
def _opened(path: Path) -> Iterator[list[IO[bytes]]]:
    """Opens the files of a log that are there, the older one first."""
    with ExitStack() as stack:
        files: list[IO[bytes]] = []
        # In this order: what takes the older one's place meanwhile is then the same file twice.
        for each in (path, path.with_suffix(".1.log")):
            with suppress(FileNotFoundError):
                files.insert(0, stack.enter_context(each.open("rb")))
        if len(files) > 1 and os.path.sameopenfile(*(each.fileno() for each in files)):
            files.pop()
        yield files


def _whole(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]


def _lines(content: bytes) -> list[LogLine]:
    # Not `splitlines`: it would take other characters of a worker's output for ends of lines.
    return [parse(each.decode(errors="replace")) for each in _whole(content).split(b"\n")[:-1]]


class JobLines:
    """Knows which of a worker's lines belong to one job, when asked line by line.

    Those with the job's id do, and those without any from the first of them to the job's end:
    what a handler prints carries no id. While a worker has several jobs at once, such lines
    belong to each of them.

    Args:
        job_id: The job.
    """

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._is_open = self._is_over = False

    def has(self, line: LogLine) -> bool:
        """Returns whether this line, the next of the worker's log, belongs to the job."""
        message = message_of(line.text)
        if message is None or message.job_id is None:
            return self._is_open
        if message.job_id != self._job_id:
            return False
        # More about it may come after its end; it may also begin once more, when it is retried.
        ends = message.text.endswith(_LAST_WORDS) or message.text.startswith(_LOST_WORDS)
        self._is_over = ends or (self._is_over and not message.text.endswith(_FIRST_WORDS))
        self._is_open = not self._is_over
        return True


def lines_of_job(lines: Iterable[LogLine], job_id: str) -> Iterator[LogLine]:
    """Yields the lines of a worker's log that belong to a job."""
    job = JobLines(job_id)
    return (each for each in lines if job.has(each))
