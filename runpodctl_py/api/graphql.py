"""The control plane over GraphQL, with gql.

Owns gql and its exceptions, the documents in `queries/`, and how RunPod's fields (API reference
1.3, 1.4) become ours. gql binds httpx2 instead of httpx where that is installed, so it is handed
plain values only, and only its own exceptions are caught (libraries reference, fact 2).
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, Self, TypeVar

from gql import Client, GraphQLRequest
from gql.transport.exceptions import (
    TransportConnectionFailed,
    TransportError,
    TransportProtocolError,
    TransportQueryError,
    TransportServerError,
)
from gql.transport.httpx import HTTPXAsyncTransport

from runpodctl_py.api.hosts import (
    UNUSABLE_SURROUNDINGS,
    has_no_certificate,
    is_this_machine,
    unusable,
)
from runpodctl_py.api.retrying import RetryPolicy, TryAgainError, retry_after_s, with_retries
from runpodctl_py.api.types import Endpoint, Scaler, Template
from runpodctl_py.errors import (
    AnswerLostError,
    NetworkError,
    RateLimitedError,
    RefusedError,
    ServerError,
    UnauthorizedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from gql.client import AsyncClientSession

    from runpodctl_py.jsontypes import JsonObject, JsonValue

_Resource = TypeVar("_Resource", Template, Endpoint)

_TIMEOUT_S = 30.0
#: Written back as read, because `saveTemplate` and `saveEndpoint` reset what they are not sent.
_KEPT_TEMPLATE_FIELDS = (
    "volumeMountPath",
    "portsConfig",
    "ports",
    "isPublic",
    "readme",
    "startSsh",
    "startJupyter",
    "startScript",
    "advancedStart",
    "category",
)
_KEPT_ENDPOINT_FIELDS = (
    "workersPFBTarget",
    "networkVolumeIds",
    "minCudaVersion",
    "instanceIds",
    "compliance",
    "modelReferences",
    "flashEnvironmentId",
    "type",
)
#: The exceptions of httpx and httpx2 that mean that nothing was sent.
_NEVER_CONNECTED = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"})


class _Response(Protocol):
    """What httpx's and httpx2's responses have in common, and we need."""

    @property
    def status_code(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...


class _BadStatusError(Exception):
    """An answer whose status decides, whatever its body says.

    gql looks at the body first: an `errors` in it would hide that the answer is a 401 or a 503.
    """

    def __init__(self, status: int, wait_s: float | None) -> None:
        super().__init__(str(status))
        self.status = status
        self.wait_s = wait_s


class GraphqlProvisioner:
    """A `Provisioner` over RunPod's GraphQL API. Use it as an async context.

    Args:
        base_url: The control plane's root; GraphQL is at `/graphql` below it.
        api_key: Sent as a bearer token.
        retries: How often queries are repeated; mutations only when they had no effect.
    """

    def __init__(self, base_url: str, api_key: str, *, retries: RetryPolicy | None = None) -> None:
        self._url = f"{base_url}/graphql"
        self._api_key = api_key
        self._retries = retries or RetryPolicy()
        self._transport = HTTPXAsyncTransport(
            url=self._url,
            json_deserialize=_answer_object,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=_TIMEOUT_S,
            event_hooks={"response": [_check_status]},
            trust_env=not is_this_machine(base_url),
            verify=not has_no_certificate(base_url),
        )
        self._client = Client(transport=self._transport, execute_timeout=None)
        self._session: AsyncClientSession | None = None

    async def __aenter__(self) -> Self:
        # Not `reconnecting=True`: that repeats mutations, too (libraries reference 1c).
        try:
            self._session = await self._client.connect_async(reconnecting=False)  # type: ignore[no-untyped-call] # gql leaves it untyped
        except UNUSABLE_SURROUNDINGS as exc:
            raise unusable(exc) from exc
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.close_async()  # type: ignore[no-untyped-call] # gql leaves it untyped

    async def templates(self) -> Sequence[Template]:
        """Return the account's templates."""
        data = await self._execute("templates", {}, is_query=True)
        return _parsed(parse_template, data, "podTemplates")

    async def endpoints(self) -> Sequence[Endpoint]:
        """Return the account's endpoints."""
        data = await self._execute("endpoints", {}, is_query=True)
        return _parsed(parse_endpoint, data, "endpoints")

    async def save_template(self, template: Template) -> str:
        """Create or replace a template and return its id."""
        data = await self._execute("save_template", {"input": template_input(template)})
        return _saved_id(data, "saveTemplate")

    async def save_endpoint(self, endpoint: Endpoint) -> str:
        """Create or replace an endpoint and return its id."""
        data = await self._execute("save_endpoint", {"input": endpoint_input(endpoint)})
        return _saved_id(data, "saveEndpoint")

    def describe(self, resource: Template | Endpoint) -> JsonObject:
        """Return the mutation's name and input."""
        if isinstance(resource, Template):
            return {"saveTemplate": template_input(resource)}
        return {"saveEndpoint": endpoint_input(resource)}

    async def delete_template(self, name: str) -> None:
        """Delete a template by name."""
        await self._execute("delete_template", {"name": name})

    async def delete_endpoint(self, endpoint_id: str) -> None:
        """Delete an endpoint."""
        await self._execute("delete_endpoint", {"id": endpoint_id})

    async def _execute(
        self, document: str, variables: JsonObject, *, is_query: bool = False
    ) -> Mapping[str, Any]:
        request = GraphQLRequest(read_document(document), variable_values=variables)
        return await with_retries(self._retries, lambda: self._try(request, is_query=is_query))

    async def _try(self, request: GraphQLRequest, *, is_query: bool) -> Mapping[str, Any]:
        if self._session is None:
            raise RuntimeError("GraphqlProvisioner is an async context")
        try:
            data: Mapping[str, Any] = await self._session.execute(request)
        except TransportQueryError as exc:
            raise self._refusal(exc) from exc
        except TransportServerError as exc:
            raise ServerError(f"{self._url} answered {exc.code}", status=exc.code) from exc
        except TransportConnectionFailed as exc:
            if isinstance(exc.__cause__, _BadStatusError):
                self._raise_for_status(exc.__cause__, is_query=is_query)
            self._raise_no_answer(exc, is_query=is_query)
        except TransportProtocolError as exc:
            odd = f"{self._url} answered with something that is not GraphQL"
            if is_query:
                raise TryAgainError(ServerError(odd)) from exc
            raise AnswerLostError(f"The request was sent, but {odd}") from exc
        except TransportError as exc:
            raise NetworkError(f"{self._url} cannot be used: {self._clean(str(exc))}") from exc
        return data

    def _refusal(self, exc: TransportQueryError) -> RefusedError | UnauthorizedError:
        messages = [str(e.get("message")) for e in exc.errors or [] if isinstance(e, dict)] or [
            str(exc)
        ]
        words = self._clean("; ".join(messages))
        if words.lower().startswith("unauthorized"):
            return _unauthorized(self._url)
        return RefusedError(f"RunPod says: {words}")

    def _raise_no_answer(self, exc: TransportConnectionFailed, *, is_query: bool) -> NoReturn:
        kind = type(exc.__cause__).__name__
        lost = f"{self._url} did not answer: {self._clean(str(exc)) or kind}"
        if is_query or kind in _NEVER_CONNECTED:
            raise TryAgainError(NetworkError(lost)) from exc
        raise AnswerLostError(f"The request was sent, but {lost}") from exc

    def _raise_for_status(self, exc: _BadStatusError, *, is_query: bool) -> NoReturn:
        if exc.status in (401, 403):
            raise _unauthorized(self._url) from exc
        if exc.status == 429:  # noqa: PLR2004 # HTTP statuses are names
            limited = RateLimitedError(
                f"{self._url} limits the rate of requests (429)", hint="Try again in a minute."
            )
            raise TryAgainError(limited, exc.wait_s) from exc
        broken = ServerError(f"{self._url} answered {exc.status}", status=exc.status)
        if is_query or exc.status == 503:  # noqa: PLR2004
            raise TryAgainError(broken, exc.wait_s) from exc
        raise AnswerLostError(f"The request was sent, but {broken.message}") from exc

    def _clean(self, text: str) -> str:
        return text.replace(self._api_key, "…")


