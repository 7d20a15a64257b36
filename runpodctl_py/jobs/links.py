"""How a link is written: to a web server, or to an object in an S3 bucket.

Owns the forms of links that are a whole text, and the file names they give. Whether one of them is
a result is decided by `outputs.py`; nothing here is fetched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from runpodctl_py.jobs.naming import name_in_url

BUCKET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", re.ASCII)
"""What a bucket can be called: more than S3 allows today, as old buckets have such names."""

_WEB = re.compile(r"https?://[^\s/?#@]+(?:[/?#]\S*)?", re.IGNORECASE)
# A key may hold spaces; only a file's extension at its end tells it from a sentence then.
_S3 = re.compile(
    rf"s3://(?P<bucket>{BUCKET_NAME.pattern})/"
    r"(?P<key>[^\s\x00-\x1f\x7f]+|(?! )[^\x00-\x1f\x7f]+\.\w{1,11})",
    re.IGNORECASE,
)
_LONGEST = 8192


@dataclass(frozen=True, slots=True)
class S3Link:
    """An object in a bucket.

    Args:
        bucket: The bucket's name.
        key: The object's name in it, as it is: not quoted, with its slashes.
    """

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def is_web_link(text: str) -> bool:
    """Tell whether a whole text is an http or https URL."""
    return len(text) <= _LONGEST and _WEB.fullmatch(text) is not None


def read_s3_link(text: str) -> S3Link | None:
    """Read a whole text such as `s3://bucket/folder/a.png`; None if it names no single object."""
    found = _S3.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None or found["key"].endswith("/"):
        return None
    return S3Link(found["bucket"], found["key"])


def name_in_link(link: str) -> str:
    """Return the last part of a link's path; empty if there is none."""
    found = read_s3_link(link)
    return name_in_url(link) if found is None else found.key.rpartition("/")[2]
