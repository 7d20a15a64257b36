"""Fetching objects from a real S3 server, and from one that answers badly or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import threading
import traceback
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import httpx
import pytest
import stamina
from hypothesis import given, settings
from hypothesis import strategies as st

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
from runpodctl_py.jobs.bucket_download import BucketFetcher
from runpodctl_py.jobs.buckets import Access
from runpodctl_py.jobs.fetching import LinkFetcher
from runpodctl_py.jobs.outputs import read_output
from runpodctl_py.jobs.save import Fetched, save_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.s3_server import S3Server

pytestmark = pytest.mark.anyio

BODY = os.urandom(700_000)
KEY_ID, SECRET = "AKIDMARKER0123456789", "MARKERsecret/0123456789+abcdef"


class Memory:
    """A sink that keeps what it got."""

    def __init__(self) -> None:
        self.content = bytearray()

    def write(self, chunk: bytes) -> None:
        """Keep a chunk."""
        self.content += chunk

    def restart(self) -> None:
        """Forget the chunks."""
        self.content.clear()


class FullDisk(Memory):
    """A sink that takes nothing."""

    def write(self, chunk: bytes) -> None:
        """Refuse a chunk."""
        raise OSError(28, f"No space left for {len(chunk)} bytes")


class BadServer:
    """An S3 server on 127.0.0.1: the key that is asked for says how it answers.

    Attributes:
        headers: The headers of each request, in order.
        hits: How often each key was asked for.
    """

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self.hits: Counter[str] = Counter()
        self.closing = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                key = self.path.rpartition("/")[2]
                server.hits[key] += 1
                server.headers.append({k.lower(): v for k, v in self.headers.items()})
                with suppress(ConnectionError):
                    server.answer(self, key)

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, handler: BaseHTTPRequestHandler, key: str) -> None:
        """Answer with a status, or as the key says."""
        status, body, length = 200, BODY, len(BODY)
        if key.isdecimal():
            status = int(key)
            # As S3 does with a wrong key: it repeats the id.
            body = b"<Error><Code>SomeCode</Code><AWSAccessKeyId>%b</AWSAccessKeyId></Error>" % (
                KEY_ID.encode()
            )
            length = len(body)
        elif key == "cut" and self.hits[key] < 3:
            body = body[: len(body) // 2]
            handler.close_connection = True
        elif key == "busy" and self.hits[key] == 1:
            status = 503
        elif key == "stalled":
            body = body[:10]
        elif key == "huge":
            body, length = body[:10], 10**12
        elif key == "grown":
            length = 10
        handler.send_response(status)
        handler.send_header("Content-Length", str(length))
        if key == "grown":
            handler.send_header("Transfer-Encoding", "chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        handler.send_header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
        handler.send_header("ETag", '"a"')
        handler.end_headers()
        handler.wfile.write(body)
        if key in {"stalled", "huge"}:
            self.closing.wait(30)
            handler.close_connection = True


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    """Try again at once, and as often as always."""
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture
def bad() -> Iterator[BadServer]:
    """A server that misbehaves."""
    with BadServer() as server:
        yield server


def access_to(server: S3Server) -> Access:
    """The right key to a server."""
    return Access(server.url, server.access_id, server.access_secret)


async def fetch(access: Access, link: str, **options: Any) -> tuple[bytes, Fetched]:
    """Fetch an object; return the content and what the server said of it."""
    sink = Memory()
    fetched = await BucketFetcher(access, **options).fetch(link, sink)
    return bytes(sink.content), fetched


async def refused(access: Access, link: str, kind: type[RunpodctlError], **options: Any) -> str:
    """Fetch an object in vain; return the message, after a look for keys in all that is told."""
    with pytest.raises(kind) as caught:
        await fetch(access, link, **options)
    assert type(caught.value) is kind
    told = "".join(traceback.format_exception(caught.value))
    for key in filter(None, (access.access_id, access.access_secret)):
        assert key not in f"{told} {caught.value!r} {caught.value.hint}"
    return caught.value.message


async def test_an_object_comes_whole(s3: S3Server) -> None:
    """Byte for byte, with what the server calls it and says it is."""
    s3.put(
        "jobs/1/lake.png",
        BODY,
        ContentType="Image/PNG; charset=x",
        ContentDisposition="attachment; filename*=UTF-8''caf%C3%A9.png",
    )
    content, fetched = await fetch(access_to(s3), "s3://files/jobs/1/lake.png")
    assert hashlib.sha256(content).digest() == hashlib.sha256(BODY).digest()
    assert fetched == Fetched("café.png", "image/png")


@pytest.mark.parametrize("key", ["a b/ü?x#y%20.png", "a+b&c=d.png", "図/lake", "~a'(b)*!"])
async def test_a_key_is_taken_as_it_is(s3: S3Server, key: str) -> None:
    """Nothing in it means anything to a URL."""
    s3.put(key, key.encode())
    assert (await fetch(access_to(s3), f"s3://files/{key}"))[0] == key.encode()


async def test_an_empty_object_is_an_empty_file(s3: S3Server) -> None:
    """And no error."""
    s3.put("empty.txt", b"")
    assert (await fetch(access_to(s3), "s3://files/empty.txt"))[0] == b""


async def test_what_is_not_there(s3: S3Server) -> None:
    """An object and a bucket are told apart."""
    access = access_to(s3)
    assert await refused(access, "s3://files/none.png", NotFoundError) == (
        "s3://files/none.png: there is no such object in the bucket"
    )
    assert await refused(access, "s3://elsewhere/a.png", NotFoundError) == (
        "s3://elsewhere/a.png: there is no such bucket"
    )


async def test_a_wrong_key_is_refused(s3: S3Server) -> None:
    """In S3's own word; the right one is accepted by the same server."""
    s3.put("a.png", BODY)
    host = s3.url.removeprefix("http://")
    said = f"s3://files/a.png: {host} does not let the key of BUCKET_ACCESS_KEY_ID read it"
    with s3.checking_keys():
        assert (await fetch(access_to(s3), "s3://files/a.png"))[0] == BODY
        unknown = Access(s3.url, KEY_ID, SECRET)
        message = await refused(unknown, "s3://files/a.png", UnauthorizedError)
        assert message == f"{said} (InvalidAccessKeyId)"
        mistyped = Access(s3.url, s3.access_id, SECRET)
        message = await refused(mistyped, "s3://files/a.png", UnauthorizedError)
        assert message == f"{said} (SignatureDoesNotMatch)"


