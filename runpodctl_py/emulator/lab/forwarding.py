"""Forwarding: an ASGI app that passes requests on to RunPod, so that a day there can be recorded.

It has a key of its own for whoever asks, and puts the account's in its place: that one stays in
this process. Answers come through piece by piece.
"""

from __future__ import annotations

import asyncio
import hmac
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from runpodctl_py.emulator.lab.connection import hang_up
from runpodctl_py.emulator.lab.injection import Upload
from runpodctl_py.emulator.lab.recording import is_of_users, key_of
from runpodctl_py.emulator.lab.refusals import is_graphql, is_rest, refusal
from runpodctl_py.emulator.lab.removal import PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

_TIMEOUT = httpx.Timeout(connect=10.0, read=360.0, write=120.0, pool=None)
"""RunPod holds a request for 300 s at most (API reference 4.1)."""

_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)
"""Each held request needs one, and nobody knows how many the recorded client holds."""

_NOT_PASSED_ON = frozenset(
    {
        # What concerns one connection only.
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te"),
        *("trailer", "transfer-encoding", "upgrade", "host", "content-length"),
        # What is done anew here, and what belongs to RunPod's own edge.
        *("accept-encoding", "authorization", "cookie", "set-cookie"),
    }
)
_DECODED = "content-encoding"
"""What answers no longer have when httpx has read them."""
_OF_THIS_MACHINE = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Hosts:
    """Where RunPod's APIs are, without slashes at the end.

    Args:
        graphql: The root of GraphQL.
        rest: That of REST v2, with `/v2`.
        jobs: That of the job API, with `/v2`.
    """

    graphql: str
    rest: str
    jobs: str

    def url(self, path: str) -> str:
        """Returns where a request belongs."""
        if is_graphql(path):
            return f"{self.graphql}/graphql"
        base = self.rest if is_rest(path) else self.jobs
        return f"{base}/{path.removeprefix('/').partition('/')[2]}"

    @property
    def placeholders(self) -> dict[str, str]:
        """What stands for each of them in a transcript."""
        v2 = f"{PLACEHOLDER}/v2"
        return {self.jobs: v2, self.rest: v2, self.graphql: PLACEHOLDER}

    @property
    def are_here(self) -> bool:
        """Whether all of them are on this machine: no proxy shall see such requests."""
        hosts = {urlsplit(each).hostname for each in (self.graphql, self.rest, self.jobs)}
        return hosts <= _OF_THIS_MACHINE


class Forwarding:
    """Passes requests on.

    Args:
        hosts: Where to.
        key: The account's, which RunPod gets.
        token: The key that whoever asks here has to send.
        client: Sends.
    """

    def __init__(self, hosts: Hosts, key: str, token: str, client: httpx.AsyncClient) -> None:
        self._hosts = hosts
        self._key = key
        self._token = token
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; when its client hangs up, RunPod is not waited for any more."""
        path, upload = scope["path"], Upload(receive)
        if not await upload.read():
            return
        if not is_of_users(path):
            words = f"there is nothing at {path} that could be passed on to RunPod"
            await refusal(path, HTTPStatus.NOT_FOUND, words)(scope, receive, send)
            return
        given = key_of(scope)
        if not all(hmac.compare_digest(key.encode(), self._token.encode()) for key in given):
            words = "this recording has a key of its own, RUNPOD_API_KEY: send that one"
            await refusal(path, HTTPStatus.UNAUTHORIZED, words)(scope, receive, send)
            return
        request = self._request(scope, upload.body(), is_authorized=bool(given))
        passing = asyncio.ensure_future(self._pass_on(request, scope, receive, send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({passing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not passing.done():
                passing.cancel()
            await asyncio.wait({passing, leaving})
        if not passing.cancelled() and passing.result():
            await hang_up(scope, receive)

    def _request(self, scope: Scope, body: bytes, *, is_authorized: bool) -> httpx.Request:
        path = scope.get("raw_path", scope["path"].encode()).decode("ascii").partition("?")[0]
        query = [
            (name, value)
            for name, value in parse_qsl(scope["query_string"].decode("latin-1"), True)  # noqa: FBT003 - its only name for it is long
            if name != "api_key"
        ]
        headers = [
            (name, value)
            for name, value in scope["headers"]
            if name.decode("latin-1").lower() not in _NOT_PASSED_ON
        ]
        if is_authorized:
            headers.append((b"authorization", f"Bearer {self._key}".encode()))
        # What is compressed could not be read in a transcript.
        headers.append((b"accept-encoding", b"identity"))
        url = self._hosts.url(path) + (f"?{urlencode(query)}" if query else "")
        return self._client.build_request(scope["method"], url, headers=headers, content=body)

    async def _pass_on(
        self, request: httpx.Request, scope: Scope, receive: Receive, send: Send
    ) -> bool:
        """Passes a request and its answer on; returns whether that one broke off."""
        try:
            response = await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            words = f"{request.url.host} did not answer: {str(error) or type(error).__name__}"
            await refusal(scope["path"], HTTPStatus.BAD_GATEWAY, words)(scope, receive, send)
            return False
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": response.status_code,
                    "headers": [
                        (name.lower(), value)
                        for name, value in response.headers.raw
                        if name.decode("latin-1").lower() not in {*_NOT_PASSED_ON, _DECODED}
                    ],
                }
            )
            async for part in response.aiter_bytes():
                await send({"type": "http.response.body", "body": part, "more_body": True})
        except httpx.HTTPError:
            return True
        finally:
            await response.aclose()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return False


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@asynccontextmanager
async def forwarding(hosts: Hosts, key: str, token: str) -> AsyncIterator[Forwarding]:
    """Yields an app that passes requests on as long as the block lasts."""
    async with httpx.AsyncClient(
        timeout=_TIMEOUT,
        limits=_LIMITS,
        follow_redirects=False,
        trust_env=not hosts.are_here,
    ) as client:
        yield Forwarding(hosts, key, token, client)
