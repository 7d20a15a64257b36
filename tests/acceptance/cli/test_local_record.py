"""`local record` and `local replay`: a day, and the same day again without any RunPod."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from runpodctl_py.emulator.daemon import announced
from runpodctl_py.emulator.lab.transcript import read
from runpodctl_py.testing import LocalRunPodServer, Simulation
from tests.acceptance.cli.person import CTRL_C, PATIENCE_S, Person
from tests.acceptance.cli.test_local import assert_nothing_is_left

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = (sys.executable, "-P", "-m", "runpodctl_py")
SUBMIT = (*OURS, "submit", "--task", "text_processing")
#: Asks for the endpoints by REST, and prints how many there are.
ASK = """
import json, os, sys, urllib.request
def ask(path):
    request = urllib.request.Request(os.environ["RUNPOD_REST_V2_URL"] + path)
    request.add_header("Authorization", "Bearer " + os.environ["RUNPOD_API_KEY"])
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)
for path in sys.argv[1:]:
    try:
        print(len(ask(path)["endpoints"]), flush=True)
    except urllib.error.HTTPError as error:
        print(json.load(error)["detail"], flush=True)
"""
ASKS = (sys.executable, "-c", ASK)
REAL_KEY = "rpa_REALREALREALREAL0123456789"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder of this test's local RunPod, not there yet."""
    return tmp_path / "data"


@pytest.fixture
def developer(data: Path) -> Iterator[Person]:
    """Somebody whose local RunPod does not run yet."""
    person = Person(Path.cwd(), {"RUNPODCTL_LOCAL_DIR": str(data), "WORKER_TIME_SCALE": "0.02"})
    yield person
    person.run("local", "down")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRunPodServer]:
    """A local RunPod without endpoints."""
    with LocalRunPodServer(tmp_path_factory.mktemp("shared"), simulation=Simulation()) as server:
        yield server


@pytest.fixture
def listener(server: LocalRunPodServer, tmp_path: Path) -> Iterator[Person]:
    """Somebody whose local RunPod runs: it is this process, so they must not stop it."""
    with announced(tmp_path / "running", server.url, server.token):
        yield Person(Path.cwd(), {"RUNPODCTL_LOCAL_DIR": str(tmp_path / "running")})


@pytest.fixture
def recorded(server: LocalRunPodServer, tmp_path: Path) -> Path:
    """A transcript in which the endpoints were asked for once."""
    path = tmp_path / "recorded.jsonl"
    with server.record(path):
        key = {"Authorization": f"Bearer {server.token}"}
        httpx.get(f"{server.url}/v2/serverless", headers=key).raise_for_status()
    return path


def test_a_job_is_recorded_and_played_again(developer: Person, data: Path) -> None:
    """Our own command with --local: the same file, without a worker; the key is nowhere."""
    lived = developer.run("local", "record", "day.jsonl", "--", *SUBMIT, "--local")
    assert lived.code == 0, lived.stderr
    count = len(read(developer.folder / "day.jsonl").exchanges)
    assert f"✓ {count} requests and their answers are in day.jsonl" in lived.stderr
    assert "local replay day.jsonl" in lived.stderr
    token = (data / "token").read_text()
    assert token not in (developer.folder / "day.jsonl").read_text()
    assert_nothing_is_left(data)
    (kept,) = (developer.folder / "outputs").glob("*.md")
    report = kept.read_text()
    again = developer.run(
        "local", "replay", "day.jsonl", "--json", "--", *SUBMIT, "--local", "-o", "again"
    )
    assert again.code == 0, again.stderr
    assert again.stdout.splitlines()[0] == f"again/{kept.name}"
    told = json.loads(again.stdout.splitlines()[-1])
    # How often it asks while it waits depends on how fast the machine is.
    assert 0 < told.pop("answered") <= count
    assert told == {"file": "day.jsonl", "missed": [], "exit_code": 0}
    assert (developer.folder / "again" / kept.name).read_text() == report
    assert_nothing_is_left(data)


def test_the_command_decides_the_exit_code(listener: Person, recorded: Path) -> None:
    """Of both; and its stdout is its own."""
    fails = ("--", "sh", "-c", "echo said; exit 7")
    one = listener.run("local", "record", "other.jsonl", *fails)
    assert (one.code, one.stdout) == (7, "said\n")
    assert "Nothing was recorded" in one.stderr
    other = listener.run("local", "replay", str(recorded), *fails)
    assert (other.code, other.stdout) == (7, "said\n")
    assert "! Nobody asked for anything in" in other.stderr
    both = listener.run("local", "replay", str(recorded), "--", *ASKS, "/serverless", "/pods")
    assert both.code == 3


