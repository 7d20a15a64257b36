"""`jobs list|show|export|prune|retry`: what the ledger knows, and a job once more."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from runpodctl_py import settings
from runpodctl_py.api.types import Job, JobStatus
from runpodctl_py.jobs.ledger import (
    Deployment,
    Home,
    Intent,
    KeptFile,
    Ledger,
    Place,
    Record,
    State,
)
from tests.acceptance.cli.ledger_scene import named

if TYPE_CHECKING:
    from runpodctl_py.testing import LocalRunPodServer
    from tests.acceptance.cli.ledger_scene import LedgerScene
    from tests.integration.cli.conftest import CommandLine

RUNPOD = Place("https://api.runpod.ai/v2")
DAY_S = 86_400.0
RECORD_KEYS = [
    *("id", "key", "state", "endpoint_id", "preset", "local", "batch", "parent"),
    *("created_at", "seen_at", "finished_at", "saved_at", "delay_ms", "execution_ms"),
    *("cost_usd", "worker_id", "files", "error"),
]
MORE_KEYS = [
    *("policy", "webhook", "sync", "output_dir", "output_name", "bucket"),
    *("input", "input_is_whole", "output", "worker_error", "states", "deployment"),
]


def ledger_path() -> Path:
    """Return where this test's ledger is."""
    return settings.load({}, Path.cwd()).ledger_path


def put(job_id: str, status: str = "COMPLETED", age_s: float = 0.0, **changes: Any) -> str:
    """Write a job down that nobody has sent, and return its key."""
    then = time.time() - age_s
    intent = Intent(place=RUNPOD, endpoint_id="e1", payload={"text": "words, and more"})
    with Ledger(ledger_path(), lambda: then) as ledger:
        key = ledger.intend(replace(intent, **changes))
        ledger.sent(key, Job(job_id, JobStatus(status)))
        ledger.seen(key, Job(job_id, JobStatus(status), delay_ms=1000, execution_ms=2000))
    return key


def bring_home(key: str, **changes: Any) -> KeptFile:
    """Write down that a job's one file is here."""
    path = Path("a.txt").absolute()
    path.write_text("fine")
    file = KeptFile(path, 4, "0" * 64, "text/plain")
    with Ledger(ledger_path()) as ledger:
        ledger.home(key, Home((file,), {"text": {"saved": str(path)}}, 0.5, **changes))
    return file


def ids(document: list[dict[str, Any]]) -> str:
    """Return the first letters of the jobs of a list, in its order."""
    return "".join(each["id"][0] for each in document)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), "edcba"),
        (("--state", "completed"), "ca"),
        (("--state", "completed", "--state", "failed"), "dca"),
        (("--endpoint", "e2"), "b"),
        (("--preset", "qwen"), "e"),
        (("--batch", "b1"), "ba"),
        (("--since", "36h"), "edc"),
        (("--since", "2001-01-01"), "edcba"),
        (("--limit", "2"), "ed"),
        (("-n", "1", "--batch", "b1"), "b"),
    ],
    ids=str,
)
def test_jobs_are_listed_as_asked(
    cli: CommandLine, options: tuple[str, ...], expected: str
) -> None:
    """The newest first; without a terminal a table is a JSON document."""
    put("aaaa", age_s=3 * DAY_S, batch_id="b1")
    put("bbbb", "IN_QUEUE", age_s=2 * DAY_S, batch_id="b1", endpoint_id="e2")
    put("cccc", age_s=DAY_S)
    put("dddd", "FAILED")
    put("eeee", "IN_PROGRESS", preset="qwen")
    said = cli("jobs", "list", *options)
    assert (said.code, ids(said.document)) == (0, expected)
    assert list(said.document[0]) == RECORD_KEYS


def test_nothing_to_list(cli: CommandLine) -> None:
    """It is said how to have a job."""
    said = cli("jobs", "list")
    assert (said.code, said.document) == (0, [])
    assert said.stderr.startswith("No jobs. Send one:  runpodctl-py submit")


@pytest.mark.parametrize("since", ["yesterday", "2026-13-45", "2", "-1d"])
def test_a_time_that_is_none(cli: CommandLine, since: str) -> None:
    """Wrong usage: exit code 2."""
    assert cli("jobs", "list", f"--since={since}").code == 2


