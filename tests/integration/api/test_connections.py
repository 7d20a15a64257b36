from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
from base64 import b64encode
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import stamina
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from runpodctl_py.api.connections import (
    FewConnections,
    NotSentError,
    NoUrlError,
    Request,
    UnansweredError,
)
from runpodctl_py.api.many_connections import ManyConnections
from runpodctl_py.api.retrying import RetryPolicy
from runpodctl_py.api.transport import Answer, Transport
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
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from runpodctl_py.api.connections import Connections

    Kind = type[FewConnections | ManyConnections]
    Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("kind", [FewConnections, ManyConnections], ids=["httpx", "aiohttp"]),
]

KEY = "rpa_secretsecretsecret"
SILENCE_S = 5.0


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    """Retries happen at once, as often as the policy says."""
    with stamina.set_testing(True, attempts=6, cap=True):
        yield


class Peer:
    """A server that does to each connection what a test says."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self.connections = 0
        self.requests: list[bytes] = []
        self.asked = asyncio.Event()
        self.url = ""

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection, then close it."""
        self.connections += 1
        try:
            await self._serve(reader, writer)
        finally:
            writer.close()

    async def read(self, reader: asyncio.StreamReader) -> bytes:
        """Read a request, or nothing if there is no other."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            ),
            0,
        )
        self.requests.append(head + await reader.readexactly(length))
        self.asked.set()
        return self.requests[-1]


@asynccontextmanager
async def peer(*answers: bytes | float | None) -> AsyncIterator[Peer]:
    """Run a server that gives these answers, one to each request; after the last it hangs up.

    Args:
        answers: Bytes to write, seconds to be silent for, or None to hang up.
    """
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while left and await it.read(reader):
            answer = left.pop(0)
            if answer is None:
                return
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await reader.read()

    it = Peer(serve)
    async with running(it):
        yield it


@asynccontextmanager
async def running(it: Peer) -> AsyncIterator[None]:
    """Run a server."""
    server = await asyncio.start_server(it.connected, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()[:2]
        it.url = f"http://{host}:{port}"
        yield


def answer(body: bytes = b"{}", status: str = "200 OK", *headers: str) -> bytes:
    """Write an answer as a server does."""
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


@asynccontextmanager
async def opened(kind: Kind, url: str, most: int = 32) -> AsyncIterator[Connections]:
    """Make connections with the key."""
    connections = kind(url, {"Authorization": f"Bearer {KEY}"}, most)
    try:
        yield connections
    finally:
        await connections.aclose()


def get(url: str, silence_s: float = SILENCE_S) -> Request:
    """Make a request without a body."""
    return Request("GET", url, None, silence_s)


async def test_a_request_arrives_as_it_was_meant(kind: Kind) -> None:
    """Method, path, query, headers and body; the answer with its status and headers."""
    created = answer(b'{"a": 1}', "201 Created", "Retry-After: 2")
    async with peer(created) as it, opened(kind, it.url) as connections:
        response = await connections.send(
            Request("POST", f"{it.url}/v2/ep/run?wait=1000", b'{"input": {}}', SILENCE_S)
        )
    head, _, body = it.requests[0].partition(b"\r\n\r\n")

    assert head.startswith(b"POST /v2/ep/run?wait=1000 HTTP/1.1\r\n")
    assert f"authorization: bearer {KEY}".encode() in head.lower()
    assert b"content-type: application/json" in head.lower()
    assert body == b'{"input": {}}'
    assert (response.status, response.content) == (201, b'{"a": 1}')
    assert response.headers["retry-after"] == response.headers["Retry-After"] == "2"


async def test_an_answer_is_unpacked(kind: Kind) -> None:
    """RunPod's hosts compress."""
    packed = answer(gzip.compress(b'{"a": 1}'), "200 OK", "Content-Encoding: gzip")
    async with peer(packed) as it, opened(kind, it.url) as connections:
        assert (await connections.send(get(it.url))).content == b'{"a": 1}'


