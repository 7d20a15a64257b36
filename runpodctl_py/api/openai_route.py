"""One endpoint's OpenAI route: its models, and a chat's answer whole or as it comes.

Owns the official `openai` client, which is imported here only and when it is used, and what its
answers and exceptions mean. worker-vllm answers errors with HTTP 200, too, also in the middle of a
stream (API reference 4.1). What goes out is the body and RunPod's key, and nothing else: the client
adds an account, a project, headers and even another key from `OPENAI_…` variables, and tells of the
machine it runs on.
"""

from __future__ import annotations

import ast
import json
from contextlib import aclosing
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NoReturn, Self
from urllib.parse import quote, urlsplit

import httpx

from runpodctl_py.api.chat_answers import Ended, Heard, Reading, is_answer
from runpodctl_py.api.connections import CONNECT_TIMEOUT_S
from runpodctl_py.api.hosts import built, has_no_certificate, is_this_machine
from runpodctl_py.api.retrying import RetryPolicy, TryAgainError, retry_after_s, with_retries
from runpodctl_py.api.stream_end import has_ended, watch
from runpodctl_py.api.transport import USER_AGENT, redact
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

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from types import TracebackType

    from openai import AsyncOpenAI, AsyncStream

    from runpodctl_py.jsontypes import JsonObject, JsonValue

SILENCE_S = 600.0
"""How long RunPod may say nothing: a worker that has to load a large model takes minutes."""

#: What is sent besides the key, which is set anew: nothing of the client's own, nor of OPENAI_….
_HEADERS = frozenset(
    {"host", "accept", "accept-encoding", "connection", "content-type", "content-length"}
)
_EVENTS = "text/event-stream"
_LOST_HINT = "It was not sent again: the worker may have done it, and RunPod bills it."
_LONGEST_WORDS = 1000
_REFUSED = frozenset({"BadRequestError", "invalid_request_error", "BadRequest", "bad_request"})
_LONGEST_OBJECT = 16 * 1024
"""`ast.literal_eval` costs much memory a character, and no worker's error is longer."""
_UNKNOWN = frozenset({"NotFoundError", "not_found_error", "model_not_found"})


def require_openai() -> None:
    """Check that the client can be imported, without importing it.

    Raises:
        UsageError: It is not installed; the hint says what to do.
    """
    if find_spec("openai") is None:
        raise UsageError(
            "chat needs the package openai, which is not installed",
            hint="pip install 'runpodctl-py[chat]'\n"
            "Or use the worker's own form, which needs nothing:  runpodctl-py chat --native",
        )


