"""Hands a finished file over: inside the answer as base64, or in a bucket with a link to it.

Owns the choice of the bucket (the job's `s3Config` before the worker's `BUCKET_*` variables) and
the call of the SDK's upload helper. The helper answers with a path on the worker's own disk when
credentials are missing, hence they are checked here, before any work begins.
"""

from __future__ import annotations

import base64
import math
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from worker.errors import InvalidInputError, ProcessingError, ResourceError, SettingError
from worker.trouble import is_disk_full
from worker.validation import describe, read_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_JOB_KEYS = ("endpointUrl", "accessId", "accessSecret", "bucketName")
_VARIABLES = (
    "BUCKET_ENDPOINT_URL",
    "BUCKET_ACCESS_KEY_ID",
    "BUCKET_SECRET_ACCESS_KEY",
    "BUCKET_NAME",
)
LIMIT_VARIABLE = "WORKER_RESULT_LIMIT_MB"
_MB = 1024 * 1024
# What an answer holds besides its files: field names, quotes, the job's id.
_ENVELOPE_BYTES = 4096


@dataclass(frozen=True)
class FinishedFile:
    """What a task made.

    Attributes:
        filename: A plain name without folders.
        content_type: Its MIME type.
        data: The bytes.
        preview: A line or two for a person who has not opened the file.
    """

    filename: str
    content_type: str
    data: bytes = field(repr=False)
    preview: str


class Delivery(Protocol):
    """A way for a file to its owner."""

    def deliver(self, file: FinishedFile) -> dict[str, Any]:
        """Return the answer's description of the file; blocks while anything is uploaded."""


class InlineDelivery:
    """Puts the content itself into the answer."""

    def deliver(self, file: FinishedFile) -> dict[str, Any]:
        """Return the description with `content_base64`."""
        content = base64.b64encode(file.data).decode("ascii")
        return _describe_file(file, {"content_base64": content})


@dataclass(frozen=True)
class Bucket:
    """An S3 bucket and the key that opens it; its `repr` shows no key.

    Attributes:
        endpoint_url: The S3 server's URL.
        access_key_id: The key's id.
        secret_access_key: The key's secret.
        name: What it is called.
        path: What the objects' keys begin with, without slashes around it; empty for its root.
    """

    endpoint_url: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    name: str
    path: str = ""


@dataclass(frozen=True)
class BucketDelivery:
    """Puts the file into a bucket and a link to it into the answer.

    Attributes:
        bucket: Where to.
        folder: The part of the object's key between the bucket's path and the file name: the job's
            id.
    """

    bucket: Bucket
    folder: str

    def deliver(self, file: FinishedFile) -> dict[str, Any]:
        """Return the description with `url`, as `upload` returns it.

        Raises:
            ProcessingError: The bucket could not be reached or refused the file.
            ResourceError: No space on the disk for the copy that the SDK uploads.
        """
        return _describe_file(file, {"url": self.upload(file)})

    def upload(self, file: FinishedFile) -> str:
        """Return a link to the file in the bucket, which the SDK signs for seven days.

        Raises:
            ProcessingError: The bucket could not be reached or refused the file.
            ResourceError: No space on the disk for the copy that the SDK uploads.
        """
        with tempfile.TemporaryDirectory(prefix="worker-upload-") as folder:
            path = Path(folder) / file.filename
            try:
                path.write_bytes(file.data)
            except OSError as error:
                if not is_disk_full(error):
                    raise
                raise ResourceError(
                    f"no space left on the worker's disk for {len(file.data)} bytes to upload"
                ) from error
            return self._upload(path, file.content_type)

    def _upload(self, path: Path, content_type: str) -> str:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
        from runpod.serverless.utils.rp_upload import upload_file_to_bucket

        try:
            url: str = upload_file_to_bucket(
                file_name=path.name,
                file_location=str(path),
                bucket_creds={
                    "endpointUrl": self.bucket.endpoint_url,
                    "accessId": self.bucket.access_key_id,
                    "accessSecret": self.bucket.secret_access_key,
                },
                bucket_name=self.bucket.name,
                prefix="/".join(filter(None, (self.bucket.path, self.folder))),
                extra_args={"ContentType": content_type},
            )
        except (Boto3Error, BotoCoreError, ClientError) as error:
            raise ProcessingError(
                f"uploading to bucket {describe(self.bucket.name)} failed: {_reason(error)}"
            ) from error
        return url


@dataclass(frozen=True)
class Content:
    """What an answer has of a file.

    Attributes:
        text: The file itself in base64, or a link to it.
        is_link: Which of them.
    """

    text: str = field(repr=False)
    is_link: bool

    def key(self, name: str) -> str:
        """Return the name of the field that has it: clients know links by `_url`."""
        return f"{name}_url" if self.is_link else name


