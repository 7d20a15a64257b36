"""What errors and outputs say to a person."""

from __future__ import annotations

import json

import pytest

from runpodctl_py.jobs.tree import walk
from runpodctl_py.jobs.words import (
    LiveText,
    WorkerError,
    failure_at,
    is_words,
    readable_text,
    worker_error,
)

TRACEBACK = 'Traceback (most recent call last):\n  File "h.py", line 3\nValueError: boom é'
SDK = json.dumps(
    {
        "error_type": "<class 'ValueError'>",
        "error_message": "boom é",
        "error_traceback": TRACEBACK,
        "hostname": "unknown",
        "worker_id": "w-fail",
        "runpod_version": "1.12.0",
    }
)


@pytest.mark.parametrize(
    ("error", "output", "expected"),
    [
        pytest.param(
            SDK, None, WorkerError("boom é", "ValueError", TRACEBACK), id="the SDK's JSON"
        ),
        pytest.param(
            json.dumps(
                {"error_type": "<class 'torch.cuda.OutOfMemoryError'>", "error_message": "m"}
            ),
            None,
            WorkerError("m", "OutOfMemoryError"),
            id="a class in a module",
        ),
        pytest.param(
            str({"message": "it's \\d", "type": "worker_error", "code": None}),
            None,
            WorkerError("it's \\d", "worker_error"),
            id="the repr of a dict",
        ),
        pytest.param("bad thing", {"extra": 1}, WorkerError("bad thing"), id="plain text"),
        pytest.param({"code": 3}, None, WorkerError('{"code": 3}', "3"), id="an object"),
        pytest.param(
            {"error": {"message": "too long", "type": "BadRequestError"}},
            None,
            WorkerError("too long", "BadRequestError"),
            id="an object in an object",
        ),
        pytest.param(
            f"handler: mid-stream \ntraceback: {TRACEBACK}\n",
            None,
            WorkerError("handler: mid-stream", "ValueError", f"{TRACEBACK}\n"),
            id="a generator that raised",
        ),
        pytest.param(
            TRACEBACK,
            None,
            WorkerError("ValueError: boom é", "ValueError", TRACEBACK),
            id="traceback",
        ),
        pytest.param(
            "validation_error",
            {"success": False, "message": "duration must be a number", "task_id": None},
            WorkerError("duration must be a number", "validation_error"),
            id="the test worker",
        ),
        pytest.param(
            "validation_error",
            None,
            WorkerError("validation_error", "validation_error"),
            id="a code",
        ),
        pytest.param(
            "Job processing failed",
            {"details": ["node 3: no model", "node 4: no input"]},
            WorkerError("Job processing failed", details=("node 3: no model", "node 4: no input")),
            id="ComfyUI's details",
        ),
        pytest.param(None, None, WorkerError("the worker gave no reason"), id="nothing"),
        pytest.param(None, {"message": "why"}, WorkerError("why"), id="only the output says why"),
        pytest.param(["a", {"message": "b"}], None, WorkerError("a", details=("b",)), id="a list"),
        pytest.param("{not json", None, WorkerError("{not json"), id="a brace"),
        pytest.param("{1: 2}", None, WorkerError("{1: 2}"), id="no JSON object"),
        pytest.param(500, None, WorkerError("500"), id="a number"),
    ],
)
def test_every_form_of_error_is_read(error: object, output: object, expected: WorkerError) -> None:
    """Message, type, traceback and details are told apart, whatever form they came in."""
    assert worker_error(error, output) == expected


@pytest.mark.parametrize(
    "error", ["{" * 20_000, "{" + "-" * 16_000 + "1}", "[" * 20_000, '{"error":' * 5_000]
)
def test_a_hostile_error_is_only_text(error: str) -> None:
    """Nesting that breaks parsers, and what is too long for them, is shown as it is."""
    assert worker_error(error).message == error


