"""The person's buckets as values: told to a worker with a job, or opened with keys of their own.

Owns `s3Config`, what an S3 server's URL may be, and what follows from it. Pure: where keys come
from is the caller's business, fetching is `bucket_download.py`'s.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runpodctl_py import settings
from runpodctl_py.jobs.ledger.record import BucketPlace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runpodctl_py.jsontypes import JsonObject, JsonValue

AMAZON = "https://s3.us-east-1.amazonaws.com"
"""Where a bucket is looked for when nothing says where it is."""

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f:]+", re.ASCII)
# Whose signatures are for one region, which stands in the host's name; others take any.
_REGION = re.compile(
    r"(?:^|\.)s3(?:api)?[.-](?:dualstack\.)?(?P<region>[a-z]{2,}-[a-z0-9-]+)"
    r"\.(?:amazonaws\.com(?:\.cn)?|backblazeb2\.com|wasabisys\.com|scw\.cloud|runpod\.io)$"
)
_AMAZONS = re.compile(r"s3[.-](?:[a-z0-9-]+\.)*amazonaws\.com(?:\.cn)?(?::\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Access:
    """How the person's buckets are reached.

    Args:
        endpoint_url: The S3 server's URL; None for Amazon's in us-east-1.
        access_id: The key's id, if there is one.
        access_secret: The key's secret, if there is one.
        own_bucket: The bucket that the person's settings name, if they do.
    """

    endpoint_url: str | None = None
    access_id: str | None = field(default=None, repr=False)
    access_secret: str | None = field(default=None, repr=False)
    own_bucket: str | None = None

    @property
    def server_url(self) -> str:
        """Where the buckets are."""
        return self.endpoint_url or AMAZON

    @property
    def host(self) -> str:
        """The server as one line can name it."""
        return urlsplit(self.server_url).netloc

    @property
    def missing(self) -> tuple[str, ...]:
        """The settings without which nothing can be read."""
        needed = {
            settings.BUCKET_ACCESS_KEY_ID: self.access_id,
            settings.BUCKET_SECRET_ACCESS_KEY: self.access_secret,
        }
        return tuple(name for name, value in needed.items() if not value)


@dataclass(frozen=True)
class Bucket:
    """A bucket that a worker is to put its files into.

    Args:
        name: What it is called.
        endpoint_url: The S3 server's URL.
        access_id: The key's id.
        access_secret: The key's secret.
        path: What the names of the objects begin with, if not with the bucket's root.
    """

    name: str
    endpoint_url: str
    access_id: str = field(repr=False)
    access_secret: str = field(repr=False)
    path: str | None = None

    def s3_config(self) -> JsonObject:
        """Return what is sent with a job, beside its input (API reference 4.2): with the keys."""
        config: JsonObject = {
            "accessId": self.access_id,
            "accessSecret": self.access_secret,
            "bucketName": self.name,
            "endpointUrl": self.endpoint_url,
        }
        return {**config, "objectPath": self.path} if self.path else config


def endpoint_trouble(url: str) -> str | None:
    """Say what keeps a URL from being an S3 server's; None if nothing does.

    The words do not quote it: it may carry a password.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "is no http(s) URL"
    if parts.username is not None or parts.password is not None:
        return "carries a user name or a password: keys belong into settings of their own"
    is_plain = url.isascii() and url.isprintable() and not re.search(r"[\s?#\\]", url)
    if parts.scheme not in {"http", "https"} or not _HOST.fullmatch(host) or not is_plain:
        return "is no http(s) URL"
    return None


def region_of(endpoint_url: str) -> str:
    """Return the region to sign requests for: from the server's name, where it has one.

    R2 calls its only one `auto`; MinIO and others take `us-east-1` for theirs.
    """
    host = urlsplit(endpoint_url).hostname or ""
    if found := _REGION.search(host):
        return found["region"]
    return "auto" if host.endswith(".r2.cloudflarestorage.com") else "us-east-1"


def server_url(endpoint_url: str, bucket: str, *, own_bucket: str | None = None) -> str:
    """Return the server's own URL where somebody put the bucket into it.

    worker-comfyui asks for `https://BUCKET.s3.REGION.amazonaws.com`, and R2 shows
    `https://ACCOUNT.r2.cloudflarestorage.com/BUCKET`; we name the bucket in the path ourselves.

    A worker chooses the bucket, and must not choose the server by it: a name that begins like the
    host of another server, such as `minio` for minio.s3.example.com, is no part of its URL.

    Args:
        endpoint_url: The URL as somebody has it.
        bucket: The bucket that is asked for.
        own_bucket: The one that the person named; their word on what a host begins with.
    """
    parts = urlsplit(endpoint_url.rstrip("/"))
    host, path = parts.netloc, parts.path.removesuffix(f"/{bucket}")
    if host.lower().startswith(f"{bucket.lower()}.s3"):
        rest = host[len(bucket) + 1 :]
        if bucket == own_bucket or _AMAZONS.fullmatch(rest):
            host = rest
    return f"{parts.scheme}://{host}{path}"


def place_in(s3_config: Mapping[str, JsonValue] | None) -> BucketPlace | None:
    """Return which bucket a request names, without its keys; None if it names none."""
    if s3_config is None:
        return None
    path = s3_config.get("objectPath")
    return BucketPlace(
        str(s3_config["bucketName"]),
        str(s3_config["endpointUrl"]),
        None if path is None else str(path),
    )
