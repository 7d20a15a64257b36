"""Where a local RunPod lives, and who may read it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from runpodctl_py.emulator.data_folder import data_folder, kept_token, make_private, write_private
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