@dataclass(frozen=True)
class Handover:
    """The files of one answer on their way: as base64, or as links into a bucket.

    Attributes:
        bucket: Where files go that an answer cannot hold, if there is one.
        folder: The part of the objects' keys before the file names: the job's id.
        limit_bytes: How much an answer may hold.
        is_wanted_there: Whether the job brought the bucket: then all files go there.
    """

    bucket: Bucket | None
    folder: str
    limit_bytes: int
    is_wanted_there: bool = False

    @classmethod
    def of(cls, job: Mapping[str, Any], environ: Mapping[str, str], limit_bytes: int) -> Handover:
        """Return the way for a job's files, before any work begins.

        Raises:
            InvalidInputError: The job's `s3Config` lacks a key or names no URL.
            ResourceError: The worker has half of a bucket.
        """
        has_bucket = job.get("s3Config") or any(environ.get(name) for name in _VARIABLES)
        bucket = find_bucket(job, environ) if has_bucket else None
        return cls(bucket, str(job["id"]), limit_bytes, bool(job.get("s3Config")))

    def hand_over(self, files: Sequence[FinishedFile], *, advice: str) -> list[Content]:
        """Return the files themselves, or a link to each of them.

        Links if the job brought a bucket, or if the files are too large together.

        Args:
            files: The files.
            advice: What makes them smaller, for a person.

        Raises:
            ProcessingError: The bucket could not be reached or refused a file.
            ResourceError: They are too large and there is no bucket.
        """
        encoded_bytes = sum(4 * ((len(each.data) + 2) // 3) for each in files)
        if not self.is_wanted_there and encoded_bytes <= self.limit_bytes - _ENVELOPE_BYTES:
            encoded = (base64.b64encode(each.data).decode("ascii") for each in files)
            return [Content(text, is_link=False) for text in encoded]
        if self.bucket is None:
            raise ResourceError(
                f"the result is {_megabytes(encoded_bytes)} in base64, and RunPod takes at most "
                f"{_megabytes(self.limit_bytes)} from a worker: {advice}, set "
                f"{', '.join(_VARIABLES)} on the endpoint, or send s3Config with the job"
            )
        delivery = BucketDelivery(self.bucket, self.folder)
        return [Content(delivery.upload(each), is_link=True) for each in files]


def read_limit_bytes(environ: Mapping[str, str]) -> int:
    """Return how large an answer may be: 20 MB, or what `WORKER_RESULT_LIMIT_MB` says.

    20 MB is what RunPod takes for `/runsync`, and the least that it takes from workers (API
    reference 4.1 and 5.5).

    Raises:
        SettingError: It is no positive number.
    """
    raw = environ.get(LIMIT_VARIABLE, "20")
    try:
        megabytes = float(raw)
    except ValueError:
        megabytes = math.nan
    if not 0 < megabytes < math.inf:
        raise SettingError(f"{LIMIT_VARIABLE} must be a number above 0, not {raw!r}")
    return int(megabytes * _MB)


def find_bucket(job: Mapping[str, Any], environ: Mapping[str, str]) -> Bucket:
    """Return the bucket for a job: from its `s3Config` if it has one, else from `BUCKET_*`.

    Raises:
        InvalidInputError: The job's `s3Config` lacks a key, or names no URL or no path.
        ResourceError: The job brings no bucket, and the worker has none or half of one.
    """
    if job.get("s3Config"):
        return _bucket_of_job(read_object(job, "s3Config"))
    return _bucket_of_worker(environ)


def _bucket_of_job(config: Mapping[str, Any]) -> Bucket:
    missing = [key for key in _JOB_KEYS if not isinstance(config.get(key), str) or not config[key]]
    if missing:
        raise InvalidInputError(f"s3Config lacks {', '.join(missing)}")
    if not _is_http_url(config["endpointUrl"]):
        raise InvalidInputError("s3Config.endpointUrl must begin with http:// or https://")
    path = config.get("objectPath") or ""
    if not isinstance(path, str):
        raise InvalidInputError("s3Config.objectPath must be a text")
    endpoint_url, access_key_id, secret_access_key, name = (config[key] for key in _JOB_KEYS)
    return Bucket(endpoint_url, access_key_id, secret_access_key, name, path.strip("/"))


def _bucket_of_worker(environ: Mapping[str, str]) -> Bucket:
    missing = [name for name in _VARIABLES if not environ.get(name)]
    if missing:
        raise ResourceError(
            f"a link needs a bucket: set {', '.join(missing)} on the endpoint, or send s3Config "
            "with the job"
        )
    if not _is_http_url(environ["BUCKET_ENDPOINT_URL"]):
        raise ResourceError("BUCKET_ENDPOINT_URL must begin with http:// or https://")
    return Bucket(*(environ[name] for name in _VARIABLES))


def _describe_file(file: FinishedFile, content: dict[str, Any]) -> dict[str, Any]:
    return {
        "filename": file.filename,
        "content_type": file.content_type,
        "size_bytes": len(file.data),
        **content,
        "preview": file.preview,
    }


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / _MB:.1f} MB"


def _is_http_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _reason(error: Exception) -> str:
    """Return S3's own code, or the error's class: its text may quote URLs with credentials."""
    from botocore.exceptions import ClientError

    # boto3's upload wraps what S3 answered, and keeps the original only as the context.
    for cause in (error, error.__context__):
        if isinstance(cause, ClientError):
            return str(cause.response.get("Error", {}).get("Code", "unknown"))
    return type(error).__name__
