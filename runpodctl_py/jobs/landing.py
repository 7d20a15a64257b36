"""Putting one file into a folder: whole or not at all, and never over somebody else's.

Owns temporary files, what is taken in a folder, and the move into place. Names come safe from
`naming.py`; what is written, and how errors are told, is `save.py`'s.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from typing import TYPE_CHECKING, Self

from runpodctl_py.jobs.naming import collision_key, numbered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

_TEMPORARY_SUFFIX = ".part"

# Not on Windows, which has no such links to follow by default either.
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_CLOSED_ON_EXEC = getattr(os, "O_CLOEXEC", 0)
_CHUNK_BYTES = 1024 * 1024
_MOST_NUMBERS = 100_000
# What file systems without hard links answer: FAT, some network and FUSE mounts, Android.
_NO_HARD_LINKS = frozenset(
    {
        errno.EPERM,
        errno.EACCES,
        errno.ENOSYS,
        errno.ENOTSUP,
        errno.EOPNOTSUPP,
        errno.EMLINK,
        errno.EINVAL,
        errno.EXDEV,
    }
)


class Draft:
    """A hidden file in the target folder that either becomes the real one or disappears.

    Use it as a context manager: what has not landed when the block ends is deleted, whatever
    ended it. All methods block; none needs the event loop.

    Args:
        directory: An existing folder; it may itself be a symlink.
        label: A safe name to recognise the file by if even the cleaning up was cut off.

    Raises:
        OSError: The file cannot be created there.
    """

    def __init__(self, directory: Path, label: str) -> None:
        self._directory = directory
        self._path = directory / f".{label[:40]}.{secrets.token_hex(8)}{_TEMPORARY_SUFFIX}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | _BINARY | _CLOSED_ON_EXEC
        # The mode is what the umask leaves of it, as for any file a person creates.
        self._descriptor = os.open(self._path, flags, 0o666)
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # If it cannot be deleted, an error that came before is the one to tell.
        with contextlib.suppress(OSError):
            self._close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written so far, in hexadecimal."""
        return self._digest.hexdigest()

    def write(self, chunk: bytes) -> None:
        """Append bytes.

        Raises:
            OSError: The disk is full, or a limit was reached.
        """
        view = memoryview(chunk)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self._digest.update(chunk)
        self.size_bytes += len(chunk)

    def restart(self) -> None:
        """Forget everything written, for a transfer that begins again."""
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def read_back(self) -> bytes:
        """Return the first megabyte of what was written, to see what it is."""
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        head = os.read(self._descriptor, _CHUNK_BYTES)
        os.lseek(self._descriptor, 0, os.SEEK_END)
        return head

    def land(self, name: str, taken: Taken) -> Path:
        """Move the file into place under this name, or the nearest free one.

        A file that is there already and has the same content is taken for this one, so that saving
        twice changes nothing. Safe against other processes that take the same name meanwhile.

        Returns:
            Where the content now is.

        Raises:
            OSError: It cannot be written or moved there.
        """
        os.fsync(self._descriptor)
        for candidate in taken.candidates(name):
            existing = taken.under(candidate)
            if existing and self._is_same(self._directory / existing):
                return self._directory / existing
            if not existing and self._moved_to(self._directory / candidate):
                taken.add(candidate)
                _sync_folder(self._directory)
                return self._directory / candidate
            if not existing:
                # Somebody was faster: look at what they put there.
                taken.add(candidate)
                if self._is_same(self._directory / candidate):
                    return self._directory / candidate
        raise OSError(errno.EEXIST, "every name like it is taken")

    def replace(self, name: str) -> Path:
        """Move the file into place, instead of what is there; a symlink there is not followed.

        Raises:
            OSError: It cannot be written or moved there.
        """
        os.fsync(self._descriptor)
        self._close()
        target = self._directory / name
        self._path.replace(target)
        _sync_folder(self._directory)
        return target

    def _moved_to(self, target: Path) -> bool:
        """Move the file to a free place; False if it was not free."""
        self._close()
        try:
            target.hardlink_to(self._path)
        except FileExistsError:
            return False
        except OSError as exc:
            if exc.errno not in _NO_HARD_LINKS:
                raise
            return self._moved_to_reservation(target)
        return True

    def _moved_to_reservation(self, target: Path) -> bool:
        """Do the same where there are no hard links: hold the place with an empty file."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | _CLOSED_ON_EXEC
        try:
            os.close(os.open(target, flags, 0o666))
        except FileExistsError:
            return False
        try:
            self._path.replace(target)
        except OSError:
            target.unlink()
            raise
        return True

    def _is_same(self, existing: Path) -> bool:
        """Tell whether a regular file has the content of this one; symlinks are not followed."""
        try:
            found = existing.lstat()
            if not stat.S_ISREG(found.st_mode) or found.st_size != self.size_bytes:
                return False
            return _digest_of(existing) == self.sha256
        except OSError:
            return False

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class Taken:
    """The names that are taken in a folder, as the strictest file system compares them.

    Args:
        directory: An existing folder.

    Raises:
        OSError: It cannot be listed.
    """

    def __init__(self, directory: Path) -> None:
        with os.scandir(directory) as entries:
            self._names = {collision_key(entry.name): entry.name for entry in entries}

    def add(self, name: str) -> None:
        """Note that a name is taken from now on."""
        self._names.setdefault(collision_key(name), name)

    def under(self, name: str) -> str | None:
        """Return the name that stands in the way of this one, perhaps in other letters."""
        return self._names.get(collision_key(name))

    def candidates(self, name: str) -> Iterator[str]:
        """Yield a name and then `-1`, `-2` …, free or not."""
        yield name
        for number in range(1, _MOST_NUMBERS):
            yield numbered(name, number)


def _digest_of(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | _NO_FOLLOW | _NO_WAITING | _BINARY | _CLOSED_ON_EXEC)
    with os.fdopen(descriptor, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(directory: Path) -> None:
    """Make the new name outlive a power cut, where folders can be synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | _CLOSED_ON_EXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
