"""Hundreds of requests to one host at once, on aiohttp.

Owns aiohttp: nothing else imports it, and this module is imported by batches only, because aiohttp
takes twice as long to import as httpx. Proxies and certificates come from the environment as
they do for httpx. What was measured stands in docs/architecture.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from yarl import URL

from runpodctl_py.api.connections import (
    CONNECT_TIMEOUT_S,
    TOOK_TOO_LONG,
    NotSentError,
    NoUrlError,
    Request,
    Response,
    UnansweredError,
)
from runpodctl_py.api.hosts import has_no_certificate, is_this_machine

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ssl import SSLContext

# As httpx: shorter than any server we know keeps a connection, because a POST into one that the
# server is closing is a POST of which nobody knows what became.
_IDLE_S = 5.0
# aiohttp has no time limit for sending a body; one of 20 MB takes minutes over a slow line.
_LONGEST_S = 600.0


class ManyConnections:
    """`Connections` of aiohttp.

    Args:
        base_url: Where they lead: this machine needs neither proxies nor, often, certificates.
        headers: Sent with every request.
        most: How many there are at most.

    Raises:
        ValueError, OSError: The environment's proxy or certificates cannot be used.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str], most: int) -> None:
        self._headers = headers
        self._most = most
        self._certificates = _certificates(base_url)
        self._proxy = None if is_this_machine(base_url) else _proxy(base_url)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: Request) -> Response:
        """Send a request once; see `Connections`."""
        try:
            url = URL(request.url)
        except ValueError as exc:
            raise NoUrlError(str(exc)) from exc
        if not request.url.isprintable():
            raise NoUrlError("it has characters that no URL has")
        try:
            return await self._exchange(request, url)
        except aiohttp.InvalidURL as exc:
            raise NoUrlError(str(exc)) from exc
        except (
            aiohttp.ClientConnectorError,
            aiohttp.ConnectionTimeoutError,
            aiohttp.ClientHttpProxyError,
        ) as exc:
            raise NotSentError(_reason(exc)) from exc
        except (aiohttp.ClientError, TimeoutError) as exc:
            raise UnansweredError(_reason(exc)) from exc

    async def aclose(self) -> None:
        """Hang up."""
        if self._session is not None:
            await self._session.close()

    async def _exchange(self, request: Request, url: URL) -> Response:
        async with self._opened().request(
            request.method,
            url,
            data=request.content,
            # Not the session's: those go to the proxy, too, the key as Proxy-Authorization.
            headers={**self._headers, **request.headers},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                total=_LONGEST_S + request.silence_s,
                connect=request.silence_s,
                sock_connect=CONNECT_TIMEOUT_S,
                sock_read=request.silence_s,
            ),
        ) as response:
            return Response(response.status, response.headers, await response.read())

    def _opened(self) -> aiohttp.ClientSession:
        # Not in __init__: aiohttp wants to know the event loop.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._most, keepalive_timeout=_IDLE_S, ssl=self._certificates
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=self._proxy,
                middlewares=(_once,),
            )
        return self._session


async def _once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating what a kept-alive connection lost: our caller decides that."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
        raise UnansweredError(_reason(exc)) from exc


def _certificates(base_url: str) -> SSLContext | bool:
    if has_no_certificate(base_url):
        return True  # aiohttp's own, which plain HTTP does not use.
    return httpx.create_ssl_context(trust_env=not is_this_machine(base_url))


def _proxy(base_url: str) -> str | None:
    """Return the environment's proxy to a host, found once: aiohttp would look at each request.

    Raises:
        ValueError: It is none that aiohttp can use.
    """
    address = urlsplit(base_url)
    if proxy_bypass(address.netloc.rpartition("@")[2]):
        return None
    proxies = getproxies()
    proxy = proxies.get(address.scheme) or proxies.get("all")
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if (scheme := urlsplit(proxy).scheme) not in {"http", "https"}:
        raise ValueError(f"batches cannot use a {scheme} proxy, only http and https")
    return proxy


def _reason(exc: Exception) -> str:
    if isinstance(exc, TimeoutError):
        return TOOK_TOO_LONG
    return str(exc) or type(exc).__name__
