"""What was left is fetched, what was lost is looked for, and an id's beginning names a job."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from runpodctl_py.jobs.ledger import State
from tests.acceptance.cli.ledger_scene import MINUTE_S, named
from tests.acceptance.cli.person import Said

if TYPE_CHECKING:
    import pytest

    from tests.acceptance.cli.ledger_scene import LedgerScene

NOTHING = Said(0, "", "Nothing is waiting to be fetched.\n")
KEY = "rpa_MARKERMARKERMARKER0123456789abcdef"


def test_one_that_is_gone_does_not_keep_others_from_coming(scene: LedgerScene) -> None:
    """What is there is saved, what runs is named, and then it is told what is not there."""
    gone = scene.ended(scene.left(scene.quick))
    scene.server.time.advance(31 * MINUTE_S)
    there, waits = scene.ended(scene.left(scene.quick)), scene.left(scene.stuck)
    said = scene.run("jobs", "sync", "--json")
    assert (said.code, said.error["error"]) == (3, "not_found")
    assert said.error["message"].startswith("1 job could not be fetched: RunPod does not know it")
    assert {(each["event"], each["id"]) for each in said.events} == {
        ("expired", gone),
        ("finished", there),
        ("running", waits),
    }
    assert len(scene.files()) == 1


def test_a_job_is_fetched_to_where_somebody_wants_it(
    scene: LedgerScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the beginning of its id; where it was to go when it was sent, or where is said now."""
    first, second = (scene.left(scene.quick, "-o", "chosen") for _ in range(2))
    for each in (first, second):
        scene.ended(each)
    Path("elsewhere").mkdir()
    one = scene.run("jobs", "sync", first[:8], "--output-dir", "elsewhere")
    assert (one.code, len(scene.files("elsewhere")), scene.files("chosen")) == (0, 1, [])
    with monkeypatch.context() as patch:
        patch.chdir("elsewhere")
        assert scene.run("jobs", "sync").code == 0
    assert (len(scene.files("chosen")), len(scene.files("elsewhere"))) == (1, 1)
    again = scene.run("jobs", "sync", first[:8], first, "-o", "elsewhere")
    assert (again.code, len(again.stdout.splitlines()), scene.files()) == (0, 1, [])
    scene.server.time.advance(31 * MINUTE_S)
    late = scene.run("jobs", "sync", first[:8])
    assert (late.code, late.stderr) == (0, f"completed  {first[:8]}: fetched already\n")


def test_runpod_refuses_to_be_asked(scene: LedgerScene) -> None:
    """Not told is not gone: exit code 4, and the ledger says what it said before."""
    for each in [scene.left(scene.quick) for _ in range(2)]:
        scene.ended(each)
    before = scene.records()
    with scene.server.faults("status:401"):
        said = scene.run("jobs", "sync")
    assert (said.code, said.stdout, said.stderr.count("left ")) == (4, "", 2)
    assert ("Traceback" in said.stderr, scene.records()) == (False, before)


def test_trouble_with_one_job_is_not_the_others(scene: LedgerScene) -> None:
    """What can be fetched is fetched; the exit code tells of the one that could not."""
    for each in [scene.left(scene.quick) for _ in range(3)]:
        scene.ended(each)
    with scene.server.faults("status:400*1"):
        said = scene.run("jobs", "sync", "--json")
    assert (said.code, said.error["error"]) == (1, "refused")
    assert sorted(each["event"] for each in said.events) == ["finished", "finished", "left"]
    again = scene.run("jobs", "sync")
    assert (again.code, len(scene.files())) == (0, 3)


def test_a_job_of_another_runpod_is_left_alone(scene: LedgerScene) -> None:
    """It is said where it is; it is not asked for there with this key."""
    scene.left(scene.quick)
    root = f"{scene.server.url}/v2"
    said = scene.run("jobs", "sync", RUNPOD_ENDPOINT_BASE_URL="http://127.0.0.1:9/v2")
    assert (said.code, f"is on {root}" in said.stderr) == (1, True)
    assert "✗ 1 job could not be fetched; why is said above" in said.stderr
    assert scene.records()[0].state is State.QUEUED


