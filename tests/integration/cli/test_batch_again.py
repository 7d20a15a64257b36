"""What is not done goes on: after a cap, a failure, a change, or an answer that was lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.jobs.ledger import State
from tests.acceptance.cli.batch_scene import (
    OUT,
    batch_run,
    counted,
    inputs_at,
    results,
    rows_at,
    write_rows,
)
from tests.acceptance.cli.ledger_scene import named

if TYPE_CHECKING:
    from tests.acceptance.cli.ledger_scene import LedgerScene

BATCH_FAILED = 13


def test_a_cap_stops_it_and_a_higher_one_goes_on(scene: LedgerScene) -> None:
    """Exit code 13; what is left and what that costs is said; no row is paid for twice."""
    names = write_rows(6)
    command = batch_run(scene, scene.quick, "--concurrency", "1")
    # A row takes 0.05 s, and that costs about $0.000008 on this pool.
    said = scene.run(*command, "--max-cost", "0.00002", "--json")
    assert (said.code, said.error["error"], said.events[-1]["stop"]) == (
        BATCH_FAILED,
        "batch_failed",
        "cost",
    )
    sent = said.events[-1]["sent"]
    assert (2 <= sent <= 3, counted(said)) == (
        True,
        {"succeeded": sent, "left": 6 - sent, "sent": sent},
    )
    batch_id = said.events[-1]["id"]
    assert f"runpodctl-py batch resume {batch_id} --max-cost" in said.error["hint"]
    spent = scene.run("batch", "resume", batch_id, "--max-cost", "0.00002")
    assert (spent.code, spent.stdout) == (BATCH_FAILED, "out/results.csv\n")
    assert f"! {sent} of 6 done, all of them before: stopped at what it may cost" in spent.stderr
    assert f"{6 - sent} rows are left. They will cost about <$0.0001. Go on:" in spent.stderr
    assert f"runpodctl-py batch resume {batch_id} --max-cost 0.01" in spent.stderr
    assert rows_at(scene, scene.quick) == names[:sent]
    rest = scene.run("batch", "resume", batch_id, "--max-cost", "0.01", "--json")
    assert (rest.code, counted(rest)) == (0, {"kept": sent, "succeeded": 6, "sent": 6 - sent})
    assert rows_at(scene, scene.quick) == names
    total = sum(each["cost_usd"] for each in results())
    assert rest.events[-1]["cost_usd"] == pytest.approx(total, abs=1e-5)


def test_a_row_whose_worker_died(scene: LedgerScene) -> None:
    """It failed and is told; --failed sends it once more, and only it."""
    names = write_rows(3)
    # RunPod queues a job once more itself; only the second death of its worker is the job's end.
    with scene.server.faults("worker:crash*2"):
        said = scene.run(*batch_run(scene, scene.quick, "--concurrency", "1"), "--json")
    assert (said.code, said.error["error"]) == (BATCH_FAILED, "batch_failed")
    assert counted(said) == {"succeeded": 2, "failed": 1, "sent": 3}
    failed, *others = results()
    assert (failed["row"], failed["status"], failed["files"]) == ("r0", "failed", [])
    assert said.events[-1]["troubles"][0]["rows"] == ["r0"]
    batch_id = said.events[-1]["id"]
    resumed = scene.run("batch", "resume", batch_id)
    assert (resumed.code, resumed.stdout) == (BATCH_FAILED, "out/results.csv\n")
    assert f"runpodctl-py batch retry {batch_id} --failed" in resumed.stderr
    assert rows_at(scene, scene.quick) == names
    again = scene.run("batch", "retry", batch_id, "--failed", "--json")
    assert (again.code, counted(again)) == (0, {"kept": 2, "succeeded": 3, "sent": 1})
    assert rows_at(scene, scene.quick) == sorted([*names, "r0"])
    mended, *rest = results()
    assert (mended["ok"], mended["attempts"], mended["error"], rest) == (True, 2, None, others)
    assert len((OUT / "results.csv").read_text().splitlines()) == 4
    (listed,) = scene.run("batch", "list", "--json").document
    assert (listed["state"], listed["failed"], listed["succeeded"]) == ("done", 0, 3)


def test_a_row_whose_worker_died_is_sent_again_by_itself(scene: LedgerScene) -> None:
    """With --retries; both attempts are in the ledger, and one result in the file."""
    write_rows(2)
    with scene.server.faults("worker:crash*2"):
        command = batch_run(scene, scene.quick, "--concurrency", "1", "--retries", "1")
        said = scene.run(*command, "--json")
    assert (said.code, counted(said)) == (0, {"succeeded": 2, "sent": 3, "repeated": 1})
    assert sorted(each["attempts"] for each in results()) == [1, 2]
    batch_id = said.events[-1]["id"]
    listed = scene.run("jobs", "list", "--batch", batch_id, "--json").document
    assert sorted(each["state"] for each in listed) == ["completed", "completed", "failed"]
    shown = scene.run("jobs", "show", listed[0]["id"], "--json").document
    assert (shown["batch"], shown["output_dir"]) == (batch_id, str(OUT.absolute()))


def test_a_row_that_runpod_refuses(scene: LedgerScene) -> None:
    """The others go on; the same command tries it again."""
    names = write_rows(3)
    with scene.server.faults("run:400*1"):
        said = scene.run(*batch_run(scene, scene.quick, "--concurrency", "1"), "--json")
    assert (said.code, counted(said)) == (BATCH_FAILED, {"succeeded": 2, "failed": 1, "sent": 2})
    refused, *_ = results()
    assert (refused["row"], refused["status"], refused["ok"]) == ("r0", "not_sent", False)
    again = scene.run(*batch_run(scene, scene.quick, "--concurrency", "1"), "--json")
    assert (again.code, counted(again)) == (0, {"kept": 2, "succeeded": 3, "sent": 1})
    assert (rows_at(scene, scene.quick), len(results())) == (names, 3)


def test_an_answer_that_was_lost(scene: LedgerScene) -> None:
    """One that RunPod took is found; one that it did not is unknown, until somebody says so."""
    names = write_rows(3)
    with scene.server.faults("run:drop-after@1", "run:drop@2"):
        said = scene.run(*batch_run(scene, scene.quick, "--concurrency", "1"), "--json")
    assert (said.code, said.error["error"]) == (BATCH_FAILED, "batch_failed")
    finished = said.events[-1]
    assert (finished["succeeded"], finished["unknown"], len(finished["unknown_rows"])) == (2, 1, 1)
    (lost,) = finished["unknown_rows"]
    assert rows_at(scene, scene.quick) == [each for each in names if each != lost]
    resumed = scene.run("batch", "resume", finished["id"])
    assert (resumed.code, resumed.stdout) == (BATCH_FAILED, "out/results.csv\n")
    assert f"Nobody knows whether RunPod took row {lost}." in resumed.stderr
    assert f"runpodctl-py batch retry {finished['id']} --unknown" in resumed.stderr
    failed_only = scene.run("batch", "retry", finished["id"], "--failed", "--json")
    assert (failed_only.code, failed_only.events[-1]["sent"]) == (BATCH_FAILED, 0)
    again = scene.run("batch", "retry", finished["id"], "--unknown", "--json")
    assert (again.code, again.events[-1]["succeeded"], again.events[-1]["sent"]) == (0, 3, 1)
    assert rows_at(scene, scene.quick) == names


def test_too_fast_and_out_of_order_is_no_failure(scene: LedgerScene) -> None:
    """What RunPod surely did not take is sent when it is willing."""
    names = write_rows(3)
    with scene.server.faults("run:429:0s*1", "run:503:0s*1", "status-sync:500*1"):
        said = scene.run(*batch_run(scene, scene.quick), "--json")
    assert (said.code, counted(said)) == (0, {"succeeded": 3, "sent": 3})
    assert (said.events[-1]["rate_limited"], rows_at(scene, scene.quick)) == (1, names)


def test_a_file_that_changed(scene: LedgerScene) -> None:
    """Its rows would be mixed up: it is restored, or another batch with another folder."""
    write_rows(3)
    said = scene.run(*batch_run(scene, scene.quick), "--limit", "1", "--json")
    batch_id = said.events[-1]["id"]
    before, path = Path("rows.jsonl").read_bytes(), OUT / "results.jsonl"
    written = path.read_bytes()
    Path("rows.jsonl").write_text('{"row": "other"}\n')
    for command in (("resume", batch_id), ("retry", batch_id, "--failed")):
        changed = scene.run("batch", *command, "--json")
        assert (changed.code, changed.error["error"]) == (2, "conflict")
        assert changed.error["message"] == f"rows.jsonl has changed since batch {batch_id} began"
    for new, words in (((), "has changed since"), (("--new",), "holds the results of another")):
        other = scene.run(*batch_run(scene, scene.quick), *new, "--json")
        assert (other.code, other.error["error"]) == (2, "conflict")
        assert words in other.error["message"]
        assert path.read_bytes() == written
    Path("rows.jsonl").unlink()
    gone = scene.run("batch", "resume", batch_id, "--json")
    assert (gone.code, gone.error["message"][:24]) == (2, "Cannot read rows.jsonl: ")
    Path("rows.jsonl").write_bytes(before)
    assert counted(scene.run("batch", "resume", batch_id, "--json"))["succeeded"] == 3
    assert len(scene.run("batch", "list", "--json").document) == 1


@pytest.mark.parametrize("content", ['{"mine": 1}\n', "Dear diary, nothing happened.\n"])
def test_a_folder_with_somebody_elses_results(scene: LedgerScene, content: str) -> None:
    """They stay as they are, nothing is sent, and no batch is begun."""
    write_rows(2)
    OUT.mkdir()
    (OUT / "results.jsonl").write_text(content)
    for _ in range(2):
        said = scene.run(*batch_run(scene, scene.quick), "--json")
        assert (said.code, said.error["error"], said.stdout) == (2, "conflict", "")
        assert (OUT / "results.jsonl").read_text() == content
    assert inputs_at(scene, scene.quick) == []
    assert scene.run("batch", "list", "--json").document == []


def test_a_secret_goes_to_runpod_only(scene: LedgerScene) -> None:
    """Not to the ledger, the results, or what is said; so only the same command goes on."""
    secret = "s3cret-that-nobody-may-read"
    write_rows(2)
    command = batch_run(scene, scene.quick, "-s", f"hf_token={secret}")
    said = scene.run(*command, "--limit", "1", "--json")
    batch_id = said.events[-1]["id"]
    resumed = scene.run("batch", "resume", batch_id, "--json")
    assert (resumed.code, resumed.error["error"]) == (1, "refused")
    assert "was given a secret with --set" in resumed.error["message"]
    assert resumed.error["hint"] == "Go on with the same `batch run` command as before."
    rest = scene.run(*command, "--json")
    assert counted(rest) == {"kept": 1, "succeeded": 2, "sent": 1}
    assert [each["hf_token"] for each in inputs_at(scene, scene.quick)] == [secret, secret]
    shown = scene.run("jobs", "show", rest.events[1]["id"], "--json")
    words = [each.stdout + each.stderr for each in (said, resumed, rest, shown)]
    assert secret not in "".join(words)
    kept = [*scene.ledger_path.parent.rglob("*"), *OUT.rglob("*")]
    for each in (each for each in kept if each.is_file()):
        assert secret.encode() not in each.read_bytes()


def test_what_all_rows_have_from_a_file(
    scene: LedgerScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found from any folder; with other words in it, the same command is another batch."""
    names, prompt = write_rows(2), Path("prompt.txt")
    prompt.write_text("a cat")
    mark = named(scene)
    command = ("batch", "run", "rows.jsonl", "-e", scene.quick, *mark, "-s", "prompt=@prompt.txt")
    said = scene.run(*command, "--limit", "1", "--json")
    Path("elsewhere").mkdir()
    with monkeypatch.context() as patch:
        patch.chdir("elsewhere")
        resumed = scene.run("batch", "resume", said.events[-1]["id"], "--json")
    assert (resumed.code, counted(resumed)) == (0, {"kept": 1, "succeeded": 2, "sent": 1})
    prompt.write_text("a dog")
    other = scene.run(*command, "--json")
    assert counted(other) == {"succeeded": 2, "sent": 2}
    assert [(each["row"], each["prompt"]) for each in inputs_at(scene, scene.quick)] == [
        *((name, "a cat") for name in names),
        *((name, "a dog") for name in names),
    ]


