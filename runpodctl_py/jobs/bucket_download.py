"""Fetching what a worker left in the person's bucket.

Owns everything that the S3 library says: its exceptions quote what servers answer, which may
repeat a key's id, and are translated here and nowhere else. What is received goes to a sink, as
with links to the web (`download.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING

from runpodctl_py import settings
from runpodctl_py.api.retrying import RetryPolicy, TryAgainError, with_retries
from runpodctl_py.errors import (
    NetworkError,
    NotFoundError,
    RateLimitedError,
    RunpodctlError,
    SaveError,
    ServerError,
    UnauthorizedError,
)
from runpodctl_py.jobs.allowance import Allowance
from runpodctl_py.jobs.buckets import endpoint_trouble, region_of, server_url
from runpodctl_py.jobs.links import S3Link, read_s3_link
from runpodctl_py.jobs.naming import name_in_disposition
from runpodctl_py.jobs.save import Fetched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from obstore import GetResult
    from obstore.store import S3Credential, S3Store

    from runpodctl_py.jobs.buckets import Access
    from runpodctl_py.jobs.save import Sink

INSTALLING = "pip install 'runpodctl-py[s3]'"
"""What makes buckets readable."""

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
_NO_LOCATION = "Received redirect without LOCATION"
_OTHER_REGION = frozenset(
    {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed"}
)
_TOO_MANY_REQUESTS = 429
_SERVER_ERRORS = 500
_CHUNK_BYTES = 256 * 1024
_TIMEOUT_S = 30.0
_TOTAL_TIMEOUT_S = 3600.0
_TWO_MORE_TRIES = RetryPolicy(attempts=3, wait_initial_s=0.5, give_up_after_s=_TOTAL_TIMEOUT_S)


class BucketFetcher:
    """Fetches the objects that one job's output links to, with the person's own keys.

    A worker chooses the bucket and the object, never the server or the keys: what comes is the
    person's already.

    Args:
        access: How to reach the buckets.
        allowance: How much the job's links may bring.
        timeout_s: How long to wait for a connection, and for each piece.
        total_timeout_s: How long one object may take in all, its retries included.
        retry: How often to try; an object is always fetched from its beginning.
    """

    def __init__(
        self,
        access: Access,
        *,
        allowance: Allowance | None = None,
        timeout_s: float = _TIMEOUT_S,
        total_timeout_s: float = _TOTAL_TIMEOUT_S,
        retry: RetryPolicy = _TWO_MORE_TRIES,
    ) -> None:
        self._access = access
        self._allowance = allowance or Allowance()
        self._timeout_s = timeout_s
        self._total_timeout_s = total_timeout_s
        self._retry = retry
        self._stores: dict[str, S3Store] = {}

    async def fetch(self, url: str, sink: Sink) -> Fetched:
        """Write the whole content of an object to a sink.

        Raises:
            SaveError: There are no keys or no S3 library, the link is not readable, the object is
                too large, or the job's files are too many or too large in all.
            NotFoundError: There is no such bucket or object.
            UnauthorizedError: The server does not accept the keys, or not for this object.
            RateLimitedError: The server asked for a slower pace with every try.
            ServerError: The server answered with anything else but the object.
            NetworkError: The server cannot be reached or stopped sending.
            OSError: The sink cannot take it.
        """
        self._allowance.begin_file()
        link = read_s3_link(url)
        if link is None:
            raise SaveError("the link is not a readable s3:// link")
        self._check_access(link)

        async def attempt() -> Fetched:
            sink.restart()
            return await self._fetch_once(link, sink)

        try:
            async with asyncio.timeout(self._total_timeout_s):
                return await with_retries(self._retry, attempt)
        except TimeoutError as exc:
            raise NetworkError(f"{link} took longer than {self._total_timeout_s:g} s") from exc

    def _check_access(self, link: S3Link) -> None:
        """Refuse what cannot be read here, and say all that it takes.

        Raises:
            SaveError: There are no keys, no library, or no server to ask.
        """
        needs = []
        if missing := self._access.missing:
            needs.append(f"set {' and '.join(missing)}")
        if not _is_installed():
            needs.append(INSTALLING)
        if needs:
            raise SaveError(
                f"{link} lies in the bucket {link.bucket}: {', '.join(needs)}, then  "
                "runpodctl-py jobs sync"
            )
        if trouble := endpoint_trouble(self._access.server_url):
            raise SaveError(f"{link} cannot be fetched: {settings.BUCKET_ENDPOINT_URL} {trouble}")

    async def _fetch_once(self, link: S3Link, sink: Sink) -> Fetched:
        self._allowance.check(str(link), 0, 1)
        with _translated(link, self._access):
            found = await self._store(link.bucket).get_async(link.key)
        self._allowance.check(str(link), 0, found.meta["size"])
        received_bytes = 0
        chunks = aiter(found.stream(min_chunk_size=_CHUNK_BYTES))
        while True:
            with _translated(link, self._access):
                chunk = await anext(chunks, None)
            if chunk is None:
                return _told(found)
            self._allowance.check(str(link), received_bytes, len(chunk))
            received_bytes += len(chunk)
            self._allowance.take(len(chunk))
            # Outside of the translation: a full disk is not the server's error.
            sink.write(chunk)

    def _store(self, bucket: str) -> S3Store:
        if bucket not in self._stores:
            self._stores[bucket] = self._opened(bucket)
        return self._stores[bucket]

    def _opened(self, bucket: str) -> S3Store:
        """Return a bucket of which nothing is asked yet.

        The library reads the environment of Amazon's tools, too: what it finds there is for
        another server than ours, hence everything that matters is set here.
        """
        from obstore.store import S3Store

        access = self._access
        url = server_url(access.server_url, bucket, own_bucket=access.own_bucket)
        return S3Store(
            bucket,
            config={
                "endpoint": url,
                "aws_endpoint_url_s3": url,
                "region": region_of(url),
                "virtual_hosted_style_request": False,
                "skip_signature": False,
                "s3_express": False,
            },
            client_options={
                "allow_http": True,
                "connect_timeout": timedelta(seconds=self._timeout_s),
                "read_timeout": timedelta(seconds=self._timeout_s),
                "timeout": timedelta(seconds=self._total_timeout_s),
            },
            # We try again ourselves, as with every other link.
            retry_config={"max_retries": 0},
            credential_provider=self._credential,
        )

    def _credential(self) -> S3Credential:
        return {
            "access_key_id": self._access.access_id or "",
            "secret_access_key": self._access.access_secret or "",
            "token": None,
            "expires_at": None,
        }


def _is_installed() -> bool:
    try:
        return find_spec("obstore") is not None
    except ValueError:
        return False


def _told(found: GetResult) -> Fetched:
    """Return what the server says of an object."""
    disposition = found.attributes.get("Content-Disposition")
    content_type = found.attributes.get("Content-Type", "").partition(";")[0].strip().lower()
    return Fetched(
        name=name_in_disposition(disposition) if disposition else None,
        content_type=content_type or None,
    )


@contextlib.contextmanager
def _translated(link: S3Link, access: Access) -> Iterator[None]:
    """Turn the library's exceptions into ours, without their texts and without them as causes.

    They quote what the server answered, which may repeat the key's id. A read can be repeated.
    """
    from obstore import exceptions

    trouble: RunpodctlError | TryAgainError | None = None
    try:
        yield
    except FileNotFoundError as exc:
        has_bucket = _code(exc) != "NoSuchBucket"
        what = "object in the bucket" if has_bucket else "bucket"
        trouble = NotFoundError(f"{link}: there is no such {what}")
    except (
        PermissionError,
        exceptions.PermissionDeniedError,
        exceptions.UnauthenticatedError,
    ) as exc:
        trouble = UnauthorizedError(
            f"{link}: {access.host} does not let the key of {settings.BUCKET_ACCESS_KEY_ID} "
            f"read it{_in_brackets(exc)}"
        )
    except exceptions.BaseError as exc:
        trouble = _refusal(link, access, exc)
    except ValueError:
        trouble = SaveError(f"{link}: keys with empty parts, . or .. are not fetched")
    except OSError as exc:
        trouble = TryAgainError(NetworkError(f"{link}: the transfer failed ({type(exc).__name__})"))
    if trouble is not None:
        raise trouble from None


def _refusal(link: S3Link, access: Access, exc: Exception) -> RunpodctlError | TryAgainError:
    """Say what any other of the library's errors means; some are worth another try."""
    text, host = str(exc), access.host
    if _NO_LOCATION in text or _code(exc) in _OTHER_REGION:
        return ServerError(
            f"{link}: the bucket is in another region than {host}: "
            f"set {settings.BUCKET_ENDPOINT_URL} to the server of its own"
        )
    found = _STATUS.search(text)
    if found is None:
        is_connecting = "kind: Connect" in text
        said = f"{host} cannot be reached" if is_connecting else "the transfer was cut off"
        return TryAgainError(NetworkError(f"{link}: {said}"))
    status = int(found[1])
    if status == _TOO_MANY_REQUESTS:
        return TryAgainError(RateLimitedError(f"{link}: {host} answers too many requests"))
    refused = ServerError(f"{link}: {host} answers HTTP {status}{_in_brackets(exc)}", status=status)
    return TryAgainError(refused) if status >= _SERVER_ERRORS else refused


def _code(exc: BaseException) -> str | None:
    """Return S3's own word for an error: the one part of an answer that can be shown."""
    found = _CODE.search(str(exc))
    return found[1] if found else None


def _in_brackets(exc: BaseException) -> str:
    code = _code(exc)
    return f" ({code})" if code else ""
