"""One exit code per meaning, through real processes; with --json the error's code name, too."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.cli.person import PATIENCE_S, Person, Said

if TYPE_CHECKING:
    from collections.abc import Iterator


def assert_ends(said: Said, code: int, name: str) -> None:
    """Assert a failure's exit code, and that the last line on stderr is its error object."""
    assert (said.code, said.error["error"]) == (code, name), said.stderr
    assert list(said.error) == ["error", "message", "hint", "id"]


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which nobody listens, and nobody will."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_0_when_done(person: Person) -> None:
    """Nothing went wrong, nothing is on stderr."""
    said = person.run("--version")
    assert (said.code, said.stdout.split()[0], said.stderr) == (0, "runpodctl-py", "")


def test_1_when_runpod_refuses(person: Person) -> None:
    """More workers than the account may have."""
    said = person.run("setup-test", "--name", "many", "--workers-max", "99", "--json")
    assert_ends(said, 1, "refused")
    assert said.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frobnicate"], "No such command 'frobnicate'."),
        (["submit", "--frobnicate"], "No such option: --frobnicate"),
        (["setup-test", "--gpu", "ADA_16"], "ADA_16 is not a GPU pool"),
    ],
)
def test_2_when_used_wrongly(person: Person, arguments: list[str], words: str) -> None:
    """A usage error never asks RunPod: this one could not be reached."""
    unplugged = {"RUNPOD_API_BASE_URL": "http://127.0.0.1:9"}
    said = person.run(*arguments, "--json", **unplugged)
    assert_ends(said, 2, "usage_error")
    assert (said.stdout, said.error["message"][: len(words)]) == ("", words)


def test_a_usage_error_in_words(person: Person) -> None:
    """What is wrong, and which help tells more."""
    said = person.run("status")
    assert (said.code, said.stdout) == (2, "")
    assert said.stderr == "✗ Missing argument 'JOB'.\n\n  Help:  runpodctl-py status --help\n"


def test_3_when_not_there(person: Person, odd: str) -> None:
    """A job, and an endpoint, that nobody knows."""
    assert_ends(person.run("status", "nobody-u1", "-e", odd, "--json"), 3, "not_found")
    assert_ends(person.run("health", "nowhere", "--json"), 3, "not_found")


def test_4_without_a_key(person: Person) -> None:
    """Where it was looked for, and the way without an account."""
    stranger = replace(person, variables={})
    said = stranger.run("endpoints", "list")
    assert (said.code, said.stdout) == (4, "")
    assert said.stderr.startswith("✗ No API key.\n\n  Looked at: --api-key-file, RUNPOD_API_KEY")
    assert said.stderr.endswith("  runpodctl-py submit --task text_processing --local\n")


def test_4_with_a_wrong_key(person: Person, odd: str) -> None:
    """Both APIs say so; the key is not repeated."""
    for arguments in (["endpoints", "list"], ["submit", "-e", odd, "-s", "do=return"]):
        said = person.run(*arguments, "--json", RUNPOD_API_KEY="rpa_WRONGWRONGWRONG")
        assert_ends(said, 4, "unauthorized")
        assert "WRONGWRONG" not in said.stdout + said.stderr


def test_5_when_nobody_can_agree(person: Person, odd: str) -> None:
    """Deleting without a terminal and without --yes."""
    said = person.run("teardown", odd, "--json")
    assert_ends(said, 5, "confirmation_needed")
    assert "--yes" in said.error["hint"]


def test_6_when_runpod_is_out_of_reach(person: Person, closed_port: int) -> None:
    """After retries; a job that was to be sent was not."""
    url = f"http://127.0.0.1:{closed_port}"
    variables = {"RUNPOD_API_BASE_URL": url, "RUNPOD_ENDPOINT_BASE_URL": f"{url}/v2"}
    commands = (
        ["submit", "-e", "any", "-s", "a=1", "--json"],
        ["health", "any", "--json"],
        ["endpoints", "list", "--json"],
    )
    running = [person.start(*command, **variables) for command in commands]
    for process in running:
        stdout, stderr = process.communicate(timeout=PATIENCE_S)
        said = Said(process.returncode, stdout, stderr)
        assert_ends(said, 6, "network_error")
        assert (said.stdout, "127.0.0.1" in said.error["message"]) == ("", True)


def test_8_when_the_wait_is_over(person: Person, odd: str) -> None:
    """The job goes on, and the hint says how to come back to it."""
    go = person.folder / "go"
    said = person.run(
        *("submit", "-e", odd, "-s", "do=wait for", "-s", f"file={go}"),
        *("--timeout", "0.3", "--json"),
    )
    assert_ends(said, 8, "wait_timeout")
    job_id = said.error["id"]
    assert f"runpodctl-py watch {job_id[:8]}" in said.error["hint"]
    go.touch()
    watched = person.run("watch", job_id, "-e", odd, "-q")
    assert (watched.code, watched.stdout) == (0, "It was there.\n")