def test_what_is_missing_is_told(listener: Person, recorded: Path) -> None:
    """To the client in its API's words, and at the end to the person, with another exit code."""
    arguments = ("--", *ASKS, "/serverless", "/serverless", "/templates")
    said = listener.run("local", "replay", str(recorded), *arguments)
    missed = "GET /v2/templates is not in the transcript"
    assert (said.code, said.stdout) == (
        3,
        "0\n0\nGET /v2/templates: is not in the transcript\n",
    )
    assert f"! 2 requests were answered from {recorded}, 1 could not be:\n  {missed}" in said.stderr
    assert "✗ 1 request was not in the transcript" in said.stderr
    as_json = listener.run("local", "replay", str(recorded), "--json", *arguments)
    assert (as_json.code, as_json.error["error"]) == (3, "not_found")
    assert json.loads(as_json.stdout.splitlines()[-1])["missed"] == [
        {"method": "GET", "path": "/v2/templates", "reason": "is not in the transcript"}
    ]


def test_a_file_that_is_there_is_kept(developer: Person, recorded: Path, data: Path) -> None:
    """Without --force; nothing is started for it."""
    before = recorded.read_bytes()
    refused = developer.run("local", "record", str(recorded), "--json", "--", "touch", "began")
    assert (refused.code, refused.error["error"]) == (2, "conflict")
    assert "--force" in refused.error["hint"]
    assert (recorded.read_bytes(), (developer.folder / "began").exists()) == (before, False)
    assert_nothing_is_left(data)
    forced = developer.run("local", "record", str(recorded), "--force", "--", "true")
    assert_nothing_is_left(data)
    assert (forced.code, read(recorded).exchanges) == (0, ())


def test_a_file_that_is_no_transcript(listener: Person, recorded: Path) -> None:
    """Its wrong line is named; a file that is not there, and a command, too."""
    (listener.folder / "wrong").write_text(recorded.read_text() + "{}\n")
    wrong = listener.run("local", "replay", "wrong", "--json", "--", "true")
    assert (wrong.code, wrong.error["error"]) == (2, "usage_error")
    assert wrong.error["message"] == 'wrong is no transcript: line 3: "request" is missing'
    gone = listener.run("local", "replay", "gone", "--json", "--", "true")
    assert (gone.code, gone.error["error"]) == (3, "not_found")
    for command in ("record", "replay"):
        said = listener.run("local", command, str(recorded), "--json", "--", "no-such-program")
        assert (said.code, said.error["message"]) == (2, "There is no command no-such-program")
    no_folder = listener.run("local", "record", "no/folder/day", "--json", "--", "true")
    assert (no_folder.code, no_folder.error["error"]) == (2, "usage_error")


def test_a_kill_leaves_a_file_that_can_be_played(listener: Person) -> None:
    """Lines are written as they come; half a line is left out, and said."""
    path = listener.folder / "day.jsonl"
    recorder = listener.start("local", "record", "day.jsonl", "--json")
    assert recorder.stdout is not None
    recorder.stdout.readline()
    # It says each line when it is there.
    with subprocess.Popen(["tail", "-n", "+2", "-f", path], stdout=subprocess.PIPE) as tail:  # noqa: S607 - of the system.
        assert tail.stdout is not None
        asked = listener.run("local", "exec", "--", *ASKS, "/serverless")
        assert asked.stdout == "0\n"
        assert b"/v2/serverless" in tail.stdout.readline()
        tail.kill()
    recorder.kill()
    recorder.communicate()
    with path.open("a") as file:
        file.write('{"request": {"me')
    said = listener.run("local", "replay", "day.jsonl", "--", *ASKS, "/serverless")
    assert (said.code, said.stdout) == (0, "0\n")
    assert "! The last line of day.jsonl was not written to its end; it is left out." in said.stderr


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_recording_is_ended_by_a_signal(listener: Person, signum: signal.Signals) -> None:
    """In order: exit code 0, all in the file, words about what is next."""
    path = listener.folder / "day.jsonl"
    recorder = listener.start("local", "record", "day.jsonl", "--json")
    assert recorder.stdout is not None
    began = json.loads(recorder.stdout.readline())
    assert began["file"] == "day.jsonl"
    listener.run("local", "exec", "--", *ASKS, "/serverless", "/templates")
    recorder.send_signal(signum)
    rest, _ = recorder.communicate(timeout=PATIENCE_S)
    assert json.loads(rest) == {
        "file": "day.jsonl",
        "exchanges": 2,
        "complete": True,
        "exit_code": 0,
    }
    assert (recorder.returncode, len(read(path).exchanges)) == (0, 2)


