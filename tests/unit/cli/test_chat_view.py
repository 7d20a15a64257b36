"""How an answer looks: in a pipe, as JSON, and what is said of one that is less than it seems."""

from __future__ import annotations

import json

import pytest

from runpodctl_py.api.chat_answers import Usage
from runpodctl_py.api.types import Health, JobCounts, WorkerCounts
from runpodctl_py.cli.chat_view import (
    Answer,
    JsonChatView,
    PlainChatView,
    chat_view,
    tell_shortfalls,
)
from runpodctl_py.cli.output import Output
from runpodctl_py.errors import JobFailedError, RunpodctlError

STARTING = Health(JobCounts(), WorkerCounts(initializing=1))


def answer(
    text: str = "Hello",
    *,
    reason: str | None = "stop",
    thoughts: int = 0,
    error: RunpodctlError | None = None,
) -> Answer:
    """Return an answer of a model."""
    return Answer("ep", "org/m", text, thoughts, reason, Usage(3, 2), 1.25, 8.4, error)


class Time:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


def test_a_pipe_is_told_every_15_s_that_nothing_comes(capsys: pytest.CaptureFixture[str]) -> None:
    """Not each time we look; and stdout stays the answer's."""
    time = Time()
    with PlainChatView(Output(), time) as view:
        for _ in range(31):
            view.look(STARTING)
            time.now_s += 1
        view.think()
        time.now_s += 15
        view.think()
        view.hear("Hel")
        view.hear("lo")
    view.ended(answer())
    printed = capsys.readouterr()
    assert printed.out == "Hello\n"
    assert printed.err.splitlines() == [
        "waiting    15 s, no worker yet: 1 starting (cold start)",
        "waiting    30 s, no worker yet: 1 starting (cold start)",
        "thinking   46 s",
        "done       org/m, tokens: 3 in, 2 out, first after 1.2 s, 8.4 s in all",
    ]


@pytest.mark.parametrize(
    ("text", "printed"), [("a\n", "a\n"), ("", ""), ("a\x1b[2Jb", "a\x1b[2Jb\n")]
)
def test_the_answers_line_ends_once(
    capsys: pytest.CaptureFixture[str], text: str, printed: str
) -> None:
    """What goes to a file is as the model said it."""
    with PlainChatView(Output(is_quiet=True)) as view:
        view.hear(text)
    view.ended(answer(text))
    assert capsys.readouterr() == (printed, "")


@pytest.mark.parametrize("tells_pieces", [True, False])
def test_json_has_the_same_end_with_and_without_pieces(
    capsys: pytest.CaptureFixture[str], *, tells_pieces: bool
) -> None:
    """One object a line, the error in the last one."""
    output = Output(as_json=True)
    with chat_view(output, tells_pieces=tells_pieces) as view:
        assert isinstance(view, JsonChatView)
        view.look(STARTING)
        view.think()
        view.hear("Hello")
    view.ended(answer(error=JobFailedError("boom")))
    printed = capsys.readouterr()
    *pieces, finished = map(json.loads, printed.out.splitlines())
    assert pieces == [{"event": "piece", "text": "Hello"}][: int(tells_pieces)]
    assert finished == {
        "event": "finished",
        "endpoint_id": "ep",
        "model": "org/m",
        "text": "Hello",
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
        "first_token_ms": 1250,
        "elapsed_ms": 8400,
        "error": "boom",
    }
    assert printed.err == ""


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (answer(), []),
        (answer(reason="length"), ["Allow more with --max-tokens."]),
        (answer(reason=None), ["did not say that the answer is complete."]),
        (answer(reason="abort"), ["for another reason than its end: abort"]),
        (answer(""), ["The model said nothing."]),
        (
            answer("", reason="length", thoughts=7),
            ["--max-tokens.", "said nothing, it only thought (7 characters)."],
        ),
        (answer("", reason=None, error=JobFailedError("boom")), []),
    ],
)
def test_a_shortfall_is_told(
    capsys: pytest.CaptureFixture[str], given: Answer, words: list[str]
) -> None:
    """What was cut off, or is nothing; an error speaks for itself."""
    tell_shortfalls(Output(), given)
    lines = capsys.readouterr().err.splitlines()
    assert [line[-len(end) :] for line, end in zip(lines, words, strict=True)] == words
