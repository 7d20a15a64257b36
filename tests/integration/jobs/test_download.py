"""Fetching links from a real HTTP server that behaves well, badly, or not at all."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import httpx
import pytest
import stamina
from hypothesis import given, settings
from hypothesis import strategies as st

from runpodctl_py.api.retrying import RetryPolicy
from runpodctl_py.errors import (
    NetworkError,
    NotFoundError,
    RateLimitedError,
    RunpodctlError,
    SaveError,
    ServerError,
)
from runpodctl_py.jobs.allowance import Allowance
from runpodctl_py.jobs.download import Downloader, shown_url
from runpodctl_py.jobs.outputs import LinkedFile, read_output
from runpodctl_py.jobs.save import Fetched, save_files

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

BODY = bytes(range(256)) * 40
# Each is refused by another part of httpx or below it: a codec, the IDNA rules, the sockets.
ODD_LINKS = ("http://x/\ud800.png", "http://xn--/x.png", "http://127.0.0.1:99999999/x.png")


class Host:
    """A host for files on 127.0.0.1: what is asked for says how it answers.

    Attributes:
        headers: The headers of each request, in order.
        hits: How often each path was asked for.
    """

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self.hits: Counter[str] = Counter()
        self.closing = threading.Event()
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                host.hits[path] += 1
                host.headers.append({name.lower(): value for name, value in self.headers.items()})
                getattr(host, f"do_{path.split('/')[1]}")(self, path)

            def handle(self) -> None:
                # Clients that hang up are part of the tests.
                with suppress(ConnectionError):
                    super().handle()

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

    @staticmethod
    def answer(
        handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str
    ) -> None:
        """Send a whole answer."""
        handler.send_response(status)
        headers.setdefault("content_length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    def do_file(self, handler: BaseHTTPRequestHandler, _: str) -> None:
        """Send the body as a file that has a name."""
        self.answer(
            handler,
            200,
            BODY,
            content_type="Image/PNG; charset=x",
            content_disposition="attachment; filename*=UTF-8''caf%C3%A9.png",
        )

    def do_hops(self, handler: BaseHTTPRequestHandler, path: str) -> None:
        """Redirect as many times as the path says, by relative location, then to the file."""
        left = int(path.split("/")[2])
        self.answer(handler, 302, location=f"../hops/{left - 1}" if left else "/file")

    def do_to(self, handler: BaseHTTPRequestHandler, _: str) -> None:
        """Redirect to what the query says."""
        self.answer(handler, 307, location=handler.path.partition("?")[2])

    def do_status(self, handler: BaseHTTPRequestHandler, path: str) -> None:
        """Answer with the status in the path."""
        self.answer(handler, int(path.split("/")[2]), b"<Error>AccessDenied</Error>")

    def do_cut(self, handler: BaseHTTPRequestHandler, path: str) -> None:
        """Announce the body, send half of it and hang up; the third time, send it all."""
        if self.hits[path] == 3:
            self.answer(handler, 200, BODY)
            return
        self.answer(handler, 200, BODY[: len(BODY) // 2], content_length=str(len(BODY)))
        handler.close_connection = True

    def do_busy(self, handler: BaseHTTPRequestHandler, path: str) -> None:
        """Answer 503 once, then send the file."""
        self.answer(handler, 503 if self.hits[path] == 1 else 200, BODY)

    def do_endless(self, handler: BaseHTTPRequestHandler, _: str) -> None:
        """Send chunks without end and without a length."""
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        try:
            while not self.closing.is_set():
                handler.wfile.write(b"1000\r\n" + bytes(0x1000) + b"\r\n")
        except OSError:
            handler.close_connection = True

    def do_stalled(self, handler: BaseHTTPRequestHandler, _: str) -> None:
        """Send the beginning of the body, and nothing more until the server is closed."""
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(BODY)))
        handler.end_headers()
        handler.wfile.write(BODY[:10])
        handler.wfile.flush()
        self.closing.wait(30)
        handler.close_connection = True


@dataclass
class Memory:
    """A sink that keeps what it got."""

    content: bytearray = field(default_factory=bytearray)

    def write(self, chunk: bytes) -> None:
        """Keep a chunk."""
        self.content += chunk

    def restart(self) -> None:
        """Forget the chunks."""
        self.content.clear()


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    """Try again at once, and as often as always."""
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture
def host() -> Iterator[Host]:
    """Yield a running host."""
    with Host() as running:
        yield running


@asynccontextmanager
async def downloading(
    transport: httpx.AsyncBaseTransport | None = None, **options: Any
) -> AsyncIterator[Downloader]:
    """Yield a downloader."""
    async with httpx.AsyncClient(transport=transport) as client:
        yield Downloader(client, **options)


async def fetch(url: str, **options: Any) -> tuple[bytes, Fetched]:
    """Fetch a URL; return the content and what the server said of it."""
    sink = Memory()
    async with downloading(**options) as downloader:
        fetched = await downloader.fetch(url, sink)
    return bytes(sink.content), fetched


async def refused(url: str, kind: type[RunpodctlError], **options: Any) -> str:
    """Fetch a URL in vain and return the message of the error."""
    with pytest.raises(kind) as caught:
        await fetch(url, **options)
    assert type(caught.value) is kind
    return caught.value.message


async def test_a_file_comes_with_its_name_and_type(host: Host) -> None:
    """The content is complete; the extended file name and the bare content type are reported."""
    assert await fetch(f"{host.url}/file") == (BODY, Fetched("café.png", "image/png"))


async def test_no_authorisation_is_ever_sent(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither on the first request nor after a redirect, not even with a .netrc for the host."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("RUNPOD_API_KEY", "rpa_secret")

    await fetch(f"{host.url}/hops/2")

    assert len(host.headers) == 4
    assert not any("authorization" in headers for headers in host.headers)
    assert "rpa_secret" not in repr(host.headers)


@pytest.mark.parametrize(
    "options", [{"headers": {"Authorization": "Bearer rpa_x"}}, {"auth": ("user", "password")}]
)
async def test_a_client_with_authorisation_is_refused(options: dict[str, Any]) -> None:
    """A client that would send our key cannot become a downloader."""
    async with httpx.AsyncClient(**options) as client:
        with pytest.raises(ValueError, match="authorisation"):
            Downloader(client)


async def test_five_redirects_are_followed(host: Host) -> None:
    """Relative locations are resolved."""
    content, _ = await fetch(f"{host.url}/hops/4")

    assert (content, host.hits["/file"]) == (BODY, 1)


async def test_six_redirects_are_not(host: Host) -> None:
    """A loop ends, and the file is not asked for."""
    message = await refused(f"{host.url}/hops/5?sig=s3cr3t", ServerError)

    assert message == f"{host.url}/hops/5 redirects more than 5 times"
    assert host.hits["/file"] == 0


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("file:///etc/passwd", "only http and https links are followed, not file"),
        ("ftp://h.example/a", "only http and https links are followed, not ftp"),
        ("http://user:pw@h.example/a", "http://h.example/a carries a user name"),
    ],
)
async def test_a_redirect_leads_only_where_links_may(host: Host, location: str, said: str) -> None:
    """Each hop is checked like the link itself."""
    assert said in await refused(f"{host.url}/to?{location}", SaveError)


async def test_a_redirect_to_no_url_is_a_network_error(host: Host) -> None:
    """What httpx cannot make sense of is an answer that came garbled."""
    message = await refused(f"{host.url}/to?http://h.example:port/a", NetworkError)

    assert message == f"{host.url}/to: the transfer was cut off or garbled"


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://h.example/a", "http://", "http://h.example:port/a", *ODD_LINKS],
)
async def test_other_links_are_refused(url: str) -> None:
    """Only http and https, and only what can be read as a URL."""
    await refused(url, SaveError)


@pytest.mark.parametrize(
    ("location", "kind"),
    [("http://xn--/x.png", ServerError), ("http://127.0.0.1:99999999/x.png", SaveError)],
)
async def test_a_redirect_to_an_odd_place_is_an_error_of_ours(
    host: Host, location: str, kind: type[RunpodctlError]
) -> None:
    """A redirect is no way around the checks of the link itself."""
    await refused(f"{host.url}/to?{location}", kind)


@settings(deadline=None)
@given(
    st.text()
    | st.text().map("http://{}".format)
    | st.text().map("http://h.example/{}".format)
    | st.text(st.sampled_from("htps:/.@[]%?#x-n0190\ud800\xdf\x00")).map("https://{}".format)
    | st.integers().map("http://h.example:{}/a.png".format)
)
def test_any_text_is_fetched_or_refused(text: str) -> None:
    """Whatever a worker calls a link, there is a file or an error of ours, and it can be shown."""

    async def attempt() -> tuple[bytes, Fetched]:
        return await fetch(text, transport=httpx.MockTransport(lambda _: httpx.Response(200)))

    assert shown_url(text)
    with suppress(RunpodctlError):
        assert asyncio.run(attempt()) == (b"", Fetched())


async def test_odd_links_do_not_stop_the_others(host: Host, tmp_path: Path) -> None:
    """Each is a problem of its own, and the good file is saved."""
    output = {"images": [*ODD_LINKS, f"{host.url}/file/a.png"]}
    reading = read_output(output)
    assert len(reading.files) == 4

    async with downloading() as downloader:
        report = await save_files(reading.files, tmp_path / "out", label="j", fetch=downloader)

    assert [file.path.name for file in report.files] == ["a.png"]
    assert report.problems == (
        "png: the link is not a readable URL",
        "x.png: the link is not a readable URL",
        "x.png: http://127.0.0.1:99999999/x.png names a port that cannot exist",
    )


async def test_https_is_not_left_for_http() -> None:
    """A redirect that drops the encryption is an error; one that keeps it is followed."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/down":
            return httpx.Response(302, headers={"Location": "http://h.example/file"})
        if request.url.path == "/across":
            return httpx.Response(302, headers={"Location": "https://other.example/file"})
        return httpx.Response(200, content=BODY)

    transport = httpx.MockTransport(answer)

    message = await refused("https://h.example/down?sig=1", SaveError, transport=transport)
    content, _ = await fetch("https://h.example/across", transport=transport)

    assert message == "https://h.example/down redirects from https to http"
    assert content == BODY


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_an_expired_link_is_told_as_such(host: Host, status: int) -> None:
    """It is not asked for again, and its signature is not shown."""
    message = await refused(f"{host.url}/status/{status}?X-Amz-Signature=s3cr3t", NotFoundError)

    assert message == (
        f"{host.url}/status/{status}: the link has expired or is not readable (HTTP {status})"
    )
    assert host.hits[f"/status/{status}"] == 1


