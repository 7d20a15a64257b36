"""`results.jsonl`: whole lines, each row once, whatever ended the process that wrote them."""

from __future__ import annotations

import json
import os
import resource
import stat
import tracemalloc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.batch.lines import line_of
from runpodctl_py.batch.results import ResultsFile, read_results
from runpodctl_py.batch.row import RowResult
from runpodctl_py.errors import ConflictError, SaveError
from runpodctl_py.jobs.ledger import KeptFile, State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the results go; its folder does not exist yet."""
    return tmp_path / "out" / "results.jsonl"


def result(name: str, *, key: str | None = None, **fields: Any) -> RowResult:
    """Return a row's result; its line is its name's number."""
    number = int("".join(filter(str.isdigit, name)) or 1)
    return RowResult(
        line=number,
        name=name,
        key=key or f"key-{name}",
        job_id=f"job-{name}",
        state=State.COMPLETED,
        **{"is_success": True, **fields},
    )


def all_current(name: str, key: str) -> bool:
    """Every line counts."""
    return bool(name and key)


def kept(path: Path) -> list[RowResult]:
    """Open the file again, as the next process does, and return what is in it."""
    with ResultsFile(path) as file:
        return list(file.kept(all_current))


def names(folder: Path) -> list[str]:
    """List a folder, hidden files included."""
    return sorted(each.name for each in folder.iterdir())


@contextmanager
def small_disk(most_bytes: int) -> Iterator[None]:
    """Let files grow to a number of bytes, and no further; writes are done in part until then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_results_come_back_in_the_order_of_their_end(path: Path) -> None:
    """A line each, in groups or one by one, readable by others while the file is open."""
    written = [
        result("r2", files=(KeptFile(path.parent / "r2" / "a.png", 3, "ab", "image/png"),)),
        result("r1", output={"text": "ä\u2028"}, is_success=False, error="no"),
        result("r3"),
    ]
    with ResultsFile(path) as file:
        assert list(file.kept(all_current)) == []
        assert file.is_empty
        file.append(written[:2])
        assert not file.is_empty
        file.append([])
        assert list(read_results(path)) == written[:2]
        file.append(written[2:])

    assert kept(path) == written
    assert [json.loads(line)["row"] for line in path.read_text().splitlines()] == ["r2", "r1", "r3"]
    assert names(path.parent) == ["results.jsonl"]


def test_in_the_inputs_order_when_all_is_done(path: Path) -> None:
    """Whatever the order in which jobs end; each row once, with its last result."""
    with ResultsFile(path) as file:
        file.append([result("r30"), result("r4"), result("r100", key="first"), result("r1")])
        file.append([result("r100", key="second"), result("r5")])

        found = [(each.name, each.key) for each in file.in_input_order()]

    assert [name for name, _ in found] == ["r1", "r4", "r5", "r30", "r100"]
    assert found[-1] == ("r100", "second")


def test_a_kill_at_any_byte_loses_no_line_that_was_whole(path: Path) -> None:
    """Cut at every byte of its last two lines: what was whole stays, and appending goes on."""
    rows = [result("r1"), result("r2", output="ä" * 5), result("r3")]
    lines = [line_of(each, path.parent) for each in rows]
    content = b"".join(lines)
    path.parent.mkdir()
    ends = [len(b"".join(lines[: number + 1])) for number in range(3)]

    for cut in range(ends[0], len(content) + 1):
        path.write_bytes(content[:cut])
        # A whole object is whole, even without the newline.
        whole = [row for row, end in zip(rows, ends, strict=True) if cut >= end - 1]
        with ResultsFile(path) as file:
            assert list(file.kept(all_current)) == whole
            # Each takes its time on a real disk.
            if cut % 16 == 0 or cut in ends:
                file.append([result("r9")])
                assert list(read_results(path)) == [*whole, result("r9")]


def test_a_kill_in_the_first_line_leaves_an_empty_file(path: Path) -> None:
    """No beginning of a first line is taken for somebody else's file."""
    line = line_of(result("r1"), path.parent)
    path.parent.mkdir()

    for cut in (*range(20), *range(20, len(line) - 1, 16)):
        path.write_bytes(line[:cut])
        assert kept(path) == []
        assert path.read_bytes() == b""


@pytest.mark.parametrize("zeros", [(0, 10), (3, 9), (40, 400), (0, 500)], ids=str)
def test_zeros_after_a_power_cut_are_dropped(path: Path, zeros: tuple[int, int]) -> None:
    """Data that had not reached the disk: lines before and after it that are whole are kept."""
    rows = [result(f"r{number}") for number in range(1, 5)]
    first = line_of(rows[0], path.parent)
    rest = b"".join(line_of(each, path.parent) for each in rows[1:])
    damaged = rest[: zeros[0]] + b"\0" * (zeros[1] - zeros[0]) + rest[zeros[1] :]
    path.parent.mkdir()
    path.write_bytes(first + damaged)

    expected = [row for row in rows if line_of(row, path.parent) in path.read_bytes()]

    assert kept(path) == expected
    assert len(expected) < 4
    assert path.read_bytes() == b"".join(line_of(each, path.parent) for each in expected)


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_nothing_but_zeros_is_an_empty_file(path: Path, size: int) -> None:
    """A power cut in the very first group."""
    path.parent.mkdir()
    path.write_bytes(b"\0" * size)

    assert kept(path) == []
    assert path.read_bytes() == b""


