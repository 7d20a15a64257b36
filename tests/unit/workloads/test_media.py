"""Which files go with a job, and in which form."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.errors import UsageError
from runpodctl_py.workloads.media import as_data_uri, is_remote, read_medium, read_small_medium
from tests.unit.workloads.workflows import PNG

if TYPE_CHECKING:
    from pathlib import Path

    from runpodctl_py.workloads.media import Medium

# The head of a picture of 58 bytes: its size, four zeros, and where its pixels begin.
BMP = b"BM" + (58).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little") + bytes(44)
WAV = b"RIFF" + (36).to_bytes(4, "little") + b"WAVEfmt " + bytes(28)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file's path; its name says nothing of what it is."""
    return tmp_path / "mine"


@pytest.mark.parametrize(
    ("content", "medium"),
    [(PNG, "image"), (BMP, "image"), (WAV, "audio")],
    ids=["png", "bmp", "wav"],
)
def test_a_file_is_known_by_its_first_bytes(path: Path, content: bytes, medium: Medium) -> None:
    """And read as it is."""
    path.write_bytes(content)
    assert read_medium(path, medium) == content


@pytest.mark.parametrize(
    ("content", "medium", "message"),
    [
        (b"BMW is a maker of cars, and this is a text.", "image", "is no picture"),
        (b"BM: Birmingham, a list of streets", "image", "is no picture"),
        (BMP[:15], "image", "is no picture"),
        (PNG[:15], "image", "is no picture"),
        (b"", "image", "is empty"),
        (b"", "audio", "is empty"),
        (PNG, "audio", "is no recording: it is image/png"),
        (WAV, "image", "is no picture: it is audio/wav"),
    ],
)
def test_what_is_something_else_is_refused(
    path: Path, content: bytes, medium: Medium, message: str
) -> None:
    """A text that begins with a picture's two letters is a text; a head alone is no picture."""
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_medium(path, medium)
    assert caught.value.message == f"{path} {message}"


def test_what_cannot_be_read_is_told(path: Path) -> None:
    """With the system's reason."""
    with pytest.raises(UsageError, match=r"Cannot read .*mine: No such file or directory"):
        read_medium(path, "image")


def test_what_a_request_cannot_carry_is_refused(path: Path) -> None:
    """7 MB are the most that base64 leaves of 10; the advice stands in the hint."""
    path.write_bytes(PNG + bytes(7_000_000 - len(PNG)))
    assert len(read_small_medium(path, "image", "Make it smaller.")) == 7_000_000
    path.write_bytes(PNG + bytes(7_000_001 - len(PNG)))
    with pytest.raises(UsageError, match=r"has 7\.0 MB; a job takes about 7") as caught:
        read_small_medium(path, "image", "Make it smaller.")
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("Make it smaller.\nOr pass a URL")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://example.com/a.png", True),
        ("HTTP://example.com/a.png", True),
        ("data:image/png;base64,AAAA", True),
        ("data:,AAAA", True),
        ("data.png", False),
        ("ftp://example.com/a.png", False),
        ("https://", False),
        ("pictures/https://example.com", False),
    ],
)
def test_what_a_worker_fetches_itself_is_told_apart(text: str, *, expected: bool) -> None:
    """By how it begins; all else is a file of the person's."""
    assert is_remote(text) is expected


@pytest.mark.parametrize(
    ("content", "content_type"), [(PNG, "image/png"), (b"hm", "application/octet-stream")]
)
def test_a_file_travels_with_what_it_is(content: bytes, content_type: str) -> None:
    """As a data URI, whose bytes are the file's."""
    head, _, body = as_data_uri(content).partition(";base64,")
    assert (head, base64.b64decode(body)) == (f"data:{content_type}", content)