@pytest.mark.parametrize(
    ("status", "kind", "tries"),
    [
        (400, ServerError, 1),
        (304, ServerError, 1),
        (500, ServerError, 3),
        (429, RateLimitedError, 3),
    ],
)
async def test_other_statuses_are_errors_of_the_host(
    host: Host, status: int, kind: type[RunpodctlError], tries: int
) -> None:
    """Server errors and 429 are tried three times, the others once."""
    assert "s3cr3t" not in await refused(f"{host.url}/status/{status}?sig=s3cr3t", kind)
    assert host.hits[f"/status/{status}"] == tries


async def test_a_transfer_that_is_cut_begins_again(host: Host) -> None:
    """Two cut connections later the file is whole, with nothing of the halves in it."""
    content, _ = await fetch(f"{host.url}/cut")

    assert (content, host.hits["/cut"]) == (BODY, 3)


async def test_a_transfer_that_is_always_cut_is_a_network_error(host: Host) -> None:
    """After the last try there is an error, not half a file."""
    message = await refused(
        f"{host.url}/cut?sig=s3cr3t", NetworkError, retry=RetryPolicy(attempts=2)
    )

    assert message == f"{host.url}/cut: the transfer was cut off or garbled"


async def test_a_busy_host_is_asked_again(host: Host) -> None:
    """A 503 passes."""
    content, _ = await fetch(f"{host.url}/busy")

    assert (content, host.hits["/busy"]) == (BODY, 2)


