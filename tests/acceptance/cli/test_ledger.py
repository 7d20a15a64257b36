"""No result is lost: what was left, what was interrupted, what nobody was told the id of."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runpodctl_py import settings
from runpodctl_py.api.types import Job, JobStatus
from runpodctl_py.jobs.ledger import Deployment, Intent, Ledger, Place, State
from tests.acceptance.cli.ledger_scene import MINUTE_S, named
from tests.acceptance.cli.person import PATIENCE_S, Person, Said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.cli.ledger_scene import LedgerScene

NOTHING = Said(0, "", "Nothing is waiting to be fetched.\n")
DAY_S = 24 * 60 * 60
RUNPOD = Place("https://api.runpod.ai/v2")
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
    assert f"! {job_id[:8]}: RunPod does not know it any more" in said.stderr
    assert "✗ 1 job could not be fetched: RunPod does not know it any more." in said.stderr
    assert "It keeps a result for 30 minutes after the job ends" in said.stderr
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


def interrupted(user: Person, *jobs: str) -> Said:
    """Watch jobs until RunPod has said of all of them that they wait, and press Ctrl-C."""
    watching = user.start("watch", *jobs, "--cancel-on-interrupt", "--json")
    assert watching.stdout is not None
    queued = {json.loads(watching.stdout.readline())["id"] for _ in jobs}
    assert queued == set(jobs)
    watching.send_signal(signal.SIGINT)
    return Said(watching.wait(PATIENCE_S), *watching.communicate())


def test_what_ctrl_c_cancels_is_written_down(scene: LedgerScene, user: Person) -> None:
    """Nothing of it waits to be fetched."""
    said = interrupted(user, scene.left(scene.stuck))
    assert (said.code, said.error["message"]) == (130, "Interrupted; the job is cancelled.")
    assert [(each.state, each.waits) for each in scene.records()] == [(State.CANCELLED, False)]
    assert scene.run("jobs", "sync") == NOTHING


def test_what_ctrl_c_could_not_cancel_is_told(scene: LedgerScene, user: Person) -> None:
    """Of several: which one goes on and is billed, and why; the others are cancelled."""
    jobs = [scene.left(scene.stuck) for _ in range(3)]
    with scene.server.faults("cancel:400*1"):
        said = interrupted(user, *jobs)
    states = {str(each.job_id): each.state for each in scene.records()}
    (left,) = (each for each in jobs if states[each] is State.QUEUED)
    assert sorted(states.values()) == [State.CANCELLED, State.CANCELLED, State.QUEUED]
    first, *more = said.error["message"].splitlines()
    assert (said.code, len(more)) == (130, 1)
    assert first == "Interrupted; the jobs that had not ended are cancelled, but not all."
    assert more[0].startswith(f"{left}: Interrupted, but the job could not be cancelled: ")
    assert said.error["hint"] == "Watch them:  runpodctl-py watch --all"
    after = interrupted(user, left)
    assert after.error["message"] == "Interrupted; the job is cancelled."


def test_several_are_left_or_cancelled_whatever_failed_before(
    scene: LedgerScene, user: Person
) -> None:
    """One that had ended badly is told, and is no reason to say that the others go on."""
    gone, *jobs = (scene.left(scene.stuck) for _ in range(3))
    scene.run("cancel", gone)
    watching = user.start("watch", gone, *jobs, "--cancel-on-interrupt", "--json")
    assert watching.stdout is not None
    events = {
        (e["event"], e["id"]) for e in (json.loads(watching.stdout.readline()) for _ in "abcd")
    }
    assert events == {*(("queued", each) for each in (gone, *jobs)), ("finished", gone)}
    watching.send_signal(signal.SIGINT)
    said = Said(watching.wait(PATIENCE_S), *watching.communicate())
    first, *more = said.error["message"].splitlines()
    assert (said.code, len(more)) == (130, 1)
    assert first == "Interrupted; the jobs that had not ended are cancelled."
    assert more[0].startswith(f"{gone}: ")


def test_a_job_that_is_gone_while_it_is_watched(scene: LedgerScene, user: Person) -> None:
    """Exit code 3, and it is written down: no later command asks for it."""
    job_id = scene.left(scene.stuck)
    watching = user.start("watch", job_id, "--json")
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["id"] == job_id
    with scene.server.faults("status:404", "status-sync:404"):
        stdout, stderr = watching.communicate(timeout=PATIENCE_S)
    said = Said(watching.returncode, stdout, stderr)
    assert (said.code, said.error["id"]) == (3, job_id), said
    assert [(each.state, each.waits) for each in scene.records()] == [(State.EXPIRED, False)]
    assert scene.run("jobs", "sync") == NOTHING


def test_a_person_is_asked_before_anything_is_forgotten(user: Person, scene: LedgerScene) -> None:
    """How many they are; what they do not want is not done."""
    now = time.time()
    for number, age_s in enumerate((9 * DAY_S, 9 * DAY_S, 7 * DAY_S)):
        with Ledger(scene.ledger_path, lambda then=now - age_s: then) as ledger:  # type: ignore[misc]
            put(ledger, f"{number}-u1")
    for answer, code, left in ((b"n\r", 5, 3), (b"y\r", 0, 1)):
        with user.at_terminal("jobs", "prune", "--older-than", "1h") as terminal:
            question = terminal.until_text("[y/N]")
            assert "Forget 2 jobs older than 1h that are done with?" in question
            terminal.type(answer)
            assert terminal.until_end() == code
            assert terminal.is_usable
        assert len(scene.records()) == left


def test_what_a_job_ran_on_is_shown(user: Person, scene: LedgerScene) -> None:
    """To a person: the image, the pool, the template."""
    with Ledger(scene.ledger_path) as ledger:
        ledger.deployed(
            Deployment(
                at=0.0,
                place=RUNPOD,
                action="create",
                endpoint_id="e",
                template_id="t1",
                image="me/mine",
                gpu_ids="ADA_24",
            )
        )
        put(ledger, "8f3c2a54-u1")
    with user.at_terminal("jobs", "show", "8f3c") as terminal:
        terminal.until_end()
        words = [line.split(maxsplit=2) for line in terminal.text.splitlines()]
    assert ["ran", "on", "me/mine, ADA_24, t1"] in words


def test_one_runpod_that_cannot_be_asked(newcomer: Person) -> None:
    """The other's results are fetched all the same; the exit code tells of the one."""
    away = "http://127.0.0.1:9/v2"
    ledger_path = settings.load(os.environ, newcomer.folder).ledger_path
    with Ledger(ledger_path) as ledger:
        put(ledger, "55de0a17-u1", Place(away))
    newcomer.run("submit", "--task", "text_processing", "--local", "--detach")
    said = newcomer.run(
        *("jobs", "sync"), RUNPOD_ENDPOINT_BASE_URL=away, RUNPOD_API_KEY="rpa_nobodys"
    )
    assert (said.code, len(said.stdout.splitlines())) == (6, 1), said.stderr
    assert "left       55de0a17: " in said.stderr
    with Ledger(ledger_path) as ledger:
        local, there = ledger.jobs()
    assert (local.state, local.waits) == (State.COMPLETED, False)
    assert (there.state, there.waits) == (State.QUEUED, True)
    nobody = newcomer.run("jobs", "sync", RUNPOD_ENDPOINT_BASE_URL=away)
    assert (nobody.code, "left       55de0a17: " in nobody.stderr) == (4, True), nobody.stderr


