"""A person's own file that goes into a job's input: a recording, a picture.

Owns reading it, what it must be, and the form in which it travels. Which field it is for is the
caller's business.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Literal

from runpodctl_py.errors import UsageError
from runpodctl_py.jobs.content_types import sniff

if TYPE_CHECKING:
    from pathlib import Path

Medium = Literal["audio", "image"]

_NOUNS: dict[Medium, str] = {"audio": "recording", "image": "picture"}
_REMOTE = re.compile(r"https?://\S+|data:[^,]*,", re.IGNORECASE)
_LEAST_BYTES = 16
"""Shorter than the head of any picture or recording."""
_BMP_ZEROS = slice(6, 10)
_MOST_BYTES = 7_000_000
"""RunPod takes 10 MB of JSON (API reference 4.1), and base64 makes four bytes of three."""


def is_remote(text: str) -> bool:
    """Tell whether a worker gets a file by itself: from a URL, or a data URI."""
    return _REMOTE.match(text) is not None


def read_medium(path: Path, medium: Medium) -> bytes:
    """Read a file that is to go with a job.

    Args:
        path: Where it is.
        medium: What it has to be, by its first bytes.

    Raises:
        UsageError: It cannot be read, or is something else.
    """
    noun = _NOUNS[medium]
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise UsageError(f"Cannot read {path}: {exc.strerror}") from exc
    kind = sniff(content) if len(content) >= _LEAST_BYTES else None
    if kind is not None and kind.extension == ".bmp" and any(content[_BMP_ZEROS]):
        # Two letters alone are no sign: a text may begin with them.
        kind = None
    if not content:
        raise UsageError(f"{path} is empty")
    if kind is None or kind.content_type.partition("/")[0] != medium:
        what = "" if kind is None else f": it is {kind.content_type}"
        raise UsageError(f"{path} is no {noun}{what}")
    return content


def read_small_medium(path: Path, medium: Medium, advice: str) -> bytes:
    """Read a file that is all of what a job's request carries.

    Args:
        path: Where it is.
        medium: What it has to be.
        advice: What helps if it is too large.

    Raises:
        UsageError: It cannot be read, is something else, or is too large for a request.
    """
    content = read_medium(path, medium)
    if len(content) > _MOST_BYTES:
        raise UsageError(
            f"{path} has {len(content) / 1e6:.1f} MB; a job takes about {_MOST_BYTES / 1e6:.0f}",
            hint=f"{advice}\nOr pass a URL from which the worker can fetch it.",
        )
    return content


def as_data_uri(content: bytes) -> str:
    """Return a file's content as workers take it, with what it is."""
    kind = sniff(content)
    content_type = "application/octet-stream" if kind is None else kind.content_type
    return f"data:{content_type};base64,{base64.b64encode(content).decode('ascii')}"
