"""One file into a folder: whole or not at all, and never over another."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.jobs.landing import Draft, Taken

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder."""
    path = tmp_path / "out"
    path.mkdir()
    return path


def land(folder: Path, name: str, content: bytes) -> str:
    """Save content under a name and return the name it got."""
    with Draft(folder, "job") as draft:
        draft.write(content)
        return draft.land(name, Taken(folder)).name


def names(folder: Path) -> list[str]:
    """List a folder, hidden files included."""
    return sorted(entry.name for entry in folder.iterdir())


def test_what_was_written_lands_whole(folder: Path) -> None:
    """Content, size and digest agree, and nothing else remains in the folder."""
    with Draft(folder, "job") as draft:
        draft.write(b"one ")
        draft.write(b"two")
        path = draft.land("a.txt", Taken(folder))

    assert (path.read_bytes(), draft.size_bytes) == (b"one two", 7)
    assert draft.sha256 == hashlib.sha256(b"one two").hexdigest()
    assert names(folder) == ["a.txt"]


def test_nothing_remains_if_the_block_ends_early(folder: Path) -> None:
    """An exception of any kind deletes the hidden file."""

    def interrupted() -> None:
        with Draft(folder, "job") as draft:
            draft.write(b"half")
            assert [name[:5] for name in names(folder)] == [".job."]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert names(folder) == []


def test_a_restart_forgets_what_came_before(folder: Path) -> None:
    """A transfer that begins again leaves no trace of its first try."""
    with Draft(folder, "job") as draft:
        draft.write(b"a long first try")
        draft.restart()
        draft.write(b"second")
        assert draft.read_back() == b"second"
        path = draft.land("a.txt", Taken(folder))

    assert path.read_bytes() == b"second"
    assert draft.sha256 == hashlib.sha256(b"second").hexdigest()


def test_another_file_of_that_name_is_left_alone(folder: Path) -> None:
    """A number is added until a name is free."""
    assert [land(folder, "a.png", content) for content in (b"1", b"2", b"3")] == [
        "a.png",
        "a-1.png",
        "a-2.png",
    ]
    assert (folder / "a.png").read_bytes() == b"1"


def test_the_same_content_is_not_saved_twice(folder: Path) -> None:
    """What is there already is taken for the file, also under a number."""
    for content in (b"1", b"2"):
        land(folder, "a.png", content)

    assert (land(folder, "a.png", b"2"), land(folder, "a.png", b"1")) == ("a-1.png", "a.png")
    assert names(folder) == ["a-1.png", "a.png"]


@pytest.mark.parametrize("existing", ["A.PNG", "e\u0301.png", "\uff41.png"])
def test_names_that_some_systems_take_for_equal_collide(folder: Path, existing: str) -> None:
    """Case and Unicode form do not tell two files apart on macOS and Windows."""
    (folder / existing).write_bytes(b"other")
    wanted = "\u00e9.png" if existing.startswith("e") else "a.png"

    assert land(folder, wanted, b"ours") == wanted.replace(".png", "-1.png")


def test_a_symlink_is_neither_followed_nor_overwritten(folder: Path, tmp_path: Path) -> None:
    """A link planted under the file's name, dangling or not, stays as it is."""
    outside = tmp_path / "outside.txt"
    outside.write_bytes(b"secret")
    (folder / "a.txt").symlink_to(outside)
    (folder / "b.txt").symlink_to(tmp_path / "nowhere")

    assert (land(folder, "a.txt", b"secret"), land(folder, "b.txt", b"b")) == ("a-1.txt", "b-1.txt")
    assert outside.read_bytes() == b"secret"
    assert not (tmp_path / "nowhere").exists()
    assert (folder / "a.txt").is_symlink()


def test_a_fifo_of_that_name_does_not_block(folder: Path) -> None:
    """Only regular files are compared."""
    os.mkfifo(folder / "a.txt")

    assert land(folder, "a.txt", b"") == "a-1.txt"


def test_a_name_taken_in_the_last_moment_is_respected(folder: Path) -> None:
    """What another process puts there after the folder was listed is found out, not overwritten."""
    taken = Taken(folder)
    (folder / "a.txt").write_bytes(b"theirs")
    (folder / "b.txt").write_bytes(b"ours")

    with Draft(folder, "job") as draft:
        draft.write(b"ours")
        assert draft.land("a.txt", taken).name == "a-1.txt"
    with Draft(folder, "job") as draft:
        draft.write(b"ours")
        assert draft.land("b.txt", taken).name == "b.txt"
    assert (folder / "a.txt").read_bytes() == b"theirs"


def test_a_place_is_held_where_hard_links_do_not_work(folder: Path) -> None:
    """On FAT and the like, a free place is taken and a taken one is respected all the same."""
    (folder / "a.txt").write_bytes(b"theirs")
    with Draft(folder, "job") as draft:
        draft.write(b"ours")
        moved = [draft._moved_to_reservation(folder / name) for name in ("a.txt", "b.txt")]

    assert moved == [False, True]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "a.txt": b"theirs",
        "b.txt": b"ours",
    }


def test_the_mode_is_what_the_umask_leaves(folder: Path) -> None:
    """Saved files are as private as any other file the person creates."""
    before = os.umask(0o027)
    try:
        land(folder, "a.txt", b"a")
    finally:
        os.umask(before)

    assert stat.S_IMODE((folder / "a.txt").stat().st_mode) == 0o640


def test_a_folder_behind_a_symlink_can_be_used(folder: Path, tmp_path: Path) -> None:
    """The folder is the person's choice; only what is in it is not trusted."""
    link = tmp_path / "link"
    link.symlink_to(folder)

    assert land(link, "a.txt", b"a") == "a.txt"
    assert names(folder) == ["a.txt"]


def test_replacing_does_not_follow_a_symlink(folder: Path, tmp_path: Path) -> None:
    """The link is replaced, what it pointed to stays."""
    outside = tmp_path / "outside.txt"
    outside.write_bytes(b"theirs")
    (folder / "a.json").symlink_to(outside)

    with Draft(folder, "job") as draft:
        draft.write(b"ours")
        draft.replace("a.json")

    assert (outside.read_bytes(), (folder / "a.json").read_bytes()) == (b"theirs", b"ours")
    assert not (folder / "a.json").is_symlink()
