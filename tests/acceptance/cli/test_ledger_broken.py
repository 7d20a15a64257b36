"""A ledger that cannot be used: nothing is sent that nobody could find, and no job is lost."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.jobs.ledger import Ledger
from tests.acceptance.cli.ledger_scene import named
from tests.acceptance.cli.person import PATIENCE_S, Person, Said

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.cli.ledger_scene import LedgerScene

IN_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
#: The folder for the ledger is the first argument, the command those after it.
SMALL = 'mount -t tmpfs -o size=64k tmpfs "$1" && shift && exec "$@"'
READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'
#: The disk is full as soon as a line is typed; then the file `go` is there.
FILLED = """
mount -t tmpfs -o size=300k tmpfs "$1" || exit 99
disk=$1
shift
"$@" </dev/null &
read -r _
cat /dev/zero >"$disk/filler" 2>/dev/null
touch go
wait $!
"""


def make(path: Path, kind: str) -> None:
    """Put a file there that is no ledger of ours."""
    path.parent.mkdir(parents=True)
    if kind == "damaged":
        path.write_text("Dear diary, today nothing happened. " * 40)
        return
    with Ledger(path) as ledger:
        ledger._database.rows("PRAGMA user_version = 999")


@pytest.mark.parametrize(
    ("kind", "words", "hint"),
    [
        ("damaged", "is damaged: file is not a database", "mv {0}*  ELSEWHERE"),
        ("newer", "was written by a newer version of runpodctl-py", "pip install --upgrade"),
    ],
)
def test_a_file_that_is_no_ledger(scene: LedgerScene, kind: str, words: str, hint: str) -> None:
    """Exit code 1, nothing is sent, and the file is as it was; what needs no ledger works."""
    path = scene.ledger_path
    make(path, kind)
    before = path.read_bytes()
    for command in (("submit", "-e", scene.quick, *named(scene)), ("jobs", "list")):
        said = scene.run(*command)
        assert (said.code, said.stdout) == (1, ""), command
        assert f"✗ The ledger {path} {words}" in said.stderr
        assert hint.format(path) in said.stderr
        assert "RUNPODCTL_LEDGER=other.sqlite3" in said.stderr
    assert scene.at_runpod(scene.quick) == []
    asked = scene.run("status", "nobody-u1", "-e", scene.quick, "--json")
    assert (asked.code, asked.error["error"]) == (3, "not_found")
    assert path.read_bytes() == before
    meanwhile = scene.run(
        *("submit", "-e", scene.quick, *named(scene), "-q"), RUNPODCTL_LEDGER="other.sqlite3"
    )
    assert (meanwhile.code, len(scene.files())) == (0, 1)


def test_a_job_of_a_damaged_ledger_is_still_to_be_had(scene: LedgerScene) -> None:
    """With its whole id and its endpoint; that it is not written down is said once."""
    job_id = scene.ended(scene.left(scene.quick))
    for each in scene.ledger_path.parent.glob("ledger.sqlite3*"):
        if each.is_file():
            each.unlink()
    scene.ledger_path.write_text("Dear diary, today nothing happened. " * 40)
    said = scene.run("watch", job_id, "-e", scene.quick)
    assert (said.code, len(scene.files())) == (0, 1)
    assert said.stderr.count("The job goes on, but is not written down.") == 1
    assert f"! The ledger {scene.ledger_path} is damaged" in said.stderr


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A folder where a file system can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    probe = subprocess.run(
        [*IN_NAMESPACE, SMALL, "sh", str(folder), "true"], capture_output=True, check=False
    )
    if probe.returncode:
        pytest.skip("mounting in a namespace of our own is not permitted here")
    return folder


@pytest.mark.parametrize(
    ("mounting", "words"),
    [(SMALL, "the disk is full"), (READ_ONLY, "Read-only file system")],
    ids=["full", "read-only"],
)
def test_a_disk_that_takes_nothing(
    scene: LedgerScene, disk: Path, mounting: str, words: str
) -> None:
    """Exit code 1, why, and nothing is sent."""
    path = disk / "ledger.sqlite3"
    with Ledger(path) as ledger:
        ledger.settle()
    said = scene.run(
        *("submit", "-e", scene.quick, *named(scene)),
        under=(*IN_NAMESPACE, mounting, "sh", str(disk)),
        RUNPODCTL_LEDGER=str(path),
    )
    assert (said.code, said.stdout) == (1, ""), said.stderr
    assert f"✗ The ledger {path} cannot be used: {words}" in said.stderr
    assert scene.at_runpod(scene.quick) == []


def test_a_disk_that_fills_up_meanwhile(person: Person, odd: str, disk: Path) -> None:
    """The job was sent: it is followed to its file, and it is said once that it was not noted."""
    job = ("-s", "do=wait for", "-s", f"file={person.folder / 'go'}")
    command = (sys.executable, "-P", "-m", "runpodctl_py", "submit", "-e", odd, *job)
    running = subprocess.Popen(
        [*IN_NAMESPACE, FILLED, "sh", str(disk), *command],
        cwd=person.folder,
        env=person.environment({"RUNPODCTL_LEDGER": str(disk / "ledger.sqlite3")}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    first = running.stderr.readline()
    assert first.startswith("queued ")
    stdout, stderr = running.communicate("\n", timeout=PATIENCE_S)
    said = Said(running.returncode, stdout, stderr)
    assert (said.code, said.stdout) == (0, "It was there.\n"), said.stderr
    assert said.stderr.count("The job goes on, but is not written down.") == 1
    assert "cannot be used: the disk" in said.stderr