@pytest.mark.skipif(sys.platform == "darwin", reason="its file names are always text")
def test_a_folder_and_words_that_are_no_text(person: Person, odd: str) -> None:
    """Half a character is sent, any number comes back, and a folder may have any bytes."""
    folder = os.fsdecode(b"caf\xe9")
    image = {"filename": "a.bin", "content_base64": "ZmluZQ=="}
    Path("input.json").write_text(
        json.dumps({"do": "return", "odd": "\ud800", "output": {"seed": 2**70, "image": image}})
    )
    Path("broken.json").write_text(json.dumps({"do": "raise", "message": "no", "odd": "\udfff"}))
    for name, code in (("input.json", 0), ("broken.json", 10)):
        said = person.run("submit", "-e", odd, "--payload", name, "-o", folder, "-q")
        assert said.code == code, said.stderr
        assert "not written down" not in said.stderr
    said = person.run("jobs", "list", "--json")
    failed, whole = said.document
    assert (whole["state"], whole["files"], failed["state"]) == ("completed", 1, "failed")
    shown = person.run("jobs", "show", whole["id"][:8])
    assert (shown.code, shown.document["output"]["seed"]) == (0, 2**70), shown.stderr
    exported = person.run("jobs", "export", "--jsonl")
    assert (exported.code, len(exported.events)) == (0, 2), exported.stderr
    assert person.run("jobs", "export", "--csv").code == 0
    assert (person.folder / folder / "a.bin").read_bytes() == b"fine"
    assert person.run("jobs", "sync", whole["id"][:8]).code == 0
    assert person.run("jobs", "retry", whole["id"][:8], "--force", "-q").code == 0
    assert len(list((person.folder / folder).glob("a*.bin"))) >= 1


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


def put(ledger: Ledger, job_id: str, place: Place = RUNPOD) -> None:
    """Write a job down that nobody has sent."""
    intent = Intent(place=place, endpoint_id="e", payload={})
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
    assert (left.code, left.stdout) == (1, "")
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
