"""Fetching the files that an output links to, from hosts that must not learn our API key.

Owns the HTTP side: redirects, limits, retries, and errors without the signatures of URLs. What is
received goes to a sink; temporary files and names are `save.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import httpx

from runpodctl_py.api.retrying import RetryPolicy, TryAgainError, retry_after_s, with_retries
from runpodctl_py.errors import (
    NetworkError,
    NotFoundError,
    RateLimitedError,
    RunpodctlError,
    SaveError,
    ServerError,
)
from runpodctl_py.jobs.allowance import Allowance
from runpodctl_py.jobs.naming import name_in_disposition
from runpodctl_py.jobs.save import Fetched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from runpodctl_py.jobs.save import Sink

_MOST_REDIRECTS = 5
_GONE = frozenset({401, 403, 404, 410})
_TOO_MANY_REQUESTS = 429
_LARGEST_PORT = 65535
_CHUNK_BYTES = 256 * 1024
_TIMEOUT_S = 30.0
_TOTAL_TIMEOUT_S = 3600.0
_TWO_MORE_TRIES = RetryPolicy(attempts=3, wait_initial_s=0.5, give_up_after_s=_TOTAL_TIMEOUT_S)


class Downloader:
    """Fetches the links of one job with a client that knows no secret.

    Args:
        client: How to connect; it must carry no authorisation, because it talks to hosts that a
            worker chose.
        allowance: How much the job's links may bring; a new one by itself.
        timeout_s: How long to wait for a connection, and for each piece of an answer.
        total_timeout_s: How long one file may take in all, its retries included.
        retry: How often to try; a file is always fetched from its beginning.

    Raises:
        ValueError: The client would send an Authorization header.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        allowance: Allowance | None = None,
        timeout_s: float = _TIMEOUT_S,
        total_timeout_s: float = _TOTAL_TIMEOUT_S,
        retry: RetryPolicy = _TWO_MORE_TRIES,
    ) -> None:
        if client.auth is not None or "authorization" in client.headers:
            raise ValueError("a client with authorisation must not be used for downloads")
        self._client = client
        self._allowance = allowance or Allowance()
        self._timeout_s = timeout_s
        self._total_timeout_s = total_timeout_s
        self._retry = retry

    async def fetch(self, url: str, sink: Sink) -> Fetched:
        """Write the whole content of a URL to a sink.

        Connection errors, 429 and 5xx are tried again. Redirects are followed, at most five, never
        from https to http.

        Raises:
            NotFoundError: The link has expired, or was never readable.
            SaveError: The link is not one to follow, the file is too large, or the job's files are
                too many or too large in all.
            RateLimitedError: The host answered 429 to every try.
            ServerError: The host answered with anything else but the file.
            NetworkError: The host cannot be reached or stopped sending.
            OSError: The sink cannot take it.
        """
        self._allowance.begin_file()

        async def attempt() -> Fetched:
            sink.restart()
            return await self._fetch_once(url, sink)

        try:
            async with asyncio.timeout(self._total_timeout_s):
                return await with_retries(self._retry, attempt)
        except TimeoutError as exc:
            raise NetworkError(
                f"{shown_url(url)} took longer than {self._total_timeout_s:g} s"
            ) from exc

    async def _fetch_once(self, url: str, sink: Sink) -> Fetched:
        """Fetch a URL once, following its redirects."""
        target = _checked(url)
        # What is used up needs no request to be refused.
        self._allowance.check(shown_url(target), 0, 1)
        for _ in range(_MOST_REDIRECTS + 1):
            with _translated(target):
                async with self._opened(target) as response:
                    if response.next_request is None:
                        return await self._received(response, sink)
                    target = _redirected(target, response.next_request.url)
        raise ServerError(f"{shown_url(url)} redirects more than {_MOST_REDIRECTS} times")

    @contextlib.asynccontextmanager
    async def _opened(self, url: httpx.URL) -> AsyncIterator[httpx.Response]:
        request = self._client.build_request(
            "GET",
            url,
            # Sizes are announced and limited in bytes of the file, not of its compression.
            headers={"Accept": "*/*", "Accept-Encoding": "identity"},
            timeout=self._timeout_s,
        )
        response = await self._client.send(request, stream=True, auth=None, follow_redirects=False)
        try:
            yield response
        finally:
            await response.aclose()

    async def _received(self, response: httpx.Response, sink: Sink) -> Fetched:
        if not response.is_success:
            raise _refusal(response)
        shown = shown_url(response.url)
        announced = response.headers.get("content-length", "")
        if announced.isdecimal():
            self._allowance.check(shown, 0, int(announced))
        received_bytes = 0
        async for chunk in response.aiter_bytes(_CHUNK_BYTES):
            self._allowance.check(shown, received_bytes, len(chunk))
            received_bytes += len(chunk)
            self._allowance.take(len(chunk))
            sink.write(chunk)
        disposition = response.headers.get("content-disposition")
        return Fetched(
            name=name_in_disposition(disposition) if disposition else None,
            content_type=_essence(response.headers.get("content-type")),
        )


