"""A worker that speaks as worker-vllm does: an async generator, collected, of objects and text."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import runpod

MODEL = "org/model"
ERROR = {"object": "error", "message": "The model does not exist.", "type": "NotFoundError"}


async def handler(job: dict[str, Any]) -> AsyncIterator[Any]:
    """Answers the routes of OpenAI's API that worker-vllm knows."""
    route, asked = job["input"]["openai_route"], job["input"].get("openai_input")
    if route == "/v1/models" and asked is None:
        yield {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0}]}
    elif asked["model"] != MODEL:
        yield {**ERROR, "code": 404, "param": None}
    elif asked["messages"][-1]["content"] == "raise":
        raise ValueError("out of memory")
    elif asked.get("stream"):
        async for text in streamed(asked):
            yield text
    else:
        message = {"role": "assistant", "content": asked["messages"][-1]["content"].upper()}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        yield {"id": "c", "object": "chat.completion", "created": 0, "model": MODEL} | {
            "choices": [choice]
        }


async def streamed(asked: dict[str, Any]) -> AsyncIterator[str]:
    """Yields server-sent events cut anywhere; waits for a file in the middle, if one is named."""
    words = asked["messages"][-1]["content"].split()
    first, *others = [chunk({"content": f"{word} "}) for word in words]
    yield first[:10]
    yield first[10:]
    if until := asked.get("user"):
        while not Path(until).exists():  # noqa: ASYNC110, ASYNC240 - a file rings no bell.
            await asyncio.sleep(0.01)
    yield "".join(others) + "data: [DO"
    yield "NE]\n\n"


def chunk(delta: dict[str, str]) -> str:
    """Returns one event of a streamed answer."""
    body = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": MODEL}
    return f"data: {json.dumps({**body, 'choices': [{'index': 0, 'delta': delta}]})}\n\n"


runpod.serverless.start({"handler": handler, "return_aggregate_stream": True})
