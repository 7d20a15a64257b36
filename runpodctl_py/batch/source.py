"""The file that a batch is read from: where it is and how it is written.

Owns what CSV and JSON Lines are recognised by. Reads nothing but a file's beginning; its rows are
`reader.py`'s.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from runpodctl_py.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_LOOKED_AT_BYTES: Final = 65_536
_TAB_WORDS: Final = ("tab", "\\t")
_NO_DELIMITERS: Final = '"\r\n\0 '


class FileFormat(StrEnum):
    """How a file holds its rows."""

    CSV = "csv"
    JSONL = "jsonl"


_BY_SUFFIX: Final = {
    ".csv": FileFormat.CSV,
    ".tsv": FileFormat.CSV,
    ".jsonl": FileFormat.JSONL,
    ".ndjson": FileFormat.JSONL,
    ".json-lines": FileFormat.JSONL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file of rows.

    Args:
        path: A real file: it is read more than once.
        name: What messages call it.
        file_format: How it holds its rows.
        delimiter: What parts a CSV file's cells.
        is_delimiter_chosen: Whether somebody said so, or it is only what such files have.
    """

    path: Path
    name: str
    file_format: FileFormat
    delimiter: str = ","
    is_delimiter_chosen: bool = False

    @classmethod
    def at(
        cls,
        path: Path,
        *,
        name: str | None = None,
        file_format: FileFormat | None = None,
        delimiter: str | None = None,
    ) -> Source:
        """Describe a file, by its name's ending and else by its first character.

        A `{` begins JSON Lines, anything else CSV. The delimiter is a tab in `.tsv` and a comma
        everywhere else; it is never guessed, since a wrong guess would be sent, and billed.

        Args:
            path: Where it is.
            name: What messages call it, if not its path; one that was piped in is `stdin`.
            file_format: How it holds its rows, if it is known.
            delimiter: What parts a CSV file's cells: one character, or the word `tab`.

        Raises:
            UsageError: It cannot be read twice or at all, it is a JSON array, or the delimiter is
                none.
        """
        shown = name or str(path)
        _check_is_file(path, shown)
        suffix = path.suffix.lower() if name is None else ""
        found = file_format or _BY_SUFFIX.get(suffix) or _sniffed(path, shown)
        chosen = None if delimiter is None else _delimiter(delimiter)
        usual = "\t" if suffix == ".tsv" else ","
        return cls(
            path=path,
            name=shown,
            file_format=found,
            delimiter=chosen or usual,
            is_delimiter_chosen=chosen is not None,
        )


def cannot_read(name: str, error: OSError) -> UsageError:
    """Return the error to raise when the system does not give us a file."""
    return UsageError(f"Cannot read {name}: {error.strerror}")


def _check_is_file(path: Path, name: str) -> None:
    try:
        path.stat()
    except OSError as exc:
        raise cannot_read(name, exc) from exc
    except ValueError as exc:
        raise UsageError(f"Cannot read {name!r}: that is no path") from exc
    if not path.is_file():
        raise UsageError(
            f"{name} is no regular file",
            hint="A batch reads its file more than once. Pipe it in:  … | runpodctl-py batch run -",
        )


def _sniffed(path: Path, name: str) -> FileFormat:
    try:
        with path.open("rb") as file:
            beginning = file.read(_LOOKED_AT_BYTES)
    except OSError as exc:
        raise cannot_read(name, exc) from exc
    first = beginning.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    if first == b"[":
        raise UsageError(
            f"{name} is a JSON array; a batch takes JSON Lines, one object a line",
            hint="Turn it into that:  jq -c '.[]' FILE > rows.jsonl",
        )
    return FileFormat.JSONL if first == b"{" else FileFormat.CSV


def _delimiter(text: str) -> str:
    delimiter = "\t" if text in _TAB_WORDS else text
    if len(delimiter) != 1 or delimiter in _NO_DELIMITERS:
        raise UsageError(
            f"A delimiter is one character, not {text!r}", hint="Usual ones are , ; | and tab"
        )
    return delimiter
