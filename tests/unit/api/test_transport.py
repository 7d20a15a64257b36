from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpcore
import httpx
import pytest
import respx

from runpodctl_py.api.retrying import RetryPolicy
from runpodctl_py.api.transport import Answer, Transport, download_client, redact
from runpodctl_py.errors import (
    AnswerLostError,
    NetworkError,
    NotFoundError,
    PayloadTooLargeError,
    RateLimitedError,
    RefusedError,
    RunpodctlError,
    ServerError,
    UnauthorizedError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.anyio

BASE = "https://api.runpod.ai/v2"
URL = f"{BASE}/ep/run"
KEY = "rpa_secretsecretsecret"
TRIES = 3


@pytest.fixture
def runpod() -> Iterator[respx.MockRouter]:
    """RunPod's host, with whatever answer a test gives it."""
    with respx.mock(assert_all_called=False) as router:
        yield router


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    """A transport that tries three times."""
    async with Transport(BASE, KEY, retries=RetryPolicy(attempts=TRIES)) as it:
        yield it


async def ask(transport: Transport, how: str) -> Answer:
    """Send one request: a GET, PUT or DELETE, a POST that may be repeated, or one that must not."""
    match how:
        case "get":
            return await transport.get("/ep/run")
        case "put":
            return await transport.put("/ep/run", {"input": {}})
        case "delete":
            return await transport.delete("/ep/run")
    return await transport.post("/ep/run", {"input": {}}, repeatable=how == "repeatable post")


async def error_of(transport: Transport, how: str) -> RunpodctlError:
    """Send one request that fails, and return how; the key is never in it."""
    with pytest.raises(RunpodctlError) as raised:
        await ask(transport, how)
    error = raised.value
    assert KEY not in f"{error.message} {error.hint} {error!r}"
    return error


class Body(httpx.AsyncByteStream):
    """A body that comes in pieces, and may break off."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece


def answer(status: int, body: Any = None, **headers: str) -> httpx.Response:
    """Make an answer with a JSON body."""
    return httpx.Response(status, json=body, headers=headers)


async def test_a_request_carries_the_key_and_our_name(
    runpod: respx.MockRouter, transport: Transport
) -> None:
    """Bearer, as every official client sends it; JSON in, JSON out."""
    route = runpod.post(URL).mock(return_value=answer(200, {"id": "j"}))

    found = await transport.post("/ep/run", {"input": {"a": 0}}, {"wait": 1000})

    request = route.calls.last.request
    assert Answer(200, {"id": "j"}) == found
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["User-Agent"].startswith("runpodctl-py/")
    assert request.url.query == b"wait=1000"
    assert json.loads(request.content) == {"input": {"a": 0}}


async def test_a_long_poll_gets_its_time(runpod: respx.MockRouter, transport: Transport) -> None:
    """The time that the server may hold comes on top of the usual one."""
    route = runpod.get(URL).mock(return_value=answer(200, {}))

    await transport.get("/ep/run", hold_s=90)

    timeout = route.calls.last.request.extensions["timeout"]
    assert (timeout["connect"], timeout["read"]) == (10, 120)


EVERY_WAY = ("get", "repeatable post", "post")


@pytest.mark.parametrize("how", EVERY_WAY)
@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (400, RefusedError, "api.runpod.ai refused the request (400: no good)"),
        (401, UnauthorizedError, "api.runpod.ai does not accept the API key (401: no good)"),
        (403, UnauthorizedError, "api.runpod.ai does not accept the API key (403: no good)"),
        (404, NotFoundError, "api.runpod.ai answered 404: no good"),
        (405, RefusedError, "api.runpod.ai refused the request (405: no good)"),
        (413, PayloadTooLargeError, "api.runpod.ai says the body is too large: no good"),
        (302, ServerError, "api.runpod.ai redirects elsewhere (302)"),
    ],
)
async def test_a_clear_no_is_taken_at_once(
    runpod: respx.MockRouter,
    transport: Transport,
    *,
    how: str,
    status: int,
    kind: type[RunpodctlError],
    message: str,
) -> None:
    """It would be the same the next time."""
    route = runpod.route(url=URL).mock(return_value=answer(status, {"error": "no good"}))

    error = await error_of(transport, how)

    assert (kind, message, 1) == (type(error), error.message, route.call_count)


@pytest.mark.parametrize("how", EVERY_WAY)
@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (429, RateLimitedError, "api.runpod.ai limits the rate of requests (429: slow down)"),
        (503, ServerError, "api.runpod.ai answered 503: slow down"),
    ],
)
async def test_an_answer_without_effect_is_tried_again(
    runpod: respx.MockRouter,
    transport: Transport,
    *,
    how: str,
    status: int,
    kind: type[RunpodctlError],
    message: str,
) -> None:
    """Even a POST that must not be repeated: nothing happened."""
    route = runpod.route(url=URL).mock(return_value=answer(status, {"message": "slow down"}))

    error = await error_of(transport, how)

    assert (kind, message, TRIES) == (type(error), error.message, route.call_count)


@pytest.mark.parametrize("how", EVERY_WAY)
@pytest.mark.parametrize(
    "trouble",
    [httpcore.ConnectError("refused"), httpcore.ConnectTimeout(), httpcore.PoolTimeout()],
    ids=lambda e: type(e).__name__,
)
async def test_what_never_left_is_tried_again(
    runpod: respx.MockRouter, transport: Transport, how: str, trouble: Exception
) -> None:
    """No connection, no effect; in the end the hint names the variables that could be wrong."""
    route = runpod.route(url=URL).mock(side_effect=trouble)

    error = await error_of(transport, how)

    assert (NetworkError, TRIES) == (type(error), route.call_count)
    assert error.message.startswith("Cannot reach api.runpod.ai: ")
    assert "RUNPOD_ENDPOINT_BASE_URL" in str(error.hint)


GZIP = {"Content-Encoding": "gzip"}
LOST_ANSWERS: dict[str, Any] = {
    "500": answer(500, {"error": "oh"}),
    "502": httpx.Response(502, html="<h1>Bad gateway</h1>"),
    "504": httpx.Response(504),
    "read timeout": httpcore.ReadTimeout(),
    "write error": httpcore.WriteError("broken pipe"),
    "cut before the answer": httpcore.RemoteProtocolError("Server disconnected"),
    "cut in the body": httpx.Response(
        200, stream=Body(b'{"id": "j', httpcore.RemoteProtocolError("peer closed connection"))
    ),
    "body too slow": httpx.Response(200, stream=Body(b"{", httpcore.ReadTimeout())),
    "no gzip": httpx.Response(200, headers=GZIP, stream=Body(b"garbage")),
    "no JSON": httpx.Response(200, text="<html>"),
    "no text": httpx.Response(200, content=b"\xff\xfe\xfd"),
    "nothing": httpx.Response(204),
    "no object": answer(200, ["a", "list"]),
    "too deep": httpx.Response(200, content=b'{"a":' * 100_000),
}


@pytest.mark.parametrize("how", ["post", "delete"])
@pytest.mark.parametrize("trouble", LOST_ANSWERS.values(), ids=LOST_ANSWERS.keys())
async def test_a_lost_answer_is_final_for_what_must_not_be_repeated(
    runpod: respx.MockRouter, transport: Transport, how: str, trouble: Any
) -> None:
    """It was sent exactly once, and the error says that it was sent."""
    route = runpod.route(url=URL).mock(side_effect=[trouble])

    error = await error_of(transport, how)

    assert (AnswerLostError, 1) == (type(error), route.call_count)
    assert error.message.startswith("The request was sent, but api.runpod.ai ")


@pytest.mark.parametrize("how", ["get", "put", "repeatable post"])
@pytest.mark.parametrize("trouble", LOST_ANSWERS.values(), ids=LOST_ANSWERS.keys())
async def test_a_lost_answer_is_asked_for_again_where_that_is_safe(
    runpod: respx.MockRouter, transport: Transport, how: str, trouble: Any
) -> None:
    """And the second answer counts."""
    route = runpod.route(url=URL).mock(side_effect=[trouble, answer(200, {"id": "j"})])

    found = await ask(transport, how)

    assert (Answer(200, {"id": "j"}), 2) == (found, route.call_count)


@pytest.mark.parametrize("trouble", LOST_ANSWERS.values(), ids=LOST_ANSWERS.keys())
async def test_in_the_end_a_get_gives_up(
    runpod: respx.MockRouter, transport: Transport, trouble: Any
) -> None:
    """With an error that counts as the network's (exit code 6)."""
    route = runpod.get(URL).mock(side_effect=lambda _: _raise_or_return(trouble))

    error = await error_of(transport, "get")

    assert (error.exit_code, route.call_count) == (6, TRIES)
    assert not isinstance(error, AnswerLostError)


def _raise_or_return(trouble: Any) -> httpx.Response:
    if isinstance(trouble, Exception):
        raise trouble
    return trouble


async def test_a_caller_can_ask_once(runpod: respx.MockRouter, transport: Transport) -> None:
    """Who has another way to go on does not wait for retries."""
    route = runpod.get(URL).mock(return_value=answer(500))

    with pytest.raises(ServerError) as raised:
        await transport.get("/ep/run", tries=1)

    assert (raised.value.status, route.call_count) == (500, 1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(
    runpod: respx.MockRouter, transport: Transport, status: int
) -> None:
    """The key is for one host, and stays with it."""
    elsewhere = runpod.route(host="evil.example")
    runpod.get(URL).mock(return_value=answer(status, {}, Location="https://evil.example/"))

    assert status == getattr(await error_of(transport, "get"), "status", None)
    assert elsewhere.call_count == 0


@pytest.mark.parametrize("status", [400, 401, 404, 413, 429, 500])
@pytest.mark.parametrize("before", ["", "x" * 280])
async def test_a_server_that_echoes_the_key_is_not_quoted(
    runpod: respx.MockRouter, transport: Transport, status: int, before: str
) -> None:
    """Not even with the half of it that is left when long words are cut."""
    words = f"{before}invalid key {KEY}"
    runpod.get(URL).mock(return_value=answer(status, {"error": words}))

    error = await error_of(transport, "get")

    assert "rpa_" not in error.message


@pytest.mark.parametrize("key", ["error", "message", "detail", "title"])
async def test_the_servers_words_are_found(
    runpod: respx.MockRouter, transport: Transport, key: str
) -> None:
    """RunPod's hosts use different keys for them (API reference 3.3, 4.4)."""
    runpod.get(URL).mock(return_value=answer(400, {"other": 1, key: "bad input"}))

    assert (await error_of(transport, "get")).message.endswith("(400: bad input)")


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[1]", b'{"error": {"code": 1}}', b'{"a":' * 100_000, b'{"error":""}']
)
async def test_an_error_without_words_is_still_told(
    runpod: respx.MockRouter, transport: Transport, body: bytes
) -> None:
    """Whatever the body is."""
    runpod.get(URL).mock(return_value=httpx.Response(400, content=body))

    message = (await error_of(transport, "get")).message

    assert message == "api.runpod.ai refused the request (400)"


async def test_a_bare_nan_becomes_null(runpod: respx.MockRouter, transport: Transport) -> None:
    """The worker SDK sends it (API reference 5.5), and JSON has no such number."""
    body = b'{"output": [NaN, Infinity, -Infinity, 1]}'
    runpod.get(URL).mock(return_value=httpx.Response(200, content=body))

    assert (await transport.get("/ep/run")).body == {"output": [None, None, None, 1]}


@pytest.mark.parametrize("base", ["https://exa\x00mple", "https://host:port", "https://[::1"])
async def test_what_is_no_url_is_an_error_of_ours(base: str) -> None:
    """The library's own never gets out."""
    async with Transport(base, KEY) as transport:
        with pytest.raises(NetworkError, match=r"is no URL that can be asked$"):
            await transport.get("/x")


async def test_downloads_know_no_key() -> None:
    """A link in a job's output leads to somebody else's host."""
    async with download_client() as client:
        assert "Authorization" not in client.headers
        assert not client.follow_redirects


@pytest.mark.parametrize(
    ("text", "secret", "shown"),
    [("a KEY b KEY", "KEY", "a … b …"), ("nothing", "KEY", "nothing"), ("text", "", "text")],
)
def test_redaction(text: str, secret: str, shown: str) -> None:
    """Every occurrence goes, and an empty secret hides nothing."""
    assert redact(text, secret) == shown