@pytest.mark.parametrize(
    ("access", "missing"),
    [
        (Access("http://h"), "BUCKET_ACCESS_KEY_ID and BUCKET_SECRET_ACCESS_KEY"),
        (Access("http://h", KEY_ID), "BUCKET_SECRET_ACCESS_KEY"),
    ],
)
async def test_without_keys_nothing_is_asked(access: Access, missing: str) -> None:
    """Which bucket it is, what to set, and how to go on."""
    assert await refused(access, "s3://files/a.png", SaveError) == (
        f"s3://files/a.png lies in the bucket files: set {missing}, then  runpodctl-py jobs sync"
    )


@pytest.mark.parametrize("url", ["s3.example.com", "http://x y", "ftp://h"])
async def test_a_server_that_cannot_be_one_is_told(url: str) -> None:
    """By the setting's name; the S3 library is not given it."""
    message = await refused(Access(url, KEY_ID, SECRET), "s3://files/a.png", SaveError)
    assert message == "s3://files/a.png cannot be fetched: BUCKET_ENDPOINT_URL is no http(s) URL"


async def test_a_server_out_of_reach() -> None:
    """Nobody listens: three tries, then the host's name."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{closed.getsockname()[1]}"
        access = Access(f"http://{host}", KEY_ID, SECRET)
        message = await refused(access, "s3://files/a.png", NetworkError)
    assert message == f"s3://files/a.png: {host} cannot be reached"


@pytest.mark.parametrize(
    ("key", "kind", "said", "hits"),
    [
        ("400", ServerError, "answers HTTP 400 (SomeCode)", 1),
        ("401", UnauthorizedError, "(SomeCode)", 1),
        ("403", UnauthorizedError, "(SomeCode)", 1),
        ("404", NotFoundError, "there is no such object in the bucket", 1),
        ("301", ServerError, "the bucket is in another region than", 1),
        ("429", RateLimitedError, "answers too many requests", 3),
        ("500", ServerError, "answers HTTP 500 (SomeCode)", 3),
        ("503", ServerError, "answers HTTP 503 (SomeCode)", 3),
    ],
)
async def test_other_answers(
    bad: BadServer, key: str, kind: type[RunpodctlError], said: str, hits: int
) -> None:
    """Only what may pass is tried again; no answer is quoted, because it repeats the key's id."""
    message = await refused(Access(bad.url, KEY_ID, SECRET), f"s3://files/{key}", kind)
    assert message.startswith(f"s3://files/{key}: ")
    assert said in message
    assert bad.hits[key] == hits