def test_all_is_shown(cli: CommandLine) -> None:
    """What was asked, when it was in which state, what came back, and what it ran on."""
    with Ledger(ledger_path()) as ledger:
        ledger.deployed(
            Deployment(
                at=0.0,
                place=RUNPOD,
                action="create",
                endpoint_id="e1",
                template_id="t1",
                image="ghcr.io/me/mine:1",
                gpu_ids="AMPERE_16",
            )
        )
    key = put("8f3c2a54-u1", preset="test", webhook="https://e.org/h?sig=s3cret", parent="0123")
    file = bring_home(key)
    shown = cli("jobs", "show", "8f3c", "--json").document
    assert list(shown) == [*RECORD_KEYS, *MORE_KEYS]
    assert (shown["id"], shown["key"], shown["state"]) == ("8f3c2a54-u1", key, "completed")
    assert (shown["input"], shown["input_is_whole"]) == ({"text": "words, and more"}, False)
    assert (shown["webhook"], shown["parent"]) == ("https://e.org/h?***", "0123")
    assert shown["output"] == {"text": {"saved": str(file.path)}}
    assert shown["files"] == [
        {
            "path": str(file.path),
            "bytes": 4,
            "sha256": "0" * 64,
            "content_type": "text/plain",
            "there": True,
        }
    ]
    assert [each["state"] for each in shown["states"]] == ["sending", "completed"]
    assert (shown["delay_ms"], shown["execution_ms"], shown["cost_usd"]) == (1000, 2000, 0.5)
    deployed = shown["deployment"]
    assert (deployed["template_id"], deployed["gpu_ids"]) == ("t1", "AMPERE_16")
    file.path.unlink()
    assert cli("jobs", "show", key).document["files"][0]["there"] is False
    nobody = cli("jobs", "show", "0000", "--json")
    assert (nobody.code, nobody.error["error"]) == (3, "not_found")


def test_what_is_no_text_is_shown_all_the_same(cli: CommandLine) -> None:
    """Half a character, a name of any bytes and a number of any size: no command stumbles."""
    odd, folder = "no \ud800", Path(os.fsdecode(b"caf\xe9")).absolute()
    key = put("8f3c2a54-u1", "FAILED", payload={"text": odd}, output_dir=folder, preset=odd)
    file = KeptFile(folder / os.fsdecode(b"\xff.png"), 4, "0" * 64, "image/png")
    with Ledger(ledger_path()) as ledger:
        ledger.home(key, Home((file,), {"seed": 2**70, odd: odd}, None, odd, {"error": odd}))
    for command in (
        ("list",),
        ("list", "--json"),
        ("show", "8f3c"),
        ("show", "8f3c", "--verbose"),
        ("show", "8f3c", "--json"),
        ("export", "--csv"),
        ("export", "--jsonl"),
    ):
        said = cli("jobs", *command)
        assert (said.code, said.stderr) == (0, ""), command
        assert "\\ud800" in said.stdout, command
    assert cli("jobs", "show", "8f3c").document["output"]["seed"] == 2**70


def test_a_traceback_is_shown_to_who_wants_it(cli: CommandLine, odd: str) -> None:
    """It was kept when the job failed."""
    cli("submit", "-e", odd, "-s", "do=raise", "-s", "message=the prompt is empty")
    (record,) = Ledger(ledger_path()).jobs()
    said, more = (cli("jobs", "show", record.short_id, *each) for each in ((), ("--verbose",)))
    assert said.document["worker_error"] == more.document["worker_error"]
    assert (said.code, more.code) == (0, 0)
    assert "ValueError: the prompt is empty" in said.document["error"]
    assert ("odd_worker.py" in said.stderr, "odd_worker.py" in more.stderr) == (False, True)


def test_jobs_go_to_other_programs(cli: CommandLine) -> None:
    """A table with a heading, or an object a line with all that `jobs show` has."""
    bring_home(put("aaaa", preset='odd, "quoted"\nname'), error="no\nmore")
    put("bbbb", "IN_QUEUE", endpoint_id="e2")
    table = list(csv.DictReader(io.StringIO(cli("jobs", "export", "--csv").stdout)))
    assert [list(each) for each in table] == [RECORD_KEYS, RECORD_KEYS]
    assert [each["id"] for each in table] == ["bbbb", "aaaa"]
    assert (table[1]["preset"], table[1]["error"]) == ('odd, "quoted"\nname', "no\nmore")
    assert (table[0]["local"], table[0]["saved_at"], table[1]["files"]) == ("false", "", "1")
    lines = cli("jobs", "export", "--jsonl").events
    assert lines == [cli("jobs", "show", each, "--json").document for each in ("bbbb", "aaaa")]
    assert ids(cli("jobs", "export", "--jsonl", "--endpoint", "e2").events) == "b"
    assert cli("jobs", "export", "--csv", "--state", "failed").stdout.splitlines() == [
        ",".join(RECORD_KEYS)
    ]
    for options in ((), ("--csv", "--jsonl")):
        said = cli("jobs", "export", *options)
        assert (said.code, "Say --csv or --jsonl." in said.stderr) == (2, True)


