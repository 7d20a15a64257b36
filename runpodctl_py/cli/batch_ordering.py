"""What a person asked for with `batch run`: now, or when the ledger wrote it down."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from runpodctl_py.batch.opening import identity_of, options_of
from runpodctl_py.batch.recipe import Recipe
from runpodctl_py.batch.source import FileFormat, Source
from runpodctl_py.errors import LedgerError, RefusedError, UsageError
from runpodctl_py.jobs.ledger import BucketPlace
from runpodctl_py.jobs.masking import masked
from runpodctl_py.presets.assignments import Kind, parse_assignment

if TYPE_CHECKING:
    from runpodctl_py.cli.context import Context
    from runpodctl_py.jobs.ledger import Batch
    from runpodctl_py.jsontypes import JsonObject
    from runpodctl_py.presets.model import Preset

_CHUNK_BYTES = 1024 * 1024
STDIN = "stdin"
"""What messages call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How a file's rows become jobs, and where these go.

    Args:
        task: A task of the test worker.
        endpoint: The endpoint as it was named.
        preset: The preset as it was named.
        maps: What was given with `--map`.
        settings: What was given with `--set`.
        skips_invalid: Whether rows that cannot be sent are left out.
        is_native: Whether RunPod's own batch API gets them.
        bucket: The bucket that workers are to put files into.
        output_dir: Where results go, if somebody said so.
    """

    task: str | None = None
    endpoint: str | None = None
    preset: str | None = None
    maps: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    skips_invalid: bool = False
    is_native: bool = False
    bucket: BucketPlace | None = None
    output_dir: Path | None = None

    @classmethod
    def of(cls, batch: Batch) -> Self:
        """Return what was asked for when a batch began.

        Raises:
            RefusedError: A secret was part of it, which is not written down.
        """
        kept: Any = batch.options
        if not kept["is_whole"]:
            raise RefusedError(
                f"Batch {batch.batch_id} was given a secret with --set, which is not written down",
                hint="Go on with the same `batch run` command as before.",
            )
        return cls(
            task=kept["task"],
            preset=kept["preset"],
            maps=tuple(kept["maps"]),
            settings=tuple(kept["settings"]),
            skips_invalid=kept["skips_invalid"],
            is_native=kept["is_native"],
            # Batches that began with an earlier version know of none.
            bucket=BucketPlace(**kept["bucket"]) if kept.get("bucket") else None,
            output_dir=batch.output_dir,
        )

    def loaded_preset(self) -> Preset | None:
        """Return the preset whose endpoint and fields are meant, if one is.

        Raises:
            UsageError: There is no such preset, or it has no tasks.
        """
        if self.task is None and self.preset is None:
            return None
        from runpodctl_py.presets import loading

        preset = loading.load(self.preset or "test")
        if self.task is not None and "task_type" not in preset.input:
            raise UsageError(f"--task is for the test worker; {preset.name} takes --set key=value")
        return preset

    def recipe(self, preset: Preset | None) -> Recipe:
        """Return how a row becomes an input."""
        task = () if self.task is None else (f"task_type={self.task}",)
        return Recipe.parse(self.maps, (*task, *self.settings), preset)

    def options(self, source: Source) -> JsonObject:
        """Return what the ledger has to keep; never a secret."""
        kept = [each for each in self.settings if not _holds_secret(each)]
        preset = self.preset
        if preset is not None and Path(preset).is_file():
            # It may go on in another folder.
            preset = str(Path(preset).absolute())
        return options_of(
            source,
            {
                "task": self.task,
                "preset": preset,
                "maps": list(self.maps),
                "settings": [*map(_anywhere, kept)],
                "is_whole": len(kept) == len(self.settings),
                "skips_invalid": self.skips_invalid,
                "is_native": self.is_native,
                "bucket": None if self.bucket is None else asdict(self.bucket),
            },
        )

    def identity(self, root: str, endpoint_id: str, digest: str, source: Source) -> str:
        """Return what the same command has in common with this one."""
        return identity_of(
            root,
            endpoint_id,
            digest,
            source.file_format.value,
            source.delimiter,
            self.task,
            self.preset,
            [*sorted(self.maps)],
            [*self.settings],
            [*map(_digest_of_file, self.settings)],
            self.is_native,
            *([] if self.bucket is None else [asdict(self.bucket)]),
            None if self.output_dir is None else self.output_dir.absolute(),
        )


def source_of(
    context: Context, file: str, file_format: FileFormat | None, delimiter: str | None
) -> Source:
    """Return the file that was named; what comes from stdin is kept in one first."""
    if file == "-":
        path = _spooled(context.settings.ledger_path)
        return Source.at(path, name=STDIN, file_format=file_format, delimiter=delimiter)
    return Source.at(Path(file), file_format=file_format, delimiter=delimiter)


def source_again(batch: Batch) -> Source:
    """Return the file of a batch that began before."""
    kept: Any = batch.options
    return Source.at(
        batch.source,
        name=kept["name"],
        file_format=FileFormat(kept["format"]),
        delimiter=kept["delimiter"],
    )


def _holds_secret(setting: str) -> bool:
    """Tell whether a `--set` must not be written down; where a secret is to be read may be."""
    given = parse_assignment(setting)
    if given.kind is Kind.FILE:
        return False
    value: JsonObject = {given.field: given.value(None)}
    return masked(value) != value


def _anywhere(setting: str) -> str:
    """Return a `--set` that means the same in any folder."""
    given = parse_assignment(setting)
    if given.kind is not Kind.FILE:
        return setting
    return f"{given.field}=@{Path(given.text).absolute()}"


def _digest_of_file(setting: str) -> str | None:
    """Return what tells the content that a `--set` takes from a file, if it does."""
    given = parse_assignment(setting)
    if given.kind is not Kind.FILE:
        return None
    return sha256(str(given.value(None)).encode()).hexdigest()


def _spooled(ledger_path: Path) -> Path:
    """Keep stdin in a file: it is read more than once, perhaps after a reboot.

    Raises:
        LedgerError: It cannot be kept.
    """
    folder = ledger_path.with_name(f"{ledger_path.name}.batches")
    digest = sha256()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as spool:
            try:
                while chunk := sys.stdin.buffer.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    spool.write(chunk)
                spool.flush()
                os.fsync(spool.fileno())
                return Path(spool.name).replace(folder / f"{digest.hexdigest()}.rows")
            except BaseException:
                Path(spool.name).unlink(missing_ok=True)
                raise
    except OSError as exc:
        raise LedgerError(
            f"What came from stdin cannot be kept in {folder}: {exc.strerror}"
        ) from exc