async def test_a_file_announced_too_large_is_not_begun(host: Host) -> None:
    """The announced length is enough to refuse; exactly the limit is fine."""
    message = await refused(
        f"{host.url}/file?sig=1", SaveError, allowance=Allowance(max_bytes=len(BODY) - 1)
    )
    content, _ = await fetch(f"{host.url}/file", allowance=Allowance(max_bytes=len(BODY)))

    assert message == f"{host.url}/file is larger than the limit of {len(BODY) - 1} bytes"
    assert content == BODY


async def test_an_endless_file_is_cut_at_the_limit(host: Host) -> None:
    """Without a length, what arrives is counted."""
    assert "larger than the limit" in await refused(
        f"{host.url}/endless", SaveError, allowance=Allowance(max_bytes=1_000_000)
    )


async def test_the_files_of_a_job_share_a_limit(host: Host) -> None:
    """The file that goes over it is refused, and once it is used up nobody is asked any more."""
    sink = Memory()
    async with downloading(allowance=Allowance(max_total_bytes=2 * len(BODY))) as downloader:
        await downloader.fetch(f"{host.url}/file/1", sink)
        with pytest.raises(SaveError) as caught:
            await downloader.fetch(f"{host.url}/endless?sig=1", sink)
        await downloader.fetch(f"{host.url}/file/2", sink)
        with pytest.raises(SaveError, match="limit"):
            await downloader.fetch(f"{host.url}/file/3", sink)

    assert caught.value.message == (
        f"{host.url}/endless goes over the limit of {2 * len(BODY)} bytes "
        "for all downloads of a job"
    )
    assert (host.hits["/file/1"], host.hits["/file/3"]) == (1, 0)


