"""A worker that speaks as worker-vllm does, in either form, and does what the last message says.

`VLLM_ERA=old` makes it one of v2.23 and before (workers reference D), `VLLM_MODELS` names models.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import runpod

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MODELS = os.environ.get("VLLM_MODELS", "org/model").split(",")
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


async def handler(job: dict[str, Any]) -> AsyncIterator[Any]:
    """Answer OpenAI's routes and the worker's own form."""
    fields = job["input"]
    route, asked = fields.get("openai_route"), fields.get("openai_input")
    if route == "/v1/models":
        yield {"object": "list", "data": [{"id": name, "object": "model"} for name in MODELS]}
        return
    is_old = os.environ.get("VLLM_ERA") == "old" and route is None
    asked = asked or {**fields, "model": MODELS[0]}
    if asked["model"] not in MODELS:
        message = f"The model `{asked['model']}` does not exist."
        yield {"object": "error", "message": message, "type": "NotFoundError", "code": 404}
        return
    what, _, argument = str(asked["messages"][-1]["content"]).partition(" ")
    if what == "fail":
        yield {"error": {"message": argument, "type": "worker_error", "code": None}}
    elif what == "refuse":
        yield {"object": "error", "message": argument, "type": "BadRequestError", "code": 400}
    elif what == "raise":
        raise ValueError(argument)
    elif not asked.get("stream"):
        yield whole(said(asked, what, argument), reason_of(what), is_old=is_old)
    else:
        async for piece in pieces(asked, what, argument, is_old=is_old):
            yield piece


def said(asked: dict[str, Any], what: str, argument: str) -> str:
    """Return the words of the answer."""
    if what == "recall":
        return " | ".join(f"{each['role']}: {each['content']}" for each in asked["messages"])
    if what == "settings":
        params = asked.get("sampling_params", asked)
        names = ("temperature", "top_p", "max_tokens", "stop", "seed")
        return json.dumps({name: params[name] for name in names if name in params})
    return {"wait": "one two three", "hang": "one"}.get(what, argument)


def reason_of(what: str) -> str:
    """Return why the answer ends."""
    return {"length": "length", "abort": "abort"}.get(what, "stop")


def whole(text: str, reason: str, *, is_old: bool) -> dict[str, Any]:
    """Return the answer in one piece."""
    if is_old:
        return {"choices": [{"tokens": [text]}], "usage": {"input": 3, "output": 2}}
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return {"object": "chat.completion", "model": MODELS[0], "choices": [choice], "usage": USAGE}


async def pieces(
    asked: dict[str, Any], what: str, argument: str, *, is_old: bool
) -> AsyncIterator[Any]:
    """Yield the answer word by word; for `wait FILE`, the second when the file is there."""
    first, *others = said(asked, what, argument).split(" ")
    for piece in [tokens({"content": first})] if is_old else cut(beginning(what, first)):
        yield piece
    while what in {"wait", "hang"} and not Path(argument).exists():  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(0.02)
    if what == "break":
        yield 'data: {"error": {"message": "The engine died.", "type": "x", "code": 500}}\n\n'
        yield "data: [DONE]\n\n"
        return
    if is_old:
        for word in others:
            yield tokens({"content": f" {word}"})
        return
    rest = "".join(event({"content": f" {word}"}) for word in others)
    rest += event({}, reason_of(what)) + event(None) + "data: [DONE]\n\n"
    for piece in cut(rest):
        yield piece


def tokens(delta: dict[str, str]) -> dict[str, Any]:
    """Return a piece in the old form."""
    return {"choices": [{"tokens": [delta["content"]]}], "usage": {"input": 3, "output": 1}}


def event(delta: dict[str, str] | None, reason: str | None = None) -> str:
    """Return one server-sent event; without a delta, the one that counts."""
    choices = [{"index": 0, "delta": delta, "finish_reason": reason}] if delta is not None else []
    usage = {"usage": USAGE} if delta is None else {}
    chunk = {"object": "chat.completion.chunk", "model": MODELS[0], "choices": choices, **usage}
    return f"data: {json.dumps(chunk)}\n\n"


def beginning(what: str, first: str) -> str:
    """Return the events before the second word."""
    start = event({"role": "assistant", "content": ""})
    if what == "think":
        start += event({"reasoning_content": "Hm, let me see."})
    return start + event({"content": first})


def cut(text: str) -> list[str]:
    """Cut text anywhere, as a network does."""
    places = sorted(random.Random(len(text)).sample(range(1, len(text)), 5))  # noqa: S311
    return [text[a:b] for a, b in zip([0, *places], [*places, None], strict=True)]


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler, "return_aggregate_stream": True})
