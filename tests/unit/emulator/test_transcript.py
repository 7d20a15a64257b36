"""A transcript as a file: read strictly, written so that a kill leaves what came before."""

from __future__ import annotations

import json
import resource
import stat
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runpodctl_py.emulator.lab.transcript import (
    Answer,
    Body,
    Exchange,
    Request,
    TranscriptFile,
    header,
    read,
)
from runpodctl_py.errors import ConflictError, NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXCHANGES = (
    Exchange(
        Request("POST", "/v2/a/run", "wait=1", {"accept": "*/*"}, Body("json", {"input": [1.5]})),
        Answer(200, {"content-type": "application/json"}, Body("json", None)),
        1790000000.25,
        0.125,
    ),
    Exchange(Request("GET", "/v2/a/health"), None, 1.0, 0.0),
    Exchange(
        Request("GET", "/graphql"), Answer(500, body=Body("text", "ä\n"), broke_off=True), 2.0, 1.0
    ),
    Exchange(Request("GET", "/v2/b/c"), Answer(200, body=Body("base64", "/w==")), 3.0, 1.0),
)


def recorded(path: Path) -> None:
    """Write a transcript."""
    with closing(TranscriptFile(path)) as file:
        for each in EXCHANGES:
            file.add(each)
        assert (file.exchanges, file.broken) == (4, None)


def test_two_recordings_do_not_share_a_file(tmp_path: Path) -> None:
    """The second is refused, and takes nothing from the first; after it, the file may go."""
    path = tmp_path / "day.jsonl"
    with closing(TranscriptFile(path)) as file:
        file.add(EXCHANGES[0])
        with pytest.raises(ConflictError, match="another recording is being written to"):
            TranscriptFile(path, replace=True)
        file.add(EXCHANGES[1])
    assert read(path).exchanges == EXCHANGES[:2]
    with closing(TranscriptFile(path, replace=True)):
        assert read(path).exchanges == ()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Every kind of body, an answer that broke off, and none at all; for its owner only."""
    recorded(tmp_path / "day.jsonl")
    transcript = read(tmp_path / "day.jsonl")
    assert (transcript.exchanges, transcript.is_torn) == (EXCHANGES, False)
    assert stat.S_IMODE((tmp_path / "day.jsonl").stat().st_mode) == 0o600


@given(st.binary() | st.text().map(str.encode) | st.from_type(dict).map(lambda _: b'{"a": [1]}'))
def test_a_body_keeps_its_bytes(content: bytes) -> None:
    """Of JSON, its value."""
    body = Body.of(content)
    if body is None:
        assert content == b""
    elif body.kind == "json":
        assert json.loads(body.content()) == json.loads(content)
    else:
        assert body.content() == content


def test_deep_json_comes_back(tmp_path: Path) -> None:
    """A line is deeper than the body in it."""
    body = Body.of(b"[" * 100 + b"]" * 100)
    assert body is not None
    assert body.kind == "json"
    with closing(TranscriptFile(tmp_path / "deep")) as file:
        file.add(Exchange(Request("POST", "/", body=body), None, 0.0, 0.0))
    assert read(tmp_path / "deep").exchanges[0].request.body == body


def test_a_torn_line_is_left_out(tmp_path: Path) -> None:
    """As a kill, or a full disk, may leave it, wherever it was torn."""
    recorded(tmp_path / "day")
    whole = (tmp_path / "day").read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    for end in (last + 1, last + 20, len(whole) - 1):
        (tmp_path / "torn").write_bytes(whole[:end])
        transcript = read(tmp_path / "torn")
        assert (transcript.exchanges, transcript.is_torn) == (EXCHANGES[:3], True)


def changed(**fields: Any) -> bytes:
    """Return a line with other fields; what is None is left out."""
    line = {**json.loads(EXCHANGES[0].line()), **fields}
    return json.dumps({name: each for name, each in line.items() if each != "left out"}).encode()


WRONG = {
    "no JSON": (b"{]", "line 2: Expecting"),
    "no object": (b"[]", "line 2: a JSON object is missing"),
    "no request": (changed(request="left out"), 'line 2: "request" is missing'),
    "a request of another kind": (changed(request=3), "line 2: a JSON object is missing"),
    "no answer": (changed(answer="left out"), 'line 2: "answer" is missing'),
    "a status that is none": (
        changed(answer={"status": "200", "headers": {}, "body": None}),
        'line 2: "status" is no HTTP status',
    ),
    "a body of an unknown kind": (
        changed(answer={"status": 200, "headers": {}, "body": {"xml": ""}}),
        'line 2: "body" is neither',
    ),
    "a body that is no base64": (
        changed(answer={"status": 200, "headers": {}, "body": {"base64": "ä"}}),
        'line 2: "body" is no base64',
    ),
    "a header that is no text": (
        changed(answer={"status": 200, "headers": {"a": 1}, "body": None}),
        'line 2: "a" is no text',
    ),
    "a time that is none": (changed(beganAt=True), 'line 2: "beganAt" is no number'),
    "no text at all": (b"\xff", "line 2: "),
}


@pytest.mark.parametrize(("line", "words"), WRONG.values(), ids=WRONG)
def test_a_wrong_line_is_named(tmp_path: Path, line: bytes, words: str) -> None:
    """With its number and what is wrong about it."""
    (tmp_path / "day").write_bytes(f"{header()}\n".encode() + line + b"\n")
    with pytest.raises(UsageError) as refused:
        read(tmp_path / "day")
    assert words in refused.value.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no whole line"),
        ("anything", "no whole line"),
        ("anything\n", "line 1"),
        ('{"a": 1}\n', '"format"'),
        (header().replace("1", "2") + "\n", "version 2"),
    ],
)
def test_another_file_is_no_transcript(tmp_path: Path, text: str, words: str) -> None:
    """Its first line says what it is, and for which version of the program."""
    (tmp_path / "other").write_text(text)
    with pytest.raises(UsageError, match=words):
        read(tmp_path / "other")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Cannot be replayed, and a folder cannot be read."""
    with pytest.raises(NotFoundError, match="no transcript"):
        read(tmp_path / "nothing")
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path)


