"""From what is typed for a job to the job, and what is said of one that RunPod knows no more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.jobs.ledger import State
from tests.acceptance.cli.ledger_scene import MINUTE_S, named

if TYPE_CHECKING:
    from tests.acceptance.cli.ledger_scene import LedgerScene

ASKING = ("status", "watch", "cancel")


def damage(scene: LedgerScene) -> None:
    """Let the ledger be a file that is none."""
    path = scene.ledger_path
    path.parent.mkdir(parents=True, exist_ok=True)
    for each in path.parent.glob(f"{path.name}*"):
        if each.is_file():
            each.unlink()
    path.write_text("Dear diary, today nothing happened. " * 40)


@pytest.mark.parametrize("text", ["", "8", "8f3"])
@pytest.mark.parametrize("command", [*ASKING, "jobs cancel"])
def test_three_letters_are_no_id(scene: LedgerScene, command: str, text: str) -> None:
    """Wrong usage, with an endpoint or without; nobody is asked."""
    for target in ((), ("-e", scene.quick)):
        said = scene.run(*command.split(), text, *target, RUNPOD_ENDPOINT_BASE_URL="http://[::1]:9")
        assert (said.code, "Type at least its first 4 characters." in said.stderr) == (2, True)


def test_a_wrong_name_costs_nothing(scene: LedgerScene) -> None:
    """Of several, none is cancelled if one cannot be meant."""
    job_id = scene.left(scene.stuck)
    assert scene.run("cancel", job_id[:8], "8f3").code == 2
    assert scene.run("status", job_id[:8]).document["status"] == "IN_QUEUE"


def test_several_are_cancelled_a_line_each(scene: LedgerScene) -> None:
    """Of one, it is a document, as it always was."""
    ids = [scene.left(scene.stuck) for _ in range(3)]
    said = scene.run("cancel", *(each[:8] for each in ids[:2]), "--json")
    assert (said.code, said.stderr) == (0, "")
    assert [(each["id"], each["status"]) for each in said.events] == [
        (each, "CANCELLED") for each in ids[:2]
    ]
    alone = scene.run("cancel", ids[2][:8], "--json")
    assert (alone.document["id"], len(alone.stdout.splitlines()) > 1) == (ids[2], True)
    assert {(each.state, each.waits) for each in scene.records()} == {(State.CANCELLED, False)}


@pytest.mark.parametrize("command", ASKING)
def test_a_damaged_ledger_is_in_nobodys_way(scene: LedgerScene, command: str) -> None:
    """With a whole id and an endpoint, or the usual one; it is said what is wrong with it."""
    job_id = scene.ended(scene.left(scene.quick))
    damage(scene)
    quiet = scene.run(command, job_id, "-e", scene.quick)
    assert quiet.code == 0, quiet.stderr
    said = scene.run(command, job_id, RUNPOD_ENDPOINT_ID=scene.quick)
    assert said.code == 0, said.stderr
    assert f"! The ledger {scene.ledger_path} is damaged" in said.stderr
    neither = scene.run(command, job_id)
    assert (neither.code, "No endpoint" in neither.stderr) == (3, True)
    assert scene.ledger_path.read_text().startswith("Dear diary")


@pytest.mark.parametrize("command", ASKING)
def test_a_result_that_is_gone(scene: LedgerScene, command: str) -> None:
    """Exit code 3, that it was never fetched, and how to have it again; it is written down."""
    job_id = scene.ended(scene.left(scene.quick))
    scene.server.time.advance(31 * MINUTE_S)
    said = scene.run(command, job_id[:8])
    assert (said.code, said.stdout, scene.files()) == (3, "", [])
    words = f"RunPod does not know job {job_id[:8]} any more, and its result was never fetched"
    assert f"✗ {words}" in said.stderr
    assert f"runpodctl-py jobs retry {job_id[:8]} --force" in said.stderr
    (record,) = scene.records()
    assert (record.state, record.waits) == (State.EXPIRED, False)
    listed = scene.run("jobs", "list", "--state", "expired", "--json").document
    assert [each["id"] for each in listed] == [job_id]
    # What the hint says works.
    again = scene.run("jobs", "retry", job_id[:8], "--force", "-q")
    assert (again.code, len(scene.files())) == (0, 1), again.stderr


@pytest.mark.parametrize("command", ASKING)
def test_a_job_that_is_gone_and_here(scene: LedgerScene, command: str) -> None:
    """Exit code 3 as well, for RunPod was asked; its result is where it was."""
    job_id = scene.ended(scene.left(scene.quick))
    assert scene.run("jobs", "sync").code == 0
    before = scene.records()
    scene.server.time.advance(31 * MINUTE_S)
    said = scene.run(command, job_id[:8], "--json")
    assert (said.code, said.error["id"]) == (3, job_id)
    assert "any more; what it returned is here" in said.error["message"]
    assert (scene.records(), len(scene.files())) == (before, 1)
    shown = scene.run("jobs", "show", job_id[:8]).document
    assert shown["files"][0]["there"] is True


def test_a_job_that_was_never_seen_is_not_gone(scene: LedgerScene) -> None:
    """One that our ledger does not know, at an endpoint that does not either."""
    said = scene.run("status", "00000000-u1", "-e", scene.quick, "--json")
    assert (said.code, said.error["error"], scene.records()) == (3, "not_found", [])


def test_a_job_is_saved_to_where_it_was_to_go(
    scene: LedgerScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From whatever folder it is watched, unless somebody wants it elsewhere now."""
    first, second, third, fourth = (scene.left(scene.quick, "-o", "chosen") for _ in range(4))
    Path("elsewhere").mkdir()
    with monkeypatch.context() as patch:
        patch.chdir("elsewhere")
        assert scene.run("watch", first[:8], "-q").code == 0
        assert scene.run("watch", second[:8], third[:8], "-q").code == 0
    assert (len(scene.files("chosen")), scene.files("elsewhere")) == (3, [])
    assert scene.run("watch", fourth[:8], "-q", "-o", "elsewhere").code == 0
    assert (len(scene.files("chosen")), len(scene.files("elsewhere"))) == (3, 1)


