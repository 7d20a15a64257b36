"""The secrets in a GraphQL document: the official SDK writes values into its text (1.1).

Only the values are replaced; the rest of the text stays as it was sent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from graphql import (
    ArgumentNode,
    FieldNode,
    GraphQLError,
    ListValueNode,
    Node,
    ObjectFieldNode,
    ObjectValueNode,
    StringValueNode,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    parse,
    visit,
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

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from graphql import DocumentNode, ValueNode

_MAKES_SECRETS = frozenset({"secretCreate"})
"""The fields whose arguments have a secret called `value` (API reference 1.5)."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a document says about secrets in its variables and its answer.

    Args:
        secret_variables: The variables that stand where a secret does.
        variables_fields: For others, the fields or arguments that they stand in, if these decide.
        aliases: The fields' names in the answer, where they are not their own.
        values_are_secret: Whether every `value` is a secret.
        secrets: Those in its text that are clearly secrets, by their names.
    """

    secret_variables: frozenset[str] = frozenset()
    variables_fields: Mapping[str, Collection[str]] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    values_are_secret: bool = False
    secrets: frozenset[str] = frozenset()


def read(document: str) -> Found:
    """Returns what a document says; nothing, if it is none."""
    parsed = _parsed(document)
    if parsed is None:
        return Found()
    finder = _found_in(parsed)
    return Found(
        frozenset(finder.variables),
        finder.variables_fields,
        finder.aliases,
        finder.values_are_secret,
        frozenset(each.value for each in finder.secrets - finder.doubtful),
    )


def cleaned(document: str, text: Callable[[str], str], of_field: Callable[[str, str], str]) -> str:
    """Returns a document without the secrets in its text.

    Args:
        document: The text; if it is no document, it may be anything, and all of it goes.
        text: Takes out what is secret in a text by itself.
        of_field: Takes out what is secret in the text of a field, by its name.
    """
    parsed = _parsed(document)
    if parsed is None:
        return REMOVED if '"' in document else text(document)
    finder = _found_in(parsed)
    parts, at = [], 0
    for node in sorted({*finder.secrets, *finder.texts}, key=_start):
        if node in finder.secrets:
            new = REMOVED
        elif node in finder.texts_fields:
            new = of_field(finder.texts_fields[node], node.value)
        else:
            new = text(node.value)
        if _start(node) < at or new == node.value:
            continue
        parts += [document[at : _start(node)], json.dumps(new)]
        at = node.loc.end if node.loc else at
    # What is left are names, numbers and comments.
    return text("".join([*parts, document[at:]]))


def _start(node: Node) -> int:
    return node.loc.start if node.loc else 0


def _parsed(document: str) -> DocumentNode | None:
    try:
        return parse(document)
    except (GraphQLError, RecursionError):
        return None


def _found_in(parsed: DocumentNode) -> _Finder:
    names = _Names()
    visit(parsed, names)
    finder = _Finder(values_are_secret=not _MAKES_SECRETS.isdisjoint(names.fields))
    finder.aliases = names.aliases
    visit(parsed, finder)
    finder.look_at_defaults()
    return finder


class _Names(Visitor):
    """The names of the fields in a document."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: set[str] = set()
        self.aliases: dict[str, str] = {}

    def enter_field(self, node: FieldNode, *_: object) -> None:
        self.fields.add(node.name.value)
        if node.alias is not None and not _matters(self.aliases.get(node.alias.value, "")):
            self.aliases[node.alias.value] = node.name.value


def _matters(name: str) -> bool:
    """Returns whether a field's name decides about secrets; another of its alias does not."""
    of_pairs = {"key", "name", "value", "username"}
    return name in of_pairs or _decides(name) or is_secret_field(name)


def _decides(name: str) -> bool:
    """Returns whether texts in a field of this name have forms of their own for secrets."""
    return is_environment(name) or is_webhook(name) or is_command(name)


