"""The control plane's GraphQL: schema first, RunPod's error envelope (API reference 1).

Owns the wiring of the schema and the answering of a request. `schema.graphql` is the truth about
types; what the fields do is in `resolvers.py` and `fields.py`. A field of the
schema that nothing resolves fails as "not emulated".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphql import (
    ExecutionResult,
    FieldNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    build_schema,
    execute,
    get_operation_ast,
    parse,
    specified_rules,
    validate,
)

from runpodctl_py.emulator import bodies
from runpodctl_py.emulator.control.model import snake_case
from runpodctl_py.emulator.errors import (
    UNAUTHORIZED,
    ControlPlaneError,
    JobApiError,
    bad_request,
)
from runpodctl_py.emulator.graphql.billing import BILLING_TYPES
from runpodctl_py.emulator.graphql.fields import ATTRIBUTES, TYPES, attribute
from runpodctl_py.emulator.graphql.resolvers import OPERATIONS
from runpodctl_py.emulator.graphql.words import in_runpods_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from graphql import DocumentNode
    from starlette.requests import Request
    from starlette.responses import Response

    from runpodctl_py.emulator.graphql.resolvers import Info, Resolver
    from runpodctl_py.emulator.state import State

MAX_BODY_BYTES = 10 * 1024 * 1024
PUBLIC_FIELDS = frozenset({"__typename", "dataCenters", "gpuTypes"})
"""Root fields that are readable without a key (API reference 1.1)."""

RESOLVERS = (OPERATIONS, TYPES, BILLING_TYPES)
"""Tables of resolvers by type and field; a type may be in several of them."""


@cache
def load_schema() -> GraphQLSchema:
    """Returns the schema with every field wired to its resolver, or to "not emulated".

    It knows no state, so that all emulators of a process share one: it takes 0.1 s to make.
    """
    schema = build_schema(Path(__file__).with_name("schema.graphql").read_text(encoding="utf-8"))
    for name, kind in schema.type_map.items():
        if isinstance(kind, GraphQLObjectType) and not name.startswith("__"):
            for field_name, field in kind.fields.items():
                field.resolve = _resolver(name, field_name)
    return schema


def _resolver(type_name: str, field_name: str) -> Resolver:
    for table in RESOLVERS:
        if (explicit := table.get(type_name, {}).get(field_name)) is not None:
            return explicit
    name = snake_case(field_name)
    if name in ATTRIBUTES.get(type_name, ()):
        return attribute(name)
    return partial(_not_emulated, f"{type_name}.{field_name}")


def _not_emulated(name: str, _source: object, _info: Info, **_inputs: Any) -> None:
    raise ControlPlaneError(f"not emulated: {name}")


@dataclass(frozen=True, slots=True)
class GraphQLApi:
    """POST /graphql.

    Args:
        state: What the resolvers read and change.
        schema: As `load_schema` makes it.
        introspection: Whether questions about the schema are answered; RunPod refuses them.
    """

    state: State
    schema: GraphQLSchema
    introspection: bool = False

    async def answer(self, request: Request, *, authorized: bool) -> Response:
        """Answers one request with RunPod's status codes and envelope (API reference 1.1)."""
        try:
            body = bodies.parse_object(await bodies.read(request, MAX_BODY_BYTES))
            document = self._parsed(body.get("query"))
            operation = get_operation_ast(document, body.get("operationName"))
            variables = _variables(body)
        except JobApiError as error:
            return _refusal("BAD_REQUEST", [GraphQLError(error.message)], error.status)
        except GraphQLError as error:
            return _refusal("GRAPHQL_PARSE_FAILED", [error])
        if not self.introspection:
            hidden = validate(self.schema, document, (NoSchemaIntrospectionCustomRule,))
            if hidden:
                return _refusal("INTROSPECTION_DISABLED", hidden)
        if errors := validate(self.schema, document, specified_rules):
            return _refusal("GRAPHQL_VALIDATION_FAILED", self._in_runpods_words(errors))
        if not authorized and not _is_public(operation):
            return _unauthorized(operation)
        return self._executed(document, variables, body.get("operationName"))

    def _parsed(self, query: Any) -> DocumentNode:
        if not isinstance(query, str):
            raise GraphQLError("POST body missing or not a query")
        return parse(query)

    def _in_runpods_words(self, errors: Sequence[GraphQLError]) -> list[GraphQLError]:
        return [GraphQLError(in_runpods_words(each.message, self.schema)) for each in errors]

    def _executed(
        self, document: DocumentNode, variables: dict[str, Any], operation_name: str | None
    ) -> Response:
        result = execute(
            self.schema,
            document,
            context_value=self.state,
            variable_values=variables,
            operation_name=operation_name,
        )
        if not isinstance(result, ExecutionResult):
            raise TypeError("a resolver is asynchronous")
        if result.errors and result.data is None:
            return _refusal("BAD_USER_INPUT", self._in_runpods_words(result.errors))
        envelope: dict[str, Any] = {}
        if result.errors:
            envelope["errors"] = [_business_error(each) for each in result.errors]
        return bodies.answer({**envelope, "data": result.data})


def _variables(body: Mapping[str, Any]) -> dict[str, Any]:
    variables = body.get("variables") or {}
    if not isinstance(variables, dict):
        raise bad_request("Variables must be provided as an object")
    return variables


def _business_error(error: GraphQLError) -> dict[str, Any]:
    if not isinstance(error.original_error, ControlPlaneError | GraphQLError | None):
        raise error.original_error
    return {"message": error.message, "path": error.path, "extensions": {"code": "RUNPOD"}}


def _refusal(
    code: str, errors: Sequence[GraphQLError], status: HTTPStatus = HTTPStatus.BAD_REQUEST
) -> Response:
    listed = [{"message": each.message, "extensions": {"code": code}} for each in errors]
    return bodies.answer({"errors": listed}, status)


def _unauthorized(operation: OperationDefinitionNode | None) -> Response:
    """Returns what RunPod says without a key (observed); clients go by the status, too (1.1)."""
    selections = () if operation is None else operation.selection_set.selections
    asked = [
        each.alias.value if each.alias else each.name.value
        for each in selections
        if isinstance(each, FieldNode)
    ]
    errors = [
        {"message": UNAUTHORIZED, "path": [name], "extensions": {"code": "RUNPOD"}}
        for name in asked or [""]
    ]
    body = {"errors": errors, "data": dict.fromkeys(asked)}
    return bodies.answer(body, HTTPStatus.UNAUTHORIZED)


def _is_public(operation: OperationDefinitionNode | None) -> bool:
    return operation is not None and all(
        isinstance(each, FieldNode) and each.name.value in PUBLIC_FIELDS
        for each in operation.selection_set.selections
    )
