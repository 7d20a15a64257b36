"""How much the links of one job may bring home: in files, and in bytes.

Owns the counting. Who fetches asks before each piece, whatever kind of link it comes from.
"""

from __future__ import annotations

from runpodctl_py.errors import SaveError

_GIB = 1024**3


class Allowance:
    """What is left for one job's links.

    Args:
        max_bytes: The largest file to accept.
        max_total_bytes: How much to receive for the whole job, tries that failed included.
        max_files: How many links of the job to follow.
    """

    def __init__(
        self,
        *,
        max_bytes: int = 2 * _GIB,
        max_total_bytes: int = 8 * _GIB,
        max_files: int = 10_000,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_total_bytes = max_total_bytes
        self._max_files = max_files
        self._total_bytes = 0
        self._files = 0

    def begin_file(self) -> None:
        """Count one more link.

        Raises:
            SaveError: There were too many already.
        """
        self._files += 1
        if self._files > self._max_files:
            raise SaveError(f"not downloaded: the limit is {self._max_files} links per job")

    def check(self, shown: str, received_bytes: int, more_bytes: int) -> None:
        """Refuse what would go over a limit.

        Args:
            shown: What to call the link, without anything secret.
            received_bytes: What there is of the file.
            more_bytes: What comes, or is announced.

        Raises:
            SaveError: One of the two limits; the message says which.
        """
        if received_bytes + more_bytes > self._max_bytes:
            raise SaveError(f"{shown} is larger than the limit of {self._max_bytes} bytes")
        if self._total_bytes + more_bytes > self._max_total_bytes:
            raise SaveError(
                f"{shown} goes over the limit of {self._max_total_bytes} bytes "
                "for all downloads of a job"
            )

    def take(self, received_bytes: int) -> None:
        """Count what was received."""
        self._total_bytes += received_bytes
