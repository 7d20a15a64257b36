"""The key goes to RunPod and to `.env`, and nowhere else."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.testing import LocalRunPodServer, WorkerCommand
from tests.acceptance.cli.person import Person
from tests.unit.test_documentation import runnable_commands

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "rpa_MARKERMARKERMARKER0123456789abcdef"
SUBMIT = (sys.executable, "-P", "-m", "runpodctl_py", "submit", "--task", "text_processing")
WORKFLOW = '{"1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}}}'
BYTES = ("--set", "do=return bytes", "--set", "times=40")


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[LocalRunPodServer]:
    """A RunPod whose key is the marker; its own copy of it is the file `token`."""
    folder = tmp_path / "runpod"
    folder.mkdir()
    (folder / "token").write_text(KEY)
    worker = [sys.executable, "-u", str(Path(__file__).with_name("odd_worker.py"))]
    with LocalRunPodServer(folder, images={"odd": WorkerCommand(worker)}) as server:
        assert server.token == KEY
        yield server


def commands(endpoint_id: str, job_id: str) -> list[list[str]]:
    """Return every command that can have a key, some that fail among them."""
    place = ["--endpoint", endpoint_id]
    submit = ["submit", *place]
    return [
        ["config", "show"],
        ["gpus"],
        ["help", "exit-codes"],
        ["help", "errors"],
        ["help", "inputs", "chatterbox"],
        ["endpoints", "list"],
        ["endpoints", "get", endpoint_id],
        ["endpoints", "get", "nowhere"],
        ["setup-chatterbox", "--image", "odd"],
        ["templates", "list"],
        ["templates", "get", "chatterbox-tts"],
        ["templates", "get", "nowhere"],
        ["health", endpoint_id],
        ["health", "nowhere"],
        ["setup-test", "--dry-run"],
        ["setup-qwen", "--dry-run"],
        ["setup", "test", "--image", "odd", "--workers-max", "99"],
        [*submit, "--set", "do=return", "--set", "output=fine", "--dry-run"],
        [*submit, *BYTES, "--sync"],
        [*submit, "--set", "do=raise", "--set", "message=broken", "--verbose"],
        ["watch", job_id, *place],
        ["watch", "nobody-u1", *place],
        ["stream", job_id, *place],
        ["stream", "nobody-u1", *place],
        ["speak", "Hello", *place],
        ["speak", "Hello", "-o", "a.mp3"],
        ["layers", "nothing.png", *place],
        ["layers", "https://a.test/a.png", "--dry-run", *place],
        ["comfy", "run", "workflow.json", *place],
        ["comfy", "nodes", "workflow.json"],
        ["chat", "Hello", *place],
        ["chat", "Hello", "--native", *place],
        ["status", job_id, *place],
        ["status", "nobody-u1", *place],
        ["cancel", job_id, *place],
        ["cancel", "nobody-u1", *place],
        ["jobs", "sync"],
        ["jobs", "list"],
        ["jobs", "show", job_id],
        ["jobs", "show", "nobody-u1"],
        ["jobs", "retry", job_id],
        ["jobs", "retry", "nobody-u1"],
        ["jobs", "cancel", job_id],
        ["jobs", "export", "--jsonl"],
        ["jobs", "export", "--csv"],
        ["jobs", "prune", "--older-than", "1d"],
        ["jobs", "prune", "--older-than", "1d", "--yes"],
        ["batch", "run", "rows.jsonl", *place],
        ["batch", "run", "nowhere.jsonl", *place],
        ["batch", "status", "b"],
        ["batch", "list"],
        ["batch", "resume", "b"],
        ["batch", "retry", "b", "--failed"],
        ["batch", "cancel", "b", "--yes"],
        ["setup-comfyui", "--dry-run"],
        ["setup-vllm", "--model", "Qwen/Qwen3-8B", "--dry-run"],
        ["teardown", "nowhere", "--yes"],
        ["teardown", "test"],
        ["frobnicate"],
    ]


def local_commands() -> tuple[list[list[str]], list[list[str]]]:
    """Return what is done with a local RunPod, before and after its key is asked for."""
    task = ["submit", "--task", "text_processing", "--local"]
    before = [
        ["local", "status"],
        ["local", "up", "--detach"],
        ["local", "up", "--detach", "--json"],
        task,
        [*task, "--dry-run", "--json"],
        ["endpoints", "list", "--local"],
        ["health", "nowhere", "--local"],
    ]
    after = [
        ["config", "show"],
        ["local", "status"],
        ["local", "status", "--json"],
        ["local", "logs"],
        ["local", "time", "show"],
        ["local", "time", "freeze"],
        ["local", "time", "advance", "1s"],
        ["local", "time", "advance", "soon"],
        ["local", "time", "run", "--json"],
        ["local", "faults", "set", "health:500*1"],
        ["local", "faults", "set", "nowhere:500"],
        ["local", "faults", "list"],
        ["local", "faults", "clear", "run:500"],
        ["local", "faults", "clear"],
        ["local", "reset", "--yes"],
        ["local", "console", "--no-open"],
        ["local", "console", "--json"],
        ["local", "record", "day.jsonl", "--", *SUBMIT, "--local"],
        ["local", "record", "day.jsonl", "--", "true"],
        ["local", "record", "real.jsonl", "--from", "runpod", "--json", "--", "true"],
        ["local", "replay", "day.jsonl", "--", *SUBMIT, "--local"],
        ["local", "replay", "nowhere.jsonl"],
        ["local", "exec", "--", "true"],
        ["local", "exec", "--", "no-such-program"],
        ["local", "down", "--json"],
        ["local", "down"],
    ]
    return before, after


def is_among(words: list[str], commands: list[list[str]]) -> bool:
    """Whether some command begins with these words."""
    return any(command[: len(words)] == words for command in commands)


def files_with(text: str, *folders: Path) -> list[Path]:
    """Return the files below some folders that contain a text."""
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in files if text.encode() in path.read_bytes())


def test_the_key_is_nowhere_else(guarded: LocalRunPodServer, tmp_path: Path) -> None:
    """Not on stdout or stderr, and in no file but the one it was put into."""
    work = Path.cwd()
    urls = {k: v for k, v in guarded.environment().items() if k != "RUNPOD_API_KEY"}
    person = Person(work, {**urls, "RUNPODCTL_TRACEBACK": "1"})
    (work / ".env").write_text(f"RUNPOD_API_KEY={KEY}\n")
    (work / "workflow.json").write_text(WORKFLOW)
    (work / "rows.jsonl").write_text('{"do": "return", "output": "fine"}\n')
    made = person.run("setup-test", "--image", "odd", "--json")
    endpoint_id = made.document["endpoint_id"]
    sent = person.run("submit", "-e", endpoint_id, *BYTES, "--detach", "--json")
    job_id = sent.events[0]["id"]
    plain = commands(endpoint_id, job_id)
    said = person.run_all([*plain, *([*command, "--json"] for command in plain)])
    last = person.run("teardown", "test", "--yes")
    assert "ValueError: broken" in said.stderr
    assert (made.code, sent.code, said.code, last.code) == (0, 0, 0, 0)
    for output in (made, sent, said, last):
        assert KEY not in output.stdout + output.stderr
    assert files_with(KEY, work, Path(os.environ["HOME"]), tmp_path / "runpod") == [
        tmp_path / "runpod" / "token",
        work / ".env",
    ]
    manifests = [path.name for path in (work / "outputs").glob("*.job.json")]
    assert f"{job_id}.job.json" in manifests
    assert len(manifests) >= 5


def test_the_local_runpod_keeps_its_own_key_and_never_sees_the_accounts(tmp_path: Path) -> None:
    """The account's key is in `.env`; only `local env` prints a key, and that is the local one."""
    data, work, home = tmp_path / "data", Path.cwd(), Path(os.environ["HOME"])
    scaled = {"WORKER_TIME_SCALE": "0.02", "RUNPODCTL_TRACEBACK": "1"}
    person = Person(work, {**scaled, "RUNPODCTL_LOCAL_DIR": str(data)})
    (work / ".env").write_text(f"RUNPOD_API_KEY={KEY}\n")
    before, after = local_commands()
    try:
        said = person.run_all(before)
        printed = person.run("local", "env")
        stopped = person.run_all(after)
    finally:
        person.run("local", "down")
    token = (data / "token").read_text().strip()
    assert f"RUNPOD_API_KEY={token}\n" in printed.stdout
    for output in (said, stopped):
        assert token not in output.stdout + output.stderr
    for output in (said, printed, stopped):
        assert KEY not in output.stdout + output.stderr
    assert files_with(token, work, home) == []
    assert files_with(KEY, work, home, data) == [work / ".env"]
    # Two jobs; the replayed one is the recorded one.
    assert len(list((work / "outputs").glob("*.job.json"))) == 2