def read_document(name: str) -> str:
    """Return the GraphQL document `queries/NAME.graphql`."""
    return (files(__package__) / "queries" / f"{name}.graphql").read_text(encoding="utf-8")


async def _check_status(response: _Response) -> None:
    """Stop an answer that gql must not read; the client calls it when the headers are there."""
    status = response.status_code
    if status in (401, 403, 429) or status >= 500:  # noqa: PLR2004 # HTTP statuses are names
        raise _BadStatusError(status, retry_after_s(response.headers.get("Retry-After")))


def _answer_object(content: bytes) -> JsonObject:
    """Read GraphQL's envelope; gql turns a `ValueError` into one of its own, and trusts the rest.

    Raises:
        ValueError: It is no envelope.
    """
    try:
        answer: Any = json.loads(content)
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc
    if isinstance(answer, dict):
        errors = answer.get("errors")
        if isinstance(errors, list) if errors else isinstance(answer.get("data"), dict):
            return answer
    raise ValueError("neither data nor errors")


def parse_template(item: Mapping[str, Any]) -> Template:
    """Read RunPod's `PodTemplate` (API reference 1.3)."""
    return Template(
        template_id=item["id"],
        name=item["name"],
        image=item.get("imageName") or "",
        container_disk_gb=item.get("containerDiskInGb") or 0,
        env={pair["key"]: pair.get("value") or "" for pair in item.get("env") or []},
        start_command=item.get("dockerArgs") or "",
        volume_gb=item.get("volumeInGb") or 0,
        registry_auth_id=item.get("containerRegistryAuthId") or "",
        is_serverless=bool(item.get("isServerless")),
        kept=_present(item, _KEPT_TEMPLATE_FIELDS),
        bound_endpoint_id=item.get("boundEndpointId") or None,
    )


