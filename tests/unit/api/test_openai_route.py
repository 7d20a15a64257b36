"""What the OpenAI route's answers mean, those included that a real server gives rarely."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import respx

from runpodctl_py.api.chat_answers import Ended, Heard, Usage
from runpodctl_py.api.openai_route import OpenAiRoute
from runpodctl_py.api.retrying import RetryPolicy
from runpodctl_py.errors import (
    AnswerLostError,
    JobFailedError,
    NetworkError,
    NotFoundError,
    PayloadTooLargeError,
    RateLimitedError,
    RefusedError,
    RunpodctlError,
    ServerError,
    UnauthorizedError,
    UsageError,
    WaitTimeoutError,
)
from runpodctl_py.jobs.words import worker_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from runpodctl_py.jsontypes import JsonObject

pytestmark = pytest.mark.anyio

BASE = "https://api.runpod.ai/v2"
CHAT = f"{BASE}/ep/openai/v1/chat/completions"
MODELS = f"{BASE}/ep/openai/v1/models"
KEY = "rpa_secretsecretsecret"
TRIES = 3
STREAM: JsonObject = {"model": "org/m", "messages": [], "stream": True}
WHOLE: JsonObject = {"model": "org/m", "messages": []}
EVENTS = {"content-type": "text/event-stream; charset=utf-8"}


@pytest.fixture
def runpod() -> Iterator[respx.MockRouter]:
    """RunPod's host, with one model, and whatever else a test gives it."""
    with respx.mock(assert_all_called=False) as router:
        router.get(MODELS).respond(json={"object": "list", "data": [{"id": "org/m"}]})
        yield router


def route(silence_s: float = 600) -> OpenAiRoute:
    """Return the route of one endpoint, tried three times where that is safe."""
    return OpenAiRoute(
        BASE,
        KEY,
        "ep",
        words=lambda error: worker_error(error).message,
        silence_s=silence_s,
        retries=RetryPolicy(attempts=TRIES),
    )


async def heard(body: JsonObject, so_far: list[Heard | Ended] | None = None) -> list[Heard | Ended]:
    """Ask, and return all that comes; `so_far` has it also if it does not end well."""
    said = [] if so_far is None else so_far
    async with route() as it:
        async for part in it.chat(body):
            said.append(part)
    return said


