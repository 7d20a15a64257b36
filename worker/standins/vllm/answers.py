"""Puts what is said into the forms of OpenAI's API: whole, or as server-sent events.

Owns the objects' fields and how a stream is cut into pieces.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.standins.vllm.repeater import Answer

_CUT_EVERY = 5


@dataclass(frozen=True)
class Form:
    """The form of one answer.

    Attributes:
        id: The answer's.
        model: The model's name.
        created: When, in seconds since 1970.
        is_chat: Whether it answers messages, not a prompt.
    """

    id: str
    model: str
    created: int
    is_chat: bool

    def whole(self, answer: Answer) -> dict[str, Any]:
        """Return the answer in one piece."""
        said: dict[str, Any] = {"text": answer.text}
        if self.is_chat:
            said = {"message": {"role": "assistant", "content": answer.text}}
        kind = "chat.completion" if self.is_chat else "text_completion"
        choice = self._choice(said, answer.finish_reason)
        return {**self._object(kind, [choice]), "usage": answer.usage}

    def events(self, answer: Answer, *, counts: bool) -> Iterator[str]:
        """Yield the answer as server-sent events, word by word, up to the one that ends them.

        Args:
            answer: What is said.
            counts: Whether the last object tells what was used.
        """
        if self.is_chat:
            yield self._event([self._choice({"delta": {"role": "assistant", "content": ""}})])
        last = len(answer.tokens) - 1
        for number, token in enumerate(answer.tokens):
            said: dict[str, Any] = (
                {"delta": {"content": token}} if self.is_chat else {"text": token}
            )
            reason = answer.finish_reason if number == last else None
            yield self._event([self._choice(said, reason)])
        if counts:
            yield self._event([], usage=answer.usage)
        yield "data: [DONE]\n\n"

    def _choice(self, said: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        return {"index": 0, **said, "logprobs": None, "finish_reason": finish_reason}

    def _object(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> str:
        kind = "chat.completion.chunk" if self.is_chat else "text_completion"
        content = {**self._object(kind, choices), **more}
        return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"


def cut(number: int, event: str) -> tuple[str, ...]:
    """Return an event in the pieces in which it travels: now and then in two, as on a network.

    Args:
        number: Which event of its stream it is, from 0.
        event: What is cut.
    """
    middle = len(event) // 2
    return (event,) if (number + 1) % _CUT_EVERY else (event[:middle], event[middle:])
