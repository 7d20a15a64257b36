"""A conversation with a language model: from a person's words to what worker-vllm takes.

Owns messages, the sampling, both forms in which they are sent (workers reference D), the name of a
model, and what helps when a model cannot start. Sends nothing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runpodctl_py.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runpodctl_py.jsontypes import JsonObject, JsonValue

MODEL_NAME = "MODEL_NAME"
MAX_MODEL_LEN = "MAX_MODEL_LEN"
"""The worker's variables for its model, and for the longest text it takes, in tokens."""

_ROLES = ("system", "user", "assistant", "tool", "developer")
_MODEL = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_SIZE = re.compile(r"(?<![A-Za-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)b(?![A-Za-z0-9])", re.IGNORECASE)
_QUANTISED = re.compile(
    r"awq|gptq|fp8|fp4|int[48]|4bit|8bit|bnb|w4a16|w8a8|mxfp|gguf", re.IGNORECASE
)
_MOST_B = 1_000
"""No model has as many thousand million parameters: such a number is a year or a version."""


@dataclass(frozen=True)
class Sampling:
    """How the next word is chosen; None leaves it to the worker.

    Args:
        temperature: 0 always takes the likeliest.
        top_p: Keeps the likeliest choices up to this probability.
        max_tokens: The longest answer. Left out, worker-vllm up to v2.23 stops after 100.
        stop: Where to stop: before any of these texts.
        seed: The same one gives the same answer again, as far as the hardware allows.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None

    def as_json(self) -> JsonObject:
        """Return what was given, by OpenAI's names, which are vLLM's, too."""
        fields: JsonObject = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_tokens,
            "stop": [*self.stop] or None,
            "seed": self.seed,
        }
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True)
class Conversation:
    """What was said so far, as the messages of OpenAI's API."""

    messages: tuple[JsonObject, ...] = field(default=())

    @classmethod
    def begun(cls, system: str | None, earlier: Sequence[JsonObject] = ()) -> Conversation:
        """Return a conversation with what the model is told beforehand.

        Raises:
            UsageError: There are two texts for that.
        """
        if system is None:
            return cls(tuple(earlier))
        if any(each.get("role") == "system" for each in earlier):
            raise UsageError("--system and a system message in --messages exclude each other")
        return cls((_message("system", system), *earlier))

    def asked(self, text: str) -> Conversation:
        """Return the conversation with one more question of the person's."""
        return Conversation((*self.messages, _message("user", text)))

    def answered(self, text: str) -> Conversation:
        """Return the conversation with the model's answer."""
        return Conversation((*self.messages, _message("assistant", text)))

    def as_json(self) -> list[JsonValue]:
        """Return the messages as they are sent."""
        return [*self.messages]


def read_messages(text: str, source: str) -> tuple[JsonObject, ...]:
    """Read a whole conversation: a JSON list of messages, or an object with `messages`.

    Args:
        text: The JSON.
        source: What to call it in an error.

    Raises:
        UsageError: It is no such list.
    """
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{source} is no JSON: {exc}") from exc
    messages = value.get("messages") if isinstance(value, dict) else value
    if not isinstance(messages, list) or not messages:
        raise UsageError(
            f"{source} is no list of messages",
            hint='Such as: [{"role": "system", "content": "…"}, {"role": "user", "content": "…"}]',
        )
    for number, message in enumerate(messages, start=1):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise UsageError(
                f"Message {number} of {source} has no role", hint=f"Roles: {', '.join(_ROLES)}"
            )
        if not isinstance(message.get("content"), str | list) and not message.get("tool_calls"):
            raise UsageError(f"Message {number} of {source} has no content")
    return tuple(messages)


def native_payload(conversation: Conversation, sampling: Sampling, *, streams: bool) -> JsonObject:
    """Return the worker's own input, which every version of worker-vllm takes."""
    payload: JsonObject = {"messages": conversation.as_json(), "stream": streams}
    if fields := sampling.as_json():
        payload["sampling_params"] = fields
    return payload