def event(delta: dict[str, Any] | None, **more: Any) -> str:
    """Return one server-sent event."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, **more}]
    more = more if delta is None else {}
    return f"data: {json.dumps({'model': 'org/m', 'choices': choices, **more})}\n\n"


def streamed(*parts: str) -> httpx.Response:
    """Return an answer whose parts come one after the other, and whose connection closes then."""

    async def body() -> AsyncIterator[bytes]:
        for part in parts:
            yield part.encode()

    return httpx.Response(200, headers=EVENTS, content=body())


async def test_a_stream_is_read_piece_by_piece(runpod: respx.MockRouter) -> None:
    """Text, thoughts under both names, the reason of the end, and the count at the very end."""
    runpod.post(CHAT).respond(
        headers=EVENTS,
        text=": ping\n\n"
        + event({"role": "assistant", "content": ""})
        + event({"reasoning_content": "Hm"})
        + event({"reasoning": "."})
        + event({"content": "Hel"})
        + event({"content": "lo\ufffd"}, finish_reason="length")
        + event(None, usage={"prompt_tokens": 3, "completion_tokens": 2})
        + "data: [DONE]\n\n",
    )
    assert await heard(STREAM) == [
        Heard("Hm", is_thought=True),
        Heard(".", is_thought=True),
        Heard("Hel"),
        Heard("lo\ufffd"),
        Ended("org/m", "length", Usage(3, 2)),
    ]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_whole_answer_is_read(runpod: respx.MockRouter, *, streamed: bool) -> None:
    """Also where a stream was asked for: some workers do not stream."""
    message = {"role": "assistant", "content": "Hello"}
    answer = {"model": "m", "choices": [{"message": message, "finish_reason": "stop"}]}
    runpod.post(CHAT).respond(json=answer)
    assert await heard(STREAM if streamed else WHOLE) == [Heard("Hello"), Ended("m", "stop", None)]


async def test_models_are_listed(runpod: respx.MockRouter) -> None:
    """By their names, and nothing that is none."""
    runpod.get(MODELS).respond(json={"data": [{"id": "a/b"}, {"id": 3}, "x", {"id": "c/d"}]})
    async with route() as it:
        assert await it.models() == ("a/b", "c/d")


async def test_nothing_but_the_key_and_the_body_goes_out(
    runpod: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody has set for OpenAI, another key above all, is not RunPod's business."""
    for name, value in {
        "OPENAI_API_KEY": "sk-other",
        "OPENAI_ADMIN_KEY": "sk-admin",
        "OPENAI_ORG_ID": "org-other",
        "OPENAI_PROJECT_ID": "project-other",
        "OPENAI_BASE_URL": "https://elsewhere.example/v1",
        "OPENAI_CUSTOM_HEADERS": "Authorization: Bearer sk-other\nX-Other: other",
    }.items():
        monkeypatch.setenv(name, value)
    asked = runpod.post(CHAT).respond(json={"choices": []})
    listed = runpod.get(MODELS).respond(json={"data": []})
    async with route() as it:
        await it.models()
    await heard(WHOLE)
    for request in (asked.calls[0].request, listed.calls[0].request):
        assert request.url.host == "api.runpod.ai"
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["user-agent"].startswith("runpodctl-py/")
        assert set(request.headers) <= {
            *("host", "accept", "accept-encoding", "connection", "user-agent"),
            *("authorization", "content-type", "content-length"),
        }
        assert "other" not in str(request.headers.raw)
        assert request.headers["accept-encoding"] == "identity"
    assert json.loads(asked.calls[0].request.content) == WHOLE


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (401, {"error": "no"}, UnauthorizedError, "does not accept the API key"),
        (403, {"error": "no"}, UnauthorizedError, "does not accept the API key"),
        (400, {"error": {"message": "too long"}}, RefusedError, "too long"),
        (413, {"error": "big"}, PayloadTooLargeError, "too large"),
        (500, {"error": {"message": str({"message": "boom"})}}, JobFailedError, "failed: boom"),
        (500, {"error": "gateway"}, ServerError, "answered 500: gateway"),
        (502, "<html>", ServerError, "answered 502"),
        (307, "", ServerError, "redirects elsewhere"),
        (200, {"object": "error", "message": "no m", "code": 404}, NotFoundError, "404: no m"),
        (200, {"error": {"message": "no m", "type": "NotFoundError"}}, NotFoundError, "404: no m"),
        (200, {"error": {"message": "too long", "code": 400}}, RefusedError, "refused.*too long"),
        (200, {"error": {"message": "x", "type": "BadRequestError"}}, RefusedError, "x"),
        (200, {"error": {"message": "boom", "type": "worker_error"}}, JobFailedError, "boom"),
        (200, {"error": "boom"}, JobFailedError, "boom"),
        (200, {"id": "1", "status": "IN_QUEUE"}, ServerError, "no chat answer"),
        (200, ["a list"], ServerError, "not a JSON object"),
        (200, "plain text", ServerError, "plain text|no JSON"),
    ],
)
@pytest.mark.parametrize("body_asked", [STREAM, WHOLE], ids=["streamed", "whole"])
async def test_every_refusal_has_its_meaning(  # noqa: PLR0917 # a table's columns
    runpod: respx.MockRouter,
    status: int,
    body: object,
    kind: type[RunpodctlError],
    words: str,
    body_asked: JsonObject,
) -> None:
    """By its status, or by the object that a worker sent with 200; asked once."""
    told = {"text": body} if isinstance(body, str) else {"json": body}
    asked = runpod.post(CHAT).respond(status, **told)  # type: ignore[arg-type] # one of two
    with pytest.raises(kind, match=words):
        await heard(body_asked)
    assert asked.call_count == 1


