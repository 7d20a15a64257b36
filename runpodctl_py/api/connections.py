"""What carries requests to one host: sends one, returns its answer, and says what became of it.

Owns the difference that decides about repetition: a request that never left this machine, and one
that was sent and not answered. Here it is httpx, for the requests of ordinary commands;
`many_connections.py` has the same for hundreds of requests at once. Neither repeats anything,
follows redirects or reads an answer's words (`transport.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import httpx

from runpodctl_py.api.hosts import has_no_certificate, is_this_machine

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECT_TIMEOUT_S = 10.0
#: httpx 0.28 collapses above about 48 connections in one client (benchmarks/http_clients.py).
MOST_OF_HTTPX = 32
#: The reason of everything that is about time.
TOOK_TOO_LONG = "it took too long"

_MOST_IDLE = 8


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it goes out.

    Args:
        method: GET, POST, PUT or DELETE.
        url: All of it, with the query.
        content: A JSON body, if it has one.
        silence_s: How long the server may say nothing.
    """

    method: str
    url: str
    content: bytes | None
    silence_s: float

    @property
    def headers(self) -> dict[str, str]:
        """What the body asks for."""
        return {} if self.content is None else {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer.

    Args:
        status: The HTTP status.
        headers: By name, in any case.
        content: The body, unpacked.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes


class NotSentError(Exception):
    """The request never left this machine, so that it had no effect for sure."""


class UnansweredError(Exception):
    """The request was sent, or may have been, and no whole answer came."""


class NoUrlError(Exception):
    """What should be asked is no URL."""


class Connections(Protocol):
    """Kept-alive connections to one host. The key is in the headers they were made with."""

    async def send(self, request: Request) -> Response:
        """Send a request once, and return the answer whatever its status.

        When it is cancelled, its connection is closed, so that the server need not hold on to it.

        Raises:
            NotSentError, UnansweredError: There is no answer, in a few words.
            NoUrlError: There is nothing to send it to.
        """

    async def aclose(self) -> None:
        """Hang up."""


class FewConnections:
    """`Connections` of httpx.

    Args:
        base_url: Where they lead: this machine needs neither proxies nor, often, certificates.
        headers: Sent with every request.
        most: How many there are at most; not more than `MOST_OF_HTTPX`.

    Raises:
        ImportError, ValueError, OSError: The environment's proxy or certificates cannot be used.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str], most: int) -> None:
        self._client = httpx.AsyncClient(
            limits=httpx.Limits(max_connections=most, max_keepalive_connections=_MOST_IDLE),
            headers=headers,
            trust_env=not is_this_machine(base_url),
            verify=not has_no_certificate(base_url),
        )

    async def send(self, request: Request) -> Response:
        """Send a request once; see `Connections`."""
        try:
            response = await self._client.request(
                request.method,
                request.url,
                content=request.content,
                headers=request.headers,
                timeout=httpx.Timeout(request.silence_s, connect=CONNECT_TIMEOUT_S),
            )
        except httpx.InvalidURL as exc:
            raise NoUrlError(str(exc)) from exc
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as exc:
            raise NotSentError(_reason(exc)) from exc
        except httpx.HTTPError as exc:
            raise UnansweredError(_reason(exc)) from exc
        return Response(response.status_code, response.headers, response.content)

    async def aclose(self) -> None:
        """Hang up."""
        await self._client.aclose()


def _reason(exc: httpx.HTTPError) -> str:
    if isinstance(exc, httpx.TimeoutException):
        return TOOK_TOO_LONG
    return str(exc) or type(exc).__name__
