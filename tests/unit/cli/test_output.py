from __future__ import annotations

import io
import json
from contextlib import redirect_stderr
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runpodctl_py.cli.output import (
    Column,
    Output,
    _json_text,
    bytes_text,
    has_colour,
    is_terminal,
    paint,
    print_table,
    printable,
    seconds_text,
    usd_text,
)
from runpodctl_py.errors import (
    InterruptedRunError,
    NotFoundError,
    RunpodctlError,
    UsageError,
    WaitTimeoutError,
)


class Stream(io.StringIO):
    """A stream that says whether it is a terminal."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        """Tell what was said at the beginning."""
        return self._is_terminal


@pytest.mark.parametrize(
    ("environment", "is_tty", "has_it"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"TERM": "xterm-256color"}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
    ],
)
def test_when_there_is_colour(
    monkeypatch: pytest.MonkeyPatch,
    *,
    environment: dict[str, str],
    is_tty: bool,
    has_it: bool,
) -> None:
    """NO_COLOR, FORCE_COLOR, TERM=dumb, then whether it is a terminal."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stream = Stream(is_terminal=is_tty)

    assert has_colour(stream) == has_it
    assert paint("x", "red", stream) == ("\x1b[31mx\x1b[0m" if has_it else "x")


@pytest.mark.parametrize(
    ("options", "term", "draws"),
    [
        ({}, "xterm", True),
        ({}, "dumb", False),
        ({"as_json": True}, "xterm", False),
        ({"is_quiet": True}, "xterm", False),
    ],
)
def test_when_progress_is_drawn_in_place(
    monkeypatch: pytest.MonkeyPatch,
    *,
    options: dict[str, bool],
    term: str,
    draws: bool,
) -> None:
    """On a terminal whose cursor moves, unless JSON or silence was asked for."""
    monkeypatch.setenv("TERM", term)
    terminal = Stream(is_terminal=True)

    with redirect_stderr(terminal):
        assert Output(**options).draws == draws
    assert is_terminal(terminal) == (term != "dumb")


