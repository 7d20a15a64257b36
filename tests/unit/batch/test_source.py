"""What a batch is read from, and how that is recognised."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from runpodctl_py.batch.source import FileFormat, Source
from runpodctl_py.errors import UsageError


def source(name: str, content: bytes = b"") -> Source:
    """Describe a file that has just been written."""
    Path(name).write_bytes(content)
    return Source.at(Path(name))


@pytest.mark.parametrize(
    ("name", "file_format", "delimiter"),
    [
        ("rows.csv", FileFormat.CSV, ","),
        ("rows.CSV", FileFormat.CSV, ","),
        ("rows.tsv", FileFormat.CSV, "\t"),
        ("rows.jsonl", FileFormat.JSONL, ","),
        ("rows.ndjson", FileFormat.JSONL, ","),
        ("rows.json-lines", FileFormat.JSONL, ","),
    ],
)
def test_the_ending_of_a_name_tells_the_format(
    name: str, file_format: FileFormat, delimiter: str
) -> None:
    """Whatever the file begins with."""
    found = source(name, b"[{")

    assert (found.file_format, found.delimiter) == (file_format, delimiter)


@pytest.mark.parametrize(
    ("content", "file_format"),
    [
        (b'{"a": 1}', FileFormat.JSONL),
        (b'\xef\xbb\xbf \r\n\t{"a": 1}', FileFormat.JSONL),
        (b"a,b\n1,2\n", FileFormat.CSV),
        (b"", FileFormat.CSV),
    ],
)
def test_else_the_first_character_does(content: bytes, file_format: FileFormat) -> None:
    """A brace begins JSON Lines, anything else CSV."""
    assert source("rows.txt", content).file_format is file_format


def test_what_is_said_counts_most() -> None:
    """More than the name and the content."""
    Path("rows.csv").write_text("a;b")

    found = Source.at(Path("rows.csv"), file_format=FileFormat.JSONL, delimiter="tab")

    assert (found.file_format, found.delimiter) == (FileFormat.JSONL, "\t")
    assert found.is_delimiter_chosen


def test_a_spooled_file_has_the_name_it_is_known_by() -> None:
    """And its own name's ending says nothing, since nobody chose it."""
    Path("spooled.csv").write_text("{}")

    found = Source.at(Path("spooled.csv"), name="stdin")

    assert (found.name, found.file_format) == ("stdin", FileFormat.JSONL)


def test_a_json_array_is_refused_with_the_way_to_lines() -> None:
    """It cannot be read a row at a time."""
    with pytest.raises(UsageError, match=r"^rows\.json is a JSON array") as caught:
        source("rows.json", b'[{"a": 1}]')

    assert "jq -c '.[]'" in str(caught.value.hint)


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", " "])
def test_what_cannot_part_cells_is_refused(delimiter: str) -> None:
    """Python's reader would fail at some, and misread others."""
    Path("rows.csv").write_text("a")

    with pytest.raises(UsageError, match=r"^A delimiter is one character, not "):
        Source.at(Path("rows.csv"), delimiter=delimiter)


def test_what_cannot_be_read_twice_is_refused() -> None:
    """A pipe, a folder."""
    os.mkfifo("pipe")

    for name in ("pipe", "."):
        with pytest.raises(UsageError, match=rf"^{re.escape(name)} is no regular file$"):
            Source.at(Path(name))


@pytest.mark.parametrize(("name", "why"), [("missing", "No such file or directory"), ("a\0b", "")])
def test_what_is_not_there_is_refused(name: str, why: str) -> None:
    """With the system's reason."""
    with pytest.raises(UsageError, match=rf"^Cannot read .*{why}"):
        Source.at(Path(name))