async def test_an_error_in_the_middle_ends_the_stream(runpod: respx.MockRouter) -> None:
    """What was said before is heard."""
    text = event({"content": "Hel"}) + 'data: {"error": {"message": "engine died"}}\n\n'
    runpod.post(CHAT).respond(headers=EVENTS, text=text)
    said: list[Heard | Ended] = []
    with pytest.raises(JobFailedError, match="engine died"):
        await heard(STREAM, said)
    assert said == [Heard("Hel")]


async def test_what_is_no_json_in_a_stream_is_an_error(runpod: respx.MockRouter) -> None:
    """A defect of the server's, and no traceback."""
    runpod.post(CHAT).respond(headers=EVENTS, text="data: {oops\n\n")
    with pytest.raises(ServerError, match="no JSON"):
        await heard(STREAM)


@pytest.mark.parametrize(
    ("fault", "kind", "tries"),
    [
        (httpx.ConnectError("refused"), NetworkError, TRIES),
        (httpx.ConnectTimeout("slow"), NetworkError, TRIES),
        (httpx.ReadError("gone"), AnswerLostError, 1),
        (httpx.RemoteProtocolError("cut"), AnswerLostError, 1),
        (httpx.ReadTimeout("silence"), WaitTimeoutError, 1),
    ],
)
async def test_a_question_is_repeated_only_if_it_was_never_sent(
    runpod: respx.MockRouter, fault: Exception, kind: type[RunpodctlError], tries: int
) -> None:
    """What was sent may be done already, and billed."""
    asked = runpod.post(CHAT).mock(side_effect=fault)
    with pytest.raises(kind) as caught:
        await heard(STREAM)
    assert (type(caught.value), asked.call_count) == (kind, tries)


async def test_a_rate_limit_is_waited_out(runpod: respx.MockRouter) -> None:
    """It had no effect, so it may be asked again."""
    asked = runpod.post(CHAT).respond(429, headers={"Retry-After": "0"})
    with pytest.raises(RateLimitedError):
        await heard(STREAM)
    assert asked.call_count == TRIES


async def test_a_lost_list_of_models_is_asked_for_again(runpod: respx.MockRouter) -> None:
    """It means the same however often it is asked."""
    answers = [httpx.Response(502), httpx.ReadError("gone"), httpx.Response(200, json={"data": []})]
    asked = runpod.get(MODELS).mock(side_effect=answers)
    async with route() as it:
        assert await it.models() == ()
    assert asked.call_count == TRIES


async def test_a_connection_that_breaks_in_the_middle_is_told(runpod: respx.MockRouter) -> None:
    """It is not the end of the answer."""

    async def broken() -> Any:
        yield event({"content": "Hel"}).encode()
        raise httpx.ReadError("gone")

    runpod.post(CHAT).mock(return_value=httpx.Response(200, headers=EVENTS, content=broken()))
    with pytest.raises(AnswerLostError, match="before the answer was complete"):
        await heard(STREAM)


@pytest.mark.parametrize(
    "parts",
    [
        [event({"content": "Hel"})],
        [event({"content": "Hel"}) + "data: [DO"],
        [event({"content": "Hel"}) + ": no data: [DONE]\n\n"],
        [event({"content": "Hel"}), event(None, usage={"completion_tokens": 1})],
    ],
)
async def test_a_stream_that_closes_before_its_end_is_lost(
    runpod: respx.MockRouter, parts: list[str]
) -> None:
    """Nothing says that it is complete: no reason of its end, and no `[DONE]`."""
    runpod.post(CHAT).mock(return_value=streamed(*parts))
    said: list[Heard | Ended] = []
    with pytest.raises(AnswerLostError, match="closed before the answer was complete") as caught:
        await heard(STREAM, said)
    assert said == [Heard("Hel")]
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("It was not sent again")


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (["data: [DONE]\n\n"], None),
        (["data:[DONE]\n\n"], None),
        (list("data: [DONE]\n\n"), None),
        (["\r\ndata: [DO", "NE]\r\n\r\n"], None),
        (["data: [DONE]\n\n", ": bye\n\n"], None),
        ([event({}, finish_reason="stop")], "stop"),
    ],
)
async def test_a_stream_that_says_its_end_is_complete(
    runpod: respx.MockRouter, ending: list[str], reason: str | None
) -> None:
    """By its last event or by the reason, however the network cuts it."""
    runpod.post(CHAT).mock(return_value=streamed(event({"content": "Hello"}), *ending))
    assert await heard(STREAM) == [Heard("Hello"), Ended("org/m", reason, None)]


