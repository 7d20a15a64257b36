"""`local up --handler`: a handler of one's own, changed while it works, and what it prints."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.cli.person import Person
from tests.acceptance.cli.test_local import assert_nothing_is_left

if TYPE_CHECKING:
    from collections.abc import Iterator

HANDLER = """
import sys
import runpod

def handler(job):
    print("printed by", job["id"])
    if "gate" in job["input"]:
        open(job["input"]["gate"]).read()
    return {"version": 1, "args": sys.argv[1:]}

runpod.serverless.start({"handler": handler})
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder of this test's local RunPod, not there yet."""
    return tmp_path / "data"


@pytest.fixture
def developer(data: Path) -> Iterator[Person]:
    """Somebody with a handler in `my-model/handler.py`."""
    person = Person(Path.cwd(), {"RUNPODCTL_LOCAL_DIR": str(data)})
    Path("my-model").mkdir()
    Path("my-model/handler.py").write_text(HANDLER)
    yield person
    person.run("local", "down")


def output_of(developer: Person, endpoint_id: str, job_id: str) -> Any:
    """Waits for a job and returns its output."""
    said = developer.run("watch", job_id, "--endpoint", endpoint_id, "--local", "--json")
    assert said.code == 0, said
    return said.events[-1]["output"]


def sent(developer: Person, endpoint_id: str, setting: str) -> str:
    """Sends a job and returns its id."""
    place = ("--endpoint", endpoint_id, "--local", "--detach", "--json")
    job_id: str = developer.run("submit", "--set", setting, *place).events[0]["id"]
    return job_id


@pytest.mark.timeout(180)
@pytest.mark.proves("rule: rolling-release")
def test_a_handler_that_changes_while_it_works(developer: Person, data: Path) -> None:
    """The running job ends on the old version, the next one runs on the new one beside it."""
    file = Path("my-model/handler.py")
    own = ("local", "up", "--handler", str(file), "--json")
    up = developer.run(*own, "--detach", "--reload", "--", "--size", "small")
    assert (up.code, up.stderr) == (0, "")
    place = up.events[1]["endpoint_id"]
    assert (up.events[1]["endpoint"], up.events[1]["worker_state"]) == ("my-model", "idle")

    os.mkfifo("gate")
    running = sent(developer, place, f"gate={Path('gate').absolute()}")
    with Path("gate").open("w"):  # Opens when the job has opened it.
        file.write_text(HANDLER.replace('"version": 1', '"version": 2'))
        second = sent(developer, place, "n=2")
        assert output_of(developer, place, second) == {"version": 2, "args": ["--size", "small"]}
    assert output_of(developer, place, running) == {"version": 1, "args": ["--size", "small"]}

    said = developer.run("local", "logs", "--job", running)
    assert said.code == 0
    assert f"printed by {running}" in said.stdout
    assert second not in said.stdout
    lines = developer.run("local", "logs", "--job", running, "--json").events
    assert [each["level"] for each in lines if each["line"] == f"printed by {running}"] == [None]
    assert sorted(each["time"] for each in lines) == [each["time"] for each in lines]
    unknown = developer.run("local", "logs", "--worker", "w0", "--json")
    assert (unknown.code, unknown.error["message"]) == (3, "There are no logs of worker w0")

    late = developer.run(*own, "--strict")
    assert (late.code, late.error["error"]) == (2, "conflict")
    assert "--strict cannot be changed" in late.error["message"]
    again = developer.run(*own, "--endpoint", "another")
    assert (again.code, again.events[0]["endpoint"]) == (0, "another")
    gone = developer.run("teardown", again.events[0]["endpoint_id"], "--yes", "--local", "--json")
    assert (gone.code, "error" in gone.stdout) == (0, False)
    developer.run("local", "down")
    named = developer.run("local", "logs", "-e", "my-model", "--json")
    assert (named.code, place in named.error["hint"]) == (3, True)
    assert_nothing_is_left(data)


@pytest.mark.parametrize("manner", [("--detach",), ()])
def test_a_handler_that_ends_at_once(
    developer: Person, data: Path, manner: tuple[str, ...]
) -> None:
    """Its last words are told, and nothing stays behind."""
    Path("my-model/handler.py").write_text("print('loading')\nraise SystemExit('no model here')\n")
    said = developer.run("local", "up", "--handler", "my-model/handler.py", "--json", *manner)
    assert (said.code, said.error["error"]) == (1, "local_error")
    assert said.error["message"] == (
        "handler.py ended before it could take a job:\n  loading\n  no model here\n"
        "  The worker ended before it could work, with exit code 1"
    )
    assert_nothing_is_left(data)


def test_simulated_workers_complete_jobs(developer: Person, data: Path) -> None:
    """In the background, too: the options reach the process that is started."""
    developer.run("local", "up", "--detach", "--simulate", "delay=0.01,progress=2")
    made = developer.run("setup-test", "--local", "--json").document["endpoint_id"]
    said = developer.run("submit", "--endpoint", made, "--set", "n=1", "--local", "--json")
    assert (said.code, said.events[-1]["status"]) == (0, "COMPLETED"), said
    assert list(data.glob("logs/*/*")) == []
    assert json.loads((data / "emulator.json").read_text())["until_unused"] is False


def test_a_job_that_fails_leads_to_its_log(developer: Person) -> None:
    """On the local RunPod everybody can read what its worker printed."""
    developer.run("local", "up", "--detach", "--simulate", "fail=1")
    said = developer.run("submit", "-t", "text_processing", "--local", "--json")
    assert (said.code, said.error["error"]) == (10, "job_failed")
    assert f"runpodctl-py local logs --job {said.events[-1]['id']}" in said.error["hint"]