def test_a_runpod_that_was_started_for_it_goes_with_it(developer: Person, data: Path) -> None:
    """Without a command, too; and why nothing came is told."""
    recorder = developer.start("local", "record", "day.jsonl")
    assert recorder.stderr is not None
    assert recorder.stderr.readline().startswith("✓ Recording")
    recorder.send_signal(signal.SIGTERM)
    _, said = recorder.communicate(timeout=PATIENCE_S)
    assert recorder.returncode == 0, said
    assert "! Nothing was recorded: nobody asked the local RunPod." in said
    assert_nothing_is_left(data)


def test_a_runpod_that_stops_ends_the_recording(developer: Person) -> None:
    """That is the end of the day, and no failure."""
    developer.run("local", "up", "--detach", "--simulate", "")
    recorder = developer.start("local", "record", "day.jsonl")
    assert recorder.stderr is not None
    assert recorder.stderr.readline().startswith("✓ Recording")
    developer.run("local", "exec", "--", *ASKS, "/serverless")
    developer.run("local", "down")
    _, said = recorder.communicate(timeout=PATIENCE_S)
    assert (recorder.returncode, len(read(developer.folder / "day.jsonl").exchanges)) == (0, 1)
    assert "! The local RunPod has stopped; the recording ends there." in said


def test_a_full_disk_is_told(listener: Person) -> None:
    """The command goes on; what came before is in the file, whole."""
    # Without the variable, half a compiled module would stay behind for every later command.
    limited = ("sh", "-c", 'ulimit -f 2; export PYTHONDONTWRITEBYTECODE=1; exec "$@"', "sh")
    paths = ["/serverless"] * 20
    said = listener.run("local", "record", "day.jsonl", "--", *ASKS, *paths, under=limited)
    assert (said.code, said.stdout) == (14, "0\n" * 20), said.stderr
    assert (
        "✗ The recording broke off: day.jsonl cannot be written any more: File too" in said.stderr
    )
    transcript = read(listener.folder / "day.jsonl")
    assert (0 < len(transcript.exchanges) < 20, transcript.is_torn) == (True, False)
    failed = listener.run(
        "local", "record", "day.jsonl", "--force", "--", *("sh", "-c"),
        '"$0" -c "$1" ' + " ".join(paths) + "; exit 9", sys.executable, ASK, under=limited,
    )  # fmt: skip
    assert (failed.code, "! The recording broke off" in failed.stderr) == (9, True)


def test_a_replay_at_a_terminal(listener: Person, recorded: Path) -> None:
    """Until Ctrl-C; what is missed is told as it comes, and the variables can be used elsewhere."""
    with listener.at_terminal("local", "replay", str(recorded), columns=110) as terminal:
        terminal.until_text("export RUNPODCTL_LOCAL_DIR=")
        exports = dict(
            line.removeprefix("export ").split("=", 1)
            for line in terminal.text.splitlines()
            if line.startswith("export ")
        )
        told = listener.run(
            "local", "status", "--json", RUNPODCTL_LOCAL_DIR=exports["RUNPODCTL_LOCAL_DIR"]
        )
        assert told.document["url"] == exports["RUNPOD_API_BASE_URL"]
        missing = listener.run("endpoints", "list", "--json", **exports)
        assert missing.code != 0
        terminal.until_text("POST /graphql is not in the transcript")
        terminal.type(CTRL_C)
        terminal.until_text("1 request was not in the transcript")
        assert (terminal.until_end(), terminal.is_usable) == (3, True)


def test_answers_that_take_as_long_as_they_took(listener: Person, recorded: Path) -> None:
    """With --as-recorded."""
    first, line = recorded.read_text().splitlines()
    slow = {**json.loads(line), "tookSeconds": 1.5}
    recorded.write_text(f"{first}\n{json.dumps(slow)}\n")
    timed = (
        sys.executable,
        "-c",
        f"import time\nt = time.monotonic(){ASK}print(time.monotonic() - t)",
    )
    said = listener.run(
        "local", "replay", str(recorded), "--as-recorded", "--", *timed, "/serverless"
    )
    count, seconds = said.stdout.splitlines()
    assert (said.code, count, float(seconds) >= 1.5) == (0, "0", True)


