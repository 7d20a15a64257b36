"""`results.jsonl`: a line a row, appended as jobs end; what survives any crash.

Owns the file. What stands in a line is `lines.py`'s; when a row's line is written, and which line
is current, is decided by whoever runs the batch.

A line is the proof that a row's result is on the disk, so it is written before the ledger is told:

- `append` returns when its lines would outlive a power cut. Before that nobody relies on them.
- A kill leaves a beginning of what was being appended, cut anywhere. A line is whole exactly if it
  is a JSON object, since no mere beginning of an object is one: opening cuts off what is not.
- A power cut may also leave zeros where data had not reached the disk. JSON has none, and lines
  with any are dropped.
- Lines are removed by writing a new file beside, which then takes the old one's place in one move.

So whatever ends the process, the next one finds whole lines, and at most misses some that nobody
was told of. One process at a time can have the file open; anybody may read it meanwhile.
"""

from __future__ import annotations

import fcntl
import os
from array import array
from contextlib import contextmanager, suppress
from itertools import compress, islice
from typing import TYPE_CHECKING, NamedTuple, Self

from runpodctl_py.batch.lines import BEGINNING, line_of, result_of
from runpodctl_py.errors import ConflictError, SaveError
from runpodctl_py.jobs.landing import Draft
from runpodctl_py.jobs.save import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from io import BufferedReader
    from pathlib import Path
    from types import TracebackType

    from runpodctl_py.batch.row import RowResult

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK_BYTES = 64 * 1024
_PARTS = 16
_OTHER_FOLDER = "Choose another folder with --output-dir, or move that file away."


