"""What a control plane can do for us, whichever API carries it.

Owns the `Provisioner` protocol and the choice of the backend. Knows no JSON and no presets.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from runpodctl_py.api.types import Endpoint, Template
    from runpodctl_py.jsontypes import JsonObject


class Provisioner(Protocol):
    """Reads and writes templates and endpoints.

    Every method raises `UnauthorizedError`, `RefusedError`, `RateLimitedError`, `ServerError` or
    `NetworkError`; a write also `AnswerLostError`, when it may have taken effect.
    """

    async def templates(self) -> Sequence[Template]:
        """Return the account's templates."""

    async def endpoints(self) -> Sequence[Endpoint]:
        """Return the account's endpoints."""

    async def save_template(self, template: Template) -> str:
        """Create a template, or replace the one with its id, and return its id."""

    async def save_endpoint(self, endpoint: Endpoint) -> str:
        """Create an endpoint, or replace the one with its id, and return its id."""

    def describe(self, resource: Template | Endpoint) -> JsonObject:
        """Return the request that saving this would send, by the name of its operation."""

    async def delete_template(self, name: str) -> None:
        """Delete a template by name; RunPod refuses while it is, or just was, in use."""

    async def delete_endpoint(self, endpoint_id: str) -> None:
        """Delete an endpoint and cancel its jobs."""


@asynccontextmanager
async def connect(base_url: str, api_key: str) -> AsyncIterator[Provisioner]:
    """Open the control plane at `base_url`."""
    from runpodctl_py.api.graphql import GraphqlProvisioner

    async with GraphqlProvisioner(base_url, api_key) as provisioner:
        yield provisioner