def parse_endpoint(item: Mapping[str, Any]) -> Endpoint:
    """Read RunPod's `Endpoint` (API reference 1.4)."""
    kept = _present(item, _KEPT_ENDPOINT_FIELDS)
    return Endpoint(
        endpoint_id=item["id"],
        name=item["name"],
        template_id=item.get("templateId") or "",
        gpu_ids=item.get("gpuIds") or "",
        gpu_count=item.get("gpuCount") or 1,
        workers_min=item.get("workersMin") or 0,
        workers_max=item.get("workersMax") or 0,
        idle_timeout_s=item.get("idleTimeout") or 0,
        execution_timeout_ms=item.get("executionTimeoutMs") or 0,
        scaler=item.get("scalerType") or Scaler.QUEUE_DELAY,
        scaler_value=item.get("scalerValue") or 0,
        flashboot=item.get("flashBootType") or "OFF",
        network_volume_id=item.get("networkVolumeId") or _first_volume(item),
        locations=item.get("locations") or "",
        allowed_cuda_versions=item.get("allowedCudaVersions") or "",
        kept=kept,
    )


def template_input(template: Template) -> JsonObject:
    """Write a `SaveTemplateInput` (API reference 1.3): every field, because omitted ones reset."""
    fields: JsonObject = {
        **template.kept,
        "name": template.name,
        "imageName": template.image,
        "dockerArgs": template.start_command,
        "containerDiskInGb": template.container_disk_gb,
        "volumeInGb": template.volume_gb,
        "env": [{"key": key, "value": value} for key, value in template.env.items()],
        "isServerless": template.is_serverless,
        "containerRegistryAuthId": template.registry_auth_id,
    }
    return {**fields, "id": template.template_id} if template.template_id else fields


def endpoint_input(endpoint: Endpoint) -> JsonObject:
    """Write an `EndpointInput` (API reference 1.4): every field, because omitted ones reset."""
    fields: JsonObject = {
        **endpoint.kept,
        "name": endpoint.name,
        "templateId": endpoint.template_id,
        "gpuIds": endpoint.gpu_ids,
        "gpuCount": endpoint.gpu_count,
        "workersMin": endpoint.workers_min,
        "workersMax": endpoint.workers_max,
        "idleTimeout": endpoint.idle_timeout_s,
        "executionTimeoutMs": endpoint.execution_timeout_ms,
        "scalerType": str(endpoint.scaler),
        "scalerValue": endpoint.scaler_value,
        "flashBootType": endpoint.flashboot,
        "networkVolumeId": endpoint.network_volume_id,
        "locations": endpoint.locations,
        "allowedCudaVersions": endpoint.allowed_cuda_versions,
    }
    if not _has_volume(endpoint):
        fields.pop("networkVolumeIds", None)
    return {**fields, "id": endpoint.endpoint_id} if endpoint.endpoint_id else fields


def _has_volume(endpoint: Endpoint) -> bool:
    """Whether the volumes that were read include the one that is to be used now."""
    volumes = endpoint.kept.get("networkVolumeIds")
    wanted: JsonValue = {"networkVolumeId": endpoint.network_volume_id}
    return isinstance(volumes, list) and wanted in volumes


def _parsed(
    parse: Callable[[Mapping[str, Any]], _Resource], data: Mapping[str, Any], name: str
) -> list[_Resource]:
    myself = data.get("myself")
    if not isinstance(myself, dict) or not isinstance(items := myself.get(name), list):
        raise ServerError(f"RunPod answered without {name}")
    try:
        return [parse(item) for item in items]
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise ServerError(f"RunPod answered with {name} that cannot be read") from exc


def _saved_id(data: Mapping[str, Any], operation: str) -> str:
    saved = data.get(operation)
    if not isinstance(saved, dict) or not isinstance(saved_id := saved.get("id"), str):
        raise AnswerLostError(
            f"The request was sent, but RunPod answered {operation} without an id"
        )
    return saved_id


def _first_volume(item: Mapping[str, Any]) -> str:
    """Return the first of several volumes; RunPod may tell them in the list only."""
    volumes = item.get("networkVolumeIds") or [{}]
    return volumes[0].get("networkVolumeId") or ""


def _present(item: Mapping[str, Any], names: Sequence[str]) -> dict[str, JsonValue]:
    return {name: item[name] for name in names if item.get(name) not in (None, "", [])}


def _unauthorized(url: str) -> UnauthorizedError:
    return UnauthorizedError(
        f"{url} does not accept the API key",
        hint="Check where it comes from:  runpodctl-py config show",
    )
