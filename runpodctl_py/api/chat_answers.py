"""What the objects of a chat's answer say: its text piece by piece, and how it ended.

Owns the fields of OpenAI's form, as vLLM fills them in, and is lenient with them: workers leave out
much. How the objects come here is `openai_route.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runpodctl_py.jsontypes import JsonObject, JsonValue


@dataclass(frozen=True)
class Heard:
    """A part of the answer.

    Args:
        text: What the model says.
        is_thought: Whether it thinks aloud, in front of its answer.
    """

    text: str
    is_thought: bool = False


@dataclass(frozen=True)
class Usage:
    """How many tokens went in and came out."""

    prompt_tokens: int | None
    completion_tokens: int | None


@dataclass(frozen=True)
class Ended:
    """The end of an answer.

    Args:
        model: Which model the worker says it was.
        finish_reason: Why it ended: `stop`, `length` …; None if the worker did not say.
        usage: What it took, if the worker said so.
    """

    model: str | None
    finish_reason: str | None
    usage: Usage | None


class Reading:
    """One answer, read object by object."""

    def __init__(self) -> None:
        self._model: str | None = None
        self._reason: str | None = None
        self._usage: Usage | None = None

    def read(self, answer: JsonObject) -> list[Heard]:
        """Return what one object says, be it a piece of a stream or all of it."""
        model, usage = answer.get("model"), answer.get("usage")
        if isinstance(model, str):
            self._model = model
        if isinstance(usage, dict):
            self._usage = Usage(
                _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
            )
        choices = answer.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            return []
        if isinstance(reason := choice.get("finish_reason"), str):
            self._reason = reason
        # A worker that does not stream says it all in one event.
        return _heard(choice.get("delta") or choice.get("message"))

    def ended(self) -> Ended:
        """Return what is known when nothing more comes."""
        return Ended(self._model, self._reason, self._usage)


def is_answer(answer: JsonObject) -> bool:
    """Tell whether an object is part of an answer, and not what is said instead of one."""
    return isinstance(answer.get("choices"), list)


def _heard(said: JsonValue) -> list[Heard]:
    if not isinstance(said, dict):
        return []
    thought = said.get("reasoning_content") or said.get("reasoning")
    text = said.get("content")
    return [
        *([Heard(thought, is_thought=True)] if isinstance(thought, str) else []),
        *([Heard(text)] if isinstance(text, str) and text else []),
    ]


def _count(value: JsonValue) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
