"""`chat`: a question to a language model on an endpoint, or a conversation with it.

Owns the command line's words and the conversation at a terminal. What one question does is
`chat_answer.py`'s; the worker's own form goes the way of all jobs (`sending.py`).
"""

from __future__ import annotations

import contextlib
import re
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from runpodctl_py.cli import options
from runpodctl_py.cli.context import Context, opened, run
from runpodctl_py.cli.house_style import App
from runpodctl_py.cli.payload import read_text
from runpodctl_py.errors import (
    InterruptedRunError,
    JobFailedError,
    NetworkError,
    RefusedError,
    UsageError,
    WaitTimeoutError,
)
from runpodctl_py.presets import loading
from runpodctl_py.workloads import llm

if TYPE_CHECKING:
    from runpodctl_py.cli.chat_answer import Question
    from runpodctl_py.cli.chat_view import Answer
    from runpodctl_py.jsontypes import JsonObject
    from runpodctl_py.presets.model import Preset

app = App()

_PRESET = "vllm"
_COMMAND = re.compile(r"/[a-z]+")
_ABOUT = "Ctrl-D ends the conversation, /clear forgets it, Ctrl-C stops an answer."
_ANSWERABLE_AGAIN = (JobFailedError, NetworkError, RefusedError, WaitTimeoutError)
"""What ends a question, but not the conversation."""


@dataclass(frozen=True, kw_only=True)
class _Choosing:
    """How the next word is chosen."""

    temperature: Annotated[
        float | None,
        typer.Option("--temperature", min=0, help="How much to vary; 0: not at all."),
    ] = None
    top_p: Annotated[
        float | None,
        typer.Option("--top-p", min=0, max=1, help="Only the likeliest, up to this probability."),
    ] = None
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", "-n", min=1, help="The longest answer, in tokens.")
    ] = None
    stop: Annotated[
        list[str] | None,
        typer.Option("--stop", metavar="TEXT", help="Stop before this text. Repeatable."),
    ] = None
    seed: Annotated[
        int | None, typer.Option("--seed", help="The same seed gives the same answer again.")
    ] = None

    def sampling(self) -> llm.Sampling:
        """Return it as it is sent."""
        if self.top_p == 0:
            raise UsageError("--top-p must be more than 0")
        return llm.Sampling(
            self.temperature, self.top_p, self.max_tokens, tuple(self.stop or ()), self.seed
        )


@app.command()
def chat(
    prompt: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PROMPT] [-]",
            help="What to ask. With -: from stdin, after the prompt if there is one.",
        ),
    ] = None,
    *,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Which model. Default: the endpoint's only one."),
    ] = None,
    system: Annotated[
        str | None, typer.Option("--system", help="What the model is told beforehand.")
    ] = None,
    messages: Annotated[
        str | None,
        typer.Option(
            "--messages",
            metavar="FILE",
            help="A JSON file with a whole conversation; the prompt follows it.",
        ),
    ] = None,
    streams: Annotated[
        bool,
        typer.Option("--stream/--no-stream", help="Print the answer as it comes, or at its end."),
    ] = True,
    choosing: _Choosing,
    native: Annotated[
        bool,
        typer.Option(
            "--native",
            help="Send the worker's own form, as a job that is written down. Needs no openai.",
        ),
    ] = False,
    endpoint: options.EndpointId = None,
    sending: options.Sending,
    waiting: options.Waiting,
    common: options.Common,
) -> None:
    """Ask a language model on a vLLM endpoint, and print its answer as it comes.

    Without a prompt, at a terminal: a conversation, line by line.

    Examples:
      runpodctl-py chat "Why is the sky blue?"
      runpodctl-py chat "Summarise this:" - < report.txt
      runpodctl-py chat --system "You are a pirate." --temperature 0.7
      runpodctl-py chat "Write a poem" --max-tokens 200 --json
      runpodctl-py chat "Hello" --local

    It talks to the endpoint's OpenAI route. With --native the question is a job like others, which
    `jobs list` has, and for which --cancel-on-interrupt and --verbose are. --detach implies
    --native.
    """
    is_job = native or sending.detach
    sampling = choosing.sampling()
    if is_job and model is not None:
        raise UsageError(
            f"--model and --{'native' if native else 'detach'} exclude each other",
            hint="In its own form, the worker answers with the model it was set up with.",
        )
    if messages == "-" and "-" in (prompt or []):
        raise UsageError("- and --messages - exclude each other: there is one stdin")
    earlier = llm.read_messages(read_text(messages), f"--messages {messages}") if messages else ()
    begun = llm.Conversation.begun(system, earlier)
    text = _question(prompt or [])
    if text is not None:
        begun = begun.asked(text)
    elif not earlier:
        _check_for_conversation(is_job=is_job, is_dry_run=sending.dry_run, as_json=common.as_json)
    elif earlier[-1].get("role") not in {"user", "tool"}:
        raise UsageError(
            f"The last message of {messages} is not the user's", hint="Add a prompt that asks."
        )
    preset = loading.load(_PRESET)
    if is_job:
        payload = llm.native_payload(begun, sampling, streams=streams)
        _send_job(_Job(payload, preset, endpoint, streams), sending, waiting, common)
        return
    # Not before: a usage error should not have to wait for the HTTP client to be loaded.
    from runpodctl_py.api.openai_route import require_openai
    from runpodctl_py.cli.chat_answer import Question
    from runpodctl_py.cli.sending import find_endpoint

    require_openai()
    question = Question(begun, sampling, model, streams, waiting.timeout)
    with opened(common, is_quiet=waiting.quiet) as context:
        where = run(find_endpoint(context, preset, endpoint, is_dry_run=sending.dry_run))
        if sending.dry_run:
            _show_dry_run(context, where, question, preset)
        elif text is None and not earlier:
            _converse(context, where, question)
        else:
            answer = _answered(context, where, question)
            if answer.error is not None:
                raise answer.error


