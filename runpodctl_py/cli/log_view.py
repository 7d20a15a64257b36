"""How the local RunPod's logs are read and printed: whole lines, each with where it comes from."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from runpodctl_py.emulator.workers.logs import JobLines, LogLine, message_of, parse
from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from runpodctl_py.cli.output import Output

_NAME_WIDTH = 16


@dataclass(frozen=True)
class Wanted:
    """Which lines are to be printed; without any of them all are, the emulator's own, too.

    Args:
        endpoint_id: Only the workers of this endpoint.
        worker_id: Only this worker.
        job_id: Only what belongs to this job.
    """

    endpoint_id: str | None = None
    worker_id: str | None = None
    job_id: str | None = None


class LogView:
    """Prints what is new in the log files of one data folder.

    Args:
        output: Where to print it.
        folder: The local RunPod's data folder.
        wanted: What to print.
    """

    def __init__(self, output: Output, folder: Path, wanted: Wanted) -> None:
        self._output = output
        self._folder = folder
        self._wanted = wanted
        self._read_bytes: dict[Path, int] = {}
        self._of_job: dict[Path, JobLines] = {}
        self.has_printed = False

    def paths(self) -> list[Path]:
        """Return the log files that exist, the emulator's own first, then the oldest workers'."""
        wanted = self._wanted
        workers = self._folder.glob(
            f"logs/{wanted.endpoint_id or '*'}/{wanted.worker_id or '*'}.log"
        )
        own = [self._folder / "emulator.log"] if wanted == Wanted() else []
        return [path for path in (*own, *sorted(workers, key=_changed_at)) if path.is_file()]

    def print_new(self, *, is_last: bool) -> None:
        """Print every line that was added; one that is not finished waits, unless it is the last.

        Raises:
            EmulatorError: A log cannot be read.
        """
        added = [self._added(path, is_last=is_last) for path in self.paths()]
        for _, path, line in heapq.merge(*added, key=lambda each: each[0]):
            if self._has(path, line):
                self._print("local" if path.name == "emulator.log" else path.stem, line)
                self.has_printed = True

    def _added(self, path: Path, *, is_last: bool) -> Iterator[tuple[str, Path, LogLine]]:
        """Return the new lines of a file, each with the time that says where it belongs."""
        try:
            with path.open("rb") as file:
                file.seek(self._read_bytes.get(path, 0))
                content = file.read()
        except OSError as exc:
            raise EmulatorError(f"Cannot read {path}: {exc.strerror}") from exc
        whole = content if is_last else content[: content.rfind(b"\n") + 1]
        self._read_bytes[path] = self._read_bytes.get(path, 0) + len(whole)
        return _timed(path, whole.decode(errors="replace").split("\n"))

    def _has(self, path: Path, line: LogLine) -> bool:
        if (job_id := self._wanted.job_id) is None:
            return True
        return self._of_job.setdefault(path, JobLines(job_id)).has(line)

    def _print(self, name: str, line: LogLine) -> None:
        message = message_of(line.text)
        if self._output.as_json:
            self._output.event(
                {
                    "source": name,
                    "time": line.time or None,
                    "line": line.text,
                    "level": message.level if message else None,
                    "job_id": message.job_id if message else None,
                }
            )
            return
        prefix = f"{name:<{_NAME_WIDTH}} "
        if line.time:
            prefix += f"{datetime.fromisoformat(line.time).astimezone():%H:%M:%S}  "
        if message is None:
            # Of a progress bar only what it said last.
            self._output.result(prefix + line.text.rstrip("\r").rpartition("\r")[2])
            return
        about = f"{message.job_id}  " if message.job_id and not self._wanted.job_id else ""
        for text in message.text.split("\n"):
            self._output.result(f"{prefix}{message.level:<5}  {about}{text}")


def _timed(path: Path, lines: Sequence[str]) -> Iterator[tuple[str, Path, LogLine]]:
    """Yield lines with their times; one without belongs to the line before it."""
    time = ""
    for line in (parse(each) for each in lines if each):
        time = line.time or time
        yield time, path, line


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
