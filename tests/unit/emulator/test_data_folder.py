"""Where a local RunPod lives, and who may read it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from runpodctl_py.emulator.data_folder import (
    data_folder,
    kept_token,
    make_private,
    remove_leftovers,
    write_private,
)
from runpodctl_py.errors import EmulatorError


def test_the_environment_may_name_the_folder(tmp_path: Path) -> None:
    """Otherwise it is in the user's data folder."""
    assert data_folder({"RUNPODCTL_LOCAL_DIR": str(tmp_path)}) == tmp_path
    assert data_folder({"RUNPODCTL_LOCAL_DIR": "~/here"}) == Path.home() / "here"
    assert data_folder({}).relative_to(Path.home()).name == "local"


def test_the_token_is_kept(tmp_path: Path) -> None:
    """It looks like a key, differs from folder to folder, and only its owner may read it."""
    token = kept_token(tmp_path)
    assert kept_token(tmp_path) == token
    assert token.startswith("rpa_local_")
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    (tmp_path / "other").mkdir()
    assert kept_token(tmp_path / "other") != token


def test_a_private_file_replaces_a_public_one(tmp_path: Path) -> None:
    """The old one's mode does not survive, and no draft stays."""
    path = tmp_path / "file"
    path.touch(mode=0o644)
    write_private(path, "secret")
    assert path.read_text("utf-8") == "secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir() if "file" in each.name] == ["file"]


def test_an_impossible_folder_is_an_error_with_words(tmp_path: Path) -> None:
    """A file stands in its place."""
    (tmp_path / "file").touch()
    with pytest.raises(EmulatorError, match="cannot be used"):
        make_private(tmp_path / "file")


def make_log(folder: Path, endpoint: str, worker: str, written_at: float) -> Path:
    """Makes the log of a worker that wrote last at some time."""
    path = folder / "logs" / endpoint / f"{worker}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (written_at, written_at))
    return path


def test_the_logs_of_an_endpoints_last_50_workers_are_kept(tmp_path: Path) -> None:
    """The newest ones, and of each endpoint as many."""
    now = 1_790_000_000
    logs = [make_log(tmp_path, "many", f"w{n}", now - n) for n in range(60)]
    other = make_log(tmp_path, "few", "w", now - 100)
    remove_leftovers(tmp_path, now)
    assert [each.exists() for each in logs] == [True] * 50 + [False] * 10
    assert other.exists()


def test_logs_of_more_than_seven_days_go(tmp_path: Path) -> None:
    """And with the last one its endpoint's folder."""
    now, day_s = 1_790_000_000, 24 * 60 * 60
    young = make_log(tmp_path, "e", "young", now - 7 * day_s)
    old = make_log(tmp_path, "e", "old", now - 7 * day_s - 1)
    gone = make_log(tmp_path, "gone", "old", now - 30 * day_s)
    remove_leftovers(tmp_path, now)
    assert (young.exists(), old.exists(), gone.parent.exists()) == (True, False, False)


def test_homes_of_killed_emulators_go_and_the_rest_stays(tmp_path: Path) -> None:
    """A fresh folder has nothing to remove; the token and whoever else's files are left alone."""
    remove_leftovers(tmp_path, 0)
    (tmp_path / "homes" / "worker" / ".cache").mkdir(parents=True)
    token = kept_token(tmp_path)
    remove_leftovers(tmp_path, 0)
    assert not (tmp_path / "homes").exists()
    assert kept_token(tmp_path) == token
