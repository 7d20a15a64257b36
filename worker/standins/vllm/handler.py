"""One job of the stand-in for worker-vllm, from its input to what it yields.

Owns the order of the work, the pace of a stream, and what becomes of a refusal.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from worker.standins.vllm.answers import Form, cut
from worker.standins.vllm.repeater import answer
from worker.standins.vllm.requests import (
    MODELS,
    RefusedError,
    Wish,
    check_route,
    read_request,
    read_wish,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


@dataclass(frozen=True)
class Model:
    """The model that is served, by name.

    Attributes:
        name: What requests call it.
        root: What it was loaded from.
        created: When, in seconds since 1970.
    """

    name: str
    root: str
    created: int = field(default_factory=lambda: int(time.time()))

    def listed(self) -> dict[str, Any]:
        """Return the list of models, with this one."""
        model = {
            "id": self.name,
            "object": "model",
            "created": self.created,
            "owned_by": "vllm",
            "root": self.root,
            "parent": None,
        }
        return {"object": "list", "data": [model]}


class Handler:
    """Answers jobs.

    Args:
        model: Which it serves.
        token_s: How long a word takes, in seconds.
    """

    def __init__(self, model: Model, token_s: float) -> None:
        self._model = model
        self._token_s = token_s

    async def answer(self, job: Mapping[str, Any]) -> AsyncIterator[Any]:
        """Yield what one job asks for: an object, or pieces of server-sent events.

        A refusal is yielded as an object with `error`, by which the SDK fails the job.
        """
        try:
            request = read_request(job["input"])
            check_route(request)
            if request.route == MODELS:
                yield self._model.listed()
                return
            wish = read_wish(request, self._model.name)
        except RefusedError as error:
            yield error.to_json()
            return
        except (ValueError, TypeError) as error:
            yield {"error": {"message": str(error), "type": "worker_error", "code": None}}
            return
        async for piece in self._said(wish, str(job["id"])):
            yield piece

    async def _said(self, wish: Wish, job_id: str) -> AsyncIterator[Any]:
        kind = "chatcmpl" if wish.is_chat else "cmpl"
        form = Form(f"{kind}-{job_id}", self._model.name, int(time.time()), wish.is_chat)
        said = answer(wish)
        if not wish.streams:
            await asyncio.sleep(self._token_s * len(said.tokens))
            yield form.whole(said)
            return
        for number, event in enumerate(form.events(said, counts=wish.counts)):
            await asyncio.sleep(self._token_s)
            for piece in cut(number, event):
                yield piece
