"""Taking secrets out of texts and JSON: by names, by looks, and what is known wherever it stands.

Knows no APIs but the forms in which they have environment variables, webhooks and commands. What
is to be cleaned, and with what knowledge, is `removal.py`'s business.
"""

from __future__ import annotations

import base64
import codecs
import re
from contextlib import suppress
from copy import copy
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode

from runpodctl_py.emulator import json_text
from runpodctl_py.emulator.lab.secret_looks import (
    SHORTEST,
    looks_like_a_secret,
    without_credentials,
    without_keys,
)
from runpodctl_py.emulator.lab.secret_names import (
    REMOVED,
    is_command,
    is_environment,
    is_secret_field,
    is_secret_name,
    is_secret_option,
    is_webhook,
)
from runpodctl_py.emulator.lab.transcript import Body

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

KEPT_HEADERS = frozenset({"accept", "content-type", "location", "retry-after", "www-authenticate"})
"""The headers of requests and answers that mean something to a client, and hold no secret."""
_KEPT_BEGINNINGS = ("ratelimit", "x-ratelimit")

_SHORTEST_TOKEN = 16
"""What is shorter in an answer, and called a token, is a word or a part of one."""
_MOST_HEARD = 1000
_TAKEN_OUT_OF_QUERY = "api_key"

# Bounded where they could begin anywhere: texts may be megabytes without a space.
_WEBHOOK = re.compile(r"\A(\s*[A-Za-z][A-Za-z0-9+.-]*://)(?:[^/?#]*@)?([^/?#]*).*", re.DOTALL)
_ASSIGNED = re.compile(r"(?<!\w)([A-Za-z_]\w{0,200})=(\"[^\"]*\"|'[^']*'|\S+)")
_OPTION = re.compile(
    r"(?<![\w-])(--?[A-Za-z][A-Za-z0-9_-]{0,200})([= ]\s*)(\"[^\"]*\"|'[^']*'|[^\s-]\S*)"
)
_TORN_FIELD = re.compile(
    r'(?<!\\)"([^"\\]*+(?:\\.[^"\\]*+)*+)"(\s*+:\s*+)"([^"\\]*+(?:\\.[^"\\]*+)*+)("?)'
)
_BEGIN_OF_JSON = re.compile(r'\s*+(?:\{\s*+(?:"|\Z)|\[\s*+(?:["{\[]|\Z))')
_UTF8 = codecs.getincrementaldecoder("utf-8")


def kept(headers: Mapping[str, str]) -> dict[str, str]:
    """Returns the headers that a transcript has."""
    return {
        name: value
        for name, value in headers.items()
        if name in KEPT_HEADERS or name.startswith(_KEPT_BEGINNINGS)
    }


