"""When things break: no result is lost, and what is said helps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.cli.person import PATIENCE_S, Person, Said

if TYPE_CHECKING:
    from collections.abc import Sequence

PNG = b"\x89PNG\r\n\x1a\n"


def returning(odd: str, output: object, *more: str) -> tuple[str, ...]:
    """Return the command for a job with a certain output."""
    return ("submit", "-e", odd, "-s", "do=return", "-s", f"output:={json.dumps(output)}", *more)


def test_a_full_disk_loses_nothing(person: Person, odd: str) -> None:
    """No half file is left; with room elsewhere, `watch` fetches the whole one."""
    # Files of at most 512 kB may be written; SIGXFSZ is ignored by Python, as a full disk is.
    limited = ("bash", "-c", 'ulimit -f 512; exec "$@"', "bash")
    said = person.run(
        *("submit", "-e", odd, "-s", "do=return bytes", "-s", "times=100000"), under=limited
    )
    assert (said.code, said.stdout) == (14, "")
    assert [path for path in Path("outputs").iterdir() if path.suffix != ".json"] == []
    failed, *_, hint = said.stderr.split("✗ ")[1].splitlines()
    assert failed == "image.png: the file is larger than this system allows"
    assert "while RunPod has it:  runpodctl-py watch" in hint
    job_id = said.stderr.split()[1]
    again = person.run("watch", job_id, "-e", odd, "--output-dir", "elsewhere", "-q")
    assert (again.code, again.stderr) == (0, "")
    assert Path(again.stdout.strip()).read_bytes() == PNG * 100_000


def test_the_endpoint_is_deleted_under_a_job(person: Person) -> None:
    """The one who watches is told that it is gone."""
    made = person.run("setup-test", "--name", "doomed", "--image", "odd", "--json")
    doomed = made.document["endpoint_id"]
    job = ("-s", "do=wait for", "-s", f"file={person.folder / 'never'}")
    watching = person.start("submit", "-e", doomed, *job, "--json")
    assert watching.stdout is not None
    first = watching.stdout.readline()
    assert person.run("teardown", doomed, "--yes").code == 0
    stdout, stderr = watching.communicate(timeout=PATIENCE_S)
    said = Said(watching.returncode, first + stdout, stderr)
    assert (said.code, said.error["error"]) == (3, "not_found")
    assert said.error["id"] == said.events[0]["id"]


def test_a_worker_that_dies(person: Person, odd: str) -> None:
    """RunPod tries again and then fails the job; exit code 10."""
    said = person.run("submit", "-e", odd, "-s", "do=die", "--json")
    assert (said.code, said.error["error"]) == (10, "job_failed")
    assert said.events[-1]["status"] == "FAILED"


def test_a_handler_that_raises(person: Person, odd: str) -> None:
    """Type and message are shown; the traceback for those who ask for it, now or later."""
    job = ("submit", "-e", odd, "-s", "do=raise", "-s", "message=the prompt is empty")
    said, verbose = person.run(*job), person.run(*job, "--verbose")
    assert (said.code, said.stdout, verbose.code, verbose.stdout) == (10, "", 10, "")
    message, _, hint = said.stderr.split("✗ ")[1].splitlines()
    assert message.endswith(": ValueError: the prompt is empty")
    assert "Traceback (most recent call last)" not in said.stderr
    assert "Traceback (most recent call last)" in verbose.stderr
    assert "odd_worker.py" in verbose.stderr
    _, _, command = hint.partition("runpodctl-py ")
    later = person.run(*command.split())
    assert (later.code, "odd_worker.py" in later.stderr) == (10, True)


@pytest.mark.parametrize(
    ("output", "status", "words"),
    [
        ({"error": "no such voice: anna"}, "FAILED", "no such voice: anna"),
        ({"status": "failed", "message": "out of memory"}, "COMPLETED", "out of memory"),
    ],
)
def test_a_failure_that_only_the_output_tells(
    person: Person, odd: str, output: object, status: str, words: str
) -> None:
    """Whatever RunPod calls it, the worker's words count: exit code 10."""
    said = person.run(*returning(odd, output, "--json"))
    assert (said.code, said.error["error"]) == (10, "job_failed")
    assert (said.events[-1]["status"], words in said.error["message"]) == (status, True)


def test_escape_sequences_stay_out_of_the_terminal(person: Person, odd: str) -> None:
    """What a worker returns cannot clear a screen, rename a window or ring a bell."""
    output = "\x1b[2J\x1b]0;owned\x07bell\r\x9b2J"
    with person.at_terminal(*returning(odd, output)) as terminal:
        assert (terminal.until_end(), "bell" in terminal.text) == (0, True)
        for forbidden in (b"\x1b[2J", b"\x1b]", b"\x07", "\x9b".encode()):
            assert forbidden not in terminal.raw
    said = person.run(*returning(odd, output, "--json"))
    assert (said.code, "\x1b" in said.stdout) == (0, False)
    assert said.events[-1]["output"] == output


def test_an_errors_escape_sequences_stay_out_too(person: Person, odd: str) -> None:
    """Nor can an exception's message, or a traceback."""
    job = ("submit", "-e", odd, "-s", "do=raise", "-s", "message=\x1b[2Jgone")
    with person.at_terminal(*job, "--verbose") as terminal:
        assert terminal.until_end() == 10
        assert b"\x1b[2J" not in terminal.raw
        assert "gone" in terminal.text


@pytest.mark.parametrize(("arguments", "code"), [(["gpus"], 0), (["--help"], 1)], ids=str)
def test_a_reader_that_has_gone(person: Person, arguments: Sequence[str], code: int) -> None:
    """No traceback, no complaint at the interpreter's exit."""
    # `true` is gone long before an interpreter has started.
    script = '"$@" | true; exit "${PIPESTATUS[0]}"'
    said = person.run(*arguments, under=("bash", "-c", script, "bash"))
    assert (said.code, said.stderr) == (code, "")