def test_a_job_whose_answer_was_lost_is_found(scene: LedgerScene) -> None:
    """RunPod lists it: exit code 6 when it is sent, and its file is here after `jobs sync`."""
    with scene.server.faults("run:drop-after*1"):
        lost = scene.run("submit", "-e", scene.quick, *named(scene))
    assert (lost.code, "runpodctl-py jobs sync" in lost.stderr) == (6, True)
    (record,) = scene.records()
    assert (record.state, record.job_id) == (State.UNKNOWN, None)
    (job_id,) = scene.at_runpod(scene.quick)
    scene.ended(job_id)
    assert scene.run("jobs", "sync").code == 0
    (record,) = scene.records()
    assert (record.state, record.job_id, len(scene.files())) == (State.COMPLETED, job_id, 1)


def test_a_job_that_was_lost_on_the_way(scene: LedgerScene) -> None:
    """It is nowhere: it stays unknown, and each command says what can be done."""
    with scene.server.faults("run:drop*1"):
        assert scene.run("submit", "-e", scene.quick, *named(scene)).code == 6
    (record,) = scene.records()
    said = scene.run("jobs", "sync")
    again = f"runpodctl-py jobs retry {record.key} --force"
    assert (said.code, f"{record.key}: nobody knows" in said.stderr) == (1, True)
    as_json = scene.run("jobs", "sync", "--json")
    assert (as_json.code, as_json.error["error"]) == (1, "refused")
    assert [each["event"] for each in as_json.events] == ["unknown"]
    assert again in said.stderr
    asked = scene.run("status", record.key[:6])
    assert (asked.code, again in asked.stderr) == (1, True)
    assert "Nobody knows whether job" in asked.stderr
    assert scene.records()[0].state is State.UNKNOWN


def test_a_job_that_was_not_taken(scene: LedgerScene) -> None:
    """It does not wait for anything, and who asks for it hears why."""
    said = scene.run("submit", "-e", "nowhere", "-s", "n=1")
    (record,) = scene.records()
    assert (said.code, record.state) == (3, State.NOT_SENT)
    assert scene.run("jobs", "sync") == NOTHING
    for command in (("status", record.key), ("jobs", "sync", record.key)):
        asked = scene.run(*command)
        assert asked.code == 1, command
        assert f"Job {record.key} was never queued: There is no endpoint nowhere" in asked.stderr
        assert f"runpodctl-py jobs retry {record.key}" in asked.stderr


def test_the_beginning_of_an_id_is_enough(scene: LedgerScene) -> None:
    """`status`, `watch` and `cancel` know the endpoint, and write down what they hear."""
    quick, stuck = scene.left(scene.quick), scene.left(scene.stuck)
    scene.ended(quick)
    asked = scene.run("status", quick[:8])
    assert (asked.code, asked.document["id"]) == (0, quick)
    assert scene.records()[1].state is State.COMPLETED
    watched = scene.run("watch", quick[:8], "-q")
    assert (watched.code, Path(watched.stdout.strip()).name) == (0, scene.files()[0])
    for _ in range(2):
        cancelled = scene.run("cancel", stuck[:8], "--json")
        assert (cancelled.code, cancelled.document["status"]) == (0, "CANCELLED")
    assert [each.state for each in scene.records()] == [State.CANCELLED, State.COMPLETED]
    unknown = scene.run("status", "0000000")
    assert (unknown.code, "No endpoint" in unknown.stderr) == (3, True)


def test_several_are_cancelled(scene: LedgerScene) -> None:
    """One after the other, by the beginnings of their ids; `jobs cancel` is `cancel`."""
    ids = [scene.left(scene.stuck) for _ in range(2)]
    said = scene.run("jobs", "cancel", *(each[:8] for each in ids))
    assert said.code == 0
    assert re.findall("✓ (.+) is cancelled", said.stderr) == ids


