"""The control plane's GraphQL: schema first, RunPod's error envelope (API reference 1).

`schema.graphql` is the truth about types; here are the resolvers and the parsing of inputs. The
rules are `control.py`'s. A field of the schema that nothing resolves fails as "not emulated".
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import partial
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
from runpodctl_py.emulator.control import EndpointDraft, TemplateDraft
from runpodctl_py.emulator.errors import UNAUTHORIZED, ControlPlaneError, JobApiError
from runpodctl_py.emulator.model import Endpoint, Template, snake_case
from runpodctl_py.gpus import POOLS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from graphql import DocumentNode, GraphQLResolveInfo
    from starlette.requests import Request
    from starlette.responses import Response

    from runpodctl_py.emulator.state import State

    Info = GraphQLResolveInfo[State]
    Resolver = Callable[..., Any]

MAX_BODY_BYTES = 10 * 1024 * 1024
PUBLIC_FIELDS = frozenset({"gpuTypes"})
"""Root fields that are readable without a key (API reference 1.1)."""

_USER_ID = "user_local"
_KEPT_WHEN_EMPTY = frozenset({"name", "image_name", "docker_args"})


def load_schema() -> GraphQLSchema:
    """Returns the schema with every field wired to its resolver, or to "not emulated"."""
    schema = build_schema(Path(__file__).with_name("schema.graphql").read_text(encoding="utf-8"))
    for name, kind in schema.type_map.items():
        if isinstance(kind, GraphQLObjectType) and not name.startswith("__"):
            for field_name, field in kind.fields.items():
                field.resolve = _resolver(name, field_name)
    return schema


def _resolver(type_name: str, field_name: str) -> Resolver:
    explicit = RESOLVERS.get(type_name, {}).get(field_name)
    if explicit is not None:
        return explicit
    attribute = snake_case(field_name)
    if attribute in _ATTRIBUTES.get(type_name, ()):
        return lambda source, _info: getattr(source, attribute)
    return partial(_not_emulated, f"{type_name}.{field_name}")


def _not_emulated(name: str, _source: object, _info: Info, **_inputs: Any) -> None:
    raise ControlPlaneError(f"not emulated: {name}")


def _names(kind: type) -> frozenset[str]:
    return frozenset(field.name for field in fields(kind))


@dataclass(frozen=True, slots=True)
class GraphQLApi:
    """POST /graphql.

    Args:
        state: What the resolvers read and change.
        schema: As `load_schema` makes it.
    """

    state: State
    schema: GraphQLSchema

    async def answer(self, request: Request, *, authorized: bool) -> Response:
        """Answers one request with RunPod's status codes and envelope (API reference 1.1)."""
        try:
            body = bodies.parse_object(await bodies.read(request, MAX_BODY_BYTES))
            document = self._parsed(body.get("query"))
            operation = get_operation_ast(document, body.get("operationName"))
        except JobApiError as error:
            return _refusal("BAD_REQUEST", [GraphQLError(error.message)], error.status)
        except GraphQLError as error:
            return _refusal("GRAPHQL_PARSE_FAILED", [error])
        if errors := validate(self.schema, document, (NoSchemaIntrospectionCustomRule,)):
            return _refusal("INTROSPECTION_DISABLED", errors)
        if errors := validate(self.schema, document, specified_rules):
            return _refusal("GRAPHQL_VALIDATION_FAILED", errors)
        if not authorized and not _is_public(operation):
            return _refusal("RUNPOD", [GraphQLError(UNAUTHORIZED)], HTTPStatus.UNAUTHORIZED)
        return self._executed(document, body)

    def _parsed(self, query: Any) -> DocumentNode:
        if not isinstance(query, str):
            raise GraphQLError("POST body missing or not a query")
        return parse(query)

    def _executed(self, document: DocumentNode, body: Mapping[str, Any]) -> Response:
        result = execute(
            self.schema,
            document,
            context_value=self.state,
            variable_values=body.get("variables") or {},
            operation_name=body.get("operationName"),
        )
        if not isinstance(result, ExecutionResult):
            raise TypeError("a resolver is asynchronous")
        if result.errors and result.data is None:
            return _refusal("BAD_USER_INPUT", result.errors)
        envelope: dict[str, Any] = {}
        if result.errors:
            envelope["errors"] = [_business_error(each) for each in result.errors]
        return bodies.answer({**envelope, "data": result.data})


def _business_error(error: GraphQLError) -> dict[str, Any]:
    if not isinstance(error.original_error, ControlPlaneError | GraphQLError | None):
        raise error.original_error
    return {"message": error.message, "path": error.path, "extensions": {"code": "RUNPOD"}}


def _refusal(
    code: str, errors: Sequence[GraphQLError], status: HTTPStatus = HTTPStatus.BAD_REQUEST
) -> Response:
    listed = [{"message": each.message, "extensions": {"code": code}} for each in errors]
    return bodies.answer({"errors": listed}, status)


def _is_public(operation: OperationDefinitionNode | None) -> bool:
    return operation is not None and all(
        isinstance(each, FieldNode) and each.name.value in PUBLIC_FIELDS
        for each in operation.selection_set.selections
    )


# Inputs: from RunPod's names to ours, once.


