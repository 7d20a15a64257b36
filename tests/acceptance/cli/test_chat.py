"""`chat` as somebody sees it: the waiting, the words as they come, a conversation, Ctrl-C."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.testing import LocalRunPodServer, WorkerCommand
from tests.acceptance.cli.person import CTRL_C, Person

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORKER = Path(__file__).with_name("chat_worker.py")
CTRL_D = b"\x04"
SPINNER = re.compile("[\u2800-\u28ff]")


@pytest.fixture(scope="module")
def vllm_runpod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRunPodServer]:
    """A RunPod that runs the preset's image, as far as it can be told from outside."""
    images = {"worker-v1-vllm": WorkerCommand([sys.executable, "-u", str(_WORKER)])}
    with LocalRunPodServer(tmp_path_factory.mktemp("runpod"), images=images) as server:
        yield server


@pytest.fixture(scope="module")
def vllm(vllm_runpod: LocalRunPodServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of an endpoint whose worker stays."""
    folder = tmp_path_factory.mktemp("vllm")
    admin = Person(folder, {**vllm_runpod.environment(), "HOME": str(folder)})
    said = admin.run("setup-vllm", "-m", "org/model", "--idle-timeout", "600", "--json")
    assert (said.code, said.stderr) == (0, "")
    endpoint_id: str = said.document["endpoint_id"]
    return endpoint_id


@pytest.fixture
def person(vllm_runpod: LocalRunPodServer) -> Person:
    """Somebody with an empty folder and a key."""
    return Person(Path.cwd(), vllm_runpod.environment())


@pytest.mark.parametrize("form", [(), ("--native",)], ids=["openai", "native"])
def test_words_come_before_the_answer_is_complete(
    person: Person, vllm: str, form: tuple[str, ...]
) -> None:
    """In a pipe, too: the second word is made when somebody has read the first."""
    go = person.folder / "go"
    with person.start("chat", f"wait {go}", "-e", vllm, "-q", *form) as process:
        assert process.stdout is not None
        assert process.stdout.read(3) == "one"
        go.touch()
        rest, errors = process.communicate()
    assert (rest, errors, process.returncode) == (" two three\n", "", 0)


@pytest.mark.parametrize("columns", [80, 30])
def test_the_waiting_gives_way_to_the_answer(person: Person, vllm: str, columns: int) -> None:
    """A line that moves until the first word; then the words, and what it took."""
    go = person.folder / "go"
    with person.at_terminal("chat", f"wait {go}", "-e", vllm, columns=columns) as terminal:
        terminal.until_text("waiting")
        screen = terminal.until_text("one")
        assert ("two" in screen, SPINNER.search(screen)) == (False, None)
        go.touch()
        assert (terminal.until_end(), terminal.is_usable) == (0, True)
        answer, blank, *facts = terminal.text.splitlines()
    assert (answer, blank) == ("one two three", "")
    assert "".join(facts).startswith("  org/model · tokens: 3 in")
    assert any(map(SPINNER.search, terminal.screens))


def test_ctrl_c_stops_listening(person: Person, vllm: str) -> None:
    """What was said stays on the screen, and is said to be all."""
    with person.at_terminal("chat", "hang never", "-e", vllm) as terminal:
        terminal.until_text("one")
        terminal.type(CTRL_C)
        assert (terminal.until_end(), terminal.is_usable) == (130, True)
        first, second, *_ = terminal.text.splitlines()
    assert first.startswith("one")
    assert second == "! Stopped listening. What was said so far is all there is."


def test_ctrl_c_while_nothing_comes_leaves_a_usable_terminal(person: Person, vllm: str) -> None:
    """The worker is busy with another; the live line is gone."""
    with person.at_terminal("chat", "hang never", "-e", vllm) as busy:
        busy.until_text("one")
        with person.at_terminal("chat", "say x", "-e", vllm, "-m", "org/model") as terminal:
            terminal.until_text("workers: 1 busy")
            terminal.type(CTRL_C)
            assert (terminal.until_end(), terminal.is_usable) == (130, True)
            assert terminal.text.splitlines()[0] == "! Stopped listening. Nothing was said yet."
        busy.type(CTRL_C)
        assert busy.until_end() == 130


def test_a_conversation_remembers(person: Person, vllm: str) -> None:
    """Until it is told to forget; Ctrl-D ends it."""
    command = ("chat", "-e", vllm, "--system", "Be kind.")
    with person.at_terminal(*command, columns=140) as terminal:
        terminal.until_text("\n>")
        terminal.type(b"say Hello\r")
        terminal.until(lambda screen: screen.endswith("\n>") and "in all" in screen)
        terminal.type(b"recall\r")
        terminal.until_text("system: Be kind. | user: say Hello | assistant: Hello | user: recall")
        terminal.until(lambda screen: screen.endswith("\n>"))
        terminal.type(b"/clear\r")
        terminal.until_text("Forgotten.")
        terminal.type(b"/exit\r")
        terminal.until_text("There is no /exit.")
        terminal.type(b"recall  it\r")
        terminal.until_text("system: Be kind. | user: recall  it")
        terminal.until(lambda screen: screen.endswith("\n>"))
        terminal.type(CTRL_D)
        assert (terminal.until_end(), terminal.is_usable) == (0, True)


def test_a_conversation_outlives_a_failure_and_ctrl_c(person: Person, vllm: str) -> None:
    """A question that failed was not asked; of an answer that was stopped, the part is known."""
    with person.at_terminal("chat", "-e", vllm, columns=140) as terminal:
        terminal.until_text("\n>")
        terminal.type(b"fail boom\r")
        terminal.until_text("The worker failed: boom")
        terminal.until(lambda screen: screen.endswith("\n>"))
        terminal.type(b"hang never\r")
        terminal.until_text("\none")
        terminal.type(CTRL_C)
        terminal.until_text("Stopped listening.")
        terminal.until(lambda screen: screen.endswith("\n>"))
        terminal.type(b"recall\r")
        terminal.until_text("user: hang never | assistant: one | user: recall")
        terminal.until(lambda screen: screen.endswith("\n>"))
        terminal.type(CTRL_C)
        assert (terminal.until_end(), terminal.is_usable) == (130, True)


def test_the_answers_of_a_conversation_go_to_a_file(person: Person, vllm: str) -> None:
    """Its prompts and all the talk stay on the screen."""
    script = '"$@" > said'
    with person.at_terminal("chat", "-e", vllm, under=("sh", "-c", script, "sh")) as terminal:
        terminal.until_text("\n>")
        terminal.type(b"say Hello\r")
        terminal.until(lambda screen: screen.endswith("\n>") and "in all" in screen)
        terminal.type(CTRL_D)
        assert terminal.until_end() == 0
    assert (person.folder / "said").read_text() == "Hello\n"


def test_the_key_is_in_nothing_that_is_said(
    person: Person, vllm: str, vllm_runpod: LocalRunPodServer
) -> None:
    """Not even where the client is told to log everything."""
    said = person.run("chat", "say Hello", "-e", vllm, OPENAI_LOG="debug")
    assert (said.code, said.stdout) == (0, "Hello\n")
    assert vllm_runpod.token not in said.stderr