def test_the_rows_of_an_open_batch_are_not_forgotten(scene: LedgerScene) -> None:
    """Else they would be sent again; when it is done, they may be."""
    names = write_rows(2)
    scene.run(*batch_run(scene, scene.quick), "--limit", "1", "-q")
    prune = ("jobs", "prune", "--older-than", "0s", "--yes", "--json")
    assert scene.run(*prune).code == 0
    assert [each.state for each in scene.records()] == [State.COMPLETED]
    rest = scene.run(*batch_run(scene, scene.quick), "--json")
    assert counted(rest) == {"kept": 1, "succeeded": 2, "sent": 1}
    assert rows_at(scene, scene.quick) == names
    assert scene.run(*prune).code == 0
    assert scene.records() == []
    assert scene.run("batch", "list", "--json").document == []


def test_a_cancelled_batch_sends_nothing_more(scene: LedgerScene) -> None:
    """Nothing was in flight, so nobody is asked; `resume` means it again after all."""
    names = write_rows(3)
    said = scene.run(*batch_run(scene, scene.quick), "--limit", "1", "--json")
    batch_id = said.events[-1]["id"]
    cancelled = scene.run("batch", "cancel", batch_id, "--json")
    assert cancelled.document == {"batch": batch_id, "cancelled": 0, "in_flight": 0}
    (listed,) = scene.run("batch", "list", "--json").document
    assert (listed["state"], listed["left"]) == ("cancelled", 2)
    resumed = scene.run("batch", "resume", batch_id, "--json")
    assert counted(resumed) == {"kept": 1, "succeeded": 3, "sent": 2}
    assert rows_at(scene, scene.quick) == names
    late = scene.run("batch", "cancel", batch_id, "--json")
    assert (late.code, late.error["error"]) == (2, "conflict")
    (listed,) = scene.run("batch", "list", "--json").document
    assert listed["state"] == "done"


