"""The one factory of HTTP clients: auth, timeouts, retries, and answers without secrets in them.

Owns the clients and what their failures mean; only downloads (`jobs/download.py`) read httpx's
exceptions for themselves. Does not know what an endpoint or
a job is (`serverless.py`), and does not follow redirects, so the key stays with the host it is for.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import httpx

from runpodctl_py import __version__
from runpodctl_py.api.hosts import built, has_no_certificate, is_this_machine
from runpodctl_py.api.retrying import RetryPolicy, TryAgainError, retry_after_s, with_retries
from runpodctl_py.errors import (
    AnswerLostError,
    NetworkError,
    NotFoundError,
    PayloadTooLargeError,
    RateLimitedError,
    RefusedError,
    ServerError,
    UnauthorizedError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from runpodctl_py.jsontypes import JsonObject

USER_AGENT = f"runpodctl-py/{__version__} Python/{sys.version_info[0]}.{sys.version_info[1]}"

# httpx 0.28 collapses above about 48 connections in one client (libraries reference 1d).
_LIMITS = httpx.Limits(max_connections=32, max_keepalive_connections=8)
_CONNECT_TIMEOUT_S = 10.0
_READ_TIMEOUT_S = 30.0
_NO_EFFECT = frozenset({429, 503})


@dataclass(frozen=True)
class Answer:
    """A JSON object that came back, with its HTTP status."""

    status: int
    body: JsonObject


def redact(text: str, secret: str) -> str:
    """Return a text that came from outside without the key in it."""
    return text.replace(secret, "…") if secret else text


def download_client() -> httpx.AsyncClient:
    """Return a client for files found in a job's output: it knows no key and no redirects."""
    return built(
        lambda: httpx.AsyncClient(
            limits=_LIMITS,
            timeout=httpx.Timeout(_READ_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S),
            headers={"User-Agent": USER_AGENT},
        )
    )


