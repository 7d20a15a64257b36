"""A batch and those beside it: other commands, a pipe, a disk that is full."""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.jobs.ledger import State
from tests.acceptance.cli.batch_scene import (
    OUT,
    batch_run,
    inputs_at,
    resting,
    results,
    rows_at,
    write_rows,
)
from tests.acceptance.cli.person import PATIENCE_S, Person, Said
from tests.acceptance.cli.test_ledger_broken import IN_NAMESPACE, SMALL

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.cli.ledger_scene import LedgerScene


def until_noted(scene: LedgerScene, states: list[State], running: subprocess.Popen[str]) -> None:
    """Wait until the ledger says that of the jobs of a batch that runs."""
    while [each.state for each in scene.records()] != states:
        with suppress(subprocess.TimeoutExpired):
            running.wait(0.05)
            raise ChildProcessError(f"the batch has ended before that: {running.communicate()}")


def test_others_see_it_and_cancel_it(scene: LedgerScene, user: Person) -> None:
    """Nobody else can run it meanwhile; when it is cancelled, the running command ends with 11."""
    names = write_rows(3)
    there = resting(scene.server, "cancelled")
    running = user.start(*batch_run(scene, there), "--json")
    assert running.stdout is not None
    first = running.stdout.readline()
    batch_id = json.loads(first)["id"]
    until_noted(scene, [State.QUEUED] * 3, running)
    (folder,) = {each.intent.output_dir for each in scene.records()}
    assert folder == OUT.absolute()
    others = user.run_all(
        [
            ["batch", "list", "--json"],
            [*batch_run(scene, there), "--json"],
            ["batch", "resume", batch_id, "--json"],
            ["batch", "cancel", batch_id, "--json"],
            ["batch", "cancel", batch_id, "--yes"],
        ]
    )
    (listed,) = json.loads(others.stdout)
    assert (listed["running"], listed["state"], listed["in_flight"]) == (True, "open", 3)
    *told, cancelled, _ = others.stderr.splitlines()
    errors = [json.loads(line) for line in told]
    assert [each["error"] for each in errors] == ["conflict", "conflict", "confirmation_needed"]
    assert errors[0]["message"] == f"Another command is at work on batch {batch_id}"
    assert cancelled == f"✓ Batch {batch_id} is cancelled, and 3 jobs with it"
    stdout, stderr = running.communicate(timeout=PATIENCE_S)
    said = Said(running.returncode, first + stdout, stderr)
    assert (said.code, said.error["error"]) == (11, "job_cancelled")
    assert said.error["message"] == f"Batch {batch_id} was cancelled"
    assert {each.state for each in scene.records()} == {State.CANCELLED}
    assert [(each["row"], each["status"]) for each in results()] == [
        (name, "cancelled") for name in names
    ]


def test_nobody_reads_what_it_says(scene: LedgerScene, user: Person) -> None:
    """`| head -1`: the batch goes on, and its files are all there."""
    write_rows(4)
    said = user.run(
        *batch_run(scene, scene.quick), "--json", under=("sh", "-c", '"$@" | head -1', "sh")
    )
    assert ([each["event"] for each in said.events], said.stderr) == (["batch"], "")
    assert [each["ok"] for each in results()] == [True] * 4
    assert (OUT / "results.csv").exists()


@pytest.fixture
def disk() -> Path:
    """A folder where a file system can be mounted."""
    OUT.mkdir()
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    probe = subprocess.run(
        [*IN_NAMESPACE, SMALL, "sh", str(OUT), "true"], capture_output=True, check=False
    )
    if probe.returncode:
        pytest.skip("mounting in a namespace of our own is not permitted here")
    return OUT


def test_a_disk_that_is_full(scene: LedgerScene, user: Person, disk: Path) -> None:
    """It stops and says why; where there is room, everything is fetched, and nothing sent again."""
    names = write_rows(8)
    tiny = SMALL.replace("64k", "8k")
    said = user.run(
        *batch_run(scene, scene.quick, "--json"), under=(*IN_NAMESPACE, tiny, "sh", str(disk))
    )
    assert (said.code, said.error["error"]) == (14, "save_failed")
    assert said.error["message"].endswith(": the disk is full")
    assert inputs_at(scene, scene.quick) != []
    resumed = user.run(*said.error["hint"].split()[3:], "--json")
    assert (resumed.code, resumed.events[-1]["succeeded"]) == (0, 8), resumed
    assert rows_at(scene, scene.quick) == names
    for each in results():
        (file,) = each["files"]
        assert (OUT / file["path"]).stat().st_size == file["bytes"]