async def test_connections_are_kept(kind: Kind) -> None:
    """One after the other, requests need only one."""
    async with peer(*[answer()] * 5) as it, opened(kind, it.url) as connections:
        for _ in range(5):
            await connections.send(get(it.url))

    assert (it.connections, len(it.requests)) == (1, 5)


async def test_no_redirect_is_followed(kind: Kind) -> None:
    """The key is for one host."""
    moved = answer(b"", "302 Found", "Location: http://127.0.0.1:1/")
    async with peer(moved) as it, opened(kind, it.url) as connections:
        assert (await connections.send(get(it.url))).status == 302


async def test_where_nobody_listens_nothing_was_sent(kind: Kind) -> None:
    """A refused connection has no effect for sure."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    async with opened(kind, url) as connections:
        with pytest.raises(NotSentError):
            await connections.send(get(url))


BROKEN: dict[str, bytes | float | None] = {
    "hung up": None,
    "silent": 1.0,
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
    "half a body": b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"id": "j',
    "half a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{",
    "no HTTP": b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
    "no gzip": answer(b"garbage", "200 OK", "Content-Encoding: gzip"),
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("trouble", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("is_kept", [False, True], ids=["new", "kept"])
async def test_what_was_sent_and_not_answered_is_said_so_and_not_repeated(
    kind: Kind, method: str, trouble: bytes | float | None, *, is_kept: bool
) -> None:
    """Also over a connection that was kept alive, where aiohttp itself would send it again."""
    async with peer(*[answer()] * is_kept, trouble) as it, opened(kind, it.url) as connections:
        if is_kept:
            await connections.send(get(it.url))
        with pytest.raises(UnansweredError):
            await connections.send(Request(method, it.url, None, 0.05))

    assert 1 + is_kept == len(it.requests)


async def test_silence_has_words(kind: Kind) -> None:
    """Both libraries' own have none for people."""
    async with peer(1.0) as it, opened(kind, it.url) as connections:
        with pytest.raises(UnansweredError, match=r"^it took too long$"):
            await connections.send(get(it.url, 0.05))


async def test_a_connection_that_the_server_has_closed_is_not_used(kind: Kind) -> None:
    """The next request gets a new one, and a POST is not lost."""
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await it.read(reader)
        writer.write(answer())
        writer.close()
        await writer.wait_closed()
        closed.set()

    it = Peer(serve)
    async with running(it), opened(kind, it.url) as connections:
        await connections.send(Request("POST", it.url, b"{}", SILENCE_S))
        await closed.wait()
        # It is closed; the loop's next rounds bring the news to the client's side.
        for _ in range(5):
            await asyncio.sleep(0)
        await connections.send(Request("POST", it.url, b"{}", SILENCE_S))

    assert (it.connections, len(it.requests)) == (2, 2)


async def test_a_cancelled_request_hangs_up(kind: Kind) -> None:
    """The server need not hold a long poll for nobody."""
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await it.read(reader)
        arrived.set()
        assert await reader.read() == b""
        gone.set()

    it = Peer(serve)
    async with running(it), opened(kind, it.url) as connections:
        held = asyncio.create_task(connections.send(get(it.url)))
        await arrived.wait()
        held.cancel()
        async with asyncio.timeout(SILENCE_S):
            await gone.wait()


async def test_who_finds_no_free_connection_has_sent_nothing(kind: Kind) -> None:
    """However long it waited for one."""
    async with peer(60.0) as it, opened(kind, it.url, 1) as connections:
        held = asyncio.create_task(connections.send(get(it.url)))
        await it.asked.wait()
        with pytest.raises(NotSentError, match="too long"):
            await connections.send(get(it.url, 0.05))
        held.cancel()

    assert len(it.requests) == 1


@pytest.mark.parametrize("url", ["https://exa\x00mple", "https://host:port", "https://[::1"])
async def test_what_is_no_url_is_not_sent(kind: Kind, url: str) -> None:
    """The library's own exception never gets out."""
    async with opened(kind, "https://api.runpod.ai") as connections:
        with pytest.raises(NoUrlError):
            await connections.send(get(url))


PROXY_KEY = b64encode(b"me:secret").decode()


