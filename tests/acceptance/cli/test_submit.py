"""Sending jobs in a pipe: what is on the disk, on stdout and on stderr afterwards."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.acceptance.cli.person import Person

FINISHED_KEYS = [
    "event",
    "id",
    "endpoint_id",
    "status",
    "delay_ms",
    "execution_ms",
    "cost_usd",
    "worker_id",
    "files",
    "manifest",
    "warnings",
    "error",
    "output",
    "text",
]


def files_in(folder: Path) -> list[Path]:
    """Return the results in a folder, without their manifests."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".json")


def manifest_in(folder: Path) -> dict[str, Any]:
    """Return the folder's only manifest."""
    (path,) = folder.glob("*.job.json")
    manifest: dict[str, Any] = json.loads(path.read_text())
    return manifest


@pytest.mark.parametrize(
    ("task", "arguments", "first_bytes"),
    [
        ("text_processing", ("--input", "One two three."), b"# Text report"),
        ("image_generation", ("--set", "user_input=A lake"), b"\x89PNG\r\n\x1a\n"),
        ("data_analysis", ("--input-file", "numbers.csv"), b"column,metric,value\r\n"),
    ],
)
def test_a_tasks_file_is_on_the_disk(
    person: Person, fast: str, task: str, arguments: tuple[str, ...], first_bytes: bytes
) -> None:
    """Stdout has its path and nothing else, the manifest its size and its hash."""
    Path("numbers.csv").write_text("a,b\n1,2\n3,4\n")
    said = person.run("submit", "--task", task, "--endpoint", fast, *arguments)
    (path,) = files_in(Path("outputs"))
    content = path.read_bytes()
    assert (said.code, said.stdout) == (0, f"{path}\n"), said.stderr
    assert content.startswith(first_bytes)
    manifest = manifest_in(Path("outputs"))
    assert (manifest["endpoint_id"], manifest["status"]) == (fast, "COMPLETED")
    (file,) = manifest["files"]
    assert (file["bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    job_id = manifest["job_id"]
    first, *_, last = said.stderr.splitlines()
    assert first == f"queued     {job_id} on test ({fast})"
    assert re.fullmatch(
        rf"done       after \d+\.\d s: {path} \(.+\), queued \d+\.\d s, ran \d+\.\d s, about \$.+",
        last,
    )
    assert "\x1b" not in said.stdout + said.stderr


def test_json_ends_with_what_came_of_it(person: Person, fast: str) -> None:
    """Every line is an object; the last one is final, has all keys, and agrees with the disk."""
    said = person.run("submit", "--task", "text_processing", "--endpoint", fast, "--json")
    queued, *_, finished = said.events
    assert (said.code, said.stderr) == (0, "")
    assert queued == {
        "event": "queued",
        "id": queued["id"],
        "endpoint_id": fast,
        "preset": "test",
    }
    assert list(finished) == FINISHED_KEYS
    assert (finished["event"], finished["id"]) == ("finished", queued["id"])
    assert (finished["endpoint_id"], finished["status"]) == (fast, "COMPLETED")
    assert (finished["warnings"], finished["error"]) == ([], None)
    (file,) = finished["files"]
    content = Path(file["path"]).read_bytes()
    assert (file["bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert file["content_type"] == "text/markdown"
    assert Path(finished["manifest"]) == Path("outputs") / f"{queued['id']}.job.json"
    assert manifest_in(Path("outputs"))["files"][0]["sha256"] == file["sha256"]
    # The content itself is on the disk, not in the log of whoever reads these lines.
    told = finished["output"]["result"]["result"]["content_base64"]
    assert told == {"saved": file["path"]}


def test_json_tells_the_progress(person: Person, slow: str) -> None:
    """A job of a few seconds has a `started` and at least one `progress` between the ends."""
    said = person.run("submit", "-t", "data_analysis", "-e", slow, "--duration", "30", "--json")
    kinds = [event["event"] for event in said.events]
    assert (said.code, kinds[0], kinds[1], kinds[-1]) == (0, "queued", "started", "finished")
    shares = [event["progress"] for event in said.events if event["event"] == "progress"]
    assert shares
    assert shares == sorted(shares)
    assert {e["total_steps"] for e in said.events if e["event"] == "progress"} == {11}


def test_quiet_leaves_the_path(person: Person, fast: str) -> None:
    """Nothing else on stdout, nothing at all on stderr."""
    said = person.run("submit", "--task", "text_processing", "--endpoint", fast, "--quiet")
    (path,) = files_in(Path("outputs"))
    assert (said.code, said.stdout, said.stderr) == (0, f"{path}\n", "")


def test_no_save_prints_the_output_and_writes_nothing(person: Person, odd: str) -> None:
    """The output is one JSON document."""
    payload = json.dumps({"do": "return", "output": {"words": ["one", "two"]}})
    said = person.run(
        "submit", "--endpoint", odd, "--payload", "-", "--no-save", "--quiet", stdin=payload
    )
    assert (said.code, said.document, said.stderr) == (0, {"words": ["one", "two"]}, "")
    assert list(person.folder.iterdir()) == []


def test_a_dash_takes_the_text_from_stdin(person: Person, fast: str) -> None:
    """A pipe into the command is the task's text."""
    said = person.run(
        "submit", "-t", "text_processing", "-", "-e", fast, "-q", stdin="Uno dos tres. Quatro."
    )
    assert (said.code, said.stderr) == (0, "")
    assert "4 words, 2 sentences" in Path(said.stdout.strip()).read_text()


def test_sync_gives_the_same_file(person: Person, fast: str) -> None:
    """One request instead of many, and the result is saved all the same."""
    said = person.run("submit", "-t", "text_processing", "-e", fast, "--sync", "--json")
    finished = said.events[-1]
    assert (said.code, finished["event"], finished["status"]) == (0, "finished", "COMPLETED")
    assert Path(finished["files"][0]["path"]).stat().st_size == finished["files"][0]["bytes"]
    assert "sync-" in finished["id"]


def test_a_detached_job_can_be_asked_for_and_watched(person: Person, odd: str) -> None:
    """Its id is all that stdout has; `status` sees it run, `watch` saves its result."""
    job = ("-s", "do=wait for", "-s", f"file={person.folder / 'go'}")
    sent = person.run("submit", "-e", odd, *job, "--detach")
    job_id = sent.stdout.strip()
    assert (sent.code, sent.stdout) == (0, f"{job_id}\n")
    assert f"runpodctl-py watch {job_id[:8]}" in sent.stderr
    going = person.run("status", job_id, "-e", odd)
    assert (going.code, going.stderr) == (0, "")
    assert going.document["status"] in {"IN_QUEUE", "IN_PROGRESS"}
    (person.folder / "go").touch()
    watched = person.run("watch", job_id, "-e", odd, "--output-dir", "later")
    assert (watched.code, watched.stdout) == (0, "It was there.\n")
    assert manifest_in(Path("later"))["job_id"] == job_id
    done = person.run("status", job_id, "-e", odd)
    assert done.document | {"delay_ms": 0, "execution_ms": 0, "worker_id": ""} == {
        "id": job_id,
        "status": "COMPLETED",
        "delay_ms": 0,
        "execution_ms": 0,
        "worker_id": "",
        "output": "It was there.",
        "error": None,
    }


def test_detach_in_json_is_one_event(person: Person, fast: str) -> None:
    """A script reads the id from it."""
    said = person.run("submit", "-t", "text_processing", "-e", fast, "--detach", "--json")
    (event,) = said.events
    assert (said.code, said.stderr) == (0, "")
    assert (event["event"], event["endpoint_id"]) == ("queued", fast)
    watched = person.run("watch", event["id"], "-e", fast, "-q")
    assert (watched.code, Path(watched.stdout.strip()).exists()) == (0, True)


def test_a_reader_that_has_gone_is_no_defect(person: Person, fast: str) -> None:
    """`| true` reads nothing: the file is saved all the same, and no traceback is shown."""
    script = '"$@" | true; exit "${PIPESTATUS[0]}"'
    said = person.run(
        *("submit", "-t", "text_processing", "-e", fast, "--quiet"),
        under=("bash", "-c", script, "bash"),
    )
    assert (said.code, said.stdout, said.stderr) == (0, "", "")
    assert len(files_in(Path("outputs"))) == 1


def test_a_reader_that_leaves_in_the_middle_loses_nothing(person: Person, fast: str) -> None:
    """`| head -1` of a running job's events: the job is followed to its end and its file saved."""
    script = '"$@" | head -1; exit "${PIPESTATUS[0]}"'
    said = person.run(
        *("submit", "-t", "text_processing", "-e", fast, "--json"),
        under=("bash", "-c", script, "bash"),
    )
    assert (said.code, len(said.stdout.splitlines()), said.stderr) == (0, 1, "")
    assert len(files_in(Path("outputs"))) == 1
