"""Before a batch begins: its whole file judged, and what makes the same command the same batch."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runpodctl_py.batch.reader import rows
from runpodctl_py.batch.row import BadRow, Row
from runpodctl_py.batch.source import cannot_read
from runpodctl_py.errors import ConflictError

if TYPE_CHECKING:
    from pathlib import Path

    from runpodctl_py.batch.recipe import Recipe
    from runpodctl_py.batch.source import Source
    from runpodctl_py.jobs.ledger import Batch
    from runpodctl_py.jsontypes import JsonObject, JsonValue

_MOST_PROBLEMS = 20


@dataclass(slots=True)
class Examined:
    """What the first walk through a file has found.

    Args:
        total: How many rows it has.
        invalid: How many of them cannot be sent.
        problems: The first of these.
        first: The first row that can be sent.
    """

    total: int = 0
    invalid: int = 0
    problems: list[BadRow] = field(default_factory=list)
    first: Row | None = None


def examine(source: Source, recipe: Recipe) -> Examined:
    """Read and judge every row; nothing is sent, and memory does not grow with the file.

    Raises:
        UsageError: The file as a whole is no good.
    """
    examined = Examined()
    for row in rows(source, recipe):
        examined.total += 1
        if isinstance(row, BadRow):
            examined.invalid += 1
            if len(examined.problems) < _MOST_PROBLEMS:
                examined.problems.append(row)
        elif examined.first is None:
            examined.first = row
    return examined


def digest_of(source: Source) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        with source.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise cannot_read(source.name, exc) from exc


def check_unchanged(batch: Batch, source: Source) -> None:
    """Look whether a batch's file is the one it began with.

    Raises:
        ConflictError: It is not: rows would be mixed up.
    """
    if digest_of(source) != batch.sha256:
        raise ConflictError(
            f"{source.name} has changed since batch {batch.batch_id} began",
            hint="Restore it to go on, or run it as a new batch:  runpodctl-py batch run FILE",
        )


def identity_of(*parts: JsonValue | Path) -> str:
    """Return what the same command has in common with this one."""
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


def new_id() -> str:
    """Return an id for a batch, short enough to be typed."""
    return f"b{secrets.token_hex(3)}"


def options_of(source: Source, parts: JsonObject) -> JsonObject:
    """Return what has to be known, beside the file, to go on with a batch."""
    return {
        "name": source.name,
        "format": source.file_format.value,
        "delimiter": source.delimiter if source.is_delimiter_chosen else None,
        **parts,
    }