class Transport:
    """JSON over HTTP to one of RunPod's hosts, with the key. Use it as an async context.

    Args:
        base_url: The API's root, without a trailing slash.
        api_key: Sent as a bearer token, to this host only.
        retries: How often safe requests are repeated.

    Raises:
        UsageError: The environment's proxy or certificate settings cannot be used.
    """

    def __init__(self, base_url: str, api_key: str, *, retries: RetryPolicy | None = None) -> None:
        self._base_url = base_url
        self._api_key = api_key
        self._retries = retries or RetryPolicy()
        self._client = built(
            lambda: httpx.AsyncClient(
                limits=_LIMITS,
                headers={"Authorization": f"Bearer {api_key}", "User-Agent": USER_AGENT},
                trust_env=not is_this_machine(base_url),
                verify=not has_no_certificate(base_url),
            )
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def get(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        *,
        hold_s: float = 0.0,
        tries: int | None = None,
    ) -> Answer:
        """GET a path; a long poll names how long the server may hold it.

        Args:
            path: Below the base URL.
            params: The query.
            hold_s: How long the server may hold the request before it answers.
            tries: How often it is sent at most, if not as often as the policy says.

        Raises:
            NotFoundError, UnauthorizedError, RefusedError: RunPod's answer, at once.
            RateLimitedError, ServerError, NetworkError: After retries.
        """
        return await self._send(
            "GET", path, params=params, hold_s=hold_s, repeatable=True, tries=tries
        )

    async def post(
        self,
        path: str,
        body: JsonObject | None = None,
        params: Mapping[str, str | int] | None = None,
        *,
        hold_s: float = 0.0,
        repeatable: bool = False,
    ) -> Answer:
        """POST JSON. Unless `repeatable`, it is sent again only when it had no effect for sure.

        Raises:
            AnswerLostError: It was sent, and what became of it is unknown.
            NotFoundError, UnauthorizedError, RefusedError, PayloadTooLargeError: RunPod's answer.
            RateLimitedError, ServerError, NetworkError: After retries.
        """
        return await self._send(
            "POST", path, body=body, params=params, hold_s=hold_s, repeatable=repeatable
        )

    async def put(self, path: str, body: JsonObject) -> Answer:
        """PUT JSON, which means the same however often it arrives.

        Raises:
            NotFoundError, UnauthorizedError, RefusedError, PayloadTooLargeError: RunPod's answer.
            RateLimitedError, ServerError, NetworkError: After retries.
        """
        return await self._send("PUT", path, body=body, hold_s=0.0, repeatable=True)

    async def delete(self, path: str) -> Answer:
        """DELETE a path. It is sent again only when it had no effect for sure.

        Raises:
            AnswerLostError: It was sent, and what became of it is unknown.
            NotFoundError, UnauthorizedError, RefusedError: RunPod's answer.
            RateLimitedError, ServerError, NetworkError: After retries.
        """
        return await self._send("DELETE", path, hold_s=0.0, repeatable=False)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        body: JsonObject | None = None,
        params: Mapping[str, str | int] | None = None,
        hold_s: float,
        repeatable: bool,
        tries: int | None = None,
    ) -> Answer:
        try:
            request = self._client.build_request(
                method,
                f"{self._base_url}{path}",
                params=params,
                content=None if body is None else json.dumps(body).encode(),
                headers=None if body is None else {"Content-Type": "application/json"},
                timeout=httpx.Timeout(_READ_TIMEOUT_S + hold_s, connect=_CONNECT_TIMEOUT_S),
            )
        except httpx.InvalidURL as exc:
            raise NetworkError(f"{self._base_url}{path} is no URL that can be asked") from exc
        policy = replace(self._retries, attempts=tries) if tries else self._retries
        return await with_retries(policy, lambda: self._try(request, repeatable=repeatable))

    async def _try(self, request: httpx.Request, *, repeatable: bool) -> Answer:
        try:
            response = await self._client.send(request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as exc:
            raise TryAgainError(_unreachable(request.url, self._reason(exc))) from exc
        except httpx.HTTPError as exc:
            lost = f"{request.url.host} did not answer: {self._reason(exc)}"
            if repeatable:
                raise TryAgainError(NetworkError(lost)) from exc
            raise AnswerLostError(f"The request was sent, but {lost}") from exc
        return self._read(response, repeatable=repeatable)

    def _read(self, response: httpx.Response, *, repeatable: bool) -> Answer:
        if response.is_success:
            try:
                return Answer(response.status_code, _json_object(response))
            except ValueError as exc:
                error = ServerError(
                    f"{response.url.host} answered {response.status_code} with something that is "
                    "not a JSON object",
                    status=response.status_code,
                )
                if repeatable:
                    raise TryAgainError(error) from exc
                raise AnswerLostError(f"The request was sent, but {error.message}") from exc
        return self._raise_for(response, repeatable=repeatable)

    def _raise_for(self, response: httpx.Response, *, repeatable: bool) -> Answer:
        status, host = response.status_code, response.url.host
        said = _words(response, self._api_key)
        if status in (401, 403):
            raise UnauthorizedError(
                f"{host} does not accept the API key ({status}{said})",
                hint="Check where it comes from:  runpodctl-py config show",
            )
        if status == 404:  # noqa: PLR2004 # HTTP statuses are names
            raise NotFoundError(f"{host} answered 404{said}")
        if status == 413:  # noqa: PLR2004
            raise PayloadTooLargeError(f"{host} says the body is too large{said}")
        if status == 429:  # noqa: PLR2004
            limited = RateLimitedError(
                f"{host} limits the rate of requests (429{said})", hint="Try again in a minute."
            )
            raise TryAgainError(limited, retry_after_s(response.headers.get("Retry-After")))
        if status >= 500:  # noqa: PLR2004
            broken = ServerError(f"{host} answered {status}{said}", status=status)
            if repeatable or status in _NO_EFFECT:
                raise TryAgainError(broken, retry_after_s(response.headers.get("Retry-After")))
            raise AnswerLostError(f"The request was sent, but {broken.message}")
        if response.is_redirect:
            raise ServerError(f"{host} redirects elsewhere ({status})", status=status)
        raise RefusedError(f"{host} refused the request ({status}{said})")

    def _reason(self, exc: Exception) -> str:
        if isinstance(exc, httpx.TimeoutException):
            return "it took too long"
        return redact(str(exc), self._api_key) or type(exc).__name__


def _unreachable(url: httpx.URL, reason: str) -> NetworkError:
    return NetworkError(
        f"Cannot reach {url.host}: {reason}",
        hint="Check the network, and RUNPOD_API_BASE_URL and RUNPOD_ENDPOINT_BASE_URL if set.",
    )


def _json_object(response: httpx.Response) -> JsonObject:
    try:
        # A worker's NaN comes through bare (API reference 5.5); JSON's word for it is null.
        value: Any = json.loads(response.content, parse_constant=lambda _: None)
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc
    if not isinstance(value, dict):
        raise ValueError(type(value).__name__)  # noqa: TRY004 # bad JSON and wrong JSON are one case
    return value


def _words(response: httpx.Response, secret: str) -> str:
    """Return what the server said about an error, as `: words`, or nothing."""
    try:
        body = _json_object(response)
    except ValueError:
        return ""
    for key in ("error", "message", "detail", "title"):
        if isinstance(said := body.get(key), str) and said:
            # Cut last: of a key that is cut in two, half would stay.
            return f": {redact(said, secret)[:300]}"
    return ""
