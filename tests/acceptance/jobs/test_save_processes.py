"""Saving where the disk refuses, and where several processes save at once: with real processes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

SAVE = """
import asyncio, json, sys
from pathlib import Path
from runpodctl_py.jobs.outputs import InlineFile
from runpodctl_py.jobs.save import save_files

def save(directory, files):
    found = [InlineFile(name, "output", content) for name, content in files]
    report = asyncio.run(save_files(found, Path(directory), label="job"))
    print(json.dumps([[file.path.name for file in report.files], report.problems]), flush=True)
"""
THREE_FILES = 'save(sys.argv[1], [("a.bin", b"a"), ("large.bin", bytes(300_000)), ("c.bin", b"c")])'
IN_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]


def names(directory: Path) -> list[str]:
    """List a folder, hidden files included."""
    return sorted(path.name for path in directory.iterdir())


def run(*command: str) -> Any:
    """Run a process and return the report that it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def test_a_file_over_the_limit_leaves_nothing_and_stops_nothing(tmp_path: Path) -> None:
    """Under a limit on the size of files, the large one is a problem and the others are saved."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"

    saved, problems = run(sys.executable, "-c", SAVE + limit + THREE_FILES, str(tmp_path / "out"))

    assert saved == ["a.bin", "c.bin"]
    assert problems == ["large.bin: the file is larger than this system allows"]
    assert names(tmp_path / "out") == ["a.bin", "c.bin"]


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
@pytest.mark.parametrize(
    ("mounting", "expected"),
    [
        pytest.param(
            'mount -t tmpfs -o size=128k tmpfs "$1"',
            [["a.bin", "c.bin"], ["large.bin: the disk is full"]],
            id="full",
        ),
        pytest.param(
            'mount -t tmpfs -o ro tmpfs "$1"',
            [[], [f"{name}.bin: the file system is read-only" for name in ("a", "large", "c")]],
            id="read-only",
        ),
    ],
)
def test_a_real_disk_that_refuses_is_told_in_words(
    tmp_path: Path, mounting: str, expected: list[list[str]]
) -> None:
    """A small disk of our own fills up, or takes nothing; no half and no hidden file remains."""
    probe = subprocess.run(
        [*IN_NAMESPACE, mounting, "sh", str(tmp_path)], capture_output=True, check=False, timeout=60
    )
    if probe.returncode:
        pytest.skip("mounting in a namespace of our own is not permitted here")
    listing = "import os\nprint(json.dumps(sorted(os.listdir(sys.argv[1]))))"
    script = f'{mounting} && exec "$2" -c "$3" "$1"'

    done = subprocess.run(
        [
            *IN_NAMESPACE,
            script,
            "sh",
            str(tmp_path),
            sys.executable,
            f"{SAVE}{THREE_FILES}\n{listing}",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    report, left = map(json.loads, done.stdout.splitlines())
    assert (report, left) == (expected, sorted(expected[0]))


def test_processes_do_not_overwrite_each_other(tmp_path: Path) -> None:
    """Three processes that save under one name at the same moment keep all their files."""
    script = f"""{SAVE}
me = int(sys.argv[2])
sys.stdin.readline()
save(sys.argv[1], [("image.bin", bytes([me]) * (number + 1)) for number in range(40)])
"""
    savers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "out"), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for saver in savers:
        assert saver.stdin
        saver.stdin.write("go\n")
        saver.stdin.flush()
    reports = [json.loads(saver.communicate(timeout=60)[0]) for saver in savers]

    contents = {path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert contents == {bytes([me]) * (size + 1) for me in range(3) for size in range(40)}
    assert [len(set(saved)) for saved, _ in reports] == [40, 40, 40]
    assert [problems for _, problems in reports] == [[], [], []]
    assert len(names(tmp_path / "out")) == 120
