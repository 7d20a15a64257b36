"""No result is lost: what was left, what was interrupted, what nobody was told the id of."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.jobs.ledger import Ledger, State
from tests.acceptance.cli.ledger_scene import MINUTE_S, named
from tests.acceptance.cli.person import PATIENCE_S, Person, Said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.cli.ledger_scene import LedgerScene

NOTHING = Said(0, "", "Nothing is waiting to be fetched.\n")
KEY = "rpa_MARKERMARKERMARKER0123456789abcdef"


def test_a_result_is_fetched_in_the_29th_minute(scene: LedgerScene) -> None:
    """A job ends while nobody watches: half an hour later its file is on the disk."""
    job_id = scene.ended(scene.left(scene.quick))
    scene.server.time.advance(29 * MINUTE_S)
    said = scene.run("jobs", "sync")
    (name,) = scene.files()
    path = scene.folder / "outputs" / name
    assert (said.code, said.stdout) == (0, f"{path}\n")
    assert said.stderr == f"completed  {job_id[:8]}: {path} ({path.stat().st_size} B)\n"
    assert job_id in path.read_text()
    (record,) = scene.records()
    assert (record.state, record.file_count, record.waits) == (State.COMPLETED, 1, False)
    assert scene.run("jobs", "sync") == NOTHING


def test_a_result_is_reported_as_gone_in_the_31st_minute(scene: LedgerScene) -> None:
    """Plainly, once, with exit code 3; from then on it is listed as expired."""
    job_id = scene.ended(scene.left(scene.quick))
    scene.server.time.advance(31 * MINUTE_S)
    said = scene.run("jobs", "sync")
    assert (said.code, said.stdout, scene.files()) == (3, "", [])
    assert f"! {job_id[:8]}: RunPod has dropped its result" in said.stderr
    assert "✗ The result of 1 job had been dropped: RunPod keeps them for 30 minutes" in said.stderr
    assert "runpodctl-py jobs list --state expired" in said.stderr
    listed = scene.run("jobs", "list", "--state", "expired", "--json").document
    assert [each["id"] for each in listed] == [job_id]
    assert scene.run("jobs", "sync") == NOTHING


def test_ctrl_c_while_a_job_is_sent(scene: LedgerScene, user: Person) -> None:
    """It may be queued: it is unknown, looked for, and found."""
    with scene.server.faults("run:delay:2s*1") as faults:
        sending = user.start("submit", "-e", scene.quick, *named(scene))
        while not faults.struck():
            assert sending.poll() is None
        sending.send_signal(signal.SIGINT)
        _, stderr = sending.communicate(timeout=PATIENCE_S)
    assert (sending.returncode, "it may be queued, and billed" in stderr) == (130, True)
    assert [each.state for each in scene.records()] == [State.UNKNOWN]


def test_what_another_command_follows_is_left_alone(scene: LedgerScene, user: Person) -> None:
    """Until that command is gone; its key and its input's secret are nowhere meanwhile."""
    secret = "s3cret-that-nobody-may-read"
    Path("input.json").write_text(json.dumps({"hf_token": secret, "text": "word " * 20_000}))
    submitting = user.start(
        "submit", "-e", scene.stuck, "--payload", "input.json", *named(scene), "--json"
    )
    assert submitting.stdout is not None
    job_id = json.loads(submitting.stdout.readline())["id"]
    said = scene.run("jobs", "sync", "--json")
    assert (said.code, [(each["event"], each["id"]) for each in said.events]) == (
        0,
        [("left", job_id)],
    )
    assert said.events[0]["why"] == "another command is following it"
    kept = [each for each in scene.ledger_path.parent.rglob("*") if each.is_file()]
    suffixes = {each.name.removeprefix(scene.ledger_path.name) for each in kept}
    assert {"", "-wal"} <= suffixes
    assert any(each.suffix == ".json" for each in kept)
    for each in kept:
        content = each.read_bytes()
        assert scene.server.token.encode() not in content
        assert secret.encode() not in content
    submitting.kill()
    submitting.communicate()
    after = scene.run("jobs", "sync", "--json")
    assert [(each["event"], each["id"]) for each in after.events] == [("running", job_id)]