def test_lines_that_do_not_count_any_more_go(path: Path) -> None:
    """The line of a row that is tried again is removed, and stays so; the rest is as it was."""
    with ResultsFile(path) as file:
        file.append([result("r1"), result("r2", key="old"), result("r3")])
    before = path.read_bytes().splitlines(keepends=True)

    with ResultsFile(path) as file:
        found = file.kept(lambda _, key: key != "old")
        # Before the first one is read.
        assert path.read_bytes() == before[0] + before[2]
        assert [each.name for each in found] == ["r1", "r3"]
        file.append([result("r2", key="new")])

    assert [each.key for each in kept(path)] == ["key-r1", "key-r3", "new"]
    assert names(path.parent) == ["results.jsonl"]


def test_of_a_row_with_two_lines_the_last_counts(path: Path) -> None:
    """Each row once; among those that are current."""
    with ResultsFile(path) as file:
        file.append([result("r1", key="a"), result("r2", key="b"), result("r1", key="c")])
        file.append([result("r1", key="d"), result("r2", key="old")])

        found = file.kept(lambda _, key: key != "old")

        assert [(each.name, each.key) for each in found] == [("r2", "b"), ("r1", "d")]


def test_nothing_is_rewritten_without_need(path: Path) -> None:
    """A file in which every line counts is the same file afterwards."""
    with ResultsFile(path) as file:
        file.append([result("r1")])
        before = path.stat().st_ino
        assert len(list(file.kept(all_current))) == 1

        assert path.stat().st_ino == before


def test_what_is_appended_meanwhile_is_no_result_of_the_past(path: Path) -> None:
    """The results that were there can be read while new ones come."""
    with ResultsFile(path) as file:
        file.append([result("r1"), result("r2")])
        found = file.kept(all_current)
        assert next(found) == result("r1")
        file.append([result("r3")])

        assert list(found) == [result("r2")]


def test_an_error_of_who_is_asked_changes_nothing(path: Path) -> None:
    """A batch that finds another batch's results can refuse, and they stay."""
    with ResultsFile(path) as file:
        file.append([result("r1", key="old"), result("r2")])
    before = path.read_bytes()

    def refusing(name: str, key: str) -> bool:
        if name == "r2":
            raise ConflictError(f"{key} is another batch's")
        return False

    with ResultsFile(path) as file, pytest.raises(ConflictError, match="key-r2 is another"):
        file.kept(refusing)
    assert path.read_bytes() == before


def test_a_full_disk_leaves_no_half_line(path: Path) -> None:
    """The group that did not fit is taken back whole, in words; with room it can be repeated."""
    group = [result("r2"), result("r3")]
    with ResultsFile(path) as file:
        file.append([result("r1")])
        before = path.read_bytes()
        for room in (0, 1, 100, len(line_of(group[0], path.parent)) + 5):
            with (
                small_disk(len(before) + room),
                pytest.raises(SaveError, match="larger than this system allows"),
            ):
                file.append(group)
            assert path.read_bytes() == before
        file.append(group)

    assert kept(path) == [result("r1"), *group]


def test_a_full_disk_while_lines_are_removed_changes_nothing(path: Path) -> None:
    """The file is as it was, and nothing remains beside it."""
    with ResultsFile(path) as file:
        file.append([result("r1"), result("r2"), result("r3", key="old")])
        before = path.read_bytes()
        with small_disk(100), pytest.raises(SaveError, match="larger than this system allows"):
            file.kept(lambda _, key: key != "old")

        assert path.read_bytes() == before
        assert names(path.parent) == ["results.jsonl"]
        assert len(list(file.kept(lambda _, key: key != "old"))) == 2


@pytest.mark.parametrize(
    "content",
    [b"hello\n", b'{"id": "a", "input": {}}\n', b"[1]", b" ", b"\n", b"PK\3\4", b"\0\0\0binary"],
    ids=["text", "other JSON", "no line", "blank", "empty line", "zip", "zeros first"],
)
def test_somebody_elses_file_is_left_alone(path: Path, content: bytes) -> None:
    """Neither appended to nor overwritten; the hint says what to do."""
    path.parent.mkdir()
    path.write_bytes(content)

    with pytest.raises(ConflictError, match="something else than results") as caught:
        ResultsFile(path)

    assert caught.value.hint is not None
    assert "--output-dir" in caught.value.hint
    assert path.read_bytes() == content