def test_a_port_of_ones_own(listener: Person, recorded: Path) -> None:
    """Refused in words if it is taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = listener.run("local", "replay", str(recorded), "--port", port, "--", "true")
    assert (said.code, f"port {port}" in said.stderr) == (2, True)
    replayed = listener.run(
        "local",
        "replay",
        str(recorded),
        "--port",
        port,
        "--",
        *("sh", "-c"),
        "echo $RUNPOD_API_BASE_URL",
    )
    assert replayed.stdout == f"http://127.0.0.1:{port}\n"


@pytest.fixture
def real(tmp_path: Path) -> Iterator[tuple[Person, LocalRunPodServer]]:
    """A RunPod that stands for the real one, and somebody with an account there."""
    with LocalRunPodServer(tmp_path / "real", token=REAL_KEY, simulation=Simulation()) as server:
        urls = {k: v for k, v in server.environment().items() if k != "RUNPOD_API_KEY"}
        (Path.cwd() / ".env").write_text(f"RUNPOD_API_KEY={REAL_KEY}\n")
        yield Person(Path.cwd(), {**urls, "RUNPOD_AI_API_KEY": REAL_KEY}), server


def test_a_day_on_runpod_is_recorded(
    real: tuple[Person, LocalRunPodServer], tmp_path: Path
) -> None:
    """The real key is neither in the file nor in the command's environment."""
    person, server = real
    script = 'env > seen.txt; "$@"; "$0" -c "$ASK" /serverless'
    said = person.run(
        *("local", "record", "day.jsonl", "--from", "runpod", "--", "sh", "-c", script),
        *(sys.executable, *OURS, "endpoints", "list", "--json"),
        ASK=ASK,
    )
    assert said.code == 0, said.stderr
    assert said.stdout.splitlines() == ["[]", "0"]
    seen, text = (person.folder / "seen.txt").read_text(), (person.folder / "day.jsonl").read_text()
    assert REAL_KEY not in seen + text + said.stdout + said.stderr
    assert server.url not in seen + text
    assert len(read(person.folder / "day.jsonl").exchanges) == 2
    data = {"RUNPODCTL_LOCAL_DIR": str(tmp_path / "none")}
    again = person.run(
        *("local", "replay", "day.jsonl", "--", *OURS, "endpoints", "list", "--json"), **data
    )
    assert (again.code, again.document) == (0, [])
    assert not (tmp_path / "none").exists()


def test_rest_may_be_elsewhere(real: tuple[Person, LocalRunPodServer]) -> None:
    """Its address comes from where the others come from, `.env` included."""
    _, server = real
    with Path(".env").open("a") as file:
        file.write(f"RUNPOD_REST_V2_URL={server.url}/v2/\n")
    person = Person(Path.cwd(), {"RUNPOD_API_BASE_URL": "http://127.0.0.1:1"})
    said = person.run("local", "record", "day", "--from", "runpod", "--", *ASKS, "/serverless")
    assert (said.code, said.stdout) == (0, "0\n"), said.stderr
    with Path(".env").open("a") as file:
        file.write("RUNPOD_REST_V2_URL=nonsense\n")
    wrong = person.run("local", "record", "other", "--from", "runpod", "--json", "--", "true")
    assert (wrong.code, wrong.error["error"]) == (2, "usage_error")
    assert "RUNPOD_REST_V2_URL" in wrong.error["message"]
    assert not Path("other").exists()


def test_a_file_is_not_replaced_for_nothing(recorded: Path) -> None:
    """When nothing can be passed on to RunPod, nothing is lost."""
    before = recorded.read_bytes()
    person = Person(Path.cwd(), {"RUNPOD_API_KEY": REAL_KEY, "SSL_CERT_FILE": "/no/such/file"})
    said = person.run(
        *("local", "record", str(recorded), "--force", "--from", "runpod", "--json", "--", "true")
    )
    assert said.code != 0
    assert "certificates of this machine cannot be read" in said.error["message"]
    assert recorded.read_bytes() == before


def test_recording_runpod_without_a_command(real: tuple[Person, LocalRunPodServer]) -> None:
    """Prints what leads to it, until Ctrl-C; a key is needed."""
    person, _ = real
    recorder = person.start("local", "record", "day.jsonl", "--from", "runpod")
    assert recorder.stdout is not None
    exports = {}
    while "RUNPOD_URL_MIXED_OK" not in exports:
        name, _, value = recorder.stdout.readline().removeprefix("export ").strip().partition("=")
        exports[name] = value
    assert person.run("endpoints", "list", "--json", **exports).document == []
    recorder.send_signal(signal.SIGINT)
    _, said = recorder.communicate(timeout=PATIENCE_S)
    assert (recorder.returncode, "✓ 1 request and its answer is in day.jsonl" in said) == (0, True)
    (person.folder / ".env").unlink()
    keyless = person.run("local", "record", "other", "--from", "runpod", "--json", "--", "true")
    assert (keyless.code, (person.folder / "other").exists()) == (4, False)


def test_the_recorder_leaves_nothing_behind(listener: Person, recorded: Path) -> None:
    """The private folder of a replay is gone with it."""
    said = listener.run(
        "local", "replay", str(recorded), "--", "sh", "-c", "echo $RUNPODCTL_LOCAL_DIR"
    )
    folder = Path(said.stdout.strip())
    assert (folder.name.startswith("runpodctl-py-replay-"), folder.exists()) == (True, False)
    assert os.environ.get("RUNPODCTL_LOCAL_DIR") != str(folder)
