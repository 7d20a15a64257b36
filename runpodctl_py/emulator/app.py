"""The emulator's ASGI app: which path leads where, and who may go there.

Users come with the token, workers with a key of their own; neither may act as the other. What
the operations do is in the module of each API.
"""

from __future__ import annotations

import hmac
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route

from runpodctl_py.emulator import bodies, local_api
from runpodctl_py.emulator.bells import ClientGoneError
from runpodctl_py.emulator.console import site
from runpodctl_py.emulator.control.model import RESERVED_IDS
from runpodctl_py.emulator.errors import UNAUTHORIZED, JobApiError
from runpodctl_py.emulator.jobs import api as job_api
from runpodctl_py.emulator.jobs import batch_api, openai_api
from runpodctl_py.emulator.lab import exchange_api, fault_api, time_api
from runpodctl_py.emulator.workers import api as worker_api
from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from runpodctl_py.emulator.graphql.answering import GraphQLApi
    from runpodctl_py.emulator.jobs.rate_limits import RateLimits
    from runpodctl_py.emulator.rest.api import RestApi

    Handler = Callable[[Request], Awaitable[Response]]

_log = logging.getLogger(__name__)
_HTTP_CLIENT_CLOSED_REQUEST = 499


@dataclass(frozen=True, slots=True)
class Keys:
    """The two keys of one emulator.

    Args:
        user: The token that clients send.
        worker: What the workers send.
    """

    user: str
    worker: str


@dataclass(frozen=True, slots=True)
class Apis:
    """The APIs that share the port."""

    graphql: GraphQLApi
    jobs: job_api.JobApi
    workers: worker_api.WorkerApi
    local: local_api.LocalApi
    rest: RestApi
    batches: batch_api.BatchApi
    openai: openai_api.OpenAiApi
    time: time_api.TimeApi
    faults: fault_api.FaultApi
    exchanges: exchange_api.ExchangeApi
    console: site.Site


def make_app(apis: Apis, keys: Keys, limits: RateLimits | None = None) -> Starlette:
    """Returns the app that serves all APIs, the job API within limits if there are any."""

    async def graphql(request: Request) -> Response:
        return await apis.graphql.answer(request, authorized=_has_key(request, keys.user))

    return Starlette(
        routes=[
            Route("/graphql", graphql, methods=["POST"]),
            _RestRoute(apis.rest),
            *_routes("/_local", apis.local, local_api.OPERATIONS, keys.user),
            *_routes("/_local", apis.time, time_api.OPERATIONS, keys.user),
            *_routes("/_local", apis.faults, fault_api.OPERATIONS, keys.user),
            *_routes("/_local", apis.exchanges, exchange_api.OPERATIONS, keys.user),
            *_routes("/_local", apis.console.pages, site.OPERATIONS, keys.user),
            *apis.console.routes(),
            *_routes("/v2/{endpoint_id}", apis.jobs, job_api.OPERATIONS, keys.user, limits),
            *_routes("/v2/{endpoint_id}", apis.batches, batch_api.OPERATIONS, keys.user),
            *_routes("/v2/{endpoint_id}", apis.openai, openai_api.OPERATIONS, keys.user, limits),
            *_routes("/v2/{endpoint_id}", apis.workers, worker_api.OPERATIONS, keys.worker),
        ],
        exception_handlers={
            HTTPException: _no_such_operation,
            EmulatorError: _failed,
        },
    )


class _RestRoute(BaseRoute):
    """Leads to REST wherever a path begins with a word that it reserves (API reference 0).

    It must come before the job API, which has endpoint ids in that place.
    """

    def __init__(self, rest: RestApi) -> None:
        self._rest = rest

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        version, _, path = scope["path"].removeprefix("/").partition("/")
        word = path.partition("/")[0]
        is_rest = scope["type"] == "http" and version == "v2" and word in RESERVED_IDS
        return (Match.FULL if is_rest else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._rest(scope, receive, send)


async def _failed(request: Request, error: Exception) -> Response:
    """Answers when nothing can be kept, as on a full disk; nothing has happened then."""
    # A worker whose result is refused says no more than 500; its job is lost for this reason.
    _log.error("%s %s: %s", request.method, request.url.path, error)
    return bodies.answer({"error": str(error)}, HTTPStatus.INTERNAL_SERVER_ERROR)


async def _no_such_operation(_request: Request, error: Exception) -> Response:
    """Answers for paths and methods that lead nowhere."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    return bodies.answer({"error": HTTPStatus(status).phrase.lower()}, status)


def _routes(
    prefix: str,
    api: object,
    operations: Mapping[str, tuple[str, tuple[str, ...]]],
    key: str,
    limits: RateLimits | None = None,
) -> Iterator[Route]:
    for path, (operation, methods) in operations.items():
        handler: Handler = getattr(api, operation)
        if limits is not None:
            handler = limits.limited(operation, handler)
        yield Route(f"{prefix}/{path}", _protected(handler, key), methods=list(methods))


def _protected(handler: Handler, key: str) -> Handler:
    """Lets a handler be reached with the key only, and turns refusals into answers."""

    async def protected(request: Request) -> Response:
        if not _has_key(request, key):
            return bodies.answer({"error": UNAUTHORIZED}, HTTPStatus.UNAUTHORIZED)
        try:
            return await handler(request)
        except JobApiError as error:
            return bodies.answer({"error": error.message}, error.status)
        except ClientGoneError:
            # Nobody reads it; the number is for an access log.
            return Response(status_code=_HTTP_CLIENT_CLOSED_REQUEST)

    return protected


def _has_key(request: Request, key: str) -> bool:
    """Compares in constant time; RunPod takes a bare key, a bearer token or ?api_key= (1.1)."""
    header = request.headers.get("authorization", "")
    given = header.removeprefix("Bearer ").strip() or request.query_params.get("api_key", "")
    return hmac.compare_digest(given.encode(), key.encode())
