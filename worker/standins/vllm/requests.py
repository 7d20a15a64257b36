"""Reads what a job asks of the model's server: which route, and what of it.

Owns the input's forms, of worker-vllm and of OpenAI's API, and the refusals that vLLM would send.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CHAT, COMPLETIONS, MODELS = "/v1/chat/completions", "/v1/completions", "/v1/models"
_ROUTES = (MODELS, CHAT, COMPLETIONS)
_COMPLETION_TOKENS = 16
"""What vLLM says to a prompt unless it is told how much; a chat has no such limit."""


class RefusedError(Exception):
    """The model's server would refuse it.

    Args:
        message: Why.
        kind: OpenAI's name of it.
        code: The HTTP status.
        param: The field that is wrong.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str = "BadRequestError",
        code: int = 400,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param

    def to_json(self) -> dict[str, Any]:
        """Return the error in vLLM's form."""
        return {
            "error": {
                "message": self.message,
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        }


@dataclass(frozen=True)
class Request:
    """A request to the model's server.

    Attributes:
        route: Its path.
        body: What is posted; None for a GET.
    """

    route: str
    body: Mapping[str, Any] | None


@dataclass(frozen=True)
class Wish:
    """What is asked of the model.

    Attributes:
        system: What it was told beforehand.
        said: What the person said, one text for each of their messages; of a prompt, the prompt.
        is_chat: Which of the two it is.
        most_tokens: How much it may say; None for as much as it likes.
        stops: Before which texts it ends.
        streams: Whether it is heard as it comes.
        counts: Whether a stream ends with what was used.
    """

    system: str
    said: Sequence[str]
    is_chat: bool
    most_tokens: int | None
    stops: Sequence[str]
    streams: bool
    counts: bool


def read_request(job_input: Mapping[str, Any]) -> Request:
    """Return the request that a job's input means.

    Raises:
        ValueError: It means none.
    """
    if "openai_route" in job_input or "openai_input" in job_input:
        # Without a body it is a GET: RunPod passes those on with nothing, or with `{}`.
        return Request(
            str(job_input.get("openai_route") or CHAT), job_input.get("openai_input") or None
        )
    if "route" in job_input:
        is_get = str(job_input.get("method", "")).upper() == "GET"
        body = None if is_get else job_input.get("body") or None
        return Request(str(job_input["route"]), body)
    for name, route in (("messages", CHAT), ("prompt", COMPLETIONS)):
        if job_input.get(name) is not None:
            parameters = job_input.get("sampling_params") or {}
            streams = bool(job_input.get("stream"))
            return Request(route, {**parameters, name: job_input[name], "stream": streams})
    raise ValueError("input needs 'messages' or 'prompt', an 'openai_route' or a 'route'")


def check_route(request: Request) -> None:
    """Make sure that a route is there, and that it is asked as it wants to be.

    Raises:
        RefusedError: It is not.
    """
    if request.route not in _ROUTES:
        raise RefusedError(
            f"Not Found: this stand-in has {', '.join(_ROUTES)}", kind="NotFoundError", code=404
        )
    if (request.route == MODELS) != (request.body is None):
        raise RefusedError("Method Not Allowed", kind="MethodNotAllowedError", code=405)


def read_wish(request: Request, served_model: str) -> Wish:
    """Return what is asked of the model.

    Raises:
        RefusedError: Another model is meant, or a field is wrong.
    """
    body = request.body or {}
    model = body.get("model")
    if model is not None and model != served_model:
        raise RefusedError(
            f"The model `{model}` does not exist.", kind="NotFoundError", code=404, param="model"
        )
    if body.get("n", 1) != 1:
        raise RefusedError("This stand-in answers once: n must be 1.", param="n")
    is_chat = request.route == CHAT
    system, said = _messages(body) if is_chat else ("", _prompt(body))
    options = body.get("stream_options")
    return Wish(
        system=system,
        said=said,
        is_chat=is_chat,
        most_tokens=_most_tokens(body, is_chat=is_chat),
        stops=_stops(body),
        streams=body.get("stream") is True,
        counts=isinstance(options, dict) and bool(options.get("include_usage")),
    )


def _messages(body: Mapping[str, Any]) -> tuple[str, list[str]]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(map(_is_message, messages)):
        raise RefusedError(
            "messages must be a list of objects with a role and a content", param="messages"
        )
    told = [_text(each) for each in messages if each["role"] in {"system", "developer"}]
    said = [_text(each) for each in messages if each["role"] == "user"]
    return " ".join(told), said or [_text(messages[-1])]


def _is_message(message: Any) -> bool:
    return isinstance(message, dict) and isinstance(message.get("role"), str)


def _text(message: Mapping[str, Any]) -> str:
    """Return a message's text; of one in parts, the texts, and that there was something else."""
    content = message.get("content")
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    parts = [each for each in content if isinstance(each, dict)]
    return " ".join(
        str(each.get("text", "")) if each.get("type") == "text" else f"[{each.get('type')}]"
        for each in parts
    )


def _prompt(body: Mapping[str, Any]) -> list[str]:
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise RefusedError("This stand-in takes one prompt: a text.", param="prompt")
    return [prompt]


def _most_tokens(body: Mapping[str, Any], *, is_chat: bool) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        if (most := body.get(name)) is None:
            continue
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise RefusedError(f"{name} must be at least 1, got {most}.", param=name)
        return most
    return None if is_chat else _COMPLETION_TOKENS


def _stops(body: Mapping[str, Any]) -> list[str]:
    stop = body.get("stop")
    stops = stop if isinstance(stop, list) else [stop]
    return [each for each in stops if isinstance(each, str) and each]
