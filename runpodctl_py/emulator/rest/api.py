"""REST v2 of the control plane: who may ask, which operation it is, what every answer carries.

Serves everything below the words that REST reserves (API reference 0), as an ASGI app of its own.
The operations are in `resources.py`, `serverless.py`, `catalog.py` and
`billing.py`; which requests are allowed says `contract.py`.
"""

from __future__ import annotations

import hmac
import uuid
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.routing import compile_path

from runpodctl_py.emulator import bodies
from runpodctl_py.emulator.errors import ControlPlaneError, JobApiError
from runpodctl_py.emulator.json_text import parse
from runpodctl_py.emulator.rest.billing import BillingOperations
from runpodctl_py.emulator.rest.call import Call
from runpodctl_py.emulator.rest.catalog import CatalogOperations
from runpodctl_py.emulator.rest.problems import (
    ProblemError,
    forbidden,
    method_not_allowed,
    not_emulated,
    not_found,
    refused,
    unauthorized,
)
from runpodctl_py.emulator.rest.quota import Quota
from runpodctl_py.emulator.rest.resources import ResourceOperations
from runpodctl_py.emulator.rest.serverless import ServerlessOperations

if TYPE_CHECKING:
    import re
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from runpodctl_py.emulator.bells import Bells
    from runpodctl_py.emulator.config import EmulatorConfig
    from runpodctl_py.emulator.rest.contract import Contract
    from runpodctl_py.emulator.state import State

    Operation = Callable[[Call], Awaitable[Response]]

MAX_BODY_BYTES = 102_400
"""How large a body may be (API reference 3.3)."""

NOT_EMULATED = (
    "/v2/pods",
    "/v2/clusters",
    "/v2/registries/delegations",
    "/v2/account/secrets",
    "/v2/serverless/{id}/builds",
)
"""What exists at RunPod and not here, with everything below it."""

OPERATIONS: Mapping[str, Mapping[str, str]] = {
    "/v2/account/ssh-keys": {"GET": "ssh_keys", "PUT": "set_ssh_keys"},
    "/v2/serverless": {"GET": "endpoints", "POST": "create_endpoint"},
    "/v2/serverless/{id}": {
        "GET": "endpoint",
        "PATCH": "update_endpoint",
        "DELETE": "delete_endpoint",
    },
    "/v2/serverless/{id}/workers": {"GET": "workers"},
    "/v2/serverless/{id}/releases": {"GET": "releases"},
    "/v2/serverless/{id}/workers/{workerId}/logs": {"GET": "logs"},
    "/v2/templates": {"GET": "templates", "POST": "create_template"},
    "/v2/templates/{id}": {
        "GET": "template",
        "PATCH": "update_template",
        "DELETE": "delete_template",
    },
    "/v2/network-volumes": {"GET": "volumes", "POST": "create_volume"},
    "/v2/network-volumes/{id}": {
        "GET": "volume",
        "PATCH": "update_volume",
        "DELETE": "delete_volume",
    },
    "/v2/registries": {"GET": "registries", "POST": "create_registry"},
    "/v2/registries/{id}": {"GET": "registry", "DELETE": "delete_registry"},
    "/v2/catalog/gpus": {"GET": "gpus"},
    "/v2/catalog/gpus/{id}": {"GET": "gpu"},
    "/v2/catalog/cpus": {"GET": "cpus"},
    "/v2/catalog/cpus/{id}": {"GET": "cpu"},
    "/v2/catalog/datacenters": {"GET": "data_centers"},
    "/v2/catalog/datacenters/{id}": {"GET": "data_center"},
    "/v2/catalog/templates": {"GET": "public_templates"},
    "/v2/billing": {"GET": "all_bills"},
    "/v2/billing/pods": {"GET": "pod_bills"},
    "/v2/billing/serverless": {"GET": "serverless_bills"},
    "/v2/billing/endpoints": {"GET": "public_endpoint_bills"},
    "/v2/billing/network-volumes": {"GET": "volume_bills"},
    "/v2/billing/clusters": {"GET": "cluster_bills"},
}
"""Path to HTTP methods, and to the names of the operations in the modules that have them."""


class RestApi:
    """REST v2.

    Args:
        state: What the operations read and change.
        bells: Tells a log that is followed when the emulator stops.
        config: Whether requests are limited, and the clock.
        user_key: The account's key.
        worker_key: The workers' key, which is good for the job API only.
    """

    def __init__(
        self, state: State, bells: Bells, config: EmulatorConfig, *, user_key: str, worker_key: str
    ) -> None:
        self._keys = (user_key, worker_key)
        self._limited = config.rate_limits
        self.quota = Quota(config.clock)
        groups = (
            ResourceOperations(state),
            ServerlessOperations(state, bells, config.clock),
            CatalogOperations(),
            BillingOperations(state, config.clock),
        )
        self._operations: Mapping[str, Operation] = {
            name: getattr(group, name)
            for methods in OPERATIONS.values()
            for name in methods.values()
            for group in groups
            if hasattr(group, name)
        }
        self._paths = {path: _pattern(path) for path in OPERATIONS}
        self._absent = [_pattern(path + tail) for path in NOT_EMULATED for tail in _AND_BELOW]

    @cached_property
    def _contract(self) -> Contract:
        """The contract; loading it costs more than the whole start, and many never need it."""
        from runpodctl_py.emulator.rest.contract import Contract

        return Contract.load()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        request = Request(scope, receive)
        response = await self._answer(request)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        user, worker = (_has_key(request, each) for each in self._keys)
        if not (user or worker):
            return unauthorized().answer()
        exceeded = self.quota.count()
        try:
            if worker:
                raise forbidden()
            if exceeded is not None and self._limited:
                raise _too_many(*exceeded)
            response = await self._operate(request)
        except ProblemError as problem:
            response = problem.answer()
        except ControlPlaneError as error:
            response = refused(str(error)).answer()
        except JobApiError as error:
            response = ProblemError(error.status, error.message).answer()
        response.headers.update(self.quota.headers())
        response.headers["x-request-id"] = str(uuid.uuid4())
        return response

    async def _operate(self, request: Request) -> Response:
        path, parameters = self._place(request.scope["path"])
        methods = OPERATIONS[path]
        if request.method not in methods:
            raise method_not_allowed(tuple(methods))
        query = self._contract.query(path, request.method, request.query_params)
        body = None
        if self._contract.takes_body(path, request.method):
            body = _parsed(await bodies.read(request, MAX_BODY_BYTES))
            self._contract.check_body(path, request.method, body)
        operation = self._operations[methods[request.method]]
        return await operation(Call(parameters, query, body, request))

    def _place(self, path: str) -> tuple[str, Mapping[str, str]]:
        """Returns the path of the contract that a path matches, and its parameters."""
        if any(pattern.match(path) for pattern in self._absent):
            raise not_emulated(path)
        for known, pattern in self._paths.items():
            if match := pattern.match(path):
                return known, match.groupdict()
        raise not_found()


_AND_BELOW = ("", "/{below:path}")


def _has_key(request: Request, key: str) -> bool:
    """Whether a request comes with a key, as a bearer token: REST takes no other form (3.2)."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.encode(), key.encode())


def _pattern(path: str) -> re.Pattern[str]:
    return compile_path(path)[0]


def _parsed(body: bytes) -> object:
    try:
        return parse(body)
    except ValueError as error:
        raise refused(f"the body is not JSON: {error}") from error


def _too_many(window: str, left_s: int) -> ProblemError:
    return ProblemError(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"rate limit exceeded for the {window} window",
        headers={"Retry-After": str(left_s)},
    )
