"""What stands in for the model: it repeats what it was told, and says that it is none.

Owns its words, and what counts as a token: a word with the space before it. Draws no lots: the same
question has the same answer, whatever the temperature.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.standins.vllm.requests import Wish

_TOKEN = re.compile(r"\s*\S+|\s+$")


@dataclass(frozen=True)
class Answer:
    """What is said.

    Attributes:
        tokens: Word by word.
        finish_reason: `stop`, or `length` if it was cut off.
        prompt_tokens: How much was asked.
    """

    tokens: Sequence[str]
    finish_reason: str
    prompt_tokens: int

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.tokens)

    @property
    def usage(self) -> dict[str, int]:
        """What was used, as OpenAI counts it."""
        completion = len(self.tokens)
        return {
            "prompt_tokens": self.prompt_tokens,
            "total_tokens": self.prompt_tokens + completion,
            "completion_tokens": completion,
        }


def answer(wish: Wish) -> Answer:
    """Return what there is to say to a wish."""
    text = _sentence(wish)
    ends = [at for each in wish.stops if (at := text.find(each)) >= 0]
    tokens = _TOKEN.findall(text[: min(ends)] if ends else text)
    asked = sum(len(_TOKEN.findall(each)) for each in (wish.system, *wish.said))
    most = wish.most_tokens
    if most is not None and len(tokens) > most:
        return Answer(tokens[:most], "length", asked)
    return Answer(tokens, "stop", asked)


def _sentence(wish: Wish) -> str:
    notes = ["stand-in, no model"]
    if wish.system:
        notes.append(f"told: {wish.system}")
    if len(wish.said) > 1:
        notes.append(f"your message no. {len(wish.said)}")
    return f"({'; '.join(notes)}) You said: {wish.said[-1]}"