EVENTS = (
    'data: {"choices":[{"delta":{"content":"Hel"}}]}\n\n'
    'data: {"choices":[{"delta":{"content":"lo"}}]}\n\n'
    "data: [DONE]\n\n"
)


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("Hello, X", "Hello, X"),
        (["Hel", "lo"], "Hello"),
        ([{"choices": [{"tokens": ["Hel", "lo"]}], "usage": {"input": 1, "output": 2}}], "Hello"),
        ([{"choices": [{"message": {"role": "assistant", "content": "Hello"}}]}], "Hello"),
        ([{"choices": [{"text": "Hel"}]}, {"choices": [{"text": "lo"}]}], "Hello"),
        ([EVENTS[:29], EVENTS[29:50], EVENTS[50:]], "Hello"),
        ([EVENTS.replace("\n", "\r\n")], "Hello"),
        ([": ping\n\nevent: message\n", EVENTS], "Hello"),
        ([EVENTS.replace("Hel", "Hel\u2028\x85")], "Hel\u2028\x85lo"),
        ([EVENTS.replace("lo", "\ufffd")], "Hel\ufffd"),
        (
            [[{"choices": [{"delta": {"content": "Hel"}}]}], [{"choices": [{"text": "lo"}]}]],
            "Hello",
        ),
        (['{"choices":[{"text":"Hel"}]}\n', '{"choices":[{"text":"lo"}]}\n'], "Hello"),
        ([{"choices": [{"message": {"content": None, "reasoning_content": "Hm."}}]}], None),
        (['data: {"error": {"message": "out of memory"}}\n\n'], None),
        ([{"object": "error", "message": "no such model"}], None),
        ('{"choices": "none"}', '{"choices": "none"}'),
        ("data: see below", "data: see below"),
        ("Here is the data: it is short.", "Here is the data: it is short."),
        (EVENTS, "Hello"),
        ({"segments": [{"text": "no"}], "transcription": "Hello"}, "Hello"),
        ({"content": [{"type": "text", "text": "Hello"}]}, "Hello"),
        ({"object": "list", "data": [{"embedding": [0.1]}]}, None),
        ({"images": []}, None),
        ([], None),
        ("", None),
        (None, None),
    ],
)
def test_text_is_taken_out_of_its_wrapping(output: object, text: str | None) -> None:
    """Both forms of worker-vllm, streams cut anywhere, and transcriptions read as plain text."""
    assert readable_text(output) == text


ROLE: dict[str, object] = {"choices": [{"delta": {"role": "assistant", "content": ""}}]}
COUNT: dict[str, object] = {"choices": [], "usage": {"completion_tokens": 2}}


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(["Hel", "lo"], id="text"),
        pytest.param([{"choices": [{"tokens": ["Hel", "lo"]}]}], id="v2.23 and before"),
        pytest.param([{"choices": [{"message": {"content": "Hello"}}]}], id="OpenAI's object"),
        pytest.param([ROLE, {"choices": [{"delta": {"content": "Hello"}}]}, COUNT], id="objects"),
        pytest.param([[ROLE, {"choices": [{"delta": {"content": "Hello"}}]}], [COUNT]], id="lists"),
        pytest.param([EVENTS], id="events"),
        pytest.param([f": ping\n\nid: 1\n{EVENTS}"], id="events with more than data"),
        pytest.param(['{"choices":[{"text":"Hello"}]}\n'], id="JSON as text"),
        pytest.param([*EVENTS], id="events, character by character"),
    ],
)
def test_a_stream_says_the_same_as_its_output(pieces: list[object]) -> None:
    """What is printed as it comes is what would be printed in the end."""
    live = LiveText()
    said = "".join(map(live.feed, pieces)) + live.end()
    assert (said, readable_text(pieces), all(map(is_words, pieces))) == ("Hello", "Hello", True)


@pytest.mark.parametrize(
    "text", ["id: 7 is taken", "event: none", ": not", "retry: no\nmore", "{x"]
)
def test_text_that_begins_as_events_do_is_not_lost(text: str) -> None:
    """Only a line of data makes events of it."""
    live = LiveText()
    said = "".join(map(live.feed, text)) + live.end()
    assert (said, readable_text([text])) == (text, text)


@pytest.mark.parametrize("piece", [{"progress": 3}, {"images": ["aGk="]}, [], None, 3])
def test_other_pieces_are_no_words(piece: object) -> None:
    """They are shown as what they are."""
    assert not is_words(piece)


@pytest.mark.parametrize(
    ("output", "failure"),
    [
        ([EVENTS, 'data: {"error": {"message": "engine dead"}}\n\n'], "engine dead"),
        ('data: {"object": "error", "message": "no such model", "code": 404}\n\n', "no such model"),
        ({"object": "error", "message": "too long", "code": 400}, "too long"),
        ([{"object": "error", "message": "too long", "code": 400}], "output[0]: too long"),
        ([EVENTS], None),
        (["FAILED", "to see"], None),
    ],
)
def test_an_error_among_the_pieces_is_a_failure(output: object, failure: str | None) -> None:
    """Though RunPod calls the job COMPLETED, in the middle of a stream, too."""
    found = [said for node in walk(output) if (said := failure_at(node))]
    assert found == ([failure] if failure else [])


@pytest.mark.parametrize(
    "error",
    [
        {"message": "too long", "type": "BadRequestError", "param": None, "code": 400},
        {"error": {"message": "too long", "type": "BadRequestError", "code": 400}},
        {"object": "error", "message": "too long", "type": "BadRequestError", "code": 400},
    ],
)
@pytest.mark.parametrize("written", [str, json.dumps])
def test_vllms_errors_are_read_in_both_notations(error: dict[str, object], written: object) -> None:
    """A generator's error comes as Python's repr of what it yielded (workers reference D)."""
    assert callable(written)
    assert worker_error(written(error)) == WorkerError("too long", "BadRequestError")
