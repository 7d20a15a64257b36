"""Replaying: a fixed server that answers each request as a transcript says it was answered.

The same request gets the same answers, one after the other, and then the last one again: a poll
for a job ends where it ended. What would make something new is not answered more often than it was
recorded, because the second job would have the first one's id. What is not in the transcript is
refused, and noted.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse
from graphql.utilities import strip_ignored_characters
from starlette.responses import Response

from runpodctl_py import __version__
from runpodctl_py.emulator import bodies
from runpodctl_py.emulator.lab.connection import hang_up
from runpodctl_py.emulator.lab.injection import Upload
from runpodctl_py.emulator.lab.paths import is_graphql, is_rest
from runpodctl_py.emulator.lab.recording import key_of, own_address, request_of
from runpodctl_py.emulator.lab.refusals import refusal
from runpodctl_py.emulator.lab.removal import PLACEHOLDER, Removal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.types import Receive, Scope, Send

    from runpodctl_py.emulator.lab.transcript import Answer, Exchange, Request

_MAKES_SOMETHING = frozenset({"run", "runsync", "retry", "batch"})
"""The operations of the job API that no answer fits twice."""

_HELD_FOR = "wait"
"""The query parameter that says how long to wait for news, which changes nothing about them."""


@dataclass(frozen=True, slots=True)
class Missed:
    """A request that was refused.

    Args:
        method: Such as POST.
        path: What was asked, without the query.
        reason: Why no answer fits.
    """

    method: str
    path: str
    reason: str


@dataclass(slots=True)
class _Sequence:
    """The answers to one request, and how many have been given."""

    exchanges: list[Exchange] = field(default_factory=list)
    given: int = 0


class Replay:
    """Answers from a transcript.

    Args:
        exchanges: What was recorded.
        as_recorded: Whether each answer takes as long as it took.
        on_missed: Told of each request that is refused.
    """

    def __init__(
        self,
        exchanges: Iterable[Exchange],
        *,
        as_recorded: bool = False,
        on_missed: Callable[[Missed], None] = lambda _: None,
    ) -> None:
        self._as_recorded = as_recorded
        self._on_missed = on_missed
        self.answered = 0
        """How many requests were answered."""
        self.missed: list[Missed] = []
        """Those that were refused, in their order."""
        self._sequences: defaultdict[_Key, _Sequence] = defaultdict(_Sequence)
        self._paths: set[tuple[str, str]] = set()
        # They are complete in another order than they began, and answers go by the latter.
        for each in sorted(exchanges, key=lambda each: each.began_at):
            self._sequences[_key(each.request)].exchanges.append(each)
            self._paths.add((each.request.method, _path(each.request)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        upload = Upload(receive)
        if not await upload.read():
            return
        path = scope["path"]
        if not key_of(scope):
            words = "Unauthorized: any key will do, but there was none"
            await refusal(path, HTTPStatus.UNAUTHORIZED, words)(scope, receive, send)
        elif path.startswith("/_local/"):
            await _local(path)(scope, receive, send)
        else:
            await self._replay(scope, upload, receive, send)

    async def _replay(self, scope: Scope, upload: Upload, receive: Receive, send: Send) -> None:
        asked = request_of(scope, upload.body())
        request = Removal(key_of(scope), {own_address(scope): PLACEHOLDER}).request(asked)
        exchange = self._next(request)
        if isinstance(exchange, Missed):
            self.missed.append(exchange)
            self._on_missed(exchange)
            words = f"{exchange.method} {exchange.path}: {exchange.reason}"
            answer = refusal(asked.path, HTTPStatus.NOT_FOUND, words)
            await answer(scope, receive, send)
            return
        self.answered += 1
        if self._as_recorded:
            await _pause(exchange.took_s, receive)
        if exchange.answer is None:
            await hang_up(scope, receive)
        else:
            await _send(exchange.answer, scope, receive, send)

    def _next(self, request: Request) -> Exchange | Missed:
        sequence = self._sequences.get(_key(request))
        if sequence is None:
            return Missed(request.method, request.path, self._why_unknown(request))
        recorded, given = sequence.exchanges, sequence.given
        if given >= len(recorded) and makes_something(request):
            times = "once" if len(recorded) == 1 else f"{len(recorded)} times"
            reason = f"was recorded {times}, and one more answer would repeat what it made"
            return Missed(request.method, request.path, reason)
        sequence.given += 1
        return recorded[min(given, len(recorded) - 1)]

    def _why_unknown(self, request: Request) -> str:
        if (request.method, _path(request)) in self._paths:
            other = "another body" if request.body is not None else "another query"
            return f"is in the transcript with {other} only"
        return "is not in the transcript"


# What is the same request.


@dataclass(frozen=True, slots=True)
class _Key:
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: str


def _key(request: Request) -> _Key:
    query = parse_qsl(request.query, keep_blank_values=True)
    return _Key(
        request.method,
        _path(request),
        tuple(sorted(pair for pair in query if pair[0] != _HELD_FOR)),
        _same_body(request),
    )


def _path(request: Request) -> str:
    """Returns the path; that of `status-sync` is `status`'s, so that both tell one story."""
    parts = request.path.rstrip("/").split("/")
    if len(parts) == 5 and parts[3] == "status-sync" and not is_rest(request.path):  # noqa: PLR2004 - /v2/ENDPOINT/status-sync/JOB
        parts[3] = "status"
    return "/".join(parts)


