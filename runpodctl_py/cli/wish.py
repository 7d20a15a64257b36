"""What a person wants of a job that is sent or followed, beside what it is sent.

Owns how options become that, and what a job that was sent before brings along.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

    from runpodctl_py.cli.options import Following, Waiting
    from runpodctl_py.jobs.ledger import Intent


@dataclass(frozen=True)
class Wish:
    """What the person wants of a job.

    Args:
        preset: The preset it belongs to, by name.
        parent: The ledger's key of the job that it repeats.
        output_dir: Where files go, if not where the settings say.
        output_name: What its file is called, without the extension, if not as the worker says.
        timeout_s: Stop waiting after this time.
        saves: Whether files are written.
        cancels_on_interrupt: Whether Ctrl-C cancels the job.
        is_verbose: Whether to show a failed job's traceback.
        hears: Whether what it streams is told as it arrives.
        returns_object: Whether a mere text as its output says what went wrong.
        expects_files: Whether it is no success without any.
    """

    preset: str | None = None
    parent: str | None = None
    output_dir: Path | None = None
    output_name: str | None = None
    timeout_s: float | None = None
    saves: bool = True
    cancels_on_interrupt: bool = False
    is_verbose: bool = False
    hears: bool = False
    returns_object: bool = False
    expects_files: bool = False

    @classmethod
    def of(cls, asked: Following, preset: str | None, *, hears: bool = False) -> Self:
        """Return what the command line's options ask for."""
        waiting = cls.while_waiting(asked, preset)
        return replace(waiting, output_dir=asked.output_dir, saves=not asked.no_save, hears=hears)

    @classmethod
    def while_waiting(cls, asked: Waiting, preset: str | None) -> Self:
        """Return the same of a command that has a say of its own on files."""
        return cls(
            preset=preset,
            timeout_s=asked.timeout,
            cancels_on_interrupt=asked.cancel_on_interrupt,
            is_verbose=asked.verbose,
        )

    def as_recorded(self, intent: Intent) -> Self:
        """Return the same with what the job was sent with, where nothing else was said."""
        wish = replace(self, returns_object=intent.returns_object)
        if self.output_dir is not None:
            return wish
        return replace(wish, output_dir=intent.output_dir, output_name=intent.output_name)
