"""Saving the files of one job: all that can be saved, checked, and told in words.

Owns the order of work for each file and what is reported about it. The folder's names and the
moves are `landing.py`'s, the network is the fetcher's (`download.py`), the manifest is
`manifest.py`'s.
"""

from __future__ import annotations

import asyncio
import errno
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from runpodctl_py.errors import RunpodctlError, SaveError, UsageError
from runpodctl_py.jobs.content_types import content_type_of, contradicts, extension_of, sniff
from runpodctl_py.jobs.landing import Draft, Taken
from runpodctl_py.jobs.naming import extension_in, safe_name, with_extension
from runpodctl_py.jobs.outputs import InlineFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from runpodctl_py.jobs.content_types import Kind
    from runpodctl_py.jobs.outputs import FoundFile, LinkedFile

_Result = TypeVar("_Result")
_OF_THE_FOLDER = frozenset(
    {
        errno.EACCES,
        errno.EDQUOT,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOENT,
        errno.ENOSPC,
        errno.EPERM,
        errno.EROFS,
    }
)
"""What will be said of the next file, too."""

_REASONS = {
    errno.EACCES: "no permission to write there",
    errno.EDQUOT: "the disk quota is used up",
    errno.EEXIST: "something else has that name",
    errno.EFBIG: "the file is larger than this system allows",
    errno.EIO: "the disk reports an error",
    errno.ELOOP: "a symbolic link leads nowhere",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ENOENT: "the folder is gone",
    errno.ENOSPC: "the disk is full",
    errno.ENOTDIR: "a file stands where a folder should be",
    errno.EPERM: "the system does not permit it",
    errno.EROFS: "the file system is read-only",
}


class Sink(Protocol):
    """Where a fetcher puts what it receives."""

    def write(self, chunk: bytes) -> None:
        """Append bytes; an `OSError` from here is not the fetcher's to handle."""

    def restart(self) -> None:
        """Forget everything written: the transfer begins again."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a server says about a file that it sent.

    Args:
        name: What it calls the file, not made safe yet; None if it does not say.
        content_type: The content type it gave, if any.
    """

    name: str | None = None
    content_type: str | None = None


