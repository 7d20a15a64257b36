"""One question to an endpoint's OpenAI route: asked, shown as the answer comes, and judged.

Owns the model that is taken when none was named, the look at the workers meanwhile, and what Ctrl-C
and a time limit mean. How it looks is `chat_view.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runpodctl_py.api import serverless
from runpodctl_py.api.chat_answers import Ended, Heard
from runpodctl_py.api.openai_route import SILENCE_S, OpenAiRoute
from runpodctl_py.cli.chat_view import Answer, ChatView, chat_view, tell_shortfalls
from runpodctl_py.clock import SystemClock
from runpodctl_py.errors import (
    InterruptedRunError,
    JobFailedError,
    NotFoundError,
    RunpodctlError,
    UsageError,
    WaitTimeoutError,
)
from runpodctl_py.jobs.words import worker_error
from runpodctl_py.workloads import llm

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from runpodctl_py.api.serverless import Serverless
    from runpodctl_py.cli.context import Context
    from runpodctl_py.clock import Clock
    from runpodctl_py.jsontypes import JsonValue

_HEALTH_INTERVAL_S = 3.0
_HEALTH_LIMIT_S = 1.0


@dataclass(frozen=True)
class Question:
    """What is asked, and how.

    Args:
        conversation: All that was said, the question last.
        sampling: How the next word is chosen.
        model: Which model; None takes the endpoint's only one.
        streams: Whether the answer is wanted as it comes.
        timeout_s: Stop waiting after this time.
    """

    conversation: llm.Conversation
    sampling: llm.Sampling
    model: str | None
    streams: bool
    timeout_s: float | None


async def ask(context: Context, endpoint_id: str, question: Question) -> Answer:
    """Ask, show what comes, and return it, with the error if there was one."""
    settings, output = context.settings, context.output
    async with (
        OpenAiRoute(
            settings.endpoint_base_url,
            settings.api_key,
            endpoint_id,
            words=_words,
            silence_s=question.timeout_s or SILENCE_S,
        ) as route,
        serverless.connect(settings.endpoint_base_url, settings.api_key, endpoint_id) as endpoint,
    ):
        # Not before: importing the client takes as long as a short answer.
        asking = _Asking(endpoint_id, question, SystemClock())
        with chat_view(output, tells_pieces=question.streams) as view:
            shows_waiting = not (output.as_json or output.is_quiet)
            async with _watched(endpoint if shows_waiting else None, view) as watching:
                await asking.ask(route, view, watching)
        answer = asking.answer()
    view.ended(answer)
    tell_shortfalls(output, answer)
    return answer


class _Asking:
    """One question, and what is known of its answer so far."""

    def __init__(self, endpoint_id: str, question: Question, clock: Clock) -> None:
        self._endpoint_id = endpoint_id
        self._question = question
        self._clock = clock
        self._began_s = clock.now_s()
        self._first_s: float | None = None
        self._model = question.model
        self._texts: list[str] = []
        self._thoughts = 0
        self._end: Ended | None = None
        self._error: RunpodctlError | None = None

    async def ask(
        self, route: OpenAiRoute, view: ChatView, watching: asyncio.Task[None] | None
    ) -> None:
        """Ask, and remember what comes, whatever it is."""
        try:
            async with asyncio.timeout(self._question.timeout_s):
                await self._listen(route, view, watching)
        except TimeoutError:
            self._error = WaitTimeoutError(
                f"Stopped waiting after {self._question.timeout_s:g} s",
                hint="The worker may still be starting, or at work. Look:  "
                f"runpodctl-py health {self._endpoint_id}",
            )
        except asyncio.CancelledError:
            self._error = self._interrupted()
        except RunpodctlError as exc:
            if isinstance(exc, JobFailedError):
                exc.hint = exc.hint or llm.hint_for(exc.message)
            self._error = exc

    async def _listen(
        self, route: OpenAiRoute, view: ChatView, watching: asyncio.Task[None] | None
    ) -> None:
        question = self._question
        if self._model is None:
            self._model = only_model(await route.models())
        body = llm.openai_body(
            self._model, question.conversation, question.sampling, streams=question.streams
        )
        async with contextlib.aclosing(route.chat(body)) as parts:
            async for part in parts:
                if isinstance(part, Ended):
                    self._end = part
                    continue
                if watching is not None:
                    watching.cancel()
                self._hear(part, view)

    def _hear(self, heard: Heard, view: ChatView) -> None:
        if self._first_s is None:
            self._first_s = self._clock.now_s() - self._began_s
        if heard.is_thought:
            self._thoughts += len(heard.text)
            view.think()
            return
        self._texts.append(heard.text)
        view.hear(heard.text)

    def _interrupted(self) -> InterruptedRunError:
        said = "What was said so far is all there is." if self._texts else "Nothing was said yet."
        return InterruptedRunError(
            f"Stopped listening. {said}",
            hint="RunPod may let the worker finish its answer, and bill it.",
        )

    def answer(self) -> Answer:
        """Return what is known now."""
        end = self._end
        return Answer(
            self._endpoint_id,
            (end.model if end else None) or self._model,
            "".join(self._texts),
            self._thoughts,
            end.finish_reason if end else None,
            end.usage if end else None,
            self._first_s,
            self._clock.now_s() - self._began_s,
            self._error,
        )


def only_model(names: Sequence[str]) -> str:
    """Return the endpoint's model, if there is one to take without asking.

    Raises:
        UsageError: There are several.
        NotFoundError: There is none.
    """
    if not names:
        raise NotFoundError("The endpoint has no model", hint="Name one with --model.")
    if len(names) > 1:
        raise UsageError(
            "The endpoint has several models", hint=f"Name one with --model: {', '.join(names)}"
        )
    return names[0]


@contextlib.asynccontextmanager
async def _watched(
    endpoint: Serverless | None, view: ChatView
) -> AsyncIterator[asyncio.Task[None] | None]:
    """Look at the workers in the background, until the task is cancelled."""
    if endpoint is None:
        yield None
        return
    task = asyncio.create_task(_watch(endpoint, view))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _watch(endpoint: Serverless, view: ChatView) -> None:
    while True:
        health = None
        # It only decorates the waiting; the answer is what matters.
        with contextlib.suppress(RunpodctlError, TimeoutError):
            async with asyncio.timeout(_HEALTH_LIMIT_S):
                health = await endpoint.health(tries=1)
        view.look(health)
        await asyncio.sleep(_HEALTH_INTERVAL_S)


def _words(error: JsonValue) -> str:
    return worker_error(error).message
