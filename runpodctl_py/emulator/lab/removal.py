"""What must not stand in a transcript, and how it is taken out of requests and answers.

Taken out is what is secret by its place (a header, a query parameter, a field's or a variable's
name), by its look (a RunPod key, a password in a URL), and, wherever it stands, what is known to be
secret. It becomes one fixed text, so that the same request is the same afterwards; doing it twice
changes nothing. How that is done to texts and JSON is in `cleaning.py`, and to the text of GraphQL
documents in `removal_graphql.py`.

What no rule can know, such as a password in a prompt, stays.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator.lab import removal_graphql
from runpodctl_py.emulator.lab.cleaning import Cleaning
from runpodctl_py.emulator.lab.paths import is_graphql
from runpodctl_py.emulator.lab.secret_names import REMOVED
from runpodctl_py.emulator.lab.transcript import Body

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from runpodctl_py.emulator.lab.transcript import Answer, Exchange, Request

PLACEHOLDER = "http://runpod.invalid"
"""Stands for the address of whichever RunPod was asked: a replay is somewhere else."""

_SECRETS_PATH = "/v2/account/secrets"


@dataclass(frozen=True, slots=True)
class Removal:
    """Takes secrets out of exchanges.

    Args:
        known: What is secret wherever it stands, such as the client's key.
        addresses: The root of the server that was asked, and what stands for it.
        upstream: Those of the RunPod behind it, which stand in answers.
        heard: What was taken out so far because its name is clearly a secret's. Answers may repeat
            it anywhere: an error quotes a request, a worker prints its environment. Requests
            do not lose it, or they would differ from those that are replayed.
    """

    known: Collection[str] = ()
    addresses: Mapping[str, str] = field(default_factory=dict)
    upstream: Mapping[str, str] = field(default_factory=dict)
    heard: set[str] = field(default_factory=set)

    def exchange(self, exchange: Exchange) -> Exchange:
        """Returns an exchange as it may be written down."""
        request, answer = exchange.request, exchange.answer
        return replace(
            exchange,
            request=self.request(request),
            answer=None if answer is None else self.answer(answer, request),
        )

    def request(self, request: Request) -> Request:
        """Returns a request as it may be written down, and compared with others that may."""
        text = Cleaning(self.known, self.addresses, self.heard)
        body = request.body
        if is_graphql(request.path) and body is not None:
            body = _graphql_body(body, text)
        else:
            body = text.body(body, values_are_secret=_keeps_secrets(request.path))
        return replace(
            request,
            path=text.cleaned(request.path),
            query=text.query(request.query),
            headers=text.headers(request.headers),
            body=body,
        )

    def answer(self, answer: Answer, request: Request) -> Answer:
        """Returns the answer to a request as it may be written down."""
        aliases, values_are_secret = {}, _keeps_secrets(request.path)
        if is_graphql(request.path):
            found = [removal_graphql.read(each) for each in _documents(request.body)]
            aliases = {alias: name for each in found for alias, name in each.aliases.items()}
            values_are_secret = any(each.values_are_secret for each in found)
        text = Cleaning(
            {*self.known, *self.heard},
            {**self.addresses, **self.upstream},
            self.heard,
            aliases,
            is_answer=True,
        )
        return replace(
            answer,
            headers=text.headers(answer.headers),
            body=text.body(answer.body, values_are_secret=values_are_secret),
        )


def _keeps_secrets(path: str) -> bool:
    return path.rstrip("/").startswith(_SECRETS_PATH)


def _documents(body: Body | None) -> list[str]:
    """Returns the documents of a GraphQL request, of which there may be several."""
    value = body.value if body is not None and body.kind == "json" else None
    each = value if isinstance(value, list) else [value]
    queries = [one.get("query") for one in each if isinstance(one, dict)]
    return [query for query in queries if isinstance(query, str)]


def _graphql_body(body: Body, text: Cleaning) -> Body:
    if body.kind != "json":
        # A document that nobody can read might hold anything.
        return Body("text", REMOVED)
    try:
        if isinstance(body.value, list):
            return Body("json", [_graphql_operation(each, text) for each in body.value])
        return Body("json", _graphql_operation(body.value, text))
    except RecursionError:
        return Body("text", REMOVED)


def _graphql_operation(value: Any, text: Cleaning) -> Any:
    if not isinstance(value, dict) or not isinstance(value.get("query"), str):
        return text.value(value)
    found = removal_graphql.read(value["query"])
    variables = value.get("variables")
    # Every operation by itself: what a variable means, its own document says.
    inside = text.with_secret_values() if found.values_are_secret else text
    if isinstance(variables, dict):
        variables = {name: _variable(name, each, found, inside) for name, each in variables.items()}
    else:
        variables = inside.value(variables)
    rest = {name: inside.field(name, each) for name, each in value.items() if name != "query"}
    document = removal_graphql.cleaned(value["query"], text.cleaned, text.field)
    for each in found.secrets:
        inside.hear(each)
    given = {"variables": variables} if "variables" in value else {}
    return {**rest, "query": document, **given}


def _variable(name: str, value: Any, found: removal_graphql.Found, text: Cleaning) -> Any:
    """Returns the value of a variable: its own name decides, and the fields that it stands in."""
    if name in found.secret_variables:
        return text.taken(value)
    for each in (name, *sorted(found.variables_fields.get(name, ()))):
        value = text.field(each, value)
    return value