async def test_a_whole_answer_without_a_reason_is_complete(runpod: respx.MockRouter) -> None:
    """It is one JSON object, and all of it came."""
    runpod.post(CHAT).respond(json={"choices": [{"message": {"content": "Hello"}}]})
    assert await heard(STREAM) == [Heard("Hello"), Ended(None, None, None)]


async def test_a_missing_model_is_told_with_those_that_are_there(runpod: respx.MockRouter) -> None:
    """They are asked for, once it is too late."""
    runpod.post(CHAT).respond(404, json={"error": {"message": "no such model"}})
    with pytest.raises(NotFoundError, match="no such model") as caught:
        await heard(STREAM)
    assert caught.value.hint == "Its models: org/m"


@pytest.mark.parametrize("write", [str, json.dumps])
async def test_a_missing_model_is_found_in_a_workers_own_words(
    runpod: respx.MockRouter, write: Callable[[object], str]
) -> None:
    """RunPod makes one text of the error that a worker yields (workers reference D)."""
    error = {"message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404}
    runpod.post(CHAT).respond(500, json={"error": {"message": write(error), "code": None}})
    with pytest.raises(NotFoundError, match="The model `x` does not exist") as caught:
        await heard(STREAM)
    assert caught.value.hint == "Its models: org/m"


async def test_a_missing_endpoint_is_told(runpod: respx.MockRouter) -> None:
    """It has no models either."""
    runpod.post(CHAT).respond(404, json={"error": "endpoint not found"})
    runpod.get(MODELS).respond(404)
    with pytest.raises(NotFoundError, match="There is no endpoint ep"):
        await heard(STREAM)


async def test_the_key_is_in_no_error(runpod: respx.MockRouter) -> None:
    """A server may repeat what it was sent."""
    runpod.post(CHAT).respond(400, json={"error": {"message": f"what is {KEY}?"}})
    with pytest.raises(RefusedError) as caught:
        await heard(STREAM)
    assert (KEY in caught.value.message, "what is …?" in caught.value.message) == (False, True)


@pytest.mark.parametrize(
    "fault",
    [
        httpx.ConnectError(f"no way to {KEY}"),
        httpx.ReadError(f"no way to {KEY}"),
        httpx.RemoteProtocolError(f"no way to {KEY}"),
    ],
    ids=lambda fault: type(fault).__name__,
)
@pytest.mark.parametrize("asks", ["chat", "models"])
async def test_the_key_is_in_no_error_of_the_network(
    runpod: respx.MockRouter, fault: Exception, asks: str
) -> None:
    """A library may put a header into its words."""
    for asked in (runpod.post(CHAT), runpod.get(MODELS)):
        asked.mock(side_effect=fault)
    with pytest.raises(NetworkError) as caught:
        async with route() as it:
            await (it.models() if asks == "models" else heard(STREAM))
    assert (KEY in caught.value.message, "no way to …" in caught.value.message) == (False, True)


async def test_without_the_client_there_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the command that installs it, and the way that does without."""
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(UsageError, match="not installed") as caught:
        route()
    assert caught.value.hint is not None
    assert "pip install 'runpodctl-py[chat]'" in caught.value.hint
    assert "--native" in caught.value.hint