def test_old_jobs_are_forgotten(cli: CommandLine) -> None:
    """Those that are done with; not without a yes, and their files stay."""
    saved = put("aaaa", age_s=100 * DAY_S)
    file = bring_home(saved)
    put("bbbb", age_s=7 * DAY_S)
    bring_home(put("cccc"))
    refused = cli("jobs", "prune", "--older-than", "90d", "--json")
    assert (refused.code, refused.error["error"]) == (5, "confirmation_needed")
    wrong = cli("jobs", "prune", "--older-than", "soon", "--yes")
    assert (wrong.code, "'soon' is no duration" in wrong.stderr) == (2, True)
    assert ids(cli("jobs", "list").document) == "cba"
    said = cli("jobs", "prune", "--older-than", "90d", "--yes")
    assert (said.code, said.stderr.splitlines()[0]) == (0, "✓ 1 job forgotten")
    assert (ids(cli("jobs", "list").document), file.path.exists()) == ("cb", True)
    again = cli("jobs", "prune", "--older-than", "90d", "--json")
    assert (again.code, again.document) == (0, {"forgotten": 0})


def test_what_runpod_cannot_have_any_more_is_forgotten_too(cli: CommandLine) -> None:
    """After eight days no job is known to it: nothing waits any more."""
    put("aaaa", "IN_QUEUE", age_s=9 * DAY_S)
    put("bbbb", age_s=9 * DAY_S)
    put("cccc", "IN_QUEUE", age_s=7 * DAY_S)
    said = cli("jobs", "prune", "--older-than", "1h", "--yes", "--json")
    assert (said.document, ids(cli("jobs", "list").document)) == ({"forgotten": 2}, "c")


# Once more.


def newest() -> Record:
    """Return the job that was written down last."""
    with Ledger(ledger_path()) as ledger:
        return ledger.jobs(limit=1)[0]


def count() -> int:
    """Return how many jobs are written down."""
    with Ledger(ledger_path()) as ledger:
        return len(ledger.jobs())


def test_runpod_repeats_what_failed(cli: CommandLine, odd: str) -> None:
    """Under the same id, and its result is saved: no new job."""
    file = Path("needed.txt").absolute()
    first = cli("submit", "-e", odd, "-s", "do=read", "-s", f"file={file}")
    failed = newest()
    assert (first.code, failed.state, failed.waits) == (10, State.FAILED, False)
    file.write_text("It is there now.")
    said = cli("jobs", "retry", failed.short_id)
    again = newest()
    assert (said.code, said.stdout) == (0, "It is there now.\n"), said.stderr
    assert f"RunPod runs it once more: {failed.job_id}" in said.stderr
    assert (again.key, again.job_id, count()) == (failed.key, failed.job_id, 1)
    assert (again.state, again.error, again.waits) == (State.COMPLETED, None, False)
    seen = [each["state"] for each in cli("jobs", "show", again.key).document["states"]]
    assert seen.index("failed") < seen.index("completed")


@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["text", "json"])
def test_a_repeated_job_may_be_left(cli: CommandLine, odd: str, as_json: tuple[str, ...]) -> None:
    """It waits to be fetched like any other; its id is printed as that of any other."""
    file = Path("needed.txt").absolute()
    cli("submit", "-e", odd, "-s", "do=read", "-s", f"file={file}")
    failed = newest()
    file.write_text("It is there now.")
    said = cli("jobs", "retry", failed.short_id, "--detach", *as_json)
    assert (said.code, newest().waits) == (0, True)
    if as_json:
        assert [(each["event"], each["id"]) for each in said.events] == [("queued", failed.job_id)]
    else:
        assert said.stdout == f"{failed.job_id}\n"
        assert f"RunPod runs it once more: {failed.job_id}" in said.stderr
    assert cli("watch", failed.short_id).stdout == "It is there now.\n"
    assert (newest().state, newest().waits, count()) == (State.COMPLETED, False, 1)