async def test_what_is_received_in_vain_counts_too() -> None:
    """A host that always hangs up cannot have us load for ever."""
    begun: list[str] = []

    async def cut_off() -> AsyncIterator[bytes]:
        begun.append("once more")
        yield bytes(1024**2)
        raise httpx.ReadError("gone")

    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=cut_off()))

    message = await refused(
        "https://h.example/a",
        SaveError,
        transport=transport,
        allowance=Allowance(max_total_bytes=3 * 1024**2 // 2),
    )

    assert message.endswith("over the limit of 1572864 bytes for all downloads of a job")
    assert len(begun) == 2


async def test_the_number_of_links_is_limited(host: Host) -> None:
    """Thousands of empty files fill a disk, too."""
    async with downloading(allowance=Allowance(max_files=2)) as downloader:
        for number in range(2):
            await downloader.fetch(f"{host.url}/file/{number}", Memory())
        with pytest.raises(SaveError, match="the limit is 2 links per job"):
            await downloader.fetch(f"{host.url}/file/2", Memory())

    assert host.hits["/file/2"] == 0


async def test_compression_cannot_get_around_the_limit() -> None:
    """Nothing compressed is asked for, and what comes unpacked is counted unpacked."""
    packed = httpx.Response(
        200, headers={"Content-Encoding": "gzip"}, content=gzip.compress(bytes(10**6))
    )
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["accept-encoding"])
        return packed

    await refused(
        "https://h.example/a",
        SaveError,
        transport=httpx.MockTransport(answer),
        allowance=Allowance(max_bytes=10_000),
    )
    assert seen == ["identity"]


async def test_a_stalled_transfer_times_out(host: Host) -> None:
    """Each try waits only so long for the next piece."""
    message = await refused(f"{host.url}/stalled?sig=1", NetworkError, timeout_s=0.1)

    assert message == f"{host.url}/stalled does not answer in time"
    assert host.hits["/stalled"] == 3


async def test_the_total_time_is_limited(host: Host) -> None:
    """A host that sends a little now and then cannot hold us for ever."""
    message = await refused(f"{host.url}/stalled?sig=1", NetworkError, total_timeout_s=0.2)

    assert message == f"{host.url}/stalled took longer than 0.2 s"


async def test_a_host_that_is_not_there_is_a_network_error() -> None:
    """The host is named, the query is not."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

        message = await refused(f"http://127.0.0.1:{port}/a?sig=1", NetworkError)

    assert message == "127.0.0.1 cannot be reached"


async def test_a_full_disk_is_not_the_hosts_fault(host: Host) -> None:
    """An error of the sink comes through as it is, and nothing is tried again."""

    class Full(Memory):
        def write(self, chunk: bytes) -> None:
            raise OSError(28, f"no space for {len(chunk)} bytes")

    async with downloading() as downloader:
        with pytest.raises(OSError, match="no space"):
            await downloader.fetch(f"{host.url}/file", Full())
    assert host.hits["/file"] == 1


async def test_links_of_an_output_are_saved_under_the_servers_names(
    host: Host, tmp_path: Path
) -> None:
    """Saver and downloader together: good links on disk, bad ones in words, nothing half."""
    files = [
        LinkedFile("result", "output.result", f"{host.url}/file"),
        LinkedFile("b.bin", "output.b", f"{host.url}/status/403?sig=s3cr3t"),
        LinkedFile("c.bin", "output.c", f"{host.url}/cut", size_bytes=len(BODY)),
    ]

    async with downloading() as downloader:
        report = await save_files(files, tmp_path / "out", label="j", fetch=downloader)

    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["c.bin", "café.png"]
    assert [file.size_bytes for file in report.files] == [len(BODY), len(BODY)]
    assert report.warnings == ("café.png does not look like a .png file",)
    assert report.problems == (
        f"b.bin: {host.url}/status/403: the link has expired or is not readable (HTTP 403)",
    )


async def test_a_cancelled_transfer_leaves_no_file(host: Host, tmp_path: Path) -> None:
    """Ctrl-C while the host sends: the connection is closed and the folder is empty."""
    link = LinkedFile("a.bin", "output.a", f"{host.url}/endless")
    async with downloading() as downloader:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(
                save_files([link], tmp_path / "out", label="j", fetch=downloader), 0.3
            )

    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://b.example/a.png?X-Amz-Signature=1#f", "https://b.example/a.png"),
        ("https://user:pw@b.example/a.png", "https://b.example/a.png"),
        ("http://h.example:port/a", "the link"),
    ],
)
def test_urls_are_shown_without_their_secrets(url: str, shown: str) -> None:
    """No query, no fragment, no password."""
    assert shown_url(url) == shown
