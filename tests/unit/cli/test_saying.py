from __future__ import annotations

import base64
import io
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.cli.job_view import PlainJobView, TerminalJobView
from runpodctl_py.cli.output import Output
from runpodctl_py.cli.saying import Saying, how_far

if TYPE_CHECKING:
    from runpodctl_py.cli.job_view import JobView

CHUNK = {"audio_chunk": base64.b64encode(bytes(2000)).decode(), "format": "pcm_16"}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(100)).decode()
ROLE = {"choices": [{"delta": {"role": "assistant"}}]}
WORD = {"choices": [{"delta": {"content": "Hi"}}]}


def said(*pieces: Any) -> tuple[str, list[bool]]:
    """Return what is printed of pieces, and which of them were to be printed."""
    stdout = io.StringIO()
    with redirect_stdout(stdout):
        saying = Saying(Output())
        heard = [saying.hear(each) for each in pieces]
        saying.end()
    assert saying.pieces == len(pieces)
    assert saying.has_said == bool(stdout.getvalue())
    return stdout.getvalue(), heard


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ((), ""),
        (("Hel", "lo"), "Hello\n"),
        (("Hello\n",), "Hello\n"),
        ((ROLE, WORD, {"choices": [], "usage": {"total_tokens": 7}}), "Hi\n"),
        (({"a": 1}, {"a": 2}), '{"a": 1}\n{"a": 2}\n'),
        (("Hel", {"a": 1}, "lo"), 'Hel\n{"a": 1}\nlo\n'),
        ((None, 7, True), "null\n7\ntrue\n"),
        (("a\r\n\x1b[2J",), "a\r\n\x1b[2J\n"),
    ],
)
def test_text_is_text_and_other_values_are_json(pieces: tuple[Any, ...], expected: str) -> None:
    """Each value on a line of its own; where it does not go to a terminal, it is as it came."""
    printed, heard = said(*pieces)
    assert printed == expected
    assert all(heard)


@pytest.mark.parametrize(
    "piece",
    [CHUNK, {"progress": 40, "message": "KSampler"}, PNG, {"message": PNG}, {"image": PNG}],
)
def test_files_and_progress_are_not_printed(piece: Any) -> None:
    """The one is saved at the end, the other is shown."""
    assert said(piece) == ("", [False])


def test_progress_needs_a_number() -> None:
    """A message alone may be what was asked for."""
    progress = how_far({"progress": 40, "message": "KSampler"})
    assert progress is not None
    assert progress.percent == 40
    assert how_far({"message": "Hello"}) is None
    assert how_far("40") is None


@pytest.mark.parametrize("view", [TerminalJobView, PlainJobView])
def test_what_is_yielded_goes_to_stdout_wherever_that_leads(
    view: type[TerminalJobView | PlainJobView], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into a file, with the line that is drawn on the terminal left where it is."""
    monkeypatch.setenv("TERM", "xterm-256color")
    stdout, stderr = io.StringIO(), io.StringIO()
    with redirect_stdout(stdout), redirect_stderr(stderr):
        shown: JobView = view(Output())
        with shown:
            shown.hear("Hel")
            shown.hear("lo")
            assert stdout.getvalue() == "Hello"
    assert stdout.getvalue() == "Hello\n"
    assert shown.has_told
    assert "Hello" not in stderr.getvalue()
