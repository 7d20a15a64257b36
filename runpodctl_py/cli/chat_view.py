"""How an answer looks while it comes: text on stdout, the waiting on stderr, or JSON.

Owns the live line, the heartbeat and the last line. Is told what happens and asks nobody.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from runpodctl_py.cli.job_view import HEARTBEAT_S, QuietExit, workers_text
from runpodctl_py.cli.live_line import LiveLine, State
from runpodctl_py.cli.output import Output, printable, seconds_text
from runpodctl_py.cli.saying import TextOnStdout

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from runpodctl_py.api.chat_answers import Usage
    from runpodctl_py.api.types import Health
    from runpodctl_py.errors import RunpodctlError


@dataclass(frozen=True)
class Answer:
    """What came of a question.

    Args:
        endpoint_id: Who was asked.
        model: Which model it was, if that is known.
        text: What it said, whole or as far as it came.
        thoughts: How many characters it thought aloud before.
        finish_reason: Why it ended, if the worker said so.
        usage: What it took, if the worker said so.
        first_s: When the first of it was heard, since it was asked.
        elapsed_s: How long all of it took.
        error: What went wrong.
    """

    endpoint_id: str
    model: str | None
    text: str
    thoughts: int
    finish_reason: str | None
    usage: Usage | None
    first_s: float | None
    elapsed_s: float
    error: RunpodctlError | None = None


class ChatView(Protocol):
    """Something that shows one answer. A context: what it drew is gone or finished after it."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was, and the line ended."""

    def look(self, health: Health | None) -> None:
        """Show that nothing has come yet, and what the workers do meanwhile."""

    def think(self) -> None:
        """Show that the model thinks."""

    def hear(self, text: str) -> None:
        """Print a part of the answer."""

    def ended(self, answer: Answer) -> None:
        """Tell what came of it; the error is printed by whoever catches it."""


def chat_view(output: Output, *, tells_pieces: bool) -> ChatView:
    """Return the view that fits the surroundings.

    Args:
        output: Where the answer is shown.
        tells_pieces: Whether a program wants to be told of each part, too.
    """
    if output.as_json:
        return JsonChatView(output, tells_pieces=tells_pieces)
    if output.draws:
        return TerminalChatView(output)
    return PlainChatView(output)


def tell_shortfalls(output: Output, answer: Answer) -> None:
    """Warn of an answer that is less than it seems."""
    if answer.error is not None:
        return
    if answer.finish_reason is None:
        output.warn("The worker did not say that the answer is complete.")
    else:
        tell_reason(output, answer.finish_reason)
    if not answer.text:
        thought = f", it only thought ({answer.thoughts} characters)" if answer.thoughts else ""
        output.warn(f"The model said nothing{thought}.")


def tell_reason(output: Output, finish_reason: str) -> None:
    """Warn of an answer that ended before the model had said all, by the worker's own word."""
    if finish_reason == "length":
        output.warn(
            "The answer was cut off: it reached the limit of tokens. Allow more with --max-tokens."
        )
    elif finish_reason != "stop":
        output.warn(f"The model stopped for another reason than its end: {finish_reason}")


class JsonChatView(QuietExit):
    """One JSON line per piece, and one at the end; its keys are a promise to scripts.

    Args:
        output: Where they go.
        tells_pieces: Whether there is a line per piece.
    """

    def __init__(self, output: Output, *, tells_pieces: bool) -> None:
        self._output = output
        self._tells_pieces = tells_pieces

    def look(self, health: Health | None) -> None:
        """Say nothing."""

    def think(self) -> None:
        """Say nothing."""

    def hear(self, text: str) -> None:
        """Print a `piece` event."""
        if self._tells_pieces:
            self._output.event({"event": "piece", "text": text})

    def ended(self, answer: Answer) -> None:
        """Print the `finished` event."""
        usage = answer.usage
        self._output.event(
            {
                "event": "finished",
                "endpoint_id": answer.endpoint_id,
                "model": answer.model,
                "text": answer.text,
                "finish_reason": answer.finish_reason,
                "usage": None
                if usage is None
                else {
                    "prompt_tokens": usage.prompt_tokens,
                    "completion_tokens": usage.completion_tokens,
                },
                "first_token_ms": None if answer.first_s is None else round(answer.first_s * 1000),
                "elapsed_ms": round(answer.elapsed_s * 1000),
                "error": None if answer.error is None else answer.error.message,
            }
        )


class PlainChatView:
    """The answer on stdout; on stderr a line once in a while, as long as nothing comes.

    Args:
        output: Where it goes.
        now_s: Seconds that never run backwards.
    """

    def __init__(self, output: Output, now_s: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self._text = TextOnStdout(output)
        self._now_s = now_s
        self._began_s = self._said_s = now_s()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._text.end()

    def look(self, health: Health | None) -> None:
        """Say every 15 s that nothing has come yet, and why."""
        self._beat("waiting", f", {workers_text(health)}")

    def think(self) -> None:
        """Say every 15 s that the model thinks."""
        self._beat("thinking", "")

    def hear(self, text: str) -> None:
        """Print it."""
        self._text.say(text)

    def ended(self, answer: Answer) -> None:
        """Say how long it took."""
        if answer.error is None:
            self._output.note(f"{'done':<10} {', '.join(_facts(answer))}")

    def _beat(self, word: str, rest: str) -> None:
        now_s = self._now_s()
        if now_s - self._said_s >= HEARTBEAT_S:
            self._said_s = now_s
            self._output.note(f"{word:<10} {now_s - self._began_s:.0f} s{rest}")


class TerminalChatView:
    """One line that is drawn in place until the answer comes and takes its place.

    Args:
        output: Where the answer goes.
        now_s: Seconds that never run backwards.
    """

    def __init__(self, output: Output, now_s: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self._text = TextOnStdout(output)
        self._now_s = now_s
        self._began_s = now_s()
        self._word = "waiting"
        self._rest = ""
        self._line = LiveLine(self)

    def __enter__(self) -> Self:
        self._line.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._line.end()
        self._text.end()

    def look(self, health: Health | None) -> None:
        """Draw what the workers do."""
        self._rest = workers_text(health)

    def think(self) -> None:
        """Draw that the model thinks."""
        self._word, self._rest = "thinking", ""

    def hear(self, text: str) -> None:
        """Print it where the line was."""
        self._word, self._rest = "answering", ""
        if sys.stdout.isatty():
            self._line.end()
        self._text.say(text)

    def ended(self, answer: Answer) -> None:
        """Say dimly what it took."""
        if answer.error is None:
            self._output.note()
            self._output.note(f"  {' · '.join(_facts(answer))}", style="dim")

    def state(self, columns: int) -> State:  # noqa: ARG002 # all that is here is cut at its end
        """Return what stands on the line now."""
        from rich.text import Text

        rest = [Text(self._rest, style="dim")]
        return State(self._word, self._now_s() - self._began_s, self._word == "waiting", rest)


def _facts(answer: Answer) -> list[str]:
    facts = []
    if answer.model:
        facts.append(printable(answer.model))
    if (usage := answer.usage) is not None:
        counts = ((usage.prompt_tokens, "in"), (usage.completion_tokens, "out"))
        if tokens := ", ".join(f"{count} {way}" for count, way in counts if count is not None):
            facts.append(f"tokens: {tokens}")
    if answer.first_s is not None:
        facts.append(f"first after {seconds_text(answer.first_s)}")
    return [*facts, f"{seconds_text(answer.elapsed_s)} in all"]