def _set_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a client really set: null and "" mean unset (API reference 1.4)."""
    named = {snake_case(name): value for name, value in given.items()}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in named.items()
        if value is not None and (value != "" or name in _KEPT_WHEN_EMPTY)
    }


def _template_draft(given: Mapping[str, Any]) -> TemplateDraft:
    values = _set_fields(given)
    variables = values.pop("env", ())
    values["env"] = {each.get("key") or "": each.get("value") or "" for each in variables}
    return TemplateDraft(values.pop("id", None), values)


def _endpoint_draft(given: Mapping[str, Any]) -> EndpointDraft:
    values = _set_fields(given)
    template = values.pop("template", None)
    volumes = values.pop("network_volume_ids", ())
    if volumes:
        values["network_volume_ids"] = tuple(each["networkVolumeId"] for each in volumes)
    return EndpointDraft(
        values.pop("id", None), values, None if template is None else _template_draft(template)
    )


# Resolvers: they get the parent object, graphql's info (its context is the state), and arguments.


def _save_template(_: object, info: Info, **inputs: Any) -> Template:
    if inputs.get("input") is None:
        raise ControlPlaneError("input is required")
    return info.context.save_template(_template_draft(inputs["input"]))


def _delete_template(_: object, info: Info, **inputs: Any) -> None:
    info.context.control.delete_template(inputs["templateName"])


def _save_endpoint(_: object, info: Info, **inputs: Any) -> Endpoint:
    return info.context.save_endpoint(_endpoint_draft(inputs["input"]))


def _delete_endpoint(_: object, info: Info, **inputs: Any) -> None:
    info.context.delete_endpoint(inputs["id"])


def _update_template(_: object, info: Info, **inputs: Any) -> Endpoint:
    given = inputs["input"]
    return info.context.change_endpoint(given["endpointId"], template_id=given["templateId"])


def _update_workers(field: str, _: object, info: Info, **inputs: Any) -> Endpoint:
    given = inputs["input"]
    return info.context.change_endpoint(given["endpointId"], **{field: given["workerCount"]})


def _pod_templates(_: object, info: Info, **inputs: Any) -> list[Template]:
    if (inputs.get("input") or {}).get("isRunpod"):
        return []
    return list(info.context.control.templates.values())


def _pod_template(_: object, info: Info, **inputs: Any) -> Template | None:
    return info.context.control.templates.get(inputs["id"])


def _endpoints(_: object, info: Info) -> list[Endpoint]:
    return list(info.context.control.endpoints.values())


def _endpoint(_: object, info: Info, **inputs: Any) -> Endpoint | None:
    return info.context.control.endpoints.get(inputs["id"])


def _gpu_types(_: object, _info: Info, **inputs: Any) -> list[dict[str, Any]]:
    given = inputs.get("input") or {}
    asked = {each for each in (given.get("id"), *(given.get("ids") or ())) if each}
    return [
        {"id": card.id, "displayName": card.short_name, "memoryInGb": card.vram_gb}
        for pool in POOLS
        for card in pool.cards
        if not asked or card.id in asked
    ]


def _pools(_: object, _info: Info) -> list[dict[str, Any]]:
    return [{"id": pool.id, "gpuTypeIds": [card.id for card in pool.cards]} for pool in POOLS]


def _variables(env: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in env.items()]


def _template_of(endpoint: Endpoint, info: Info) -> Template:
    return info.context.control.template_of(endpoint)


def _created_at(endpoint: Endpoint, _info: Info) -> str:
    return datetime.fromtimestamp(endpoint.created_at, UTC).isoformat(timespec="milliseconds")


def _volumes(endpoint: Endpoint, _info: Info) -> list[dict[str, str]]:
    return [{"networkVolumeId": each} for each in endpoint.network_volume_ids]


def _key(name: str) -> Resolver:
    return lambda source, _info: source[name]


def _always(value: Any) -> Resolver:
    return lambda _source, _info: value


RESOLVERS: Mapping[str, Mapping[str, Resolver]] = {
    "Query": {
        "myself": _always({}),
        "podTemplates": _pod_templates,
        "podTemplate": _pod_template,
        "gpuTypes": _gpu_types,
        "serverlessGpuPools": _pools,
    },
    "Mutation": {
        "saveTemplate": _save_template,
        "deleteTemplate": _delete_template,
        "saveEndpoint": _save_endpoint,
        "deleteEndpoint": _delete_endpoint,
        "updateEndpointTemplate": _update_template,
        "updateEndpointWorkersMin": partial(_update_workers, "workers_min"),
        "updateEndpointWorkersMax": partial(_update_workers, "workers_max"),
    },
    "User": {
        "id": _always(_USER_ID),
        "email": _always("local@localhost"),
        "pubKey": _always(None),
        "podTemplates": _pod_templates,
        "endpoints": _endpoints,
        "endpoint": _endpoint,
        "networkVolumes": _always([]),
    },
    "PodTemplate": {
        "env": lambda template, _info: _variables(template.env),
        "isRunpod": _always(value=False),
        "runtimeInMin": _always(0),
        "earned": _always(0.0),
    },
    "Endpoint": {
        # RunPod hands out a key here; ours is written nowhere but into the user's own files.
        "aiKey": _always(None),
        "userId": _always(_USER_ID),
        "template": _template_of,
        "env": lambda endpoint, info: _variables(_template_of(endpoint, info).env),
        "createdAt": _created_at,
        "networkVolumeIds": _volumes,
        "networkVolume": _always(None),
        "workersStandby": lambda endpoint, _info: endpoint.workers_min,
        "computeType": lambda endpoint, _info: "CPU" if endpoint.instance_ids else "GPU",
    },
    "EnvironmentVariable": {"key": _key("key"), "value": _key("value")},
    "PortConfig": {"port": _key("port"), "name": _key("name")},
    "NetworkVolumeIds": {"networkVolumeId": _key("networkVolumeId")},
    "GpuType": {name: _key(name) for name in ("id", "displayName", "memoryInGb")},
    "ServerlessGpuPool": {"id": _key("id"), "gpuTypeIds": _key("gpuTypeIds")},
}
"""Type to field to resolver, for fields that are no attribute of `Template` or `Endpoint`."""

_ATTRIBUTES = {"PodTemplate": _names(Template), "Endpoint": _names(Endpoint)}