class OpenAiRoute:
    """The OpenAI route of one endpoint. Use it as an async context.

    Args:
        base_url: The job API's root (`…/v2`).
        api_key: RunPod's key, sent to this host only.
        endpoint_id: RunPod's id of the endpoint.
        words: What a worker's error says to a person, in whatever form it comes.
        silence_s: How long RunPod may say nothing.
        retries: How often a request is sent that had no effect for sure.

    Raises:
        UsageError: The client is not installed, or cannot be built in these surroundings.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        endpoint_id: str,
        *,
        words: Callable[[JsonValue], str],
        silence_s: float = SILENCE_S,
        retries: RetryPolicy | None = None,
    ) -> None:
        require_openai()
        self._host = urlsplit(base_url).hostname or base_url
        self._api_key = api_key
        self._endpoint_id = endpoint_id
        self._words = words
        self._silence_s = silence_s
        self._retries = retries or RetryPolicy()
        url = f"{base_url}/{quote(endpoint_id, safe='')}/openai/v1"
        self._client = built(lambda: self._openai(url))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.close()

    async def models(self) -> tuple[str, ...]:
        """Return the names of the endpoint's models; a worker may have to start for this.

        Raises:
            NotFoundError: There is no such endpoint.
            UnauthorizedError, RefusedError, JobFailedError: What was answered.
            RateLimitedError, ServerError, NetworkError: After retries.
            WaitTimeoutError: There was no answer for too long.
        """
        try:
            answer = await with_retries(self._retries, self._ask_models)
        except NotFoundError as exc:
            raise NotFoundError(
                f"There is no endpoint {self._endpoint_id}, or it has no OpenAI route",
                hint="See yours:  runpodctl-py endpoints list",
            ) from exc
        listed = answer.get("data")
        if not isinstance(listed, list):
            self._refuse(answer)
        names = [each.get("id") for each in listed if isinstance(each, dict)]
        return tuple(name for name in names if isinstance(name, str))

    async def chat(self, body: Mapping[str, JsonValue]) -> AsyncGenerator[Heard | Ended]:
        """Ask, and yield the answer as it comes; `Ended` is last.

        It is sent again only if it was never sent, or not taken (429): each time would be billed.

        Args:
            body: What `chat/completions` takes; with `stream` the answer comes in pieces.

        Raises:
            NotFoundError: There is no such endpoint, or it has no such model.
            UnauthorizedError, PayloadTooLargeError, RefusedError: It was not taken.
            JobFailedError: The worker failed, perhaps in the middle of its answer.
            AnswerLostError: It was sent, and the connection broke, or closed before the end.
            RateLimitedError, ServerError, NetworkError: After retries.
            WaitTimeoutError: Nothing came for too long.
        """
        try:
            answer = await with_retries(self._retries, lambda: self._ask(body))
            async with aclosing(self._parts(answer)) as parts:
                async for part in parts:
                    yield part
        except NotFoundError as exc:
            raise await self._explained(exc) from exc

    def _openai(self, url: str) -> AsyncOpenAI:
        import openai

        # Both major versions take a client of httpx's; what it sends is ours to decide.
        http: Any = httpx.AsyncClient(
            timeout=httpx.Timeout(self._silence_s, connect=CONNECT_TIMEOUT_S),
            trust_env=not is_this_machine(url),
            verify=not has_no_certificate(url),
            event_hooks={"request": [self._only_ours], "response": [watch]},
        )
        # Not its own default of ten minutes in all, nor its repetitions.
        return openai.AsyncOpenAI(
            api_key=self._api_key,
            base_url=url,
            http_client=http,
            max_retries=0,
            timeout=http.timeout,
        )

    async def _only_ours(self, request: httpx.Request) -> None:
        """Leave of a request's headers what is needed, and RunPod's key."""
        for name in [each for each in request.headers if each.lower() not in _HEADERS]:
            del request.headers[name]
        request.headers["Authorization"] = f"Bearer {self._api_key}"
        request.headers["User-Agent"] = USER_AGENT
        # A stream's end could not be seen in what is compressed.
        request.headers["Accept-Encoding"] = "identity"

    async def _ask_models(self) -> JsonObject:
        answer: JsonObject = await self._once(
            lambda: self._client.get("/models", cast_to=object), is_get=True
        )
        return answer

    async def _ask(self, body: Mapping[str, JsonValue]) -> JsonObject | AsyncStream[Any]:
        import openai

        options: dict[str, Any] = {"cast_to": object, "body": body}
        if body.get("stream"):
            options |= {"stream": True, "stream_cls": openai.AsyncStream[object]}
        answer: JsonObject | AsyncStream[Any] = await self._once(
            lambda: self._client.post("/chat/completions", **options), is_get=False
        )
        return answer

    async def _once(self, send: Callable[[], Any], *, is_get: bool) -> Any:
        """Send one request, and return the object or the stream that came back."""
        import openai

        try:
            answer = await send()
            if isinstance(answer, openai.AsyncStream) and not _has_events(answer):
                # The client would find no event in there, and pass over what it is.
                answer = json.loads(await answer.response.aread())
        except (openai.OpenAIError, httpx.HTTPError, ValueError) as exc:
            self._raise_for(exc, is_get=is_get)
        if not isinstance(answer, dict | openai.AsyncStream):
            raise ServerError(
                f"{self._host} answered with something that is not a JSON object"
                f"{self._cut(answer) if isinstance(answer, str) else ''}"
            )
        return answer

    async def _parts(self, answer: JsonObject | AsyncStream[Any]) -> AsyncGenerator[Heard | Ended]:
        reading = Reading()
        async with aclosing(self._objects(answer)) as objects:
            async for each in objects:
                if not is_answer(each):
                    self._refuse(each)
                for heard in reading.read(each):
                    yield heard
        ended = reading.ended()
        if ended.finish_reason is None and not _is_whole(answer):
            raise AnswerLostError(
                f"The connection to {self._host} closed before the answer was complete",
                hint=_LOST_HINT,
            )
        yield ended

    async def _objects(self, answer: JsonObject | AsyncStream[Any]) -> AsyncGenerator[JsonObject]:
        """Yield the objects that an answer consists of."""
        if isinstance(answer, dict):
            yield answer
            return
        import openai

        try:
            async for chunk in answer:
                if isinstance(chunk, dict):
                    yield chunk
        except (openai.OpenAIError, httpx.HTTPError, ValueError) as exc:
            self._raise_for(exc, is_get=False)
        finally:
            await answer.close()

    def _refuse(self, answer: JsonObject) -> NoReturn:
        """Raise what an object says that is no answer; it came with HTTP 200."""
        error = answer.get("error") or answer
        said = self._said(error)
        fields = error if isinstance(error, dict) else {}
        code, kind = fields.get("code"), fields.get("type")
        if "message" not in fields and "error" not in answer:
            raise ServerError(f"{self._host} answered with something that is no chat answer{said}")
        if code in (404, "404") or kind in _UNKNOWN or code in _UNKNOWN:
            raise NotFoundError(f"The worker answered 404{said}")
        if code in (400, 422, "400", "422") or kind in _REFUSED:
            raise RefusedError(f"The worker refused the request{said}")
        raise JobFailedError(f"The worker failed{said}")

    def _raise_for(self, exc: Exception, *, is_get: bool) -> NoReturn:
        """Raise one of the client's exceptions as one of ours."""
        import openai

        if isinstance(exc, openai.APIStatusError):
            self._raise_for_status(exc, is_get=is_get)
        reason: BaseException = exc
        if isinstance(exc, openai.APIConnectionError) and exc.__cause__ is not None:
            reason = exc.__cause__
        if isinstance(exc, openai.APIError) and not isinstance(exc, openai.APIConnectionError):
            # The client says so of an error among the pieces of a stream.
            error = exc.body if isinstance(exc.body, dict) else exc.message
            self._refuse({"error": error})
        said = f": {redact(str(reason), self._api_key)}" if str(reason) else ""
        if isinstance(reason, httpx.ConnectError | httpx.ConnectTimeout):
            raise TryAgainError(
                NetworkError(
                    f"Cannot reach {self._host}{said}",
                    hint="Check the network, and RUNPOD_ENDPOINT_BASE_URL if it is set.",
                )
            ) from exc
        if isinstance(exc, ValueError):
            raise ServerError(f"{self._host} answered with something that is no JSON") from exc
        if isinstance(reason, httpx.TimeoutException):
            raise self._silent() from exc
        lost = NetworkError(f"{self._host} did not answer{said}")
        if is_get:
            raise TryAgainError(lost) from exc
        raise AnswerLostError(
            f"The connection to {self._host} broke before the answer was complete{said}",
            hint=_LOST_HINT,
        ) from exc

    def _raise_for_status(self, exc: Any, *, is_get: bool) -> NoReturn:
        status: int = exc.status_code
        error = exc.body
        said = self._said(error)
        is_workers = isinstance(error, dict) and isinstance(error.get("message"), str)
        if status in (401, 403):
            raise UnauthorizedError(
                f"{self._host} does not accept the API key ({status}{said})",
                hint="Check where it comes from:  runpodctl-py config show",
            ) from exc
        if status == 404:  # noqa: PLR2004 # HTTP statuses are names
            raise NotFoundError(f"{self._host} answered 404{said}") from exc
        if status == 413:  # noqa: PLR2004
            raise PayloadTooLargeError(f"{self._host} says the body is too large{said}") from exc
        if status == 429:  # noqa: PLR2004
            wait_s = retry_after_s(exc.response.headers.get("Retry-After"))
            limited = RateLimitedError(
                f"{self._host} limits the rate of requests (429{said})",
                hint="Try again in a minute.",
                retry_after_s=wait_s,
            )
            raise TryAgainError(limited, wait_s) from exc
        if status == 500 and is_workers:  # noqa: PLR2004
            # So RunPod answers for a worker's exception (worker-vllm issue 104); what the worker
            # yielded as an error is in it as Python writes it (workers reference D).
            self._refuse({"error": _object_in(error["message"]) or error})
        if status >= 500:  # noqa: PLR2004
            broken = ServerError(f"{self._host} answered {status}{said}", status=status)
            raise TryAgainError(broken) if is_get else broken from exc
        if status < 400:  # noqa: PLR2004
            raise ServerError(
                f"{self._host} redirects elsewhere ({status})", status=status
            ) from exc
        raise RefusedError(f"{self._host} refused the request ({status}{said})") from exc

    def _silent(self) -> WaitTimeoutError:
        return WaitTimeoutError(
            f"Nothing came from {self._host} for {self._silence_s:g} s",
            hint="The worker may still be starting, or at work. Look:  "
            f"runpodctl-py health {self._endpoint_id}\nWait longer with --timeout.",
        )

    async def _explained(self, exc: NotFoundError) -> NotFoundError:
        """Return what is not there: the endpoint, or only the model."""
        try:
            exc.hint = f"Its models: {', '.join(await self.models())}"
        except NotFoundError as no_endpoint:
            return no_endpoint
        except RunpodctlError:
            # Only the hint is missing.
            pass
        return exc

    def _said(self, error: Any) -> str:
        """Return what an error says, as `: words`, or nothing."""
        if not isinstance(error, str | dict) or not error:
            return ""
        # Workers put the repr of a whole object into its message (workers reference D).
        words = self._words(error)
        return self._cut(self._words(words))

    def _cut(self, text: str) -> str:
        # Cut last: of a key that is cut in two, half would stay.
        return f": {redact(text.strip(), self._api_key)[:_LONGEST_WORDS]}" if text.strip() else ""


def _has_events(stream: AsyncStream[Any]) -> bool:
    return _EVENTS in stream.response.headers.get("content-type", "")


def _is_whole(answer: JsonObject | AsyncStream[Any]) -> bool:
    return isinstance(answer, dict) or has_ended(answer.response.stream)


def _object_in(message: str) -> JsonObject | None:
    """Return the error object that a message is, in JSON or in Python's own writing."""
    if not message.startswith("{") or len(message) > _LONGEST_OBJECT:
        return None
    try:
        found = ast.literal_eval(message)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        try:
            found = json.loads(message)
        except (ValueError, RecursionError):
            return None
    inner = found.get("error", found) if isinstance(found, dict) else None
    return inner if isinstance(inner, dict) else None