def shown_url(url: httpx.URL | str) -> str:
    """Return a URL without its query, which may be a signature, and without a user's password.

    Never raises: of what is no URL, nothing is shown.
    """
    try:
        shown = str(httpx.URL(url).copy_with(query=None, fragment=None, userinfo=b""))
    except (httpx.InvalidURL, ValueError):
        shown = ""
    return shown or "the link"


def _checked(url: httpx.URL | str) -> httpx.URL:
    """Return a URL that may be requested.

    Raises:
        SaveError: It is of another scheme, not readable, or carries a password.
    """
    try:
        parsed = httpx.URL(url)
        # An international name is decoded when it is asked for, and may turn out to be none.
        host = parsed.host
    except (httpx.InvalidURL, ValueError) as exc:
        raise SaveError("the link is not a readable URL") from exc
    if parsed.scheme not in {"http", "https"} or not host:
        raise SaveError(f"only http and https links are followed, not {parsed.scheme or 'others'}")
    if not 0 <= (parsed.port or 0) <= _LARGEST_PORT:
        raise SaveError(f"{shown_url(parsed)} names a port that cannot exist")
    if parsed.userinfo:
        raise SaveError(f"{shown_url(parsed)} carries a user name: such links are not followed")
    return parsed


def _redirected(origin: httpx.URL, target: httpx.URL) -> httpx.URL:
    """Return where a redirect leads, if it is checked like any link and keeps the encryption."""
    target = _checked(target)
    if origin.scheme == "https" and target.scheme == "http":
        raise SaveError(f"{shown_url(origin)} redirects from https to http")
    return target


def _refusal(response: httpx.Response) -> RunpodctlError | TryAgainError:
    """Say what a status other than success means; some are worth another try."""
    shown, status = shown_url(response.url), response.status_code
    if status in _GONE:
        return NotFoundError(f"{shown}: the link has expired or is not readable (HTTP {status})")
    wait_s = retry_after_s(response.headers.get("retry-after"))
    if status == _TOO_MANY_REQUESTS:
        return TryAgainError(RateLimitedError(f"{shown} answers too many requests"), wait_s)
    refused = ServerError(f"{shown} answers HTTP {status}", status=status)
    return TryAgainError(refused, wait_s) if response.is_server_error else refused


@contextlib.contextmanager
def _translated(url: httpx.URL) -> Iterator[None]:
    """Turn httpx's exceptions into ours; a GET can always be repeated."""
    shown = shown_url(url)
    try:
        yield
    except httpx.TimeoutException as exc:
        raise TryAgainError(NetworkError(f"{shown} does not answer in time")) from exc
    except httpx.ConnectError as exc:
        raise TryAgainError(NetworkError(f"{url.host} cannot be reached")) from exc
    except httpx.TransportError as exc:
        raise TryAgainError(NetworkError(f"{shown}: the transfer was cut off or garbled")) from exc
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as exc:
        # httpx lets through what the codecs say of odd host names, in a redirect for example.
        raise ServerError(f"{shown}: the address or the answer is not readable") from exc


def _essence(content_type: str | None) -> str | None:
    essence = (content_type or "").partition(";")[0].strip().lower()
    return essence or None
