"""The key goes to RunPod and to `.env`, and nowhere else."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.testing import LocalRunPodServer, WorkerCommand
from tests.acceptance.cli.person import Person

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "rpa_MARKERMARKERMARKER0123456789abcdef"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[LocalRunPodServer]:
    """A RunPod whose key is the marker; its own copy of it is the file `token`."""
    folder = tmp_path / "runpod"
    folder.mkdir()
    (folder / "token").write_text(KEY)
    worker = [sys.executable, "-u", str(Path(__file__).with_name("odd_worker.py"))]
    with LocalRunPodServer(folder, images={"odd": WorkerCommand(worker)}) as server:
        assert server.token == KEY
        yield server


def commands(endpoint_id: str) -> list[list[str]]:
    """Return every command that has a key, some that fail among them."""
    odd = ["submit", "--endpoint", endpoint_id]
    return [
        ["config", "show"],
        ["endpoints", "list"],
        ["endpoints", "get", endpoint_id],
        ["endpoints", "get", "nowhere"],
        ["templates", "list"],
        ["templates", "get", "nowhere"],
        ["health"],
        ["health", "nowhere"],
        ["setup-test", "--dry-run"],
        ["setup", "test", "--image", "odd", "--workers-max", "99"],
        [*odd, "--set", "do=return", "--set", "output=fine", "--dry-run"],
        [*odd, "--set", "do=return bytes", "--set", "times=40", "--sync"],
        [*odd, "--set", "do=raise", "--set", "message=broken", "--verbose"],
        ["status", "nobody-u1"],
        ["cancel", "nobody-u1"],
        ["watch", "nobody-u1"],
        ["teardown", "nowhere", "--yes"],
        ["teardown", "test"],
        ["frobnicate"],
    ]


def files_with(text: str, *folders: Path) -> list[Path]:
    """Return the files below some folders that contain a text."""
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in files if text.encode() in path.read_bytes())


def test_the_key_is_nowhere_else(guarded: LocalRunPodServer, tmp_path: Path) -> None:
    """Not on stdout or stderr, and in no file but the one it was put into."""
    work = Path.cwd()
    urls = {k: v for k, v in guarded.environment().items() if k != "RUNPOD_API_KEY"}
    person = Person(work, {**urls, "RUNPODCTL_TRACEBACK": "1"})
    (work / ".env").write_text(f"RUNPOD_API_KEY={KEY}\n")
    made = person.run("setup-test", "--image", "odd", "--json")
    endpoint_id = made.document["endpoint_id"]
    plain = commands(endpoint_id)
    said = person.run_all([*plain, *([*command, "--json"] for command in plain)])
    last = person.run("teardown", "test", "--yes")
    assert "ValueError: broken" in said.stderr
    assert (made.code, said.code, last.code) == (0, 0, 0)
    for output in (made, said, last):
        assert KEY not in output.stdout + output.stderr
    assert files_with(KEY, work, Path(os.environ["HOME"]), tmp_path / "runpod") == [
        tmp_path / "runpod" / "token",
        work / ".env",
    ]
    assert len(list((work / "outputs").iterdir())) >= 2


def test_a_key_that_nobody_can_use_is_not_repeated(person: Person) -> None:
    """Refused, unreadable or unreachable: the message never quotes it."""
    (person.folder / "key.txt").write_text(KEY)
    (person.folder / "torn.txt").write_text(f"{KEY}\nsecond line")
    for arguments, variables in (
        (["--api-key-file", "key.txt"], {}),
        (["--api-key-file", "torn.txt"], {}),
        ([], {"RUNPOD_API_KEY": f"{KEY}\u20ac"}),
        ([], {"RUNPOD_API_KEY": KEY, "RUNPOD_API_BASE_URL": "ftp://elsewhere"}),
        ([], {"RUNPOD_API_KEY": KEY, "RUNPOD_API_BASE_URL": "http://[broken"}),
    ):
        said = person.run("endpoints", "list", *arguments, **variables, RUNPODCTL_TRACEBACK="1")
        assert said.code in {2, 4, 6}, said.stderr
        assert "MARKER" not in said.stdout + said.stderr
