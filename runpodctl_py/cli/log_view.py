"""How the local RunPod's logs are read and printed: whole lines, each with where it comes from."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from runpodctl_py.emulator.workers.logs import Growth, JobLines, LogLine, message_of, parse
from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Iterator
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
        self._growths: dict[Path, Growth] = {}
        self._of_job: dict[Path, JobLines] = {}
        self.has_printed = False

    def paths(self) -> list[Path]:
        """Return the logs that exist, the emulator's own first, then the oldest workers'."""
        wanted = self._wanted
        workers = self._folder.glob(
            f"logs/{wanted.endpoint_id or '*'}/{wanted.worker_id or '*'}.log"
        )
        own = [self._folder / "emulator.log"] if wanted == Wanted() else []
        paths = (*own, *sorted(workers, key=_changed_at))
        # Older files, such as `WORKER.1.log`, are parts of the logs they belong to.
        return [path for path in paths if "." not in path.stem and path.is_file()]

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
        """Yield the new lines of a log, each with the time that says where it belongs.

        One without a time belongs to the line before it.
        """
        growth, time = self._growths.setdefault(path, Growth(path)), ""
        try:
            while content := growth.read(is_last=is_last):
                for raw in filter(None, content.decode(errors="replace").split("\n")):
                    line = parse(raw)
                    time = line.time or time
                    yield time, path, line
        except OSError as exc:
            raise EmulatorError(f"Cannot read {path}: {exc.strerror}") from exc

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


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