class _Finder(Visitor):
    """Finds the values in a document that are secret, and the variables in their places."""

    def __init__(self, *, values_are_secret: bool) -> None:
        super().__init__()
        self.values_are_secret = values_are_secret
        self.aliases: dict[str, str] = {}
        self.variables: set[str] = set()
        self.secrets: set[StringValueNode] = set()
        self.doubtful: set[StringValueNode] = set()
        self.texts: set[StringValueNode] = set()
        self.texts_fields: dict[StringValueNode, str] = {}
        self.variables_fields: dict[str, set[str]] = {}
        self._defaults: dict[str, ValueNode] = {}

    def look_at_defaults(self) -> None:
        """Treats the defaults of variables as what stands in their places; call it last."""
        for variable, value in self._defaults.items():
            self._named(variable, value)
            if variable in self.variables:
                self._secret(value)
            for name in self.variables_fields.get(variable, ()):
                self._named(name, value)

    def enter_string_value(self, node: StringValueNode, *_: object) -> None:
        self.texts.add(node)

    def enter_argument(self, node: ArgumentNode, *_: object) -> None:
        self._named(node.name.value, node.value)

    def enter_variable_definition(self, node: VariableDefinitionNode, *_: object) -> None:
        if node.default_value is not None:
            self._defaults[node.variable.name.value] = node.default_value

    def enter_object_value(self, node: ObjectValueNode, *_: object) -> None:
        fields = {each.name.value: each.value for each in node.fields}
        for name, value in fields.items():
            is_of_pair = name == "value" and self._is_secret_pair(fields)
            if is_of_pair or (name == "username" and "password" in fields):
                self._secret(value)
                of = fields.get("key", fields.get("name"))
                is_clear = isinstance(of, StringValueNode) and is_secret_field(of.value)
                is_clear = is_clear or (is_of_pair and self.values_are_secret)
                if isinstance(value, StringValueNode) and not is_clear:
                    self.doubtful.add(value)
            else:
                self._named(name, value)

    def _is_secret_pair(self, fields: Mapping[str, ValueNode]) -> bool:
        of = fields.get("key", fields.get("name"))
        if isinstance(of, StringValueNode):
            return self.values_are_secret or is_secret_name(of.value)
        return self.values_are_secret or of is not None

    def _named(self, name: str, value: ValueNode) -> None:
        if is_secret_field(name) or (name == "value" and self.values_are_secret):
            self._secret(value)
        elif _decides(name):
            if is_environment(name) and isinstance(value, ObjectValueNode):
                for each in value.fields:
                    self._variable(each)
            if is_command(name) and isinstance(value, ListValueNode):
                self._words(value)
            for inner in _leaves(value, into_objects=is_webhook(name)):
                self._decided_by(name, inner)

    def _decided_by(self, name: str, value: ValueNode) -> None:
        """Notes a text or a variable in a field whose name decides about it."""
        if isinstance(value, StringValueNode):
            self.texts_fields[value] = name
        elif isinstance(value, VariableNode):
            self.variables_fields.setdefault(value.name.value, set()).add(name)

    def _words(self, command: ListValueNode) -> None:
        """Notes what follows an option that has a secret for its value."""
        for before, value in pairwise(command.values):
            if isinstance(before, StringValueNode) and is_secret_option(before.value):
                self._secret(value)
                if isinstance(value, StringValueNode) and not is_secret_field(before.value):
                    self.doubtful.add(value)

    def _variable(self, node: ObjectFieldNode) -> None:
        if is_secret_name(node.name.value):
            self._secret(node.value)
            if isinstance(node.value, StringValueNode) and not is_secret_field(node.name.value):
                self.doubtful.add(node.value)

    def _secret(self, value: ValueNode) -> None:
        """Notes every text and every variable in a value."""
        match value:
            case StringValueNode():
                self.secrets.add(value)
            case VariableNode():
                self.variables.add(value.name.value)
            case ListValueNode():
                for each in value.values:
                    self._secret(each)
            case ObjectValueNode():
                for field_node in value.fields:
                    self._secret(field_node.value)


def _leaves(value: ValueNode, *, into_objects: bool) -> Iterator[ValueNode]:
    """Yields a value, or those in its lists, and in its objects if wanted."""
    match value:
        case ListValueNode():
            for each in value.values:
                yield from _leaves(each, into_objects=into_objects)
        case ObjectValueNode() if into_objects:
            for field_node in value.fields:
                yield from _leaves(field_node.value, into_objects=into_objects)
        case _:
            yield value