def _same_body(request: Request) -> str:
    body = request.body
    if body is None:
        return ""
    value = body.value
    if is_graphql(request.path) and isinstance(value, dict):
        value = {**value, "query": _bare(value.get("query"))}
        value = {name: each for name, each in value.items() if each not in (None, {})}
    # As text, true and 1 are two things.
    return f"{body.kind} {json.dumps(value, sort_keys=True)}"


def _bare(document: Any) -> Any:
    """Returns a document without what means nothing: spaces, commas, comments."""
    if not isinstance(document, str):
        return document
    with suppress(GraphQLError):
        return strip_ignored_characters(document)
    return document


def makes_something(request: Request) -> bool:
    """Returns whether a request makes something that a second one would make anew."""
    if is_graphql(request.path):
        value = None if request.body is None else request.body.value
        return _has_mutation(value.get("query") if isinstance(value, dict) else None)
    if request.method != "POST":
        return False
    return is_rest(request.path) or (request.path.split("/") + [""] * 4)[3] in _MAKES_SOMETHING


def _has_mutation(document: Any) -> bool:
    try:
        definitions = parse(document if isinstance(document, str) else "").definitions
    except (GraphQLError, RecursionError):
        return False
    return any(
        isinstance(each, OperationDefinitionNode) and each.operation is OperationType.MUTATION
        for each in definitions
    )


# Answering.


async def _pause(seconds: float, receive: Receive) -> None:
    """Waits in real time, as long as the client does."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass


async def _send(answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
    body = b"" if answer.body is None else answer.body.content()
    body = body.replace(PLACEHOLDER.encode(), own_address(scope).encode())
    response = Response(body, answer.status, headers=dict(answer.headers))
    if not answer.broke_off:
        await response(scope, receive, send)
        return
    # One byte more is promised than comes, so that every client sees that something is missing.
    response.headers["content-length"] = str(len(body) + 1)
    head = {"type": "http.response.start", "status": answer.status, "headers": response.raw_headers}
    await send(head)
    await send({"type": "http.response.body", "body": body, "more_body": True})
    await hang_up(scope, receive)


def _local(path: str) -> Response:
    """Returns what our own command line asks of a local RunPod, as far as there is an answer."""
    if path == "/_local/status":
        return bodies.answer({"version": __version__, "endpoints": []})
    if path == "/_local/time":
        return bodies.answer({"now": time.time(), "frozen": False, "ahead": 0.0})
    if path == "/_local/faults":
        return bodies.answer({"faults": []})
    return refusal(path, HTTPStatus.NOT_FOUND, "a replayed transcript has nothing of that kind")
