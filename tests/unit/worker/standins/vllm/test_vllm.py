"""The stand-in for vLLM: its inputs, its answers whole and in pieces, its refusals."""

from __future__ import annotations

import json
from typing import Any

import pytest

from worker.standins.vllm import create
from worker.standins.vllm.handler import Handler, Model

pytestmark = pytest.mark.anyio
MODEL = "org/model"
SAID = "(stand-in, no model) You said: "


async def ask(job_input: Any, handler: Handler | None = None) -> list[Any]:
    """Returns all that is yielded for a job."""
    handler = handler or Handler(Model(MODEL, MODEL, created=1), 0)
    return [each async for each in handler.answer({"id": "j", "input": job_input})]


def user(*texts: str) -> list[dict[str, str]]:
    """Returns a conversation of a person's messages."""
    return [{"role": "user", "content": text} for text in texts]


def events(pieces: list[str]) -> list[Any]:
    """Returns what a stream says, with the pieces put together as a client has to."""
    *texts, rest = "".join(pieces).split("\n\n")
    assert rest == ""
    assert all(text.startswith("data: ") for text in texts)
    assert texts.pop() == "data: [DONE]"
    return [json.loads(text.removeprefix("data: ")) for text in texts]


async def test_a_chat_is_answered_with_what_was_said() -> None:
    """In OpenAI's form, in a list of one as all generators have it."""
    (answer,) = await ask({"messages": user("hello there")})
    assert answer["object"] == "chat.completion"
    assert (answer["id"], answer["model"]) == ("chatcmpl-j", MODEL)
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": f"{SAID}hello there"},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert answer["usage"] == {"prompt_tokens": 2, "completion_tokens": 7, "total_tokens": 9}


async def test_a_prompt_is_answered_up_to_sixteen_words() -> None:
    """As vLLM does unless it is told how many."""
    (answer,) = await ask({"prompt": "word " * 30})
    assert answer["object"] == "text_completion"
    (choice,) = answer["choices"]
    assert choice["text"] == SAID + " ".join(["word"] * 11)
    assert choice["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 16


async def test_messages_win_over_a_prompt() -> None:
    """Where both are given."""
    (answer,) = await ask({"prompt": "one", "messages": user("two")})
    assert answer["choices"][0]["message"]["content"] == f"{SAID}two"


async def test_what_it_was_told_and_which_message_it_is_shows() -> None:
    """So that one sees that the system prompt and the conversation arrived."""
    messages = [{"role": "system", "content": "Be brief."}, *user("one", "two")]
    (answer,) = await ask({"messages": messages})
    assert answer["choices"][0]["message"]["content"] == (
        "(stand-in, no model; told: Be brief.; your message no. 2) You said: two"
    )


async def test_a_message_in_parts_is_read() -> None:
    """What is no text is named by its kind."""
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "…"}}]
    (answer,) = await ask({"messages": [{"role": "user", "content": parts}]})
    assert answer["choices"][0]["message"]["content"] == f"{SAID}look [image_url]"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_the_limit_of_words_is_kept(name: str) -> None:
    """And told by the reason."""
    (answer,) = await ask({"messages": user("a b c"), "sampling_params": {name: 3}})
    (choice,) = answer["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (
        "(stand-in, no model)",
        "length",
    )


