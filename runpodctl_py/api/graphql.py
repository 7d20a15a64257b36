"""The control plane over GraphQL, with gql.

Owns gql and its exceptions, the documents in `queries/`, and how RunPod's fields (API reference
1.3, 1.4) become ours. gql binds httpx2 instead of httpx where that is installed, so it is handed
plain values only, and only its own exceptions are caught (libraries reference, fact 2).
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any, NoReturn, Self

from gql import Client, GraphQLRequest
from gql.transport.exceptions import (
    TransportConnectionFailed,
    TransportError,
    TransportProtocolError,
    TransportQueryError,
    TransportServerError,
)
from gql.transport.httpx import HTTPXAsyncTransport

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
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from gql.client import AsyncClientSession

    from runpodctl_py.jsontypes import JsonObject, JsonValue

_TIMEOUT_S = 30.0
#: Written back as read, because `saveTemplate` and `saveEndpoint` reset what they are not sent.
_KEPT_TEMPLATE_FIELDS = (
    "volumeMountPath",
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
    "type",
)
#: The exceptions of httpx and httpx2 that mean that nothing was sent.
_NEVER_CONNECTED = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"})


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
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=_TIMEOUT_S,
        )
        self._client = Client(transport=self._transport, execute_timeout=None)
        self._session: AsyncClientSession | None = None

    async def __aenter__(self) -> Self:
        # Not `reconnecting=True`: that repeats mutations, too (libraries reference 1c).
        self._session = await self._client.connect_async(reconnecting=False)  # type: ignore[no-untyped-call] # gql leaves it untyped
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
        return [parse_template(item) for item in _items(data, "podTemplates")]

    async def endpoints(self) -> Sequence[Endpoint]:
        """Return the account's endpoints."""
        data = await self._execute("endpoints", {}, is_query=True)
        return [parse_endpoint(item) for item in _items(data, "endpoints")]

    async def save_template(self, template: Template) -> str:
        """Create or replace a template and return its id."""
        data = await self._execute("save_template", {"input": template_input(template)})
        return _saved_id(data, "saveTemplate")

    async def save_endpoint(self, endpoint: Endpoint) -> str:
        """Create or replace an endpoint and return its id."""
        data = await self._execute("save_endpoint", {"input": endpoint_input(endpoint)})
        return _saved_id(data, "saveEndpoint")

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
            self._raise_for_status(exc, repeatable=is_query)
        except TransportConnectionFailed as exc:
            never_sent = type(exc.__cause__).__name__ in _NEVER_CONNECTED
            lost = f"{self._url} did not answer: {str(exc) or type(exc.__cause__).__name__}"
            if never_sent or is_query:
                raise TryAgainError(NetworkError(lost)) from exc
            raise AnswerLostError(f"The request was sent, but {lost}") from exc
        except TransportProtocolError as exc:
            error = ServerError(f"{self._url} answered with something that is not GraphQL")
            raise TryAgainError(error) if is_query else error from exc
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

    def _raise_for_status(self, exc: TransportServerError, *, repeatable: bool) -> NoReturn:
        headers = self._transport.response_headers
        wait_s = None if headers is None else retry_after_s(headers.get("Retry-After"))
        if exc.code in (401, 403):
            raise _unauthorized(self._url) from exc
        if exc.code == 429:  # noqa: PLR2004 # HTTP statuses are names
            limited = RateLimitedError(
                f"{self._url} limits the rate of requests (429)", hint="Try again in a minute."
            )
            raise TryAgainError(limited, wait_s) from exc
        broken = ServerError(f"{self._url} answered {exc.code}", status=exc.code)
        if (exc.code or 500) < 500:  # noqa: PLR2004
            raise broken from exc
        if repeatable or exc.code == 503:  # noqa: PLR2004
            raise TryAgainError(broken, wait_s) from exc
        raise AnswerLostError(f"The request was sent, but {broken.message}") from exc

    def _clean(self, text: str) -> str:
        return text.replace(self._api_key, "…")


def read_document(name: str) -> str:
    """Return the GraphQL document `queries/NAME.graphql`."""
    return (files(__package__) / "queries" / f"{name}.graphql").read_text(encoding="utf-8")


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
        scaler=Scaler(item.get("scalerType") or Scaler.QUEUE_DELAY),
        scaler_value=item.get("scalerValue") or 0,
        flashboot=item.get("flashBootType") or "OFF",
        network_volume_id=item.get("networkVolumeId") or "",
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
        "scalerType": endpoint.scaler.value,
        "scalerValue": endpoint.scaler_value,
        "flashBootType": endpoint.flashboot,
        "networkVolumeId": endpoint.network_volume_id,
        "locations": endpoint.locations,
        "allowedCudaVersions": endpoint.allowed_cuda_versions,
    }
    return {**fields, "id": endpoint.endpoint_id} if endpoint.endpoint_id else fields


def _items(data: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    myself = data.get("myself")
    if not isinstance(myself, dict) or not isinstance(items := myself.get(name), list):
        raise ServerError(f"RunPod answered without {name}")
    return items


def _saved_id(data: Mapping[str, Any], operation: str) -> str:
    saved = data.get(operation)
    if not isinstance(saved, dict) or not isinstance(saved_id := saved.get("id"), str):
        raise ServerError(f"RunPod answered {operation} without an id")
    return saved_id


def _present(item: Mapping[str, Any], names: Sequence[str]) -> dict[str, JsonValue]:
    return {name: item[name] for name in names if item.get(name) not in (None, "", [])}


def _unauthorized(url: str) -> UnauthorizedError:
    return UnauthorizedError(
        f"{url} does not accept the API key",
        hint="Check where it comes from:  runpodctl-py config show",
    )
