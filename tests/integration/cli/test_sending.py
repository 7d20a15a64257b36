"""What `submit` makes of its options, seen in what a worker got and in what was printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.acceptance.cli.person import Said
    from tests.integration.cli.conftest import Account, CommandLine


def send(cli: CommandLine, odd: str, *arguments: str, stdin: str = "") -> Said:
    """Send a job whose output is the field `output` of its input."""
    return cli("submit", "-e", odd, "-s", "do=return", *arguments, stdin=stdin)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("output=@text.txt", "täxt"),
        ("output=@raw.bin", "/wD+"),
        ("output=7", 7),
        ('output:="7"', "7"),
        ('output:={"a": [1]}', {"a": [1]}),
    ],
)
def test_a_set_value_arrives_as_it_was_meant(
    cli: CommandLine, odd: str, given: str, sent: Any
) -> None:
    """Text as text, other files as base64, `:=` as JSON."""
    Path("text.txt").write_text("täxt")
    Path("raw.bin").write_bytes(b"\xff\x00\xfe")
    said = send(cli, odd, "-s", given, "--json")
    assert (said.code, said.stderr, said.events[-1]["output"]) == (0, "", sent)


def test_a_payload_comes_from_stdin_and_set_wins(cli: CommandLine, odd: str) -> None:
    """`--payload -` is the whole input; `--set` changes a field of it."""
    payload = json.dumps({"output": "from the payload", "other": 1})
    said = send(cli, odd, "--payload", "-", "-s", "output=from --set", "-q", stdin=payload)
    assert (said.code, said.stdout, said.stderr) == (0, "from --set\n", "")


def test_words_are_printed_as_words_and_objects_as_json(cli: CommandLine, odd: str) -> None:
    """Neither needs a tool to read."""
    words = send(cli, odd, "-s", "output=Hello there", "-q")
    other = send(cli, odd, "-s", 'output:={"score": 0.5}', "-q", "--no-save")
    assert (words.stdout, other.document) == ("Hello there\n", {"score": 0.5})


def test_the_output_folder_is_the_flags_then_the_variables(
    cli: CommandLine, odd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without either it is `outputs`; the folders are made."""
    monkeypatch.setenv("RUNPODCTL_OUTPUT_DIR", "named/by/variable")
    arguments = ("submit", "-e", odd, "-s", "do=return bytes", "-s", "times=40", "-q")
    by_variable, by_flag = cli(*arguments), cli(*arguments, "-o", "flag")
    assert (by_variable.code, by_flag.code) == (0, 0)
    assert Path(by_variable.stdout.strip()).parent == Path("named/by/variable")
    assert Path(by_flag.stdout.strip()).parent == Path("flag")
    assert Path(by_flag.stdout.strip()).read_bytes() == b"\x89PNG\r\n\x1a\n" * 40


def test_a_dry_run_sends_nothing(cli: CommandLine, odd: str) -> None:
    """The exact request and its price are shown; no job exists afterwards."""
    before = cli("health", odd).document["jobs"]
    said = send(cli, odd, "-s", "output=x", "--ttl", "60", "--dry-run")
    request = said.document["request"]
    assert (said.code, said.stderr) == (0, "Nothing was sent.\n")
    assert (request["method"], request["url"].endswith(f"/v2/{odd}/run")) == ("POST", True)
    assert request["body"] == {
        "input": {"do": "return", "output": "x"},
        "policy": {"ttl": 60_000},
    }
    assert cli("health", odd).document["jobs"] == before


@pytest.mark.parametrize(
    ("size", "way", "limit"),
    [
        (9_900_000, (), None),
        (10_000_000, (), "/run takes 10 MB"),
        (10_000_000, ("--sync",), None),
        (19_900_000, ("--sync",), None),
        (20_000_000, ("--sync",), "/runsync takes 20 MB"),
    ],
)
def test_what_runpod_would_not_take_is_refused_before(
    cli: CommandLine, odd: str, size: int, way: tuple[str, ...], limit: str | None
) -> None:
    """Each way has its own limit, and a dry run keeps to it, too."""
    Path("text.txt").write_text("a" * size)
    said = send(cli, odd, "-s", "output=@text.txt", "--dry-run", "--json", *way)
    if limit is None:
        assert (said.code, said.document["dry_run"]) == (0, True)
        return
    assert (said.code, said.stdout, said.error["error"]) == (2, "", "payload_too_large")
    assert said.error["message"].endswith(limit)


def test_cancelling_twice_is_no_error(cli: CommandLine, odd: str) -> None:
    """The first says so, the second says that there was nothing to do."""
    job = ("-s", "do=wait for", "-s", f"file={Path('never').absolute()}")
    job_id = cli("submit", "-e", odd, *job, "--detach").stdout.strip()
    first, second = cli("cancel", job_id, "-e", odd), cli("cancel", job_id, "-e", odd, "--json")
    assert (first.code, first.stdout, first.stderr) == (0, "", f"✓ {job_id} is cancelled\n")
    assert (second.code, second.document["status"]) == (0, "CANCELLED")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "There is nothing to send"),
        (["--detach", "--sync", "-s", "a=1"], "--detach and --sync exclude each other"),
        (["--task", "text_processing", "-i", "a", "-"], "- and --input exclude each other"),
        (["--input", "a"], "--input, --input-file, --duration and --output-format belong to"),
        (["--payload", "nowhere.json"], "Cannot read nowhere.json: No such file or directory"),
        (["-s", "a"], "--set takes key=value, key=@file or key:=json, not 'a'"),
        (["-s", "a:={"], "--set a:= is no JSON"),
        (["--preset", "chatterbox", "-s", "text="], "text"),
        (["--task", "frobnicate"], "Invalid value for '--task'"),
        (["--duration", "3"], "Invalid value for '--duration'"),
    ],
)
def test_wrong_usage_sends_nothing(
    cli: CommandLine, account: Account, arguments: list[str], message: str
) -> None:
    """Exit code 2, one line that says what was wrong, and nothing on stdout."""
    said = cli("submit", "--endpoint", "anywhere", *arguments, "--json")
    assert (said.code, said.stdout, said.error["error"]) == (2, "", "usage_error")
    assert said.error["message"].startswith(message)
    assert "anywhere" not in account.versions()