def test_several_are_watched_together(scene: LedgerScene) -> None:
    """Each line says whose it is; the files of all are saved."""
    ids = [scene.left(scene.quick) for _ in range(3)]
    said = scene.run("watch", *(each[:8] for each in ids[:2]))
    assert (said.code, len(said.stdout.splitlines()), len(scene.files())) == (0, 2, 2)
    for each in ids[:2]:
        assert re.search(rf"^(?=.*{each[:8]}).*done", said.stderr, re.MULTILINE), said.stderr
    rest = scene.run("watch", "--all", "--json")
    finished = [each["id"] for each in rest.events if each["event"] == "finished"]
    assert (rest.code, rest.stderr, finished) == (0, "", ids[2:])
    none = scene.run("watch", "--all")
    assert (none.code, "No job waits to be fetched" in none.stderr) == (3, True)
    neither = scene.run("watch")
    assert (neither.code, "Name them, or say --all." in neither.stderr) == (2, True)


def test_of_several_the_first_that_was_no_success_counts(scene: LedgerScene) -> None:
    """Its exit code, and the others' words before it."""
    there, first, second = scene.left(scene.quick), scene.left(scene.stuck), scene.left(scene.stuck)
    assert scene.run("cancel", first, second).code == 0
    said = scene.run("watch", there, first, second)
    assert (said.code, len(scene.files())) == (11, 1)
    assert said.stderr.count("✗ The job was cancelled") == 2


def test_a_job_of_runsync_is_a_job_like_others(scene: LedgerScene) -> None:
    """It is written down; its id's beginning is what nobody has to type."""
    said = scene.run("submit", "-e", scene.quick, *named(scene), "--sync", "--json")
    job_id = said.events[-1]["id"]
    assert (said.code, job_id[:5]) == (0, "sync-")
    shown = scene.run("jobs", "show", job_id[5:13]).document
    assert (shown["id"], shown["sync"], shown["state"]) == (job_id, True, "completed")
    assert (shown["files"][0]["there"], scene.run("jobs", "sync")) == (True, NOTHING)


def test_the_ledger_is_where_somebody_wants_it(scene: LedgerScene) -> None:
    """`RUNPODCTL_LEDGER`, as any setting; `.env` may have it, too."""
    path = scene.folder / "data" / "mine.sqlite3"
    sent = scene.run(
        "submit", "-e", scene.quick, *named(scene), "-q", RUNPODCTL_LEDGER="data/mine.sqlite3"
    )
    assert (sent.code, path.exists(), scene.ledger_path.exists()) == (0, True, False)
    Path(".env").write_text("RUNPODCTL_LEDGER=data/mine.sqlite3\n")
    listed = scene.run("jobs", "list", "--json").document
    assert [each["files"] for each in listed] == [1]
    shown = scene.run("config", "show").stdout
    assert ("RUNPODCTL_LEDGER" in shown, "mine.sqlite3" in shown) == (True, True)


def test_looking_makes_no_ledger(scene: LedgerScene) -> None:
    """Whoever has sent nothing has none."""
    for command in (("status", "8f3c2a54", "-e", scene.quick), ("endpoints", "list")):
        scene.run(*command)
    assert not scene.ledger_path.parent.exists()


def test_nothing_in_the_ledger_is_a_key(scene: LedgerScene) -> None:
    """Whatever was sent and came back: a look at every column of every table."""
    scene.run("submit", "-e", scene.quick, "-s", f"text=my key is {KEY}", "-q")
    database = sqlite3.connect(scene.ledger_path)
    tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master")]
    cells = [
        str(cell)
        for table in ("job", "payload", "output", "sighting", "file", "deployment")
        for row in database.execute(f"SELECT * FROM {table}")  # noqa: S608 - our own names.
        for cell in row
    ]
    database.close()
    assert {"job", "payload", "output"} <= set(tables)
    assert [cell for cell in cells if KEY in cell or scene.server.token in cell] == []
    assert any("my key is ***" in cell for cell in cells)
