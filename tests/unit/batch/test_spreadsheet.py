"""`results.csv`: what people and their spreadsheets see of a batch."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runpodctl_py.batch.row import RowResult
from runpodctl_py.batch.spreadsheet import COLUMNS, write_csv
from runpodctl_py.errors import ConflictError, SaveError
from runpodctl_py.jobs.ledger import KeptFile, State

if TYPE_CHECKING:
    from collections.abc import Iterator


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


def table(path: Path, *results: RowResult) -> list[dict[str, str]]:
    """Write a table and read it as Python's own reader does."""
    write_csv(path, results)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def kept(path: Path) -> KeptFile:
    """Return a file that was saved."""
    return KeptFile(path, 3, "ab" * 32, "image/png")


def test_a_row_in_each_line(tmp_path: Path) -> None:
    """In the order given; what is not known is an empty cell."""
    out = tmp_path / "out"
    done = result(
        delay_ms=80,
        execution_ms=900,
        cost_usd=0.0002,
        worker_id="w1",
        files=(kept(out / "cat" / "a.png"), kept(out / "cat" / "b.png"), kept(Path("/far/c"))),
        output={"images": []},
        attempts=2,
    )
    lost = result(
        line=3,
        name="dog",
        job_id=None,
        state=State.UNKNOWN,
        is_success=False,
        error='the answer was lost, "perhaps"\nit runs',
    )

    assert table(out / "results.csv", done, lost) == [
        {
            "row": "cat",
            "line": "2",
            "status": "completed",
            "ok": "true",
            "id": "job-1",
            "attempts": "2",
            "delay_ms": "80",
            "execution_ms": "900",
            "cost_usd": "0.0002",
            "worker_id": "w1",
            "files": "cat/a.png; cat/b.png; /far/c",
            "error": "",
            "output": "",
        },
        {
            **dict.fromkeys(COLUMNS, ""),
            "row": "dog",
            "line": "3",
            "status": "unknown",
            "ok": "false",
            "attempts": "1",
            "error": 'the answer was lost, "perhaps"\nit runs',
        },
    ]


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    """A reader finds the columns, and no row."""
    assert table(tmp_path / "results.csv") == []
    assert (tmp_path / "results.csv").read_text().rstrip() == (
        "row,line,status,ok,id,attempts,delay_ms,execution_ms,cost_usd,worker_id,files,error,output"
    )


@pytest.mark.parametrize(
    ("output", "cell"),
    [
        ({"text": "ä", "n": [1, 2]}, '{"text":"ä","n":[1,2]}'),
        ("=1+1", '"=1+1"'),
        (-5, "-5"),
        (None, ""),
        (False, "false"),
        ("x" * 998, f'"{"x" * 998}"'),
        ("x" * 999, ""),
    ],
    ids=["object", "formula", "number", "null", "false", "short enough", "too long"],
)
def test_a_short_output_is_in_the_table(tmp_path: Path, output: Any, cell: str) -> None:
    """As JSON, which no spreadsheet takes for a formula."""
    (row,) = table(tmp_path / "results.csv", result(output=output))

    assert row["output"] == cell


def test_an_output_of_any_depth_does_no_harm(tmp_path: Path) -> None:
    """What is nested too deeply to be written is left out."""
    output: Any = None
    for _ in range(50_000):
        output = [output]

    (row,) = table(tmp_path / "results.csv", result(output=output))

    assert row["output"] == f'{"[" * 200}"…"{"]" * 200}'


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n"], ids=repr)
def test_no_text_from_outside_is_computed(tmp_path: Path, first: str) -> None:
    """What begins like a formula begins with an apostrophe instead, in every such column."""
    text = f"{first}cmd|' /C calc'!A0"
    unsafe = result(
        name=text, job_id=text, worker_id=text, error=text, files=(kept(tmp_path / text),)
    )

    (row,) = table(tmp_path / "results.csv", unsafe)

    assert [row[column] for column in ("row", "id", "worker_id", "error")] == [f"'{text}"] * 4
    assert row["files"].startswith(f"'{first}")


TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["=1", '"', ",", "\r\n", "\0", "'"]
)


@settings(max_examples=50)
@given(name=TEXTS, error=TEXTS, output=TEXTS)
def test_any_text_comes_back(
    tmp_path_factory: pytest.TempPathFactory, name: str, error: str, output: str
) -> None:
    """Quotes, commas, line breaks: one row, the same text but for the apostrophe."""
    path = tmp_path_factory.getbasetemp() / "results.csv"

    (row,) = table(path, result(name=name, error=error, output=output))

    for text, cell in ((name, row["row"]), (error, row["error"])):
        assert cell in {text, f"'{text}"}
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


def test_names_that_are_no_text_are_shown_as_escapes(tmp_path: Path) -> None:
    """The table is UTF-8 whatever the files are called."""
    path = tmp_path / os.fsdecode(b"caf\xe9.png")

    (row,) = table(tmp_path / "results.csv", result(files=(kept(path),)))

    assert row["files"] == r"caf\udce9.png"


def test_an_earlier_table_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    """An error on the way leaves the old table and nothing beside it."""
    path = tmp_path / "out" / "results.csv"
    table(path, result())
    before = path.read_bytes()

    def broken() -> Iterator[RowResult]:
        for _ in range(2000):
            yield result(name="other")
        raise ConflictError("line 7 was changed by hand")

    with pytest.raises(ConflictError, match="line 7"):
        write_csv(path, broken())
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["results.csv"]

    assert [row["row"] for row in table(path, result(name="new"))] == ["new"]


def test_a_table_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """In words, with the path."""
    (tmp_path / "results.csv").mkdir()

    with pytest.raises(SaveError, match=r"the table .*results.csv cannot be written: "):
        write_csv(tmp_path / "results.csv", [])
