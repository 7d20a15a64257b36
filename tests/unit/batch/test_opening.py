"""Before a batch begins: its file is judged as a whole, and known again."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.batch.opening import (
    check_unchanged,
    digest_of,
    examine,
    identity_of,
    new_id,
    options_of,
)
from runpodctl_py.batch.recipe import Recipe
from runpodctl_py.batch.row import Row
from runpodctl_py.batch.source import Source
from runpodctl_py.errors import ConflictError, UsageError
from tests.unit.batch.scene import batch_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file whose second row cannot be sent."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a lake"}\nnonsense\n{"prompt": "a hill"}\n')
    return path


def test_the_whole_file_is_judged(path: Path) -> None:
    """Before anything is sent: how many rows, what is wrong, and the first that can be sent."""
    examined = examine(Source.at(path), Recipe())
    assert (examined.total, examined.invalid) == (3, 1)
    assert [each.line for each in examined.problems] == [2]
    assert examined.first == Row(1, "1", {"prompt": "a lake"})


def test_not_every_problem_is_kept(path: Path) -> None:
    """But each is counted."""
    path.write_text("nonsense\n" * 1_000 + '{"prompt": "a lake"}\n')
    examined = examine(Source.at(path), Recipe())
    assert (examined.total, examined.invalid, len(examined.problems)) == (1_001, 1_000, 20)
    assert examined.first is not None
    assert examined.first.line == 1_001


def test_a_file_without_a_row_that_can_be_sent(path: Path) -> None:
    """There is no first one."""
    path.write_text("nonsense\n")
    assert examine(Source.at(path), Recipe()).first is None


def test_a_file_is_known_by_its_content(path: Path) -> None:
    """Wherever it is, and whatever it is called."""
    digest = digest_of(Source.at(path))
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest_of(Source.at(path.rename(path.with_name("other.jsonl")))) == digest


def test_a_file_that_is_gone(path: Path) -> None:
    """It is told by the name that the person knows."""
    source = Source.at(path, name="stdin")
    path.unlink()
    with pytest.raises(UsageError, match="Cannot read stdin: No such file or directory"):
        digest_of(source)


def test_a_file_that_has_changed(path: Path) -> None:
    """Its rows would be mixed up with those of before; restored, it is the same."""
    source, content = Source.at(path), path.read_bytes()
    batch = replace(batch_of(path.parent), sha256=digest_of(source))
    check_unchanged(batch, source)
    path.write_bytes(content + b'{"prompt": "a tree"}\n')
    with pytest.raises(ConflictError, match="has changed since batch b7f3a2 began") as caught:
        check_unchanged(batch, source)
    assert "run it as a new batch" in (caught.value.hint or "")
    path.write_bytes(content)
    check_unchanged(batch, source)


def test_the_same_command_is_the_same_batch(path: Path) -> None:
    """In every part of it, in the order in which they are given."""
    same = identity_of("root", "endpoint", ["a=b"], None, path)
    assert same == identity_of("root", "endpoint", ["a=b"], None, path)
    others = [
        ("root", "endpoint", ["a=c"], None, path),
        ("root", "endpoint", ["a", "b"], None, path),
        ("endpoint", "root", ["a=b"], None, path),
        ("root", "endpoint", ["a=b"], "None", path),
        ("root", "endpoint", ["a=b"], None, path.parent),
    ]
    assert same not in [identity_of(*parts) for parts in others]
    assert len({identity_of(*parts) for parts in others}) == len(others)


def test_ids_are_short_and_differ() -> None:
    """They are typed by people."""
    ids = {new_id() for _ in range(100)}
    assert len(ids) == 100
    assert {(len(each), each[0]) for each in ids} == {(7, "b")}


@pytest.mark.parametrize(("chosen", "expected"), [(None, None), (";", ";"), ("tab", "\t")])
def test_what_has_to_be_known_to_go_on(
    tmp_path: Path, chosen: str | None, expected: str | None
) -> None:
    """How the file is read, and what the command adds; a delimiter only if somebody chose it."""
    path = tmp_path / "rows.csv"
    path.write_text("a;b\n1;2\n")
    source = Source.at(path, delimiter=chosen)
    assert options_of(source, {"set": ["voice=ada"]}) == {
        "name": str(path),
        "format": "csv",
        "delimiter": expected,
        "set": ["voice=ada"],
    }