class Fetcher(Protocol):
    """Something that can fetch a link, such as `download.Downloader`."""

    async def fetch(self, url: str, sink: Sink) -> Fetched:
        """Write the whole content of a URL to a sink.

        Raises:
            RunpodctlError: It cannot be had; the message does not show the URL's query.
        """


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A file on disk, complete.

    Args:
        path: Where it is.
        size_bytes: How large it is.
        sha256: Of its content, in hexadecimal.
        content_type: What it is, as far as anybody knows.
        where: The path to it in the output.
        also_at: The other paths in the output at which the same file stands.
    """

    path: Path
    size_bytes: int
    sha256: str
    content_type: str
    where: str
    also_at: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SaveReport:
    """What became of a job's files.

    Args:
        files: Those on disk, in the output's order.
        problems: What is missing or not what was promised: the job counts as not saved (exit 14).
        warnings: What was put right or left out on purpose.
        folder_problem: Why the folder takes no files, if it is the folder that does not.
    """

    files: tuple[SavedFile, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    folder_problem: str | None = None


async def save_files(
    files: Sequence[FoundFile],
    directory: Path,
    *,
    label: str,
    fetch: Fetcher | None = None,
    taken: Taken | None = None,
) -> SaveReport:
    """Save files into a folder, which is created if it is missing.

    Each file is written beside its place and moved there when it is complete; nothing that is
    there is overwritten, and the same content under the same name is not saved again. Whatever
    happens to one file, the others are tried. A cancellation leaves no temporary file.

    A file whose size is not the one announced is kept and reported as a problem. A file whose
    content belies its extension gets the right one, with a warning.

    Args:
        files: What `outputs.read_output` found.
        directory: Where to save them; it may be a symlink, what is in it is never followed.
        label: Whose files they are; what is being written is called by it.
        fetch: What fetches links; None leaves them out with a warning.
        taken: The names that are taken there, if the folder is made and known already.
    """
    if not files:
        return SaveReport()
    try:
        if taken is None:
            taken = await _in_thread(lambda: prepared(directory))
    except SaveError as exc:
        return SaveReport(problems=(exc.message,), folder_problem=exc.message)
    saver = _Saver(directory, safe_name(label, default="job"), taken, fetch)
    for file in files:
        await saver.save(file)
    return SaveReport(
        tuple(saver.saved), tuple(saver.problems), tuple(saver.warnings), saver.folder_problem
    )


def called(files: Sequence[FoundFile], name: str) -> tuple[FoundFile, ...]:
    """Call a job's only file by a name, and several by it and their own names.

    Args:
        files: What `outputs.read_output` found.
        name: Without an extension, which each file keeps.
    """
    if len(files) == 1:
        extension = extension_in(files[0].name)
        return (replace(files[0], name=safe_name(f"{name}{extension}")),)
    return tuple(replace(each, name=safe_name(f"{name}-{each.name}")) for each in files)


def check_folder(directory: Path) -> None:
    """Look whether files could be saved in a folder, before a job costs money; creates nothing.

    Raises:
        UsageError: Something else stands in its place, or it cannot be written to.
    """
    place = directory
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise UsageError(f"Files cannot be saved in {directory}: {place} is not a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(f"Files cannot be saved in {directory}: {place} cannot be written to")


def reason(exc: OSError) -> str:
    """Say in words why the system refused."""
    return _REASONS.get(exc.errno or 0) or os.strerror(exc.errno or errno.EIO)


@dataclass(slots=True)
class _Saver:
    """The saving of one job's files: what is settled, and what came of it so far."""

    directory: Path
    label: str
    taken: Taken
    fetch: Fetcher | None
    saved: list[SavedFile] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    folder_problem: str | None = None

    async def save(self, file: FoundFile) -> None:
        """Save one file, or note why not."""
        try:
            if isinstance(file, InlineFile):
                saved = await _in_thread(lambda: self._land_content(file))
            elif self.fetch is None:
                self.warnings.append(f"{file.name} was not downloaded ({file.where} is a link)")
                return
            else:
                saved = await self._land_link(file, self.fetch)
        except OSError as exc:
            self.problems.append(f"{file.name}: {reason(exc)}")
            if exc.errno in _OF_THE_FOLDER:
                self.folder_problem = f"{self.directory}: {reason(exc)}"
        except RunpodctlError as exc:
            self.problems.append(f"{file.name}: {exc.message}")
        except Exception as exc:  # noqa: BLE001 # one odd file must not cost the job's others
            # Its text is left out: it may quote a URL with its signature.
            self.problems.append(f"{file.name}: cannot be saved ({type(exc).__name__})")
        else:
            self.saved.append(saved)

    def _land_content(self, file: InlineFile) -> SavedFile:
        kind = sniff(file.content)
        name = self._right_name(safe_name(file.name), kind)
        with Draft(self.directory, self.label) as draft:
            draft.write(file.content)
            return self._land(draft, file, name, _content_type(name, kind, file.content_type))

    async def _land_link(self, file: LinkedFile, fetcher: Fetcher) -> SavedFile:
        with Draft(self.directory, self.label) as draft:
            fetched = await fetcher.fetch(file.url, draft)
            kind = sniff(draft.read_back())
            declared = fetched.content_type or file.content_type
            name = self._right_name(_linked_name(file, fetched, kind), kind)
            content_type = _content_type(name, kind, declared)
            return await _in_thread(lambda: self._land(draft, file, name, content_type))

    def _land(self, draft: Draft, file: FoundFile, name: str, content_type: str) -> SavedFile:
        path = draft.land(name, self.taken)
        if file.size_bytes not in {None, draft.size_bytes}:
            self.problems.append(
                f"{path.name}: has {draft.size_bytes} bytes, not the {file.size_bytes} announced; "
                "it was kept"
            )
        return SavedFile(
            path, draft.size_bytes, draft.sha256, content_type, file.where, file.also_at
        )

    def _right_name(self, name: str, kind: Kind | None) -> str:
        """Correct an extension that the content belies."""
        extension = extension_in(name)
        if not contradicts(extension, kind):
            return name
        if kind is None or not kind.is_certain:
            self.warnings.append(f"{name} does not look like a {extension} file")
            return name
        right = with_extension(name, kind.extension)
        self.warnings.append(f"{name} is {kind.content_type}: saved as {right}")
        return right


def prepared(directory: Path) -> Taken:
    """Make a folder, and look which names are taken in it; this blocks.

    Raises:
        SaveError: It cannot be made or read.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return Taken(directory)
    except OSError as exc:
        raise SaveError(f"{directory}: {reason(exc)}") from exc


def _linked_name(file: LinkedFile, fetched: Fetched, kind: Kind | None) -> str:
    """Complete a link's name with what the server called it, or what it turned out to be."""
    if extension_in(file.name):
        return safe_name(file.name)
    name = safe_name(fetched.name or file.name, default=file.name)
    if extension_in(name):
        return name
    declared = extension_of(fetched.content_type or file.content_type or "")
    return safe_name(f"{name}{(kind and kind.extension) or declared or '.bin'}")


def _content_type(name: str, kind: Kind | None, declared: str | None) -> str:
    if kind is not None and kind.is_certain:
        return kind.content_type
    return declared or content_type_of(extension_in(name)) or "application/octet-stream"


async def _in_thread(work: Callable[[], _Result]) -> _Result:
    """Run blocking work in a thread; a cancellation first lets it finish, so it can clean up."""
    done = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait([done])
        raise
