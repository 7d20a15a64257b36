"""graphql-core's complaints about a document in the words of RunPod's server (API reference 1.1).

RunPod runs the JavaScript implementation, whose messages people search for and clients show. Only
those are translated that were seen from it; others differ in their quotation marks at most.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graphql import GraphQLInputObjectType

if TYPE_CHECKING:
    from graphql import GraphQLSchema

_MISSING = re.compile(
    r"Expected value of type '(\w+)!?' to include required field '(\w+)', found: .*", re.DOTALL
)
_UNKNOWN = re.compile(
    r"Expected value of type '(\w+)!?' not to include unknown field '(\w+)'"
    r"(?:\. (Did you mean [^?]*\?) Found|, found): .*",
    re.DOTALL,
)
_ARGUMENT = re.compile(r"Argument '\w+\.(\w+)\((\w+):\)' of type")
_QUOTED = re.compile(r"'(\$?[\w.]+|[\[\]\w!]+)'")


def in_runpods_words(message: str, schema: GraphQLSchema) -> str:
    """Returns a validation error's message as RunPod's server would put it."""
    of_variable = message.startswith("Variable ")

    def missing(match: re.Match[str]) -> str:
        kind = schema.type_map.get(match[1])
        if not isinstance(kind, GraphQLInputObjectType):
            return match[0]
        name = match[2] if of_variable else f"{match[1]}.{match[2]}"
        required = kind.fields[match[2]].type
        return f'Field "{name}" of required type "{required}" was not provided.'

    def unknown(match: re.Match[str]) -> str:
        hint = f" {match[3]}" if match[3] else ""
        return f'Field "{match[2]}" is not defined by type "{match[1]}".{hint}'

    message = _UNKNOWN.sub(unknown, _MISSING.sub(missing, message))
    message = _ARGUMENT.sub(r'Field "\1" argument "\2" of type', message)
    return _QUOTED.sub(r'"\1"', message)