def openai_body(
    model: str, conversation: Conversation, sampling: Sampling, *, streams: bool
) -> JsonObject:
    """Return the body of OpenAI's `chat/completions`."""
    body: JsonObject = {"model": model, "messages": conversation.as_json(), **sampling.as_json()}
    if streams:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def finish_reason(output: JsonValue) -> str | None:
    """Return why an answer in the worker's own form ended, such as `stop` or `length`.

    None if its worker does not say so: only since v2.24, in OpenAI's objects or, streamed, in texts
    that are cut anywhere (workers reference D).
    """
    parts = output if isinstance(output, list) else [output]
    lines = "".join(each for each in parts if isinstance(each, str)).split("\n")
    events = (_parsed(line.removeprefix("data:")) for line in lines if line.startswith("data:"))
    reasons = [reason for each in (*parts, *events) if (reason := _reason_in(each))]
    return reasons[-1] if reasons else None


def _reason_in(answer: JsonValue) -> str | None:
    choices = answer.get("choices") if isinstance(answer, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    reason = choice.get("finish_reason") if isinstance(choice, dict) else None
    return reason if isinstance(reason, str) else None


def _parsed(text: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def check_model_name(model: str) -> str:
    """Return the name of a model on Hugging Face as it is, if it can be one.

    Raises:
        UsageError: It is not ORG/NAME.
    """
    if _MODEL.fullmatch(model):
        return model
    path = model.removeprefix("https://huggingface.co/").rstrip("/")
    hint = f"Perhaps {path}?" if path != model and _MODEL.fullmatch(path) else None
    raise UsageError(
        f"{model!r} is no model on Hugging Face",
        hint=hint or "Its name is ORG/NAME, such as Qwen/Qwen3-8B.",
    )


def weights_gb(model: str) -> float | None:
    """Return what a model's weights take, in GB, as far as its name tells; None if it does not.

    A number and a B are thousand millions of parameters, with two bytes each unless the name says
    that they are quantised: then it is not judged.
    """
    sizes = [
        float(size) * int(experts or 1)
        for experts, size in _SIZE.findall(model.rpartition("/")[2].replace("_", "-"))
        if float(size) < _MOST_B
    ]
    return None if not sizes or _QUANTISED.search(model) else 2 * max(sizes)


def too_large(model: str, memory_gb: int) -> str | None:
    """Return what to say of a model that does not fit into a worker's cards, if its name tells.

    Args:
        model: Its name.
        memory_gb: The memory of all of a worker's cards together.
    """
    needed_gb = weights_gb(model)
    if needed_gb is None or needed_gb < memory_gb:
        return None
    return (
        f"By its name, the weights of {model} take about {needed_gb:.0f} GB, and a worker's GPUs "
        f"have {memory_gb} GB: it will not start. Take larger ones with --gpu, several with "
        "--gpu-count and --env TENSOR_PARALLEL_SIZE=N, or a quantised model."
    )


def hint_for(error: str) -> str | None:
    """Return what helps, if a worker's words are known ones about a model that cannot start."""
    said = error.lower()
    if "hf_token" in said or "gated" in said or "401 client error" in said:
        return (
            "Accept the model's licence on its page, and give the worker a token of yours, in a "
            "file with HF_TOKEN=…:\n  runpodctl-py setup-vllm --env @FILE"
        )
    if "out of memory" in said or "gpu memory" in said or "kv cache" in said:
        return (
            "Larger GPUs, or a shorter context:\n"
            "  runpodctl-py setup-vllm --gpu AMPERE_48\n"
            "  runpodctl-py setup-vllm --max-model-len 8192"
        )
    if "no space left" in said or "ran out of disk" in said:
        return "A larger disk:  runpodctl-py setup-vllm --container-disk 200"
    return None


def _message(role: str, text: str) -> JsonObject:
    return {"role": role, "content": text}