class ResultsFile:
    """The results of a batch, open for appending; made if there is none. All methods block.

    Opening cuts off what a kill left of a last line, and makes the rest outlive a power cut.

    Args:
        path: Where; its folder is created. Paths of files are kept relative to that folder.

    Raises:
        ConflictError: Something else stands there, which is left as it is; or another process has
            it open.
        SaveError: It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._root = path.parent
        self._descriptor = -1
        self._whole_bytes: int | None = None
        try:
            with _told(path):
                _check_kind(path)
                self._root.mkdir(parents=True, exist_ok=True)
                self._open()
                self._mend()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; closing twice does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in it: a new batch would remove the lines of an older one.

        Raises:
            SaveError: The file cannot be looked at.
        """
        with _told(self._path):
            return os.fstat(self._descriptor).st_size == 0

    def append(self, results: Sequence[RowResult]) -> None:
        """Add a group of lines, which outlive a power cut when this returns.

        Raises:
            SaveError: They cannot be written, as on a full disk: none of them stays in the file,
                and it can be tried again. Or somebody has replaced or deleted the file, as an
                editor does: what is appended then is nowhere.
        """
        with _told(self._path):
            self._take_back()
            self._whole_bytes = os.fstat(self._descriptor).st_size
            try:
                for each in results:
                    self._write(line_of(each, self._root))
                os.fsync(self._descriptor)
                self._check_name()
            except BaseException:
                # If even that fails: the next one to append or to open tries it again.
                with suppress(OSError):
                    self._take_back()
                raise
            self._whole_bytes = None

    def kept(self, is_current: Callable[[str, str], bool]) -> Iterator[RowResult]:
        """Remove the lines that count no more, and return what the others say, in their order.

        Removed are the lines that are not current, all but the last line of a row, and what a
        power cut damaged. That happens before this returns; the results are then read one by one.

        Args:
            is_current: Whether a line counts: by the row's name and the ledger's key of the
                attempt. What it raises is passed on, and the file is as it was.

        Raises:
            ConflictError: A line is none of ours, such as one that was changed by hand; nothing
                was removed.
            SaveError: The file cannot be read or written; nothing was removed.
        """
        with _told(self._path):
            counts = self._counting(is_current)
            if not all(counts):
                with self._path.open("rb") as file:
                    self._replace(compress(file, counts))
        # What is appended while the caller reads is not of its past.
        return islice(read_results(self._path), sum(counts))

    def in_input_order(self) -> Iterator[RowResult]:
        """Return the results one by one, in the order of the lines of the batch's input.

        Each row comes once, with its last line, also where `kept` has not been asked since.

        Raises:
            ConflictError: A line is none of ours.
            SaveError: The file cannot be read.
        """
        inputs, offsets = array("q"), array("q")
        with _told(self._path), self._path.open("rb") as file:
            for line in _lines(file, self._path):
                if line.result is not None:
                    inputs.append(line.result.line)
                    offsets.append(line.offset)
            previous = None
            # Of the same row the last line comes first: sorting keeps the order of equals.
            for number in sorted(range(len(inputs) - 1, -1, -1), key=inputs.__getitem__):
                if inputs[number] != previous:
                    previous = inputs[number]
                    file.seek(offsets[number])
                    yield result_of(file.readline(), self._root)

    def _open(self) -> None:
        """Open what has the name now, for us alone."""
        self.close()
        self._descriptor = os.open(self._path, _FLAGS, 0o666)
        # Who had the lock may have put another file in place before letting go of it.
        if not _has_lock(self._descriptor) or not self._has_name():
            raise ConflictError(f"{self._path} is being written by another batch")

    def _has_name(self) -> bool:
        """Tell whether what we have open is what others find there."""
        return os.path.samestat(os.fstat(self._descriptor), self._path.stat())

    def _check_name(self) -> None:
        if not self._has_name():
            raise SaveError(
                f"{self._path} was replaced by another file meanwhile",
                hint="Run the same command again; it goes on with the file that is there now.",
            )

    def _mend(self) -> None:
        """End the file with a whole line."""
        with self._path.open("rb") as file:
            beginning = file.read(len(BEGINNING))
            if not _is_ours(beginning):
                raise ConflictError(
                    f"{self._path} is there, and holds something else than results of a batch",
                    hint=_OTHER_FOLDER,
                )
            if not beginning:
                # Anew, in a way that the name outlives a power cut.
                self._replace(())
                return
            start = _start_of_last(file)
            file.seek(start)
            last = file.read()
        if not last.endswith(b"\n"):
            try:
                result_of(last, self._root)
                self._write(b"\n")
            except ValueError:
                os.ftruncate(self._descriptor, start)
        # What is read from it now is relied on, and a kill may have come before it was safe.
        os.fsync(self._descriptor)

    def _write(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def _take_back(self) -> None:
        """Remove what a failed attempt to append has left."""
        if self._whole_bytes is not None:
            os.ftruncate(self._descriptor, self._whole_bytes)
            self._whole_bytes = None

    def _replace(self, lines: Iterable[bytes]) -> None:
        with Draft(self._root, self._path.name) as draft:
            for line in lines:
                draft.write(line)
            draft.replace(self._path.name)
        self._open()

    def _counting(self, is_current: Callable[[str, str], bool]) -> bytearray:
        """Return for each line whether it counts: nine bytes a line, whatever is in them."""
        counts, names = bytearray(), array("q")
        with self._path.open("rb") as file:
            for line in _lines(file, self._path):
                result = line.result
                counts.append(result is not None and is_current(result.name, result.key))
                names.append(hash(result.name) if result else 0)
        _leave_last(names, counts)
        return counts


def read_results(path: Path) -> Iterator[RowResult]:
    """Return the results in a file one by one, in its order; it may grow meanwhile.

    Raises:
        ConflictError: A line is none of ours.
        SaveError: The file cannot be read.
    """
    with _told(path), path.open("rb") as file:
        for line in _lines(file, path):
            if line.result is not None:
                yield line.result


class _Line(NamedTuple):
    """A line of the file; without a result where a power cut or a kill left none."""

    offset: int
    result: RowResult | None


def _lines(file: BufferedReader, path: Path) -> Iterator[_Line]:
    offset, root = 0, path.parent
    for number, line in enumerate(file, 1):
        try:
            result = result_of(line, root) if line.strip() else None
        except ValueError as exc:
            if not line.endswith(b"\n"):
                # The end; or more of it comes while we look.
                return
            if b"\0" not in line and not _is_at_end(file):
                raise ConflictError(
                    f"line {number} of {path} is no result of a batch: was it changed by hand?",
                    hint="Repair or delete the line, or choose another folder with --output-dir.",
                ) from exc
            result = None
        yield _Line(offset, result)
        offset += len(line)


def _check_kind(path: Path) -> None:
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ConflictError(f"{path} is no regular file", hint=_OTHER_FOLDER)


def _is_ours(beginning: bytes) -> bool:
    return BEGINNING.startswith(beginning) or not beginning.strip(b"\0")


def _is_at_end(file: BufferedReader) -> bool:
    return not file.peek(1)


def _has_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Some network folders know no locks: there, nobody can tell.
        return True
    return True


def _start_of_last(file: BufferedReader) -> int:
    """Return where the last line begins, whether it is whole or not."""
    end = file.seek(0, os.SEEK_END) - 1
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _leave_last(names: array[int], counts: bytearray) -> None:
    """Let only the last of those count that have the same name.

    One part of the names after the other, so that not all of them are in a dict at once.
    """
    for part in range(_PARTS):
        last: dict[int, int] = {}
        for number, name in enumerate(names):
            if name % _PARTS == part and counts[number]:
                if name in last:
                    counts[last[name]] = False
                last[name] = number


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise SaveError(f"the results {path} cannot be read or written: {reason(exc)}") from exc
