"""Files that come with a job; those behind links from a real server on this machine.

The SDK refuses private addresses, and has a variable for whoever needs them: set here, to be able
to test downloads at all.
"""

from __future__ import annotations

import base64
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from worker.errors import InvalidInputError, ProcessingError
from worker.media import read_media

if TYPE_CHECKING:
    from collections.abc import Iterator

MB = 1024 * 1024
CONTENT = bytes(range(256)) * 8
ANSWERS: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "/file": (200, CONTENT, {}),
    "/large": (200, bytes(2 * MB), {}),
    "/empty": (200, b"", {}),
    "/moved": (302, b"", {"Location": "/file?signature=hush"}),
    "/round": (302, b"", {"Location": "/round"}),
    "/nowhere": (302, b"", {}),
    "/elsewhere": (302, b"", {"Location": "file:///etc/passwd"}),
}


class Files(BaseHTTPRequestHandler):
    """Gives and refuses files."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answers by the path."""
        path = self.path.partition("?")[0]
        if path == "/endless":
            self._drip(None, bytes(MB // 4), 0)
        elif path == "/drip":
            self._drip(1000, b".", 0.01)
        else:
            status, content, headers = ANSWERS.get(path, (404, b"not here", {}))
            self._give(status, content, **headers)

    def _drip(self, length: int | None, piece: bytes, pause_s: float) -> None:
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.close_connection = True
        with suppress(OSError):
            for _ in range(1000):
                self.wfile.write(piece)
                time.sleep(pause_s)

    def _give(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        try:
            self.wfile.write(content)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The server's URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as files:
        thread = threading.Thread(target=files.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{files.server_address[1]}"
        files.shutdown()
        thread.join()


@pytest.fixture
def may_ask_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the SDK ask this machine."""
    monkeypatch.setenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS", "true")


@pytest.mark.usefixtures("may_ask_here")
@pytest.mark.parametrize("path", ["/file", "/moved", "/file?a=b#c"])
def test_a_link_is_followed_to_its_file(server: str, path: str) -> None:
    """Through redirects, too."""
    assert read_media(f" {server}{path} ", "voice", most_bytes=MB) == CONTENT


@pytest.mark.usefixtures("may_ask_here")
@pytest.mark.parametrize("path", ["/large", "/endless"])
def test_a_file_has_a_largest_size(server: str, path: str) -> None:
    """Whether its length was told or not."""
    with pytest.raises(InvalidInputError, match=r"^voice is larger than 1 MB$"):
        read_media(server + path, "voice", most_bytes=MB)


@pytest.mark.usefixtures("may_ask_here")
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/missing?signature=hush", "voice: 127.0.0.1 answered 404"),
        ("/round", "voice: 127.0.0.1 redirects to nowhere"),
        ("/nowhere?could=not resolve", "voice: 127.0.0.1 redirects to nowhere"),
    ],
)
def test_a_host_that_gives_no_file_fails_the_job(server: str, path: str, message: str) -> None:
    """In words without the link, which may carry a signature."""
    with pytest.raises(ProcessingError) as caught:
        read_media(server + path, "voice", most_bytes=MB)
    assert caught.value.message == message


@pytest.mark.usefixtures("may_ask_here")
def test_a_host_that_does_not_answer_fails_the_job() -> None:
    """A port that nobody listens on; no retry."""
    with pytest.raises(ProcessingError) as caught:
        read_media("http://127.0.0.1:9/voice.wav?signature=hush", "voice", most_bytes=MB)
    expected = "voice could not be downloaded from 127.0.0.1: ConnectionError"
    assert caught.value.message == expected


@pytest.mark.usefixtures("may_ask_here")
def test_a_host_that_drips_is_given_up(server: str) -> None:
    """A worker is paid for while it waits; the limit is for all of the file."""
    with pytest.raises(ProcessingError, match=r"^voice: 127\.0\.0\.1 took longer than 0 s$"):
        read_media(f"{server}/drip", "voice", most_bytes=MB, limit_s=0.2)


@pytest.mark.usefixtures("may_ask_here")
def test_an_empty_file_is_refused(server: str) -> None:
    """Nothing can be made of it."""
    with pytest.raises(InvalidInputError, match=r"^voice is an empty file$"):
        read_media(f"{server}/empty", "voice", most_bytes=MB)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "169.254.169.254", "10.0.0.1", "[::1]", "0x7f000001", "0"]
)
def test_private_addresses_are_not_asked(server: str, host: str) -> None:
    """However they are written: a job could read what only this machine should."""
    port = server.rpartition(":")[2]
    with pytest.raises((InvalidInputError, ProcessingError)) as caught:
        read_media(f"http://{host}:{port}/file?signature=hush", "image", most_bytes=MB)
    assert "hush" not in caught.value.message


@pytest.mark.parametrize(
    "link", ["file:///etc/passwd", "ftp://example.com/a", "gopher://x/", "http://"]
)
def test_other_schemes_are_refused(link: str) -> None:
    """Only the web."""
    with pytest.raises(InvalidInputError, match=r"^image must begin with http:// or https://"):
        read_media(link, "image", most_bytes=MB)


@pytest.mark.usefixtures("may_ask_here")
def test_a_redirect_leads_to_the_web_only(server: str) -> None:
    """Not to a file of the worker's."""
    with pytest.raises(InvalidInputError, match=r"redirects to what is no web address$"):
        read_media(f"{server}/elsewhere", "image", most_bytes=MB)


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(CONTENT).decode(),
        base64.b64encode(CONTENT).decode().rstrip("="),
        base64.urlsafe_b64encode(CONTENT).decode(),
        base64.encodebytes(CONTENT).decode(),
        "data:image/png;base64," + base64.b64encode(CONTENT).decode(),
        "DATA:;base64," + base64.b64encode(CONTENT).decode(),
    ],
)
def test_base64_comes_in_many_forms(text: str) -> None:
    """With line ends, without padding, in the alphabet of URLs, in a data URI."""
    assert read_media(text, "image", most_bytes=MB) == CONTENT


def test_a_data_uri_may_be_text() -> None:
    """Percent-encoded, as for SVG."""
    assert read_media("data:text/plain,a%20b", "image", most_bytes=MB) == b"a b"


@pytest.mark.parametrize(
    "text", ["a picture!", "../etc/passwd", "abc*", "data:image/png;base64,%%%"]
)
def test_anything_else_is_refused(text: str) -> None:
    """In words, and without a guess."""
    with pytest.raises(InvalidInputError, match=r"^image must be a URL, a data URI or base64"):
        read_media(text, "image", most_bytes=MB)


def test_base64_has_a_largest_size_too() -> None:
    """Known before it is decoded."""
    for size in (MB + 1, 3 * MB):
        with pytest.raises(InvalidInputError, match=r"^image is larger than 1 MB$"):
            read_media(base64.b64encode(bytes(size)).decode(), "image", most_bytes=MB)
