"""Forwarding: an ASGI app that passes requests on to RunPod, so that a day there can be recorded.

It has a key of its own for whoever asks, and puts the account's in its place: that one stays in
this process. Answers come through piece by piece.
"""

from __future__ import annotations

import asyncio
import hmac
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from runpodctl_py.emulator.lab.connection import hang_up
from runpodctl_py.emulator.lab.injection import Upload
from runpodctl_py.emulator.lab.paths import is_graphql, is_of_users, is_rest
from runpodctl_py.emulator.lab.recording import UNREACHED, key_of
from runpodctl_py.emulator.lab.refusals import refusal
from runpodctl_py.emulator.lab.removal import PLACEHOLDER
from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from starlette.types import Receive, Scope, Send

_TIMEOUT = httpx.Timeout(connect=10.0, read=360.0, write=120.0, pool=None)
"""RunPod holds a request for 300 s at most (API reference 4.1)."""

_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20)
_MOST_AT_ONCE = 32
"""How many requests one client of httpx sends at once; with more than 48 it collapses."""

_NOT_PASSED_ON = frozenset(
    {
        # What concerns one connection only.
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te"),
        *("trailer", "transfer-encoding", "upgrade", "host", "content-length"),
        # What is done anew here, and what belongs to RunPod's own edge.
        *("accept-encoding", "cookie", "set-cookie"),
    }
)
_NOT_IN_ANSWERS = frozenset({*_NOT_PASSED_ON, "content-encoding", "date", "server"})
"""httpx has decoded them, and it is another server that gives them."""
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
        senders: Send.
    """

    def __init__(self, hosts: Hosts, key: str, token: str, senders: _Senders) -> None:
        self._hosts = hosts
        self._key = key
        self._token = token
        self._senders = senders

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; when its client hangs up, RunPod is not waited for any more."""
        path, upload = scope["path"], Upload(receive)
        if not await upload.read():
            return
        # httpx would fold these, and RunPod's server might: they lead elsewhere than they say.
        if not is_of_users(path) or not {".", ".."}.isdisjoint(path.split("/")):
            words = f"there is nothing at {path} that could be passed on to RunPod"
            await refusal(path, HTTPStatus.NOT_FOUND, words)(scope, receive, send)
            return
        given = key_of(scope)
        if not all(hmac.compare_digest(key.encode(), self._token.encode()) for key in given):
            words = "this recording has a key of its own, RUNPOD_API_KEY: send that one"
            await refusal(path, HTTPStatus.UNAUTHORIZED, words)(scope, receive, send)
            return
        request = self._request(scope, upload.body())
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

    def _request(self, scope: Scope, body: bytes) -> httpx.Request:
        """Returns what RunPod gets: with its key where ours stood, and in the same form."""
        path = scope.get("raw_path", scope["path"].encode()).decode("ascii").partition("?")[0]
        query = [
            (name, self._key if name == "api_key" else value)
            for name, value in parse_qsl(
                scope["query_string"].decode("latin-1"), keep_blank_values=True
            )
        ]
        token, key = self._token.encode(), self._key.encode()
        headers = [
            (name, value.replace(token, key) if name.lower() == b"authorization" else value)
            for name, value in scope["headers"]
            if name.decode("latin-1").lower() not in _NOT_PASSED_ON
        ]
        # What is compressed could not be read in a transcript.
        headers.append((b"accept-encoding", b"identity"))
        url = self._hosts.url(path) + (f"?{urlencode(query)}" if query else "")
        return httpx.Request(
            scope["method"],
            url,
            headers=headers,
            content=body,
            extensions={"timeout": _TIMEOUT.as_dict()},
        )

    async def _pass_on(
        self, request: httpx.Request, scope: Scope, receive: Receive, send: Send
    ) -> bool:
        """Passes a request and its answer on; returns whether that one broke off."""
        with self._senders.lent() as sender:
            return await self._pass_on_by(sender, request, scope, receive, send)

    async def _pass_on_by(
        self,
        sender: httpx.AsyncClient,
        request: httpx.Request,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> bool:
        try:
            response = await sender.send(request, stream=True)
        except httpx.HTTPError as error:
            scope[UNREACHED] = True
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
                        if name.decode("latin-1").lower() not in _NOT_IN_ANSWERS
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


class _Senders:
    """As many clients as what is held at once needs.

    Args:
        trust_env: Whether a proxy may be between.
        opened: Closes them.
    """

    def __init__(self, *, trust_env: bool, opened: AsyncExitStack) -> None:
        self._trust_env = trust_env
        # Read once: it takes longer than all else that a client needs.
        self._certificates = httpx.create_ssl_context(trust_env=trust_env)
        self._opened = opened
        self._lent: Counter[httpx.AsyncClient] = Counter()

    @contextmanager
    def lent(self) -> Iterator[httpx.AsyncClient]:
        """Yields one for a request; nobody knows how many the recorded client holds open."""
        sender = next((each for each, n in self._lent.items() if n < _MOST_AT_ONCE), None)
        if sender is None:
            sender = self._another()
        self._lent[sender] += 1
        try:
            yield sender
        finally:
            self._lent[sender] -= 1

    def _another(self) -> httpx.AsyncClient:
        sender = httpx.AsyncClient(
            timeout=_TIMEOUT,
            limits=_LIMITS,
            follow_redirects=False,
            trust_env=self._trust_env,
            verify=self._certificates,
        )
        self._opened.push_async_callback(sender.aclose)
        return sender


@asynccontextmanager
async def forwarding(hosts: Hosts, key: str, token: str) -> AsyncIterator[Forwarding]:
    """Yields an app that passes requests on as long as the block lasts.

    Raises:
        EmulatorError: The certificates by which RunPod is known cannot be read.
    """
    async with AsyncExitStack() as opened:
        try:
            senders = _Senders(trust_env=not hosts.are_here, opened=opened)
        except OSError as error:
            raise EmulatorError(
                f"The certificates of this machine cannot be read: {error}",
                hint="SSL_CERT_FILE and SSL_CERT_DIR say where they are, if they are set.",
            ) from error
        yield Forwarding(hosts, key, token, senders)