# Where the ledger is.


def test_a_relative_ledger_is_meant_from_its_settings(
    scene: LedgerScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or each folder below would have one of its own."""
    below = scene.folder / "a" / "b"
    below.mkdir(parents=True)
    Path(".env").write_text("RUNPODCTL_LEDGER=data/mine.sqlite3\n")
    with monkeypatch.context() as patch:
        patch.chdir(below)
        assert scene.run("submit", "-e", scene.quick, *named(scene), "-q").code == 0
    assert (scene.folder / "data" / "mine.sqlite3").exists()
    assert not list(below.rglob("*.sqlite3"))
    assert len(scene.run("jobs", "list", "--json").document) == 1


def test_a_relative_ledger_in_another_file_of_settings(scene: LedgerScene) -> None:
    """It is meant from there, wherever that is."""
    folder = scene.folder / "settings"
    folder.mkdir()
    (folder / "mine.env").write_text("RUNPODCTL_LEDGER=mine.sqlite3\n")
    said = scene.run(
        *("submit", "-e", scene.quick, *named(scene), "-q"), "--env-file", "settings/mine.env"
    )
    assert (said.code, (folder / "mine.sqlite3").exists()) == (0, True), said.stderr
    assert not (scene.folder / "mine.sqlite3").exists()


# The word at a command's end.

LEFT = "Fetch:  runpodctl-py jobs sync"
ABOUT_JOBS = (
    ("jobs", "list"),
    ("endpoints", "list"),
    ("templates", "list"),
)
ABOUT_OTHER_THINGS = (("gpus",), ("config", "show"), ("local", "status"), ("help", "exit-codes"))


def test_what_waits_is_said_at_the_end(scene: LedgerScene) -> None:
    """By the commands about jobs and endpoints, to people, and by those that went well."""
    job_id = scene.ended(scene.left(scene.quick))
    assert scene.run("status", job_id[:8]).code == 0
    for command in ABOUT_JOBS:
        said = scene.run(*command)
        last = said.stderr.splitlines()[-1]
        assert last.startswith("! 1 result not fetched (RunPod drops the first in "), command
        assert (said.code, last.endswith(LEFT)) == (0, True)
        assert LEFT not in said.stdout
    for command in (
        *ABOUT_OTHER_THINGS,
        *((*each, more) for each in ABOUT_JOBS for more in ("--json", "--help")),
        ("status", "8f3"),
        ("jobs", "sync"),
        ("endpoints", "list"),
    ):
        assert LEFT not in scene.run(*command).stderr, command


def test_of_jobs_that_run_it_is_said_later(scene: LedgerScene) -> None:
    """Who has just left one knows; who was never answered hears of it at once."""
    scene.left(scene.stuck)
    assert LEFT not in scene.run("endpoints", "list").stderr
    with scene.server.faults("run:drop*1"):
        scene.run("submit", "-e", scene.quick, *named(scene))
    said = scene.run("endpoints", "list")
    assert (said.code, said.stderr) == (0, f"! 1 job sent without an answer. {LEFT}\n")


def test_no_ledger_makes_a_success_an_error(scene: LedgerScene) -> None:
    """What was asked for was had; who needs the ledger hears what is wrong with it."""
    for command in ABOUT_JOBS[1:]:
        assert scene.run(*command).stderr == ""
    assert not scene.ledger_path.exists()
    damage(scene)
    for command in ABOUT_JOBS[1:]:
        said = scene.run(*command)
        assert (said.code, said.stderr) == (0, ""), command
    scene.ledger_path.unlink()
    scene.ledger_path.mkdir()
    for command in ABOUT_JOBS[1:]:
        said = scene.run(*command)
        assert (said.code, said.stderr) == (0, ""), command