@pytest.mark.parametrize("key", ["cut", "busy"])
async def test_a_transfer_that_fails_begins_again(bad: BadServer, key: str) -> None:
    """What was received before is forgotten."""
    content, _ = await fetch(Access(bad.url, KEY_ID, SECRET), f"s3://files/{key}")
    assert content == BODY


async def test_a_server_that_falls_silent(bad: BadServer) -> None:
    """Each piece has its time."""
    access = Access(bad.url, KEY_ID, SECRET)
    message = await refused(access, "s3://files/stalled", NetworkError, timeout_s=0.05)
    assert message == "s3://files/stalled: the transfer was cut off"


async def test_a_transfer_that_takes_too_long(bad: BadServer) -> None:
    """All tries together have theirs."""
    access = Access(bad.url, KEY_ID, SECRET)
    message = await refused(access, "s3://files/stalled", NetworkError, total_timeout_s=0.1)
    assert message == "s3://files/stalled took longer than 0.1 s"


async def test_the_surroundings_are_for_another_server(
    bad: BadServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Amazon's own tools are told changes neither the server nor the signature."""
    for name, value in {
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "another",
        "AWS_SECRET_ACCESS_KEY": "another",
        "AWS_SESSION_TOKEN": "token-of-another",
        "AWS_REGION": "eu-west-9",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_S3_EXPRESS": "true",
    }.items():
        monkeypatch.setenv(name, value)
    content, _ = await fetch(Access(bad.url, KEY_ID, SECRET), "s3://files/whole")
    (headers,) = bad.headers
    assert content == BODY
    assert f"Credential={KEY_ID}/" in headers["authorization"]
    assert "/us-east-1/s3/" in headers["authorization"]
    assert "x-amz-security-token" not in headers
    assert SECRET not in repr(headers)


async def test_an_object_over_the_limit_is_not_fetched(s3: S3Server) -> None:
    """One that has exactly the limit is; the announced size is enough to refuse."""
    s3.put("large.bin", BODY)
    access, link = access_to(s3), "s3://files/large.bin"
    content, _ = await fetch(access, link, allowance=Allowance(max_bytes=len(BODY)))
    assert content == BODY
    message = await refused(access, link, SaveError, allowance=Allowance(max_bytes=len(BODY) - 1))
    assert message == f"{link} is larger than the limit of {len(BODY) - 1} bytes"


async def test_what_is_announced_as_too_large_is_not_received(bad: BadServer) -> None:
    """Of an object that never ends, the head is enough: nobody waits, and nobody asks again."""
    sink = Memory()
    fetcher = BucketFetcher(Access(bad.url, KEY_ID, SECRET), timeout_s=2)
    with pytest.raises(SaveError, match="is larger than the limit"):
        await fetcher.fetch("s3://files/huge", sink)
    assert (bytes(sink.content), bad.hits["huge"]) == (b"", 1)


async def test_what_grows_beyond_what_was_announced_ends_at_the_limit(bad: BadServer) -> None:
    """A server may say ten bytes and send more: what comes counts, piece by piece."""
    sink, link = Memory(), "s3://files/grown"
    access, allowance = Access(bad.url, KEY_ID, SECRET), Allowance(max_bytes=len(BODY) - 1)
    with pytest.raises(SaveError) as caught:
        await BucketFetcher(access, allowance=allowance).fetch(link, sink)
    assert caught.value.message == f"{link} is larger than the limit of {len(BODY) - 1} bytes"
    assert len(sink.content) < len(BODY)


async def test_all_objects_of_a_job_count_together(s3: S3Server) -> None:
    """Each is small enough, and their sum is not."""
    s3.put("one.bin", BODY)
    s3.put("two.bin", BODY)
    fetcher = BucketFetcher(access_to(s3), allowance=Allowance(max_total_bytes=2 * len(BODY) - 1))
    await fetcher.fetch("s3://files/one.bin", Memory())
    with pytest.raises(SaveError) as caught:
        await fetcher.fetch("s3://files/two.bin", Memory())
    assert caught.value.message == (
        f"s3://files/two.bin goes over the limit of {2 * len(BODY) - 1} bytes for all downloads of "
        "a job"
    )


@pytest.mark.parametrize(
    ("own_bucket", "host"), [(None, "minio.s3.example.com"), ("minio", "s3.example.com")]
)
async def test_a_worker_does_not_choose_the_server(
    bad: BadServer, monkeypatch: pytest.MonkeyPatch, *, own_bucket: str | None, host: str
) -> None:
    """Its bucket is called like the host's first part; only the person's own is taken off it."""
    # A proxy sees where the signed request would go.
    monkeypatch.setenv("http_proxy", bad.url)
    access = Access("http://minio.s3.example.com", KEY_ID, SECRET, own_bucket)
    await fetch(access, "s3://minio/whole")
    assert [each["host"] for each in bad.headers] == [host]


async def test_both_kinds_of_links_count_on_one_allowance(s3: S3Server, bad: BadServer) -> None:
    """What a job may bring does not double because it uses a bucket."""
    s3.put("a.bin", BODY)
    allowance = Allowance(max_total_bytes=len(BODY) + 1)
    async with httpx.AsyncClient() as client:
        fetcher = LinkFetcher(client, access_to(s3), allowance=allowance)
        sink = Memory()
        await fetcher.fetch(f"{bad.url}/whole", sink)
        assert bytes(sink.content) == BODY
        with pytest.raises(SaveError, match="goes over the limit") as caught:
            await fetcher.fetch("s3://files/a.bin", Memory())
    assert caught.value.message.startswith("s3://files/a.bin ")


async def test_a_full_disk_is_not_the_servers_error(s3: S3Server) -> None:
    """It reaches whoever writes, as it is, and is not tried again."""
    s3.put("a.png", BODY)
    with pytest.raises(OSError, match="No space left"):
        await BucketFetcher(access_to(s3)).fetch("s3://files/a.png", FullDisk())


async def test_a_key_that_the_library_cannot_ask_for(s3: S3Server) -> None:
    """Told, and not fetched from another place."""
    message = await refused(access_to(s3), "s3://files/a//b.png", SaveError)
    assert message == "s3://files/a//b.png: keys with empty parts, . or .. are not fetched"


async def test_the_whole_way_of_an_output(s3: S3Server, tmp_path: Path) -> None:
    """Objects are saved under their names; one that is missing costs none of the others."""
    s3.put("jobs/2/lake.png", b"\x89PNG\r\n\x1a\n" + BODY)
    s3.put("jobs/2/report", b"# Report\n", ContentType="text/markdown")
    output = {
        "images": ["s3://files/jobs/2/lake.png", "s3://files/jobs/2/none.png"],
        "report_url": "s3://files/jobs/2/report",
    }
    async with httpx.AsyncClient() as client:
        report = await save_files(
            read_output(output).files,
            tmp_path / "out",
            label="j",
            fetch=LinkFetcher(client, access_to(s3)),
        )
    assert [file.path.name for file in report.files] == ["lake.png", "report.md"]
    assert report.files[0].path.read_bytes() == b"\x89PNG\r\n\x1a\n" + BODY
    assert report.problems == (
        "none.png: s3://files/jobs/2/none.png: there is no such object in the bucket",
    )


@settings(deadline=None, max_examples=60)
@given(
    st.text().map("s3://{}".format)
    | st.text().map("s3://files/{}".format)
    | st.text(st.sampled_from("/.ab %?#\u0301\ud800\x00")).map("s3://files/a{}.png".format)
)
def test_any_text_is_fetched_or_refused(s3: S3Server, text: str) -> None:
    """Whatever a worker calls an object, there is a file or an error of ours without the key."""
    said = ""
    try:
        asyncio.run(fetch(access_to(s3), text))
    except RunpodctlError as exc:
        said = f"{exc.message} {exc.hint}"
    assert s3.access_id not in said
    assert s3.access_secret not in said