async def test_it_ends_before_a_stop() -> None:
    """The earliest one counts."""
    (answer,) = await ask({"messages": user("x"), "sampling_params": {"stop": ["said", "no"]}})
    (choice,) = answer["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("(stand-in, ", "stop")


async def test_a_chat_is_streamed_word_by_word() -> None:
    """As text of server-sent events; together they say what the whole answer says."""
    pieces = await ask({"messages": user("hello there"), "stream": True})
    said = events(pieces)
    assert said[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    words = [each["choices"][0]["delta"]["content"] for each in said]
    assert words == ["", "(stand-in,", " no", " model)", " You", " said:", " hello", " there"]
    reasons = [each["choices"][0]["finish_reason"] for each in said]
    assert reasons == [None] * 7 + ["stop"]
    assert {each["object"] for each in said} == {"chat.completion.chunk"}


async def test_pieces_of_a_stream_may_end_anywhere() -> None:
    """As on a network: clients that take each piece for an event are found out."""
    pieces = await ask({"messages": user("hello there"), "stream": True})
    assert any(not piece.endswith("\n\n") for piece in pieces)
    assert len(pieces) > 5


async def test_a_prompt_is_streamed_with_what_was_used() -> None:
    """Where that is asked for, in an object of its own."""
    body = {"prompt": "hi", "stream": True, "stream_options": {"include_usage": True}}
    *said, last = events(await ask({"openai_route": "/v1/completions", "openai_input": body}))
    assert "".join(each["choices"][0]["text"] for each in said) == f"{SAID}hi"
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 6)


@pytest.mark.parametrize(
    "job_input",
    [
        {"openai_route": "/v1/models"},
        {"openai_route": "/v1/models", "openai_input": {}},
        {"route": "/v1/models"},
        {"route": "/v1/models", "method": "get", "body": {"a": 1}},
    ],
)
async def test_the_model_is_listed(job_input: dict[str, Any]) -> None:
    """By every way that there is to ask."""
    (answer,) = await ask(job_input)
    assert answer["object"] == "list"
    assert [each["id"] for each in answer["data"]] == [MODEL]


async def test_its_name_is_the_templates() -> None:
    """What requests call it comes before what it was loaded from."""
    override = {"MODEL_NAME": MODEL, "OPENAI_SERVED_MODEL_NAME_OVERRIDE": "mine"}
    for environ, name, root in [
        ({"MODEL_NAME": MODEL}, MODEL, MODEL),
        (override, "mine", MODEL),
        ({}, "facebook/opt-125m", "facebook/opt-125m"),
    ]:
        config = create(environ)
        job = {"id": "j", "input": {"openai_route": "/v1/models"}}
        ((model,),) = [each["data"] async for each in config["handler"](job)]
        assert (model["id"], model["root"]) == (name, root)


async def test_an_unknown_model_is_not_found() -> None:
    """OpenAI's error with the code 404; the job fails by it."""
    body = {"model": "other", "messages": user("x")}
    assert await ask({"openai_route": "/v1/chat/completions", "openai_input": body}) == [
        {
            "error": {
                "message": "The model `other` does not exist.",
                "type": "NotFoundError",
                "param": "model",
                "code": 404,
            }
        }
    ]


@pytest.mark.parametrize(
    ("job_input", "words", "kind"),
    [
        ({}, "input needs 'messages' or 'prompt'", "worker_error"),
        ({"messages": "hello"}, "messages must be a list", "BadRequestError"),
        ({"messages": [{"content": "x"}]}, "messages must be a list", "BadRequestError"),
        ({"prompt": ["a", "b"]}, "takes one prompt", "BadRequestError"),
        (
            {"prompt": "x", "sampling_params": {"max_tokens": 0}},
            "max_tokens must be at least 1, got 0.",
            "BadRequestError",
        ),
        ({"prompt": "x", "sampling_params": {"n": 2}}, "n must be 1", "BadRequestError"),
        (
            {"openai_route": "/v1/embeddings", "openai_input": {"a": 1}},
            "Not Found",
            "NotFoundError",
        ),
        ({"openai_route": "/v1/completions"}, "Method Not Allowed", "MethodNotAllowedError"),
        ({"prompt": "x", "sampling_params": [1]}, "not a mapping", "worker_error"),
    ],
)
async def test_a_refusal_is_one_object(job_input: Any, words: str, kind: str) -> None:
    """By its `error` the SDK fails the job."""
    (answer,) = await ask(job_input)
    assert words in answer["error"]["message"]
    assert answer["error"]["type"] == kind


def test_it_answers_several_at_once() -> None:
    """As many as the template says, thirty otherwise; and its pieces are collected."""
    assert create({})["concurrency_modifier"](1) == 30
    config = create({"MAX_CONCURRENCY": "4"})
    assert (config["concurrency_modifier"](1), config["return_aggregate_stream"]) == (4, True)