def test_10_when_the_job_failed(person: Person, odd: str) -> None:
    """For `submit` and for `status`; the event comes before the error."""
    said = person.run("submit", "-e", odd, "-s", "do=raise", "-s", "message=no voice", "--json")
    assert_ends(said, 10, "job_failed")
    assert (said.events[-1]["event"], said.events[-1]["status"]) == ("finished", "FAILED")
    asked = person.run("status", said.error["id"], "-e", odd, "--json")
    assert_ends(asked, 10, "job_failed")
    assert asked.document["status"] == "FAILED"


def test_11_when_the_job_was_cancelled(person: Person, odd: str) -> None:
    """By another command, while this one watched."""
    job = ("-s", "do=wait for", "-s", f"file={person.folder / 'never'}")
    job_id = person.run("submit", "-e", odd, *job, "--detach", "-q").stdout.strip()
    watching = person.start("watch", job_id, "-e", odd, "--json")
    assert watching.stdout is not None
    first = watching.stdout.readline()
    cancelled = person.run("cancel", job_id, "-e", odd)
    stdout, stderr = watching.communicate(timeout=PATIENCE_S)
    said = Said(watching.returncode, first + stdout, stderr)
    assert cancelled.code == 0
    assert_ends(said, 11, "job_cancelled")
    assert said.events[-1]["status"] == "CANCELLED"


def test_12_when_the_job_took_too_long(person: Person, odd: str) -> None:
    """Its own execution timeout, 5 s at least."""
    said = person.run(
        *("submit", "-e", odd, "-s", "do=wait for", "-s", f"file={person.folder / 'never'}"),
        *("--execution-timeout", "5", "--json"),
    )
    assert_ends(said, 12, "job_timed_out")
    assert said.events[-1]["status"] == "TIMED_OUT"


def test_13_when_rows_of_a_batch_failed(person: Person, odd: str) -> None:
    """The others are done; what a worker says of an input, it would say again: no second try."""
    rows = ({"do": "return", "output": "fine"}, {"do": "raise", "message": "no voice"})
    (person.folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    said = person.run("batch", "run", "rows.jsonl", "-e", odd, "--retries", "3", "--json")
    assert_ends(said, 13, "batch_failed")
    finished = said.events[-1]
    assert (finished["succeeded"], finished["failed"], finished["repeated"]) == (1, 1, 0)
    assert finished["troubles"][0]["message"] == "ValueError: no voice"
    batch_id = finished["id"]
    again = f"runpodctl-py batch retry {batch_id} --failed --retries 3"
    assert said.error["hint"] == f"Go on:  {again}"


def test_14_when_a_file_could_not_be_saved(person: Person, odd: str) -> None:
    """The job is done; its result can be fetched again with another folder."""
    occupied = person.folder / "occupied"
    occupied.write_text("a file where the folder should be")
    job = ("submit", "-e", odd, "-s", "do=return bytes", "-s", "times=40")
    # Known beforehand, it costs nothing.
    assert_ends(person.run(*job, "-o", "occupied", "--json"), 2, "usage_error")
    job_id = person.run(*job, "--detach").stdout.strip()
    said = person.run("watch", job_id, "-e", odd, "-o", "occupied", "--json")
    assert_ends(said, 14, "save_failed")
    assert (said.events[-1]["status"], said.events[-1]["files"]) == ("COMPLETED", [])
    assert occupied.read_text() == "a file where the folder should be"
    again = person.run("watch", said.error["id"], "-e", odd, "-o", "free", "-q")
    assert (again.code, (person.folder / again.stdout.strip()).stat().st_size) == (0, 320)


def test_130_when_interrupted(person: Person, odd: str) -> None:
    """In a pipe, too: the job goes on, and the id is in the error."""
    job = ("-s", "do=wait for", "-s", f"file={person.folder / 'go'}")
    running = person.start("submit", "-e", odd, *job, "--json")
    assert running.stdout is not None
    first = running.stdout.readline()
    running.send_signal(signal.SIGINT)
    stdout, stderr = running.communicate(timeout=PATIENCE_S)
    said = Said(running.returncode, first + stdout, stderr)
    assert_ends(said, 130, "interrupted")
    job_id = said.events[0]["id"]
    assert (said.error["id"], f"watch {job_id[:8]}" in said.error["hint"]) == (job_id, True)
    (person.folder / "go").touch()
    assert person.run("watch", job_id, "-e", odd, "-q").stdout == "It was there.\n"


def test_the_script_and_the_module_are_the_same_command(person: Person) -> None:
    """`runpodctl-py` was installed beside the interpreter."""
    script = sys.executable.rpartition("/")[0] + "/runpodctl-py"
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=False)
    assert done.stdout == person.start("--version").communicate(timeout=PATIENCE_S)[0]