def test_every_command_is_put_to_the_test() -> None:
    """A new command must join one of the lists above."""
    before, after = local_commands()
    tried = [*commands("an endpoint", "a job"), *before, ["local", "env"], *after]
    untried = [path for path in runnable_commands() if not is_among(path.split(), tried)]
    assert untried == []


def test_a_key_that_nobody_can_use_is_not_repeated(person: Person) -> None:
    """Refused, unreadable or unreachable: the message never quotes it."""
    (person.folder / "key.txt").write_text(KEY)
    (person.folder / "torn.txt").write_text(f"{KEY}\nsecond line")
    for arguments, variables in (
        (["--api-key-file", "key.txt"], {}),
        (["--api-key-file", "torn.txt"], {}),
        ([], {"RUNPOD_API_KEY": f"{KEY}\u20ac"}),
        ([], {"RUNPOD_API_KEY": KEY, "RUNPOD_API_BASE_URL": "ftp://elsewhere"}),
        ([], {"RUNPOD_API_KEY": KEY, "RUNPOD_API_BASE_URL": "http://[broken"}),
    ):
        said = person.run("endpoints", "list", *arguments, **variables, RUNPODCTL_TRACEBACK="1")
        assert said.code in {2, 4, 6}, said.stderr
        assert "MARKER" not in said.stdout + said.stderr