def failed_once(cli: CommandLine, odd: str) -> Record:
    """Return a job that failed, and whose end is here; run once more it goes well."""
    file = Path("needed.txt").absolute()
    assert cli("submit", "-e", odd, "-s", "do=read", "-s", f"file={file}").code == 10
    file.write_text("It is there now.")
    assert newest().waits is False
    return newest()


@pytest.mark.parametrize("command", ["status", "watch", "jobs sync"])
def test_what_somebody_else_has_repeated(
    cli: CommandLine, odd: str, shared_server: LocalRunPodServer, command: str
) -> None:
    """In RunPod's console, say: whoever asks for it learns of it, and it is fetched again."""
    failed = failed_once(cli, odd)
    url = f"{shared_server.url}/v2/{odd}"
    key = {"Authorization": f"Bearer {shared_server.token}"}
    httpx.post(f"{url}/retry/{failed.job_id}", headers=key).raise_for_status()
    ended = httpx.get(f"{url}/status-sync/{failed.job_id}?wait=60000", headers=key, timeout=90)
    assert ended.json()["status"] == "COMPLETED"
    said = cli(*command.split(), failed.short_id)
    assert said.code == 0, said.stderr
    assert (newest().state, newest().waits) == (State.COMPLETED, command == "status")
    assert cli("jobs", "sync").code == 0
    shown = cli("jobs", "show", failed.short_id).document
    assert (shown["output"], shown["error"]) == ("It is there now.", None)


@pytest.mark.parametrize("status", [400, 404])
def test_what_runpod_does_not_repeat_is_sent_anew(
    cli: CommandLine, odd: str, shared_server: LocalRunPodServer, status: int
) -> None:
    """What is known of the first one stays as it was."""
    failed = failed_once(cli, odd)
    with shared_server.faults(f"retry:{status}*1"):
        said = cli("jobs", "retry", failed.short_id)
    assert (said.code, said.stdout) == (0, "It is there now.\n"), said.stderr
    assert (newest().intent.parent, count()) == (failed.key, 2)
    with Ledger(ledger_path()) as ledger:
        assert ledger.record(failed.key) == failed


def test_runpod_cannot_be_asked_to_repeat(
    cli: CommandLine, odd: str, shared_server: LocalRunPodServer
) -> None:
    """Nothing was repeated, and nothing is sent."""
    failed = failed_once(cli, odd)
    with shared_server.faults("retry:401"):
        said = cli("jobs", "retry", failed.short_id)
    assert (said.code, count(), newest()) == (4, 1, failed), said.stderr


def test_an_answer_that_is_lost_while_repeating(
    cli: CommandLine, odd: str, shared_server: LocalRunPodServer
) -> None:
    """RunPod may run it, and bill it: it waits to be fetched again, and is."""
    file = Path("needed.txt").absolute()
    cli("submit", "-e", odd, "-s", "do=read", "-s", f"file={file}")
    failed = newest()
    file.write_text("It is there now.")
    with shared_server.faults("retry:drop-after*1"):
        lost = cli("jobs", "retry", failed.short_id)
    assert (lost.code, newest().waits, count()) == (6, True, 1)
    assert cli("watch", failed.short_id).stdout == "It is there now.\n"
    assert (newest().state, newest().waits) == (State.COMPLETED, False)


def test_what_went_well_is_sent_anew_if_that_is_meant(scene: LedgerScene) -> None:
    """It costs again: exit code 5 without --force; the new job remembers the old one."""
    first = scene.ended(scene.left(scene.quick, "--ttl", "600", "-o", "chosen"))
    scene.run("jobs", "sync")
    refused = scene.run("jobs", "retry", first[:8])
    assert (refused.code, f"jobs retry {first[:8]} --force" in refused.stderr) == (5, True)
    assert len(scene.at_runpod(scene.quick)) == 1
    said = scene.run("jobs", "retry", first[:8], "--force")
    new, old = scene.records()
    assert (said.code, new.intent.parent, new.state) == (0, old.key, State.COMPLETED)
    assert new.job_id in scene.at_runpod(scene.quick)
    assert (new.intent.policy.ttl_ms, new.intent.output_dir) == (600_000, old.intent.output_dir)
    with Ledger(scene.ledger_path) as ledger:
        assert ledger.payload(new.key) == ledger.payload(old.key)
    assert (len(scene.files("chosen")), scene.files()) == (2, [])