def removed(value: Any) -> Any:
    """Returns a secret's form without its content."""
    if isinstance(value, dict):
        return {name: removed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [removed(each) for each in value]
    return value if value is None or isinstance(value, bool) or value == "" else REMOVED


class Cleaning:
    """Takes secrets out of one request or answer.

    Args:
        known: What is secret wherever it stands.
        addresses: What stands for which address.
        heard: Where what is clearly a secret is noted.
        aliases: Names that a GraphQL document gives to fields.
        values_are_secret: Whether every field `value` is a secret.
        is_answer: Whether it is an answer.
    """

    def __init__(
        self,
        known: Collection[str],
        addresses: Mapping[str, str],
        heard: set[str],
        aliases: Mapping[str, str] | None = None,
        *,
        values_are_secret: bool = False,
        is_answer: bool = False,
    ) -> None:
        self._heard = heard
        self.is_answer = is_answer
        self.aliases = aliases or {}
        self.values_are_secret = values_are_secret
        known = {each for each in known if len(each) >= SHORTEST}
        # The longest first: one may be part of another.
        self._known = sorted(known | {quote(each, safe="") for each in known}, key=len)[::-1]
        self._addresses = [
            (re.compile(re.escape(address) + r"(?![\w.])"), name)
            for address, name in addresses.items()
        ]

    def with_secret_values(self) -> Cleaning:
        """Returns the same, for what has secrets in every field `value`."""
        other = copy(self)
        other.values_are_secret = True
        return other

    # Texts.

    def cleaned(self, text: str) -> str:
        """Returns a text without what is secret in it by itself."""
        for each in self._known:
            text = text.replace(each, REMOVED)
        if "://" in text:
            text = without_credentials(text)
            for address, name in self._addresses:
                text = address.sub(name, text)
        return without_keys(text)

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Returns the headers that mean something."""
        return {name: self.cleaned(value) for name, value in kept(headers).items()}

    def query(self, query: str) -> str:
        """Returns a query without the key, and without the values of what is called a secret."""
        pairs = [
            (name, REMOVED if is_secret_field(name) else self.cleaned(value))
            for name, value in parse_qsl(query, keep_blank_values=True)
            if name != _TAKEN_OUT_OF_QUERY
        ]
        return urlencode(pairs)

    # Bodies.

    def body(self, body: Body | None, *, values_are_secret: bool = False) -> Body | None:
        """Returns a body without secrets."""
        if body is None:
            return None
        self.values_are_secret = values_are_secret
        try:
            return self._body(body)
        except RecursionError:
            # JSON in JSON in JSON: nobody has looked at all of it.
            return Body("text", REMOVED)

    def _body(self, body: Body) -> Body:
        if body.kind == "json":
            return Body("json", self.value(body.value))
        if body.kind == "text":
            return Body("text", self._text(body.value))
        content = body.content()
        with suppress(UnicodeDecodeError):
            # It may be a text that broke off within a letter.
            return Body("text", self._text(_UTF8().decode(content)))
        if _BEGIN_OF_JSON.match(content.lstrip()[:100].decode(errors="replace")):
            return Body("text", REMOVED)
        for each in self._known:
            content = content.replace(each.encode(), REMOVED.encode())
        return Body("base64", base64.b64encode(content).decode("ascii"))

    def _text(self, text: str) -> str:
        """Returns a text: lines of any kind, the events of a stream, or JSON, and half of it."""
        may_be_torn, lines = _BEGIN_OF_JSON.match(text) is not None, []
        for line in text.split("\n"):
            new = self._line(line)
            lines.append(new)
            if may_be_torn and new == REMOVED:
                # It goes on for more than a line.
                break
        return "\n".join(lines)

    def _line(self, line: str) -> str:
        """Returns a line; of JSON that broke off, nobody knows which secrets are in it."""
        text = line.removeprefix("data:").removeprefix(" ")
        head = line[: len(line) - len(text)]
        if (whole := self._embedded(text)) is not None:
            return head + whole
        return head + (REMOVED if _BEGIN_OF_JSON.match(text) else self._words(self._fields(text)))

    def _fields(self, text: str) -> str:
        """Returns a text without the secrets in fields of JSON that stand in it."""
        return _TORN_FIELD.sub(self._torn, self.cleaned(text))

    def _embedded(self, text: str) -> str | None:
        """Returns a text that is JSON, as it was if nothing is taken out; None if it is none."""
        if not text.lstrip().startswith(("{", "[")):
            return None
        try:
            value = json_text.parse(text.encode(errors="surrogatepass"))
        except ValueError:
            return None
        cleaned = self.value(value)
        return text if cleaned == value else json_text.dump(cleaned)

    def _torn(self, match: re.Match[str]) -> str:
        """Returns a field of JSON that is not whole: of a pair's value, nobody knows the name."""
        name, colon, _, end = match.groups()
        is_secret = is_secret_field(name) or is_secret_name(name) or is_webhook(name)
        if is_secret or name.lower() in {"value", "user", "username"}:
            return f'"{name}"{colon}"{REMOVED}{end}'
        return match[0]

    # JSON.

    def value(self, value: Any) -> Any:
        """Returns a JSON value without secrets."""
        match value:
            case str():
                if (whole := self._embedded(value)) is not None:
                    return whole
                torn = _BEGIN_OF_JSON.match(value)
                return self._fields(value) if torn else self.cleaned(value)
            case list():
                return [self.value(each) for each in value]
            case dict():
                return self._object(value)
        return value

    def _object(self, value: Mapping[str, Any]) -> dict[str, Any]:
        named = {self._name(name): each for name, each in value.items()}
        return {self.cleaned(name): self.field(name, each, named) for name, each in value.items()}

    def _name(self, name: str) -> str:
        """Returns the name that a field has in the schema."""
        return self.aliases.get(name, name)

    def _is_secret_among(self, name: str, value: Any, named: Mapping[str, Any]) -> bool:
        if name == "value":
            of = named.get("key", named.get("name"))
            return (
                self.values_are_secret
                or ("key" in named and not isinstance(of, str))
                or (isinstance(of, str) and isinstance(value, str) and is_secret_name(of))
            )
        if name == "username":
            return "password" in named
        if name == "token" and ("logprob" in named or self._is_word(value)):
            return False
        # A number of tokens is none, either, nor is that of a pass over something.
        is_number = isinstance(value, int | float) and name.lower().endswith(("token", "pass"))
        return is_secret_field(name) and not is_number

    def taken(self, value: Any, *, is_clear: bool = True) -> Any:
        """Returns a secret's form without its content.

        Args:
            value: The secret.
            is_clear: Whether there is no doubt that it is one.
        """
        if is_clear:
            self.hear(value)
        # Names within it may hold what is known to be secret.
        return self.value(removed(value))

    def hear(self, value: Any) -> None:
        """Notes what is secret in a request, for answers that repeat it.

        Not in an answer, where it may be words about a secret: `{"password": "is required"}`.
        """
        match value:
            case _ if self.is_answer:
                return
            case str():
                if looks_like_a_secret(value) and len(self._heard) < _MOST_HEARD:
                    self._heard.add(value)
            case list():
                for each in value:
                    self.hear(each)
            case dict():
                for each in value.values():
                    self.hear(each)

    def _is_word(self, value: Any) -> bool:
        """Returns whether a token is one that a language model says: it comes in answers."""
        return not isinstance(value, str) or (self.is_answer and len(value) < _SHORTEST_TOKEN)

    def field(self, name: str, value: Any, named: Mapping[str, Any] | None = None) -> Any:
        """Returns the value of a field whose name decides what it means."""
        name, named = self._name(name), named or {}
        if name in {"old", "new"} and isinstance(changed := named.get("field"), str):
            name = changed.rpartition(".")[2]
        if self._is_secret_among(name, value, named):
            of = named.get("key", named.get("name")) if name == "value" else name
            is_clear = self.values_are_secret or (isinstance(of, str) and is_secret_field(of))
            return self.taken(value, is_clear=is_clear)
        if is_environment(name):
            return self._environment(value)
        if is_webhook(name):
            return self._webhook(value)
        if is_command(name):
            return self._command(value)
        return self.value(value)

    def _environment(self, value: Any) -> Any:
        """Returns variables in any form: an object, pairs, or lines such as `NAME=value`."""
        match value:
            case dict():
                return {
                    self.cleaned(name): self.taken(each, is_clear=is_secret_field(name))
                    if is_secret_name(name)
                    else self.value(each)
                    for name, each in value.items()
                }
            case list():
                return [
                    self._environment(each) if isinstance(each, str) else self.value(each)
                    for each in value
                ]
            case str():
                return self._embedded_environment(value) or _ASSIGNED.sub(
                    self._without_value, self.cleaned(value)
                )
        return value

    def _embedded_environment(self, text: str) -> str | None:
        try:
            value = json_text.parse(text.encode(errors="surrogatepass"))
        except ValueError:
            return None
        return json_text.dump(self._environment(value)) if isinstance(value, dict | list) else None

    def _webhook(self, value: Any) -> Any:
        """Returns a webhook's host: often, its path is as good as a password."""
        match value:
            case str():
                return _WEBHOOK.sub(rf"\g<1>\g<2>/{REMOVED}", self.cleaned(value))
            case list():
                return [self._webhook(each) for each in value]
            case dict():
                return {
                    name: self._webhook(each) if isinstance(each, str) and "://" in each else each
                    for name, each in self._object(value).items()
                }
        return value

    def _command(self, value: Any) -> Any:
        """Returns a command line without the values of options and variables that look secret."""
        if isinstance(value, list):
            # Joined as they would be typed, so that an option has its value beside it.
            texts = [self._command(each) for each in value]
            for at, (before, each) in enumerate(pairwise(texts), start=1):
                if isinstance(each, str) and is_secret_option(before):
                    texts[at] = self.taken(each, is_clear=is_secret_field(before))
            return texts
        if not isinstance(value, str):
            return self.value(value)
        return self._words(self.cleaned(value))

    def _words(self, text: str) -> str:
        """Returns a text without the values of options and variables in it that look secret."""
        return _OPTION.sub(self._without_option, _ASSIGNED.sub(self._without_value, text))

    def _without_value(self, match: re.Match[str]) -> str:
        name, value = match.groups()
        return f"{name}={self._word_taken(name, value)}" if is_secret_name(name) else match[0]

    def _without_option(self, match: re.Match[str]) -> str:
        name, between, value = match.groups()
        if not is_secret_name(name):
            return match[0]
        return f"{name}{between}{self._word_taken(name, value)}"

    def _word_taken(self, name: str, value: str) -> str:
        """Returns what stands for a value on a command line."""
        if is_secret_field(name):
            self.hear(value.strip("\"'"))
        return REMOVED