async def test_the_environments_proxy_is_used(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its password, and for names that only it knows."""
    async with peer(answer(b'{"a": 1}')) as it:
        monkeypatch.setenv("ALL_PROXY", it.url.replace("//", "//me:secret@"))
        async with opened(kind, "http://runpod.invalid") as connections:
            response = await connections.send(get("http://runpod.invalid/v2"))

    assert response.content == b'{"a": 1}'
    assert it.requests[0].startswith(b"GET http://runpod.invalid/v2 HTTP/1.1\r\n")
    assert f"Proxy-Authorization: Basic {PROXY_KEY}".encode() in it.requests[0]


async def test_a_proxy_without_a_password_gets_none(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above all not ours for RunPod."""
    async with peer(answer()) as it:
        monkeypatch.setenv("HTTP_PROXY", it.url)
        async with opened(kind, "http://runpod.invalid") as connections:
            await connections.send(get("http://runpod.invalid/v2"))

    assert b"proxy-authorization" not in it.requests[0].lower()


async def test_a_proxy_gets_no_key_of_what_is_encrypted(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for a way to RunPod's host; what it does not grant has no answer."""
    async with peer(answer(b"", "407 Proxy Authentication Required")) as it:
        monkeypatch.setenv("HTTPS_PROXY", it.url)
        async with opened(kind, "https://runpod.invalid") as connections:
            with pytest.raises((NotSentError, UnansweredError)):
                await connections.send(get("https://runpod.invalid/v2"))

    assert it.requests[0].startswith(b"CONNECT runpod.invalid:443 HTTP/1.1\r\n")
    assert KEY.encode() not in it.requests[0]


async def test_this_machine_needs_no_proxy(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else may see such a request, or its token."""
    async with peer(answer()) as proxy, peer(answer()) as it:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        async with opened(kind, it.url) as connections:
            await connections.send(get(it.url))

    assert (len(proxy.requests), len(it.requests)) == (0, 1)


async def test_a_host_can_be_without_proxy(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """As NO_PROXY says."""
    async with peer(answer()) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "runpod.invalid")
        async with opened(kind, "http://runpod.invalid") as connections:
            with pytest.raises(NotSentError):
                await connections.send(get("http://runpod.invalid/v2"))

    assert len(proxy.requests) == 0


def certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """Write a certificate that its host has signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_file, key_file


@pytest.mark.parametrize(
    ("host", "is_known", "is_trusted"),
    [
        ("runpod.invalid", True, True),
        ("runpod.invalid", False, False),
        ("other.invalid", True, False),
    ],
    ids=["known", "unknown", "other host's"],
)
async def test_a_host_has_to_prove_who_it_is(
    kind: Kind,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    host: str,
    is_known: bool,
    is_trusted: bool,
) -> None:
    """By a certificate that the environment knows, also behind a proxy; or nothing is sent."""
    known, key = certificate(tmp_path, host)
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(known, key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await it.read(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with suppress(OSError):
            await writer.start_tls(server_side)
            if await it.read(reader):
                writer.write(answer(b'{"a": 1}'))

    it = Peer(serve)
    if is_known:
        monkeypatch.setenv("SSL_CERT_FILE", str(known))
    async with running(it):
        monkeypatch.setenv("HTTPS_PROXY", it.url)
        async with opened(kind, "https://runpod.invalid") as connections:
            try:
                arrived = (await connections.send(get("https://runpod.invalid/v2"))).content
            except NotSentError:
                arrived = b""

    assert (arrived == b'{"a": 1}', len(it.requests)) == (is_trusted, 1 + is_trusted)


@asynccontextmanager
async def transport_to(kind: Kind, url: str) -> AsyncIterator[Transport]:
    """Make a transport that tries three times."""
    connections = 400 if kind is ManyConnections else 32
    policy = RetryPolicy(attempts=3)
    async with Transport(url, KEY, retries=policy, connections=connections) as transport:
        assert isinstance(transport._connections, kind)
        yield transport


@pytest.mark.parametrize(
    ("status", "body", "of_post", "of_get"),
    [
        ("401 Unauthorized", b"{}", (UnauthorizedError, 1), (UnauthorizedError, 1)),
        ("404 Not Found", b"{}", (NotFoundError, 1), (NotFoundError, 1)),
        ("413 Too Large", b"{}", (PayloadTooLargeError, 1), (PayloadTooLargeError, 1)),
        ("400 Bad Request", b"{}", (RefusedError, 1), (RefusedError, 1)),
        ("429 Too Many", b"{}", (RateLimitedError, 3), (RateLimitedError, 3)),
        ("503 Unavailable", b"{}", (ServerError, 3), (ServerError, 3)),
        ("500 Error", b"{}", (AnswerLostError, 1), (ServerError, 3)),
        ("302 Found", b"", (ServerError, 1), (ServerError, 1)),
        ("200 OK", b"<html>", (AnswerLostError, 1), (ServerError, 3)),
        ("200 OK", b'["a list"]', (AnswerLostError, 1), (ServerError, 3)),
    ],
)
async def test_an_answer_means_the_same_whoever_carried_it(
    kind: Kind,
    status: str,
    body: bytes,
    of_post: tuple[type[RunpodctlError], int],
    of_get: tuple[type[RunpodctlError], int],
) -> None:
    """What is raised, after how many tries."""
    for method, (error, tries) in (("post", of_post), ("get", of_get)):
        async with peer(*[answer(body, status)] * 3) as it, transport_to(kind, it.url) as transport:
            with pytest.raises(RunpodctlError) as raised:
                await getattr(transport, method)("/ep/run")

        assert (type(raised.value), len(it.requests)) == (error, tries)


async def test_a_post_whose_answer_is_lost_is_sent_once(kind: Kind) -> None:
    """It may have had its effect, over a kept connection too."""
    async with peer(answer(), None, answer()) as it, transport_to(kind, it.url) as transport:
        await transport.post("/ep/run", {})
        with pytest.raises(AnswerLostError, match=r"^The request was sent, but 127\.0\.0\.1 did"):
            await transport.post("/ep/run", {})

    assert len(it.requests) == 2


async def test_a_get_whose_answer_is_lost_is_sent_again(kind: Kind) -> None:
    """And the second answer counts."""
    async with peer(None, answer(b'{"a": 1}')) as it, transport_to(kind, it.url) as transport:
        assert Answer(200, {"a": 1}) == await transport.get("/ep/health")

    assert len(it.requests) == 2


async def test_a_refused_post_can_be_told_at_once(kind: Kind) -> None:
    """Who keeps a pace sends it again by itself, when RunPod says."""
    limited = answer(f'{{"error": "slow down {KEY}"}}'.encode(), "429 Too", "Retry-After: 7")
    async with peer(limited, answer()) as it, transport_to(kind, it.url) as transport:
        with pytest.raises(RateLimitedError) as raised:
            await transport.post("/ep/run", {}, tries=1)

    assert (raised.value.retry_after_s, len(it.requests)) == (7.0, 1)
    assert KEY not in raised.value.message


async def test_where_nobody_listens_is_told(kind: Kind) -> None:
    """With the name of the host, after all tries."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    async with transport_to(kind, url) as transport:
        with pytest.raises(NetworkError, match=r"^Cannot reach 127\.0\.0\.1: "):
            await transport.post("/ep/run", {})


@pytest.mark.parametrize("proxy", ["nonsense://x", "socks5://127.0.0.1:1"])
async def test_a_proxy_that_cannot_be_used_is_told_before_anything_is_sent(
    kind: Kind, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """As a usage error that names the variables."""
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(UsageError, match="proxy or certificate"):
        async with transport_to(kind, "https://api.runpod.ai/v2"):
            pass


async def test_certificates_that_are_missing_are_told(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is sent."""
    monkeypatch.setenv("SSL_CERT_FILE", "missing.pem")
    with pytest.raises(UsageError, match="proxy or certificate"):
        async with transport_to(kind, "https://api.runpod.ai/v2"):
            pass