def test_results_that_were_deleted_are_told_again(scene: LedgerScene) -> None:
    """The ledger knows them; nothing is sent again for a file that is gone."""
    names = write_rows(2)
    first = scene.run(*batch_run(scene, scene.quick), "--json")
    before = results()
    (OUT / "results.jsonl").unlink()
    (OUT / "results.csv").unlink()
    again = scene.run("batch", "resume", first.events[-1]["id"], "--json")
    assert (again.code, counted(again)) == (0, {"kept": 2, "succeeded": 2})
    assert json.dumps(results()) == json.dumps(before)
    assert (OUT / "results.csv").exists()
    assert rows_at(scene, scene.quick) == names


def test_a_batch_of_another_runpod(scene: LedgerScene) -> None:
    """Its rows are not sent to the one that the settings name now."""
    write_rows(2)
    said = scene.run(*batch_run(scene, scene.quick, *named(scene)), "--limit", "1", "--json")
    elsewhere = {"RUNPOD_ENDPOINT_BASE_URL": "http://127.0.0.1:9/v2"}
    batch_id = said.events[-1]["id"]
    for command in (("resume", batch_id), ("cancel", batch_id, "--yes")):
        refused = scene.run("batch", *command, "--json", **elsewhere)
        assert (refused.code, refused.error["error"]) == (2, "conflict")
        assert refused.error["message"].startswith(f"Batch {batch_id} is on http://127.0.0.1:")
    (listed,) = scene.run("batch", "list", "--json", **elsewhere).document
    assert listed["state"] == "open"
