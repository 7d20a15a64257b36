"""What a recording tells of an app, and what it does not."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.emulator.lab.recording import Recording, key_of
from runpodctl_py.emulator.lab.secret_names import REMOVED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Message, Receive, Scope, Send

    from runpodctl_py.emulator.lab.transcript import Exchange

MARKER = "MARKERmarker0123456789"


def scope_of(headers: Sequence[tuple[bytes, bytes]] = (), query: bytes = b"") -> dict[str, Any]:
    """Return a request's scope."""
    return {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "path": "/v2/e/openai/v1/chat/completions",
        "query_string": query,
        "headers": list(headers),
        "server": ("127.0.0.1", 80),
    }


async def recorded(
    *answer: Message, body: bytes = b"{}", headers: Sequence[tuple[bytes, bytes]] = ()
) -> list[Exchange]:
    """Return what is told of an app that answers so, and then returns."""
    heard: list[Exchange] = []
    recording = Recording()
    recording.listeners.append(heard.append)

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for each in answer:
            await send(each)

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async def send(_message: Message) -> None:
        pass

    await recording.around(app)(scope_of(headers), receive, send)
    return heard


def start(kind: bytes, *more: tuple[bytes, bytes]) -> Message:
    """Return the beginning of an answer."""
    headers = [(b"content-type", kind), *more]
    return {"type": "http.response.start", "status": 200, "headers": headers}


def part(content: bytes, *, more: bool) -> Message:
    """Return a part of an answer."""
    return {"type": "http.response.body", "body": content, "more_body": more}


@pytest.mark.anyio
async def test_a_stream_that_was_left_is_whole() -> None:
    """OpenAI's client hangs up when it has read what it wanted."""
    begun = part(b"data: [DONE]\n\n", more=True)
    (told,) = await recorded(start(b"text/event-stream; charset=utf-8"), begun)
    assert told.answer is not None
    assert (told.answer.broke_off, told.answer.body and told.answer.body.value) == (
        False,
        "data: [DONE]\n\n",
    )


@pytest.mark.anyio
async def test_another_answer_that_was_left_is_none() -> None:
    """Half of it would be played as all of it."""
    assert await recorded(start(b"application/json"), part(b'{"a": ', more=True)) == []
    assert await recorded(start(b"application/json")) == []
    assert await recorded() == []
    whole = await recorded(start(b"application/json"), part(b'{"a": 1}', more=False))
    assert [each.answer and each.answer.broke_off for each in whole] == [False]


@pytest.mark.anyio
@pytest.mark.parametrize(("parts", "broke_off"), [(32, False), (33, True)])
async def test_an_answer_is_kept_up_to_a_size(parts: int, broke_off: bool) -> None:  # noqa: FBT001 - pytest's parameter
    """Of a longer one, what came before, as if it had broken off."""
    million = b"\xff" * 1024 * 1024
    sent = [part(million, more=n < parts - 1) for n in range(parts)]
    (told,) = await recorded(start(b"image/png"), *sent)
    assert told.answer is not None
    assert told.answer.body is not None
    assert told.answer.broke_off is broke_off
    assert len(base64.b64decode(told.answer.body.value)) == 32 * 1024 * 1024


def compressed(content: bytes) -> dict[str, bytes]:
    """Return a body in the encodings that can be read."""
    return {"gzip": gzip.compress(content), "deflate": zlib.compress(content), "identity": content}


@pytest.mark.anyio
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity", "GZIP"])
async def test_what_is_compressed_is_looked_through(encoding: str) -> None:
    """Of requests and of answers; it stands there as what it is."""
    content = json.dumps({"input": {"hf_token": MARKER}}).encode()
    body, header = compressed(content)[encoding.lower()], (b"content-encoding", encoding.encode())
    answer = (start(b"application/json", header), part(body, more=False))
    (told,) = await recorded(*answer, body=body, headers=[header])
    assert told.request.body is not None
    assert told.request.body.value == {"input": {"hf_token": REMOVED}}
    assert told.answer is not None
    assert told.answer.body == told.request.body
    assert "content-encoding" not in {**told.request.headers, **told.answer.headers}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("encoding", "body"),
    # Named: what gzip makes differs from second to second, and from process to process.
    [
        pytest.param(b"br", b"MARKER", id="unknown"),
        pytest.param(b"gzip", b"MARKER", id="not compressed"),
        pytest.param(b"gzip", gzip.compress(b"MARKER")[:-4], id="torn"),
        pytest.param(b"gzip", gzip.compress(b"{}") + b"MARKER", id="more behind it"),
        pytest.param(b"gzip, gzip", gzip.compress(gzip.compress(b"MARKER")), id="twice"),
        pytest.param(b"gzip", gzip.compress(bytes(33 * 1024 * 1024)), id="too large"),
    ],
)
async def test_what_cannot_be_looked_through_goes(encoding: bytes, body: bytes) -> None:
    """In an encoding that is not known, torn, or larger than anything that is kept."""
    whole = (start(b"application/json"), part(b"{}", more=False))
    (told,) = await recorded(*whole, body=body, headers=[(b"content-encoding", encoding)])
    assert told.request.body is not None
    assert (told.request.body.kind, told.request.body.value) == ("text", REMOVED)


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  ", ""])
def test_the_key_in_a_header(scheme: str) -> None:
    """However the scheme is written, and in the query, too."""
    given = [(b"Authorization", f"{scheme}{MARKER}".encode())]
    assert key_of(scope_of(given, b"a=1&api_key=other")) == {MARKER, "other"}