@pytest.mark.parametrize("kind", ["folder", "link", "dangling link", "pipe"])
def test_what_is_no_file_is_left_alone(path: Path, tmp_path: Path, kind: str) -> None:
    """A folder, a link that would lead elsewhere, a pipe that would wait for ever."""
    path.parent.mkdir()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        if kind == "link":
            (tmp_path / "target").touch()
        path.symlink_to(tmp_path / "target")
    before = path.lstat()

    with pytest.raises(ConflictError, match="no regular file"):
        ResultsFile(path)

    assert path.lstat() == before
    assert (tmp_path / "target").exists() == (kind == "link")


def test_a_line_changed_by_hand_is_told_with_its_number(path: Path) -> None:
    """Before the last line it is no trace of a crash: nothing is dropped, a person should look."""
    with ResultsFile(path) as file:
        file.append([result("r1"), result("r2", key="old"), result("r3")])
    content = path.read_bytes().replace(b'"row": "r2"', b'"row": r2')
    path.write_bytes(content)

    with ResultsFile(path) as file:
        with pytest.raises(ConflictError, match=r"line 2 of .* changed by hand") as caught:
            file.kept(lambda _, key: key != "old")
        with pytest.raises(ConflictError, match="line 2 of"):
            list(file.in_input_order())
    assert caught.value.hint is not None
    assert path.read_bytes() == content


def test_a_last_line_that_is_no_json_is_cut_off(path: Path) -> None:
    """Nobody can tell it from a trace of a crash, even if it ends with a newline."""
    with ResultsFile(path) as file:
        file.append([result("r1")])
    before = path.read_bytes()
    path.write_bytes(before + b'{"row": "r2", "li\n')

    assert list(read_results(path)) == [result("r1")]
    assert kept(path) == [result("r1")]
    assert path.read_bytes() == before


def test_empty_lines_do_no_harm(path: Path) -> None:
    """An editor may have left some."""
    with ResultsFile(path) as file:
        file.append([result("r1"), result("r2")])
    path.write_bytes(path.read_bytes().replace(b"}\n", b"}\r\n\n  \n"))

    assert list(read_results(path)) == [result("r1"), result("r2")]
    assert kept(path) == [result("r1"), result("r2")]


def test_two_batches_cannot_share_a_file(path: Path) -> None:
    """The second is refused and takes nothing from the first, not even after a rewrite."""
    with ResultsFile(path) as file:
        file.append([result("r1", key="old"), result("r2")])
        with pytest.raises(ConflictError, match="another batch"):
            ResultsFile(path)
        assert len(list(file.kept(lambda _, key: key != "old"))) == 1
        with pytest.raises(ConflictError, match="another batch"):
            ResultsFile(path)
        file.append([result("r3")])

    assert kept(path) == [result("r2"), result("r3")]


@pytest.mark.parametrize("how", ["replaced", "deleted"])
def test_a_file_that_is_not_there_any_more_proves_nothing(path: Path, how: str) -> None:
    """An editor saves by replacing: what goes to the old file must not count as written."""
    with ResultsFile(path) as file:
        file.append([result("r1")])
        content = path.read_bytes()
        path.unlink()
        if how == "replaced":
            path.write_bytes(content)

        with pytest.raises(SaveError, match="replaced by another" if how == "replaced" else "gone"):
            file.append([result("r2")])

    assert kept(path) == ([result("r1")] if how == "replaced" else [])


def test_a_closed_file_takes_nothing(path: Path) -> None:
    """It is told, and closing again does nothing."""
    with ResultsFile(path) as file:
        file.append([result("r1")])
    file.close()

    with pytest.raises(SaveError, match="cannot be read or written"):
        file.append([result("r2")])
    assert kept(path) == [result("r1")]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Before the first job is sent: opening makes the file."""
    (tmp_path / "file").touch()

    with pytest.raises(SaveError, match="written: a file stands where a folder should be"):
        ResultsFile(tmp_path / "file" / "out" / "results.jsonl")


def test_what_is_gone_is_told(path: Path) -> None:
    """Reading a file that nobody wrote is an error in words."""
    with pytest.raises(SaveError, match="cannot be read or written"):
        list(read_results(path))


def test_anybody_may_read_as_the_umask_says(path: Path) -> None:
    """The file is no more private than others that a person makes, before and after a rewrite."""
    umask = os.umask(0)
    os.umask(umask)
    with ResultsFile(path) as file:
        before = stat.S_IMODE(path.stat().st_mode)
        file.append([result("r1")])
        list(file.kept(lambda name, key: name == key))

        assert before == stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_memory_does_not_grow_with_what_is_in_the_lines(path: Path) -> None:
    """A few bytes a row, of 4 MB of outputs; also where lines are removed, and in another order."""
    with ResultsFile(path) as file:
        for start in range(1, 401, 10):
            file.append([result(f"r{start + each}", output="x" * 10_000) for each in range(10)])
        tracemalloc.start()
        try:
            seen = sum(1 for _ in file.kept(lambda name, key: name != "r7" and key != ""))
            in_order = sum(1 for _ in file.in_input_order())
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert (seen, in_order) == (399, 399)
    assert peak_bytes < 400_000