def test_what_may_run_is_not_sent_twice_by_itself(scene: LedgerScene) -> None:
    """Queued, or unknown: only with --force."""
    queued = scene.left(scene.stuck)
    with scene.server.faults("run:drop*1"):
        scene.run("submit", "-e", scene.quick, *named(scene))
    unknown, _ = scene.records()
    for name, words in (
        (queued[:8], "waits, as far as we know"),
        (unknown.key, "it may run twice"),
    ):
        said = scene.run("jobs", "retry", name)
        assert (said.code, words in said.stderr) == (5, True)
    assert len(scene.records()) == 2
    said = scene.run("jobs", "retry", unknown.key, "--force", "--detach", "--json")
    new, *_ = scene.records()
    assert (said.code, said.events[0]["id"], new.intent.parent) == (0, new.job_id, unknown.key)
    # Nobody looks for the first one any more.
    assert "unknown" not in [e["event"] for e in scene.run("jobs", "sync", "--json").events]
    assert scene.at_runpod(scene.quick) == [new.job_id]


def test_what_was_never_taken_is_sent_anew(scene: LedgerScene) -> None:
    """There is nothing to lose."""
    with scene.server.faults("run:400*1"):
        assert scene.run("submit", "-e", scene.quick, *named(scene)).code == 1
    (record,) = scene.records()
    assert record.state is State.NOT_SENT
    said = scene.run("jobs", "retry", record.key)
    assert (said.code, len(scene.files()), scene.records()[0].intent.parent) == (0, 1, record.key)


def test_what_is_not_here_whole_cannot_be_sent(scene: LedgerScene) -> None:
    """Its secret was not written down; exit code 1, and nothing is sent."""
    job_id = scene.ended(scene.left(scene.quick, "-s", "hf_token=hf_s3cret"))
    said = scene.run("jobs", "retry", job_id[:8], "--force")
    assert (said.code, "secrets are not written down" in said.stderr) == (1, True)
    assert (len(scene.records()), scene.at_runpod(scene.quick)) == (1, [job_id])


def test_what_stood_aside_and_is_gone_cannot_be_sent(scene: LedgerScene) -> None:
    """Its large input was a file of its own; all else is still to be had."""
    Path("input.json").write_text(json.dumps({"text": "word " * 20_000}))
    job_id = scene.ended(scene.left(scene.quick, "--payload", "input.json"))
    (aside,) = scene.ledger_path.with_name(f"{scene.ledger_path.name}.inputs").glob("*")
    aside.unlink()
    said = scene.run("jobs", "retry", job_id[:8], "--force")
    assert (said.code, "what it was sent is not known" in said.stderr) == (1, True)
    assert scene.run("jobs", "show", job_id[:8]).document["input"] is None
    assert (scene.run("jobs", "sync").code, len(scene.files())) == (0, 1)


def test_an_unknown_job_whose_secret_is_not_here(scene: LedgerScene) -> None:
    """It is not said that RunPod cannot repeat it: there may be none; `submit` can send it."""
    with scene.server.faults("run:drop*1"):
        scene.run("submit", "-e", scene.quick, *named(scene), "-s", "hf_token=hf_s3cret")
    (record,) = scene.records()
    said = scene.run("jobs", "retry", record.key, "--force")
    assert (said.code, "from the ledger: its secrets are not written down" in said.stderr) == (
        1,
        True,
    )
    hint = "submit, as before: its secrets are not written down"
    assert hint in scene.run("jobs", "sync").stderr


def test_what_nobody_knows_cannot_be_repeated(cli: CommandLine) -> None:
    """A job that somebody else sent: our ledger has no input for it."""
    assert cli("jobs", "retry", "8f3c2a54").code == 3
    with Ledger(ledger_path()) as ledger:
        ledger.adopt(RUNPOD, "e", Job("8f3c2a54", JobStatus.CANCELLED))
    said = cli("jobs", "retry", "8f3c2a54", RUNPOD_ENDPOINT_BASE_URL=RUNPOD.root)
    assert (said.code, json.loads(cli("jobs", "list").stdout)[0]["state"]) == (1, "cancelled")
    assert "RunPod cannot repeat it, and what it was sent is not known" in said.stderr