def _question(words: list[str]) -> str | None:
    """Return what is asked: the prompt, stdin, or one after the other."""
    if not words:
        return None
    prompt, *rest = words
    if rest not in ([], ["-"]) or (prompt == "-" and rest):
        raise UsageError(f"Unexpected argument {rest[0]!r}", hint='Put the prompt into quotes: "…"')
    parts = [read_text("-") if word == "-" else word for word in words]
    if not any(map(str.strip, parts)):
        raise UsageError("The prompt is empty")
    return "\n\n".join(part.strip("\n") for part in parts)


def _check_for_conversation(*, is_job: bool, is_dry_run: bool, as_json: bool) -> None:
    """Refuse a conversation where nobody is there, or with what it cannot have.

    Raises:
        UsageError: There has to be a prompt.
    """
    hint = 'As an argument:  runpodctl-py chat "…"\nOr from stdin:  runpodctl-py chat -'
    for name, is_given in (
        ("--native and --detach need", is_job),
        ("--dry-run needs", is_dry_run),
        ("--json needs", as_json),
    ):
        if is_given:
            raise UsageError(f"{name} a prompt", hint=hint)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("Without a terminal, chat needs a prompt", hint=hint)


@dataclass(frozen=True)
class _Job:
    """A question in the worker's own form."""

    payload: JsonObject
    preset: Preset
    endpoint: str | None
    streams: bool


def _send_job(
    job: _Job, sending: options.Sending, waiting: options.Waiting, common: options.Common
) -> None:
    # Not before: a usage error should not have to wait for the HTTP client to be loaded.
    from runpodctl_py.cli.chat_view import tell_reason
    from runpodctl_py.cli.sending import Order, send
    from runpodctl_py.cli.wish import Wish

    wish = replace(Wish.while_waiting(waiting, job.preset.name), hears=job.streams)
    order = Order(
        payload=job.payload,
        preset=job.preset,
        endpoint=job.endpoint,
        wish=wish,
        sending=sending,
    )
    with opened(common, is_quiet=waiting.quiet) as context:
        try:
            summary = run(send(context, order))
        except JobFailedError as exc:
            exc.hint = "\n".join(filter(None, (llm.hint_for(exc.message), exc.hint))) or None
            raise
        # Workers up to v2.23 do not say why an answer ended (workers reference D).
        if summary is not None and (reason := llm.finish_reason(summary.job.output)):
            tell_reason(context.output, reason)


def _show_dry_run(context: Context, where: str, question: Question, preset: Preset) -> None:
    from runpodctl_py.cli.sending import show_dry_run

    model = question.model or "(the endpoint's only model)"
    body = llm.openai_body(
        model, question.conversation, question.sampling, streams=question.streams
    )
    show_dry_run(context, f"/{where}/openai/v1/chat/completions", body, preset)


def _answered(context: Context, where: str, question: Question) -> Answer:
    from runpodctl_py.cli.chat_answer import ask

    return run(ask(context, where, question))


def _converse(context: Context, where: str, question: Question) -> None:
    """Ask what is typed, line by line, until the input ends."""
    output, begun = context.output, question.conversation
    output.note(_ABOUT, style="dim")
    while (line := _typed()) is not None:
        if not line.strip():
            continue
        if _COMMAND.fullmatch(line.strip()):
            if line.strip() == "/clear":
                question = replace(question, conversation=begun)
                output.note("Forgotten.", style="dim")
            else:
                output.note(f"There is no {line.strip()}. {_ABOUT}", style="dim")
            continue
        asked = question.conversation.asked(line)
        answer = _answered(context, where, replace(question, conversation=asked))
        if answer.error is not None:
            if not isinstance(answer.error, (*_ANSWERABLE_AGAIN, InterruptedRunError)):
                raise answer.error
            output.error(answer.error)
        # The model is looked up once; what was not answered at all was not said.
        question = replace(question, model=question.model or answer.model)
        if answer.text:
            question = replace(question, conversation=asked.answered(answer.text))


def _typed() -> str | None:
    """Return the next line that somebody types; None when they end it."""
    with contextlib.suppress(ImportError):
        # Where there is one, it lets input() edit lines and call earlier ones back.
        import readline  # noqa: F401
    print(file=sys.stderr)
    try:
        if sys.stdout.isatty():
            return input("> ")
        # input() would put its prompt among the answers.
        print("> ", end="", file=sys.stderr, flush=True)
        return input()
    except EOFError:
        print(file=sys.stderr)
        return None
    except KeyboardInterrupt:
        print(file=sys.stderr)
        raise
