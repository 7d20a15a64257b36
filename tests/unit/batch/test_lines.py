"""A row's result as a line of JSON, and back."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runpodctl_py.batch.lines import BEGINNING, line_of, result_of
from runpodctl_py.batch.row import RowResult
from runpodctl_py.jobs.ledger import KeptFile, State

if TYPE_CHECKING:
    from runpodctl_py.jsontypes import JsonValue

ROOT = Path("/srv/out")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.text(
    # Two halves that fit would be one character.
    st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF) | st.sampled_from("\u2028\x85\0\r\n"),
    max_size=5,
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=20,
)
PATHS = st.lists(
    st.binary(min_size=1, max_size=8)
    .filter(lambda name: b"/" not in name and b"\0" not in name and name not in {b".", b".."})
    .map(os.fsdecode),
    min_size=1,
    max_size=3,
).map(lambda names: Path(*names))
FILES = st.builds(
    KeptFile,
    PATHS.map(lambda path: ROOT / path) | PATHS.map(lambda path: Path("/elsewhere") / path),
    st.integers(0, 2**63),
    st.text("0123456789abcdef", min_size=64, max_size=64),
    TEXTS,
)
RESULTS = st.builds(
    RowResult,
    line=st.integers(1, 2**63 - 1),
    name=TEXTS,
    key=TEXTS,
    job_id=st.none() | TEXTS,
    state=st.sampled_from(State),
    is_success=st.booleans(),
    delay_ms=st.none() | st.integers(),
    execution_ms=st.none() | st.integers(),
    cost_usd=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    worker_id=st.none() | TEXTS,
    files=st.lists(FILES, max_size=3).map(tuple),
    output=JSON,
    error=st.none() | TEXTS,
    attempts=st.integers(1, 9),
)


def result(**fields: Any) -> RowResult:
    """Return a row's result with some fields of its own."""
    needed: dict[str, Any] = {
        "line": 2,
        "name": "cat",
        "key": "k1",
        "job_id": "job-1",
        "state": State.COMPLETED,
        "is_success": True,
    }
    return RowResult(**needed | fields)


@settings(max_examples=50)
@given(RESULTS)
def test_a_result_comes_back_as_it_was(written: RowResult) -> None:
    """One line without loss: names that are no text, halves of characters, any output."""
    line = line_of(written, ROOT)

    assert line.index(b"\n") == len(line) - 1
    assert line.startswith(BEGINNING)
    assert len(line.decode().splitlines()) == 1
    assert result_of(line, ROOT) == written


@settings(max_examples=50)
@given(RESULTS, st.data())
def test_no_mere_beginning_of_a_line_is_one(written: RowResult, data: st.DataObject) -> None:
    """A line that was cut anywhere is known to be cut; only its newline may be missing."""
    whole = line_of(written, ROOT).rstrip(b"\n")
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]

    with pytest.raises(ValueError, match="no result of a row"):
        result_of(cut, ROOT)
    assert result_of(whole, ROOT) == written


def test_the_keys_are_a_promise() -> None:
    """Scripts find these keys in this form; what is below the folder is relative to it."""
    kept = KeptFile(ROOT / "cat" / "ä.png", 5, "ab" * 32, "image/png")
    line = line_of(
        result(
            delay_ms=80,
            execution_ms=900,
            cost_usd=0.0002,
            worker_id="w1",
            files=(kept,),
            output={"image": {"saved": "cat/ä.png"}},
            error="a file is missing",
            is_success=False,
            attempts=2,
        ),
        ROOT,
    )

    assert json.loads(line) == {
        "row": "cat",
        "line": 2,
        "id": "job-1",
        "status": "completed",
        "ok": False,
        "whole": True,
        "attempts": 2,
        "delay_ms": 80,
        "execution_ms": 900,
        "cost_usd": 0.0002,
        "worker_id": "w1",
        "files": [
            {"path": "cat/ä.png", "bytes": 5, "sha256": "ab" * 32, "content_type": "image/png"}
        ],
        "error": "a file is missing",
        "output": {"image": {"saved": "cat/ä.png"}},
        "key": "k1",
    }
    assert "ä".encode() in line


def test_a_relative_path_outside_of_the_folder_is_written_whole(tmp_path: Path) -> None:
    """It means the same file, whatever the current folder is then."""
    written = result(files=(KeptFile(Path("other/a"), 1, "", "text/plain"),))

    (read,) = result_of(line_of(written, Path("out")), Path("out")).files

    assert read.path == tmp_path / "work" / "other" / "a"


def test_what_a_later_version_adds_is_passed_over() -> None:
    """A key that is not known does no harm, nor does a program that writes the lines anew."""
    document = json.loads(line_of(result(), ROOT)) | {"later": 1}
    line = json.dumps(document, sort_keys=True, indent=None, separators=(",", ":"))

    assert result_of(f"\ufeff{line}\r\n".encode(), ROOT) == result()


@pytest.mark.parametrize(
    "change",
    [
        {"row": 5},
        {"line": "2"},
        {"line": True},
        {"line": 0},
        {"line": 2**63},
        {"ok": 1},
        {"status": "COMPLETED"},
        {"status": None},
        {"cost_usd": "1"},
        {"files": None},
        {"files": [{"path": "a"}]},
        {"files": ["a"]},
        {"attempts": None},
    ],
    ids=str,
)
def test_a_line_of_another_form_is_none(change: dict[str, Any]) -> None:
    """Every value has the kind it should have, or the line is not read."""
    document = json.loads(line_of(result(), ROOT)) | change

    with pytest.raises(ValueError, match="no result of a row"):
        result_of(json.dumps(document).encode(), ROOT)


@pytest.mark.parametrize(
    "line",
    [b"", b"null", b"[]", b"{}", b'"row"', b"\xff", b'{"row": 1', b"[" * 100_000],
    ids=["nothing", "null", "list", "object", "text", "no UTF-8", "half", "deep"],
)
def test_what_is_no_line_is_told(line: bytes) -> None:
    """Anything else raises the same error, and nothing but that."""
    with pytest.raises(ValueError, match="no result of a row"):
        result_of(line, ROOT)


def test_an_infinite_number_becomes_null() -> None:
    """1e999 is a number for JSON and infinite for Python, which would write what is no JSON."""
    output = json.loads('{"loss": 1e999, "steps": [1, -1e999]}')

    line = line_of(result(output=output), ROOT)

    assert result_of(line, ROOT).output == {"loss": None, "steps": [1, None]}


@pytest.mark.parametrize("depth", [150, 200, 201, 900, 50_000])
def test_no_output_is_too_deep_to_be_read_again(depth: int) -> None:
    """Up to 200 levels all of it is there, below that nothing is."""
    output: JsonValue = "core"
    for level in range(depth):
        output = [output, level] if level % 2 else {"in": output}

    read = result_of(line_of(result(output=output), ROOT), ROOT).output

    levels = 0
    while isinstance(read, list | dict):
        read = read[0] if isinstance(read, list) else read["in"]
        levels += 1
    assert (levels, read) == ((depth, "core") if depth <= 200 else (200, "…"))