def test_two_fetch_at_once(scene: LedgerScene, user: Person) -> None:
    """Each job is saved once, by whoever has it in hand; both commands are content."""
    for each in [scene.left(scene.quick) for _ in range(2)]:
        scene.ended(each)
    fetching = [user.start("jobs", "sync", "--json") for _ in range(2)]
    outputs = [each.communicate(timeout=PATIENCE_S) for each in fetching]
    assert [each.returncode for each in fetching] == [0, 0], outputs
    assert len(scene.files()) == 2
    assert {(each.state, each.waits) for each in scene.records()} == {(State.COMPLETED, False)}


@pytest.mark.parametrize("command", ["status", "jobs show"])
def test_a_shell_completes_ids(scene: LedgerScene, command: str) -> None:
    """Those that begin as typed, from the ledger; nobody is asked."""
    with Ledger(scene.ledger_path) as ledger:
        for number in ("8f3c-1", "8f3c-2", "55de-1"):
            put(ledger, number)
    words = f"runpodctl-py {command} 8f"
    said = scene.run(
        RUNPOD_ENDPOINT_BASE_URL="http://127.0.0.1:9",
        _RUNPODCTL_PY_COMPLETE="complete_bash",
        COMP_WORDS=words,
        COMP_CWORD=str(len(words.split()) - 1),
    )
    assert (said.code, said.stdout.split(), said.stderr) == (0, ["8f3c-2", "8f3c-1"], "")


def put(ledger: Ledger, job_id: str) -> None:
    """Write a job down that nobody has sent."""
    from runpodctl_py.api.types import Job, JobStatus
    from runpodctl_py.jobs.ledger import Intent, Place

    intent = Intent(place=Place("https://api.runpod.ai/v2"), endpoint_id="e", payload={})
    ledger.sent(ledger.intend(intent), Job(job_id, JobStatus.IN_QUEUE))


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Person]:
    """Somebody whose local RunPod runs, with workers that are no processes."""
    person = Person(Path.cwd(), {"RUNPODCTL_LOCAL_DIR": str(tmp_path / "data")})
    up = person.run("local", "up", "--detach", "--simulate", "delay=0")
    assert up.code == 0, up.stderr
    yield person
    person.run("local", "down")


def test_a_local_job_needs_no_flag(newcomer: Person) -> None:
    """The ledger knows where it is; when its RunPod is stopped, its jobs wait for it."""
    task = ("submit", "--task", "text_processing", "--local", "--detach", "--json")
    first, second, third = (each["id"] for each in newcomer.run_all([task] * 3).events)
    watched = newcomer.run("watch", first[:8], "-q")
    assert (watched.code, Path(watched.stdout.strip()).is_file()) == (0, True)
    fetched = newcomer.run("jobs", "sync", second[:8])
    assert (fetched.code, len(fetched.stdout.splitlines())) == (0, 1)
    newcomer.run("local", "down")
    left = newcomer.run("jobs", "sync")
    assert (left.code, left.stdout) == (0, "")
    assert f"left       {third[:8]}: the local RunPod does not run" in left.stderr
    started = newcomer.run("jobs", "sync", "--local")
    assert (started.code, len(started.stdout.splitlines())) == (0, 1)
    for record in newcomer.run("jobs", "list", "--json").document:
        assert (record["local"], record["state"], record["cost_usd"]) == (True, "completed", 0.0)
    elsewhere = newcomer.run("status", first[:8], RUNPODCTL_LOCAL_DIR=os.environ["HOME"])
    assert (elsewhere.code, "is on another local RunPod" in elsewhere.stderr) == (2, True)


def test_a_local_runpod_that_was_reset_gives_its_ids_again(tmp_path: Path) -> None:
    """The new job is written down under its id; the one before it is gone."""
    person = Person(Path.cwd(), {"RUNPODCTL_LOCAL_DIR": str(tmp_path / "data")})
    task = ("submit", "--task", "text_processing", "--local", "--detach", "--json")
    try:
        person.run("local", "up", "--detach", "--simulate", "delay=0", "--seed", "7")
        before = person.run(*task)
        person.run("local", "reset", "--yes")
        after = person.run(*task)
        listed = person.run("jobs", "list", "--json").document
    finally:
        person.run("local", "down")
    assert (after.code, after.stderr) == (0, "")
    assert before.events[0]["id"] == after.events[0]["id"] == listed[0]["id"]
    assert [each["state"] for each in listed] == ["queued", "expired"]
