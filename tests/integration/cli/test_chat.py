"""`chat` and `setup-vllm` with a local RunPod, and a worker that speaks as worker-vllm does."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.testing import LocalRunPodServer, WorkerCommand
from tests.integration.cli.conftest import CommandLine

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORKER = Path(__file__).parents[2] / "acceptance" / "cli" / "chat_worker.py"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


@pytest.fixture(scope="module")
def vllm_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRunPodServer]:
    """A RunPod that runs the preset's image, and one of before v2.24."""
    command = [sys.executable, "-u", str(_WORKER)]
    images = {
        "worker-v1-vllm": WorkerCommand(command),
        "old-vllm": WorkerCommand(command, env={"VLLM_ERA": "old"}),
        "many-models": WorkerCommand(command, env={"VLLM_MODELS": "org/model,org/other"}),
    }
    with LocalRunPodServer(tmp_path_factory.mktemp("runpod"), images=images) as server:
        yield server


@pytest.fixture
def cli(
    vllm_server: LocalRunPodServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> CommandLine:
    """The command line of somebody who has a key of that RunPod."""
    for name, value in vllm_server.environment().items():
        monkeypatch.setenv(name, value)
    return CommandLine(capsys, monkeypatch)


@contextlib.contextmanager
def closing_early() -> Iterator[str]:
    """Serve an answer that begins, and whose connection closes then; yields the server's URL."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(HTTPStatus.NOT_FOUND)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            piece = {"choices": [{"index": 0, "delta": {"content": "Hel"}}]}
            self.wfile.write(f"data: {json.dumps(piece)}\n\n".encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def set_up(cli: CommandLine, name: str, *flags: str) -> str:
    """Deploy an endpoint that keeps its worker, and return its id."""
    said = cli(
        *("setup-vllm", "--model", "org/model", "--name", name, "--idle-timeout", "600"),
        *("--env-file", "others.env", "--json", "--yes", *flags),
    )
    assert (said.code, said.stderr) == (0, "")
    Path("others.env").unlink(missing_ok=True)
    endpoint_id: str = said.document["endpoint_id"]
    return endpoint_id


@pytest.fixture
def vllm(cli: CommandLine) -> str:
    """The id of an endpoint of today's worker."""
    return set_up(cli, "new")


@pytest.fixture
def old(cli: CommandLine) -> str:
    """The id of an endpoint of a worker of before v2.24."""
    return set_up(cli, "old", "--image", "old-vllm")


@pytest.mark.parametrize("how", ["--stream", "--no-stream"])
def test_stdout_is_the_answer_alone(cli: CommandLine, vllm: str, how: str) -> None:
    """In a pipe the last line of stderr says what it took."""
    said = cli("chat", "say Hello there", "-e", vllm, how)
    assert (said.code, said.stdout) == (0, "Hello there\n")
    assert said.stderr.startswith("done       org/model, tokens: 3 in, 2 out, first after ")


def test_quiet_is_the_answer_and_nothing_else(cli: CommandLine, vllm: str) -> None:
    """Nothing on stderr."""
    said = cli("chat", "think Hello", "-e", vllm, "--quiet")
    assert (said.code, said.stdout, said.stderr) == (0, "Hello\n", "")


@pytest.mark.parametrize("how", ["--stream", "--no-stream"])
def test_json_is_one_object_a_line(cli: CommandLine, vllm: str, how: str) -> None:
    """Pieces where a stream was asked for; the end is the same."""
    said = cli("chat", "say Hello there", "-e", vllm, "--json", how)
    *pieces, finished = said.events
    texts = ["Hello", " there"] if how == "--stream" else []
    assert (said.code, said.stderr) == (0, "")
    assert pieces == [{"event": "piece", "text": text} for text in texts]
    assert finished["elapsed_ms"] >= finished["first_token_ms"]
    del finished["elapsed_ms"], finished["first_token_ms"]
    assert finished == {
        "event": "finished",
        "endpoint_id": vllm,
        "model": "org/model",
        "text": "Hello there",
        "finish_reason": "stop",
        "usage": USAGE,
        "error": None,
    }


def test_the_conversation_reaches_the_model(cli: CommandLine, vllm: str) -> None:
    """What it is told beforehand, what a file says, and the question with stdin behind it."""
    earlier = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hey"}]
    Path("m.json").write_text(json.dumps({"messages": earlier}))
    said = cli(
        *("chat", "recall this:", "-", "--messages", "m.json", "--system", "Be kind.", "-e", vllm),
        stdin="a report\n",
    )
    assert said.stdout == (
        "system: Be kind. | user: Hi | assistant: Hey | user: recall this:\n\na report\n"
    )


@pytest.mark.parametrize("form", [(), ("--native",)], ids=["openai", "native"])
def test_the_sampling_reaches_the_model(cli: CommandLine, vllm: str, form: tuple[str, ...]) -> None:
    """By the same names in both forms."""
    said = cli(
        *("chat", "settings", "-e", vllm, "--temperature", "0", "--top-p", "0.5", "-n", "7"),
        *("--stop", "a", "--stop", "b", "--seed", "1", "--no-stream", *form),
    )
    expected = {"temperature": 0, "top_p": 0.5, "max_tokens": 7, "stop": ["a", "b"], "seed": 1}
    assert json.loads(said.stdout) == expected


def test_an_answer_that_was_cut_off_is_told(cli: CommandLine, vllm: str) -> None:
    """With the option that allows more."""
    said = cli("chat", "length Hello there", "-e", vllm)
    assert (said.code, said.stdout) == (0, "Hello there\n")
    assert said.stderr.splitlines()[-1].endswith("Allow more with --max-tokens.")


@pytest.mark.parametrize("how", ["--stream", "--no-stream"])
@pytest.mark.parametrize(
    ("form", "prompt", "warnings"),
    [
        ("vllm", "say Hello there", []),
        ("vllm", "length Hello there", ["Allow more with --max-tokens."]),
        ("vllm", "abort Hello there", ["for another reason than its end: abort"]),
        ("old", "length Hello there", []),
    ],
)
def test_a_native_answer_that_was_cut_off_is_told(  # noqa: PLR0917 # a table's columns
    cli: CommandLine,
    request: pytest.FixtureRequest,
    form: str,
    prompt: str,
    warnings: list[str],
    how: str,
) -> None:
    """As far as the worker says so: none did before v2.24."""
    endpoint_id = request.getfixturevalue(form)
    said = cli("chat", prompt, "-e", endpoint_id, "--native", how)
    assert (said.code, said.stdout) == (0, "Hello there\n")
    told = [line for line in said.stderr.splitlines() if line.startswith("!")]
    assert [line[-len(end) :] for line, end in zip(told, warnings, strict=True)] == warnings


@pytest.mark.parametrize("how", ["--stream", "--no-stream"])
def test_a_model_that_only_thought_is_told(cli: CommandLine, vllm: str, how: str) -> None:
    """With how much; of what it thought nothing is printed."""
    said = cli("chat", "think", "-e", vllm, how)
    thought = ", it only thought (15 characters)" if how == "--stream" else ""
    assert (said.code, said.stdout) == (0, "")
    assert said.stderr.splitlines()[-1] == f"! The model said nothing{thought}."


def test_an_answer_whose_connection_closed_is_no_success(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 6; what came of it is printed, and stands in the last event."""
    with closing_early() as url:
        monkeypatch.setenv("RUNPOD_ENDPOINT_BASE_URL", f"{url}/v2")
        asked = ("chat", "Hi", "-e", "ep", "-m", "org/m")
        said, told = cli(*asked), cli(*asked, "--json")
    assert (said.code, said.stdout) == (6, "Hel\n")
    assert "closed before the answer was complete" in said.stderr
    assert "It was not sent again" in said.stderr
    assert (told.code, told.error["error"]) == (6, "network_error")
    last = told.events[-1]
    assert (last["event"], last["text"], last["finish_reason"]) == ("finished", "Hel", None)
    assert last["error"] == told.error["message"]


@pytest.mark.parametrize(
    ("prompt", "code", "words"),
    [
        ("fail boom", 10, "✗ The worker failed: boom"),
        ("raise boom", 10, "✗ The worker failed: handler: boom"),
        ("refuse It is too long.", 1, "✗ The worker refused the request: It is too long."),
        ("fail x is gated: set HF_TOKEN", 10, "runpodctl-py setup-vllm --env @FILE"),
    ],
)
@pytest.mark.parametrize("how", ["--stream", "--no-stream"])
def test_a_failure_is_told_in_the_workers_words(  # noqa: PLR0917 # a table's columns
    cli: CommandLine, vllm: str, prompt: str, code: int, words: str, how: str
) -> None:
    """Though some of them come with HTTP 200."""
    said = cli("chat", prompt, "-e", vllm, how)
    assert (said.code, said.stdout) == (code, "")
    assert words in said.stderr


def test_a_failure_in_the_middle_keeps_what_was_said(cli: CommandLine, vllm: str) -> None:
    """It is printed, and no success."""
    said = cli("chat", "break One two", "-e", vllm)
    assert (said.code, said.stdout) == (10, "One\n")
    assert said.stderr == "✗ The worker failed: The engine died.\n"
    told = cli("chat", "break One two", "-e", vllm, "--json")
    assert (told.code, told.error["error"]) == (10, "job_failed")
    assert (told.events[-1]["text"], told.events[-1]["error"]) == (
        "One",
        "The worker failed: The engine died.",
    )


def test_a_model_that_is_not_there_is_told_with_those_that_are(cli: CommandLine, vllm: str) -> None:
    """Exit code 3, as for everything that is not there."""
    said = cli("chat", "say x", "-e", vllm, "--model", "org/none")
    assert (said.code, said.stdout) == (3, "")
    assert "The model `org/none` does not exist." in said.stderr
    assert "Its models: org/model" in said.stderr


def test_one_of_several_models_has_to_be_named(cli: CommandLine) -> None:
    """None is guessed."""
    several = set_up(cli, "several", "--image", "many-models")
    said = cli("chat", "say x", "-e", several)
    assert (said.code, said.stdout) == (2, "")
    assert "Name one with --model: org/model, org/other" in said.stderr
    assert cli("chat", "say x", "-e", several, "-m", "org/other", "-q").stdout == "x\n"


def test_an_endpoint_that_is_not_there_is_told(cli: CommandLine) -> None:
    """Exit code 3."""
    said = cli("chat", "say x", "-e", "nowhere")
    assert (said.code, said.stderr.splitlines()[0]) == (
        3,
        "✗ There is no endpoint nowhere, or it has no OpenAI route",
    )


def test_a_wrong_key_is_told(cli: CommandLine, vllm: str) -> None:
    """Exit code 4, and the key is nowhere."""
    said = cli("chat", "say x", "-e", vllm, RUNPOD_API_KEY="rpa_wrongwrong")
    assert (said.code, "rpa_wrongwrong" in said.stderr) == (4, False)


def test_what_is_set_for_openai_does_not_matter(cli: CommandLine, vllm: str) -> None:
    """Neither its key nor its address nor its headers."""
    said = cli(
        *("chat", "say Hello", "-e", vllm, "-q"),
        OPENAI_API_KEY="sk-other",
        OPENAI_BASE_URL="http://127.0.0.1:1/v1",
        OPENAI_CUSTOM_HEADERS="Authorization: Bearer sk-other",
    )
    assert (said.code, said.stdout, said.stderr) == (0, "Hello\n", "")


def test_too_long_a_wait_ends(cli: CommandLine, vllm: str) -> None:
    """Exit code 8, what was said so far on stdout."""
    said = cli("chat", "hang never", "-e", vllm, "-m", "org/model", "--timeout", "1.5")
    assert (said.code, said.stderr.splitlines()[0]) == (8, "! Stopped waiting after 1.5 s")


@pytest.mark.parametrize("how", ["--stream", "--no-stream"])
@pytest.mark.parametrize("form", ["vllm", "old"])
def test_both_native_forms_are_read(
    cli: CommandLine, request: pytest.FixtureRequest, form: str, how: str
) -> None:
    """As a job, which is written down."""
    said = cli("chat", "say Hello there you", "-e", request.getfixturevalue(form), "--native", how)
    assert (said.code, said.stdout) == (0, "Hello there you\n")
    job = cli("jobs", "list", "--json").document[0]
    assert (job["preset"], job["state"]) == ("vllm", "completed")


@pytest.mark.parametrize("form", ["vllm", "old"])
def test_a_native_failure_is_read(
    cli: CommandLine, request: pytest.FixtureRequest, form: str
) -> None:
    """RunPod has it as the repr of what the worker yielded."""
    said = cli("chat", "fail boom", "-e", request.getfixturevalue(form), "--native")
    assert (said.code, said.stdout) == (10, "")
    assert said.stderr.splitlines()[-1].endswith("boom")


def test_a_native_stream_that_breaks_is_a_failure(cli: CommandLine, vllm: str) -> None:
    """RunPod calls the job COMPLETED."""
    said = cli("chat", "break One two", "-e", vllm, "--native")
    assert (said.code, said.stdout) == (10, "One\n")
    assert "✗ The job completed, but says: The engine died." in said.stderr


def test_a_detached_question_is_a_job(cli: CommandLine, vllm: str) -> None:
    """Its answer is fetched later."""
    sent = cli("chat", "say Hello", "-e", vllm, "--detach")
    assert sent.code == 0
    fetched = cli("watch", sent.stdout.strip(), "-e", vllm, "-q")
    assert (fetched.code, fetched.stdout) == (0, "Hello\n")


def test_a_dry_run_shows_the_request(cli: CommandLine, vllm: str) -> None:
    """And what a worker costs; nothing is sent, in either form."""
    shown = cli("chat", "Hello", "-e", vllm, "--dry-run", "-n", "5").document
    assert shown["request"]["url"].endswith(f"/v2/{vllm}/openai/v1/chat/completions")
    assert shown["request"]["body"] == {
        "model": "(the endpoint's only model)",
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    native = cli("chat", "Hello", "-e", vllm, "--dry-run", "--native").document
    assert native["request"]["body"] == {
        "input": {"messages": [{"role": "user", "content": "Hello"}], "stream": True}
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Without a terminal, chat needs a prompt"),
        (("--json",), "--json needs a prompt"),
        (("--native",), "--native and --detach need a prompt"),
        (("--dry-run",), "--dry-run needs a prompt"),
        ((" ",), "The prompt is empty"),
        (("why", "not"), "Unexpected argument 'not'"),
        (("-", "-"), "Unexpected argument '-'"),
        (("x", "--top-p", "0"), "--top-p must be more than 0"),
        (("x", "--native", "-m", "a/b"), "--model and --native exclude each other"),
        (("x", "--detach", "-m", "a/b"), "--model and --detach exclude each other"),
        (("x", "--messages", "none.json"), "Cannot read none.json"),
        (("--messages", "-"), "The last message of - is not the user's"),
    ],
)
def test_wrong_usage_is_told(cli: CommandLine, arguments: tuple[str, ...], words: str) -> None:
    """Before anything is sent."""
    stdin = '[{"role": "assistant", "content": "Hi"}]'
    said = cli("chat", *arguments, "-e", "any", stdin=stdin)
    text = said.error["message"] if "--json" in arguments else said.stderr
    assert (said.code, said.stdout, words in text) == (2, "", True)


def test_stdin_is_read_once(cli: CommandLine) -> None:
    """It cannot be the prompt and the conversation."""
    said = cli("chat", "-", "--messages", "-", "-e", "any")
    assert (said.code, said.stderr.splitlines()[0]) == (
        2,
        "✗ - and --messages - exclude each other: there is one stdin",
    )


def test_without_its_client_only_the_native_form_works(
    cli: CommandLine, vllm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, with the command that installs it."""
    monkeypatch.setitem(sys.modules, "openai", None)
    said = cli("chat", "say Hello", "-e", vllm)
    assert (said.code, "pip install 'runpodctl-py[chat]'" in said.stderr) == (2, True)
    assert cli("chat", "say Hello", "-e", vllm, "--native", "-q").stdout == "Hello\n"


def test_setup_names_the_model_and_keeps_it(cli: CommandLine) -> None:
    """A second setup needs no name; without any there is nothing to set up."""
    for command in (("setup-vllm",), ("setup", "vllm")):
        without = cli(*command, "--name", "kept")
        assert (without.code, without.stderr.splitlines()[0]) == (2, "✗ Which model?")
    first = cli(
        *("setup-vllm", "--name", "kept", "--model", "org/small-1B", "--max-model-len", "4096"),
        *("--env", "HF_TOKEN=hf_secret"),
    )
    assert first.code == 0
    assert first.stderr.splitlines()[0] == "Model: org/small-1B"
    assert first.stderr.endswith('Try it:  runpodctl-py chat "Hello"\n')
    assert "hf_secret" not in first.stderr
    again = cli("setup-vllm", "--name", "kept")
    assert again.stdout == "template unchanged · endpoint unchanged · .env unchanged\n"
    (template,) = [t for t in cli("templates", "list", "--json").document if t["name"] == "kept"]
    shown = cli("templates", "get", template["id"], "--json").document
    assert {"HF_TOKEN", "MAX_MODEL_LEN", "MODEL_NAME"} <= set(shown["env"])
    cli("teardown", "vllm", "--yes")


def test_setup_refuses_what_is_no_model(cli: CommandLine) -> None:
    """Before RunPod is asked for anything."""
    said = cli("setup-vllm", "--model", "qwen")
    assert (said.code, "ORG/NAME" in said.stderr) == (2, True)


def test_setup_warns_of_a_model_that_does_not_fit(cli: CommandLine) -> None:
    """By its name; a person may know better."""
    dry = ("--dry-run", "--name", "large")
    said = cli("setup-vllm", "--model", "org/m-70B", *dry)
    assert (said.code, "about 140 GB, and a worker's GPUs have 24 GB" in said.stderr) == (0, True)
    fits = cli("setup-vllm", "--model", "org/m-70B", "--gpu", "AMPERE_80", "--gpu-count", "2", *dry)
    assert (fits.code, "140 GB" in fits.stderr) == (0, False)


def test_a_lost_connection_is_told_and_nothing_sent_again(
    cli: CommandLine, vllm_server: LocalRunPodServer, vllm: str
) -> None:
    """Exit code 6: the worker may have done it."""
    with vllm_server.faults("openai:drop-after*9") as faults:
        said = cli("chat", "say x", "-e", vllm, "-m", "org/model")
        assert faults.struck() == 1
    assert (said.code, "It was not sent again" in said.stderr) == (6, True)


def test_a_rate_limit_is_waited_out(
    cli: CommandLine, vllm_server: LocalRunPodServer, vllm: str
) -> None:
    """It was not taken, so it is sent once more."""
    with vllm_server.faults("openai:429*1") as faults:
        said = cli("chat", "say x", "-e", vllm, "-m", "org/model", "-q")
        assert faults.struck() == 1
    assert (said.code, said.stdout, said.stderr) == (0, "x\n", "")