def test_data_goes_to_stdout_and_talk_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe never breaks the output."""
    output = Output()
    output.note("note")
    output.done("done")
    output.warn("careful")
    output.result("path")
    output.document({"ä": [1]})

    assert capsys.readouterr() == (
        'path\n{\n  "ä": [\n    1\n  ]\n}\n',
        "note\n✓ done\n! careful\n",
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [({"is_quiet": True}, "! careful\n"), ({"as_json": True}, '{"warning": "careful"}\n')],
)
def test_talk_can_be_switched_off_and_warnings_cannot(
    capsys: pytest.CaptureFixture[str], options: dict[str, bool], said: str
) -> None:
    """`--quiet` and `--json` leave what should not be missed."""
    output = Output(**options)
    output.note("note")
    output.done("done")
    output.warn("careful")
    output.result("path")

    assert capsys.readouterr() == ("path\n", said)


def test_our_own_colours_reach_the_terminal() -> None:
    """And what comes from outside is cleaned inside them."""
    output, terminal = Output(), Stream(is_terminal=True)

    with redirect_stderr(terminal):
        output.done("template  t\x1b[2J")
        output.note("details", style="dim")
        output.warn("odd \x07")

    assert terminal.getvalue() == (
        "\x1b[32m✓\x1b[0m template  t�[2J\n\x1b[2mdetails\x1b[0m\n\x1b[33m!\x1b[0m odd �\n"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä …", "plain ä …"),
        ("two\n\tlines", "two\n\tlines"),
        ("\x1b]0;title\x07", "�]0;title�"),
        ("a\rb", "a�b"),
        ("a\u202eb", "a�b"),
        ("a\x9bb", "a�b"),
        ("a\ud800b", "a�b"),
    ],
)
def test_what_moves_a_cursor_is_neutralised(text: str, shown: str) -> None:
    """A worker's words cannot repaint a person's terminal."""
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (UsageError("No such preset"), "✗ No such preset\n"),
        (
            NotFoundError("one\ntwo", hint="first\n\nsecond"),
            "✗ one\n  two\n\n  first\n\n  second\n",
        ),
        (WaitTimeoutError("Stopped waiting"), "! Stopped waiting\n"),
        (InterruptedRunError("Detached.", hint="Watch it"), "! Detached.\n\n  Watch it\n"),
        (RunpodctlError("a\x1bb", hint="c\x07d"), "✗ a�b\n\n  c�d\n"),
    ],
)
def test_an_error_as_text(
    capsys: pytest.CaptureFixture[str], error: RunpodctlError, lines: str
) -> None:
    """What happened, then what helps; a job that goes on is no failure."""
    Output(is_quiet=True).error(error)

    assert capsys.readouterr() == ("", lines)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            NotFoundError("gone", hint="look\nthere", job_id="j"),
            {"error": "not_found", "message": "gone", "hint": "look\nthere", "id": "j"},
        ),
        (
            RunpodctlError("odd \ud800 \x9b"),
            {"error": "internal_error", "message": "odd \ud800 \x9b", "hint": None, "id": None},
        ),
    ],
)
def test_an_error_as_json(
    capsys: pytest.CaptureFixture[str], error: RunpodctlError, line: dict[str, Any]
) -> None:
    """One line on stderr, whatever is in it."""
    Output(as_json=True).error(error)

    out, err = capsys.readouterr()
    assert (out, err.count("\n"), json.loads(err)) == ("", 1, line)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters()),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=5,
)


@given(json_values, st.sampled_from([None, 2]))
def test_json_can_always_be_printed(value: Any, indent: int | None) -> None:
    """It means the same, and holds nothing that a terminal would obey."""
    text = _json_text(value, indent)

    assert json.loads(text) == value
    assert text.replace("\n", "").isprintable()


def test_events_are_single_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """A program reads them one by one."""
    output = Output(as_json=True)
    output.event({"event": "queued", "id": "ä"})
    output.event({"event": "x", "text": "\n"})

    assert capsys.readouterr().out == (
        '{"event": "queued", "id": "ä"}\n{"event": "x", "text": "\\n"}\n'
    )


COLUMNS = [Column("name"), Column("count", is_number=True), Column("text")]


@pytest.mark.parametrize("as_json", [True, False])
def test_a_table_is_a_document_in_a_pipe(
    capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    """With or without `--json`: nobody should have to cut columns."""
    Output(as_json=as_json).table(COLUMNS, [["a", "1", "b"]], [{"name": "a"}])

    assert json.loads(capsys.readouterr().out) == [{"name": "a"}]


def test_a_table_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers right, words left, the last column wraps; nothing is taken for markup."""
    monkeypatch.setenv("COLUMNS", "30")
    print_table(COLUMNS, [["[red]a", "1", "one two three four"], ["b\x1b", "100", "x"]])

    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "name     count   text",
        "[red]a       1   one two three",
        "                 four",
        "b�         100   x",
    ]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (312, "312 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1234, "1.2 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (3_400_000, "3.4 MB"),
        (999_949_999, "999.9 MB"),
        (999_950_000, "1.0 GB"),
        (5_000_000_000_000, "5000.0 GB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    """No "1000.0 kB"."""
    assert bytes_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (8.06, "8.1 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (60, "1 min 0 s"),
        (200.4, "3 min 20 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 0 min"),
        (7530, "2 h 5 min"),
        (90_000, "25 h 0 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    """No "60.0 s" and no "60 min"."""
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "$0.0000"),
        (0.000032, "<$0.0001"),
        (0.00005, "$0.0001"),
        (0.00123, "$0.0012"),
        (0.99994, "$0.9999"),
        (0.99996, "$1.00"),
        (1, "$1.00"),
        (12.345, "$12.35"),
    ],
)
def test_money(amount: float, text: str) -> None:
    """What costs something is never shown as nothing."""
    assert usd_text(amount) == text