def test_a_file_that_is_there_is_not_touched(tmp_path: Path) -> None:
    """Unless it may be replaced."""
    (tmp_path / "day").write_text("precious")
    with pytest.raises(ConflictError, match="already"):
        TranscriptFile(tmp_path / "day")
    assert (tmp_path / "day").read_text() == "precious"
    (tmp_path / "day").chmod(0o644)
    TranscriptFile(tmp_path / "day", replace=True).close()
    assert stat.S_IMODE((tmp_path / "day").stat().st_mode) == 0o600
    assert read(tmp_path / "day").exchanges == ()
    with pytest.raises(UsageError, match="cannot be written"):
        TranscriptFile(tmp_path / "no" / "folder")


@pytest.fixture
def small_disk() -> Iterator[int]:
    """Lets files grow to a number of bytes, and no further; they are given in part until then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    most_bytes = len(header()) + 1 + 2 * (len(EXCHANGES[0].line()) + 1) + 20
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    yield most_bytes
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, small_disk: int) -> None:
    """The half that was written is taken back, what follows is not tried, and it is told."""
    path = tmp_path / "day"
    with closing(TranscriptFile(path)) as file:
        for _ in range(4):
            file.add(EXCHANGES[0])
        file.add(EXCHANGES[1])
        assert file.exchanges == 2
        assert file.broken is not None
        assert "what came before is in it: 2 requests" in str(file.broken.hint).lower()
    assert path.stat().st_size == small_disk - 20
    transcript = read(path)
    assert (transcript.exchanges, transcript.is_torn) == ((EXCHANGES[0],) * 2, False)
