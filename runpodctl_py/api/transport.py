"""The one factory of HTTP clients: auth, timeouts, retries, and answers without secrets in them.

Owns what answers and failures mean; the libraries that send requests, and their exceptions, stay in
`connections.py` and `many_connections.py`; only downloads (`jobs/download.py`) read httpx's for
themselves. Does not know what an endpoint or a job is (`serverless.py`), and does not follow
redirects, so the key stays with the host it is for.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode, urlsplit

import httpx

from runpodctl_py import __version__
from runpodctl_py.api.connections import (
    CONNECT_TIMEOUT_S,
    MOST_OF_HTTPX,
    FewConnections,
    NotSentError,
    NoUrlError,
    Request,
    Response,
    UnansweredError,
)
from runpodctl_py.api.hosts import built
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

    from runpodctl_py.api.connections import Connections
    from runpodctl_py.jsontypes import JsonObject, JsonValue

USER_AGENT = f"runpodctl-py/{__version__} Python/{sys.version_info[0]}.{sys.version_info[1]}"

_READ_TIMEOUT_S = 30.0
_SUCCESS = range(200, 300)
_REDIRECT = range(300, 400)
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
            limits=httpx.Limits(max_connections=MOST_OF_HTTPX, max_keepalive_connections=8),
            timeout=httpx.Timeout(_READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            headers={"User-Agent": USER_AGENT},
        )
    )


class Transport:
    """JSON over HTTP to one of RunPod's hosts, with the key. Use it as an async context.

    Args:
        base_url: The API's root, without a trailing slash.
        api_key: Sent as a bearer token, to this host only.
        retries: How often safe requests are repeated.
        connections: How many requests may be open at once; more than httpx carries are aiohttp's.

    Raises:
        UsageError: The environment's proxy or certificate settings cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        retries: RetryPolicy | None = None,
        connections: int = MOST_OF_HTTPX,
    ) -> None:
        self._base_url = base_url
        self._host = _host(base_url)
        self._api_key = api_key
        self._retries = retries or RetryPolicy()
        headers = {"Authorization": f"Bearer {api_key}", "User-Agent": USER_AGENT}
        self._connections = built(lambda: _connections(base_url, headers, connections))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._connections.aclose()

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
        body: JsonObject | list[JsonValue] | None = None,
        params: Mapping[str, str | int] | None = None,
        *,
        hold_s: float = 0.0,
        repeatable: bool = False,
        tries: int | None = None,
    ) -> Answer:
        """POST JSON. Unless `repeatable`, it is sent again only when it had no effect for sure.

        Args:
            path: Below the base URL.
            body: What is posted.
            params: The query.
            hold_s: How long the server may hold the request before it answers.
            repeatable: Whether it means the same however often it arrives.
            tries: How often it is sent at most, if not as often as the policy says.

        Raises:
            AnswerLostError: It was sent, and what became of it is unknown.
            NotFoundError, UnauthorizedError, RefusedError, PayloadTooLargeError: RunPod's answer.
            RateLimitedError, ServerError, NetworkError: After retries.
        """
        return await self._send(
            "POST",
            path,
            body=body,
            params=params,
            hold_s=hold_s,
            repeatable=repeatable,
            tries=tries,
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
        body: JsonObject | list[JsonValue] | None = None,
        params: Mapping[str, str | int] | None = None,
        hold_s: float,
        repeatable: bool,
        tries: int | None = None,
    ) -> Answer:
        query = f"?{urlencode(params)}" if params else ""
        request = Request(
            method,
            f"{self._base_url}{path}{query}",
            None if body is None else json.dumps(body).encode(),
            _READ_TIMEOUT_S + hold_s,
        )
        policy = replace(self._retries, attempts=tries) if tries else self._retries
        return await with_retries(policy, lambda: self._try(request, repeatable=repeatable))

    async def _try(self, request: Request, *, repeatable: bool) -> Answer:
        try:
            response = await self._connections.send(request)
        except NoUrlError as exc:
            raise NetworkError(f"{request.url} is no URL that can be asked") from exc
        except NotSentError as exc:
            raise TryAgainError(self._unreachable(exc)) from exc
        except UnansweredError as exc:
            lost = f"{self._host} did not answer: {redact(str(exc), self._api_key)}"
            if repeatable:
                raise TryAgainError(NetworkError(lost)) from exc
            raise AnswerLostError(f"The request was sent, but {lost}") from exc
        return self._read(response, repeatable=repeatable)

    def _read(self, response: Response, *, repeatable: bool) -> Answer:
        if response.status in _SUCCESS:
            try:
                return Answer(response.status, _json_object(response))
            except ValueError as exc:
                error = ServerError(
                    f"{self._host} answered {response.status} with something that is "
                    "not a JSON object",
                    status=response.status,
                )
                if repeatable:
                    raise TryAgainError(error) from exc
                raise AnswerLostError(f"The request was sent, but {error.message}") from exc
        return self._raise_for(response, repeatable=repeatable)

    def _raise_for(self, response: Response, *, repeatable: bool) -> Answer:
        status, host = response.status, self._host
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
            wait_s = retry_after_s(response.headers.get("Retry-After"))
            limited = RateLimitedError(
                f"{host} limits the rate of requests (429{said})",
                hint="Try again in a minute.",
                retry_after_s=wait_s,
            )
            raise TryAgainError(limited, wait_s)
        if status >= 500:  # noqa: PLR2004
            broken = ServerError(f"{host} answered {status}{said}", status=status)
            if repeatable or status in _NO_EFFECT:
                raise TryAgainError(broken, retry_after_s(response.headers.get("Retry-After")))
            raise AnswerLostError(f"The request was sent, but {broken.message}")
        if status in _REDIRECT:
            raise ServerError(f"{host} redirects elsewhere ({status})", status=status)
        raise RefusedError(f"{host} refused the request ({status}{said})")

    def _unreachable(self, reason: NotSentError) -> NetworkError:
        return NetworkError(
            f"Cannot reach {self._host}: {redact(str(reason), self._api_key)}",
            hint="Check the network, and RUNPOD_API_BASE_URL and RUNPOD_ENDPOINT_BASE_URL if set.",
        )


def _connections(base_url: str, headers: Mapping[str, str], most: int) -> Connections:
    if most <= MOST_OF_HTTPX:
        return FewConnections(base_url, headers, most)
    from runpodctl_py.api.many_connections import ManyConnections

    return ManyConnections(base_url, headers, most)


def _host(url: str) -> str:
    with suppress(ValueError):
        return urlsplit(url).hostname or url
    return url


def _json_object(response: Response) -> JsonObject:
    try:
        # A worker's NaN comes through bare (API reference 5.5); JSON's word for it is null.
        value: Any = json.loads(response.content, parse_constant=lambda _: None)
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc
    if not isinstance(value, dict):
        raise ValueError(type(value).__name__)  # noqa: TRY004 # bad JSON and wrong JSON are one case
    return value


def _words(response: Response, secret: str) -> str:
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
