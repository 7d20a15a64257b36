"""Taking an endpoint down: its workers, itself, its template.

Owns the order of the deletions and the patience that RunPod's templates need. Knows no `.env`: the
caller says which id and which template name it remembers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from runpodctl_py.errors import AnswerLostError, NotFoundError, RefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runpodctl_py.api.provisioning import Provisioner
    from runpodctl_py.api.types import Endpoint, Template
    from runpodctl_py.clock import Clock

#: RunPod refuses to delete a template for up to two minutes after its last use (reference 1.3).
TEMPLATE_DELETE_LIMIT_S = 150.0
_TEMPLATE_DELETE_PAUSE_S = 5.0


@dataclass(frozen=True)
class Teardown:
    """What will be deleted; a part that is None is gone already, or is used by something else."""

    endpoint: Endpoint | None
    template: Template | None


@dataclass(frozen=True)
class TeardownStep:
    """One thing that is done, or that we wait for.

    Args:
        kind: What it is about.
        is_done: False while RunPod still says that the template is in use.
        remaining_s: How long we go on trying, while it is not done.
    """

    kind: Literal["workers", "endpoint", "template"]
    is_done: bool = True
    remaining_s: float = 0.0


async def find_teardown(
    provisioner: Provisioner, endpoint_id: str, leftover: str | None = None
) -> Teardown:
    """Read what belongs to an endpoint. Writes nothing.

    Args:
        provisioner: The control plane.
        endpoint_id: The endpoint.
        leftover: If the endpoint is gone, the name of the template that an interrupted teardown
            would have left behind.

    Raises:
        NotFoundError: There is no such endpoint, and nothing left of it.
    """
    endpoints = await provisioner.endpoints()
    templates = await provisioner.templates()
    endpoint = next((e for e in endpoints if e.endpoint_id == endpoint_id), None)
    users = [e.template_id for e in endpoints]
    if endpoint is not None:
        is_shared = users.count(endpoint.template_id) > 1
        own = next((t for t in templates if t.template_id == endpoint.template_id), None)
        return Teardown(endpoint, None if is_shared else own)
    for template in templates:
        if template.name == leftover and template.is_serverless:
            is_free = template.template_id not in users and not template.bound_endpoint_id
            if is_free:
                return Teardown(None, template)
    raise NotFoundError(
        f"There is no endpoint {endpoint_id}", hint="See yours:  runpodctl-py endpoints list"
    )


async def tear_down(
    provisioner: Provisioner, target: Teardown, clock: Clock
) -> AsyncIterator[TeardownStep]:
    """Stop the workers, delete the endpoint, then its template; yield each step.

    Raises:
        RefusedError: RunPod refused to the end; what was deleted before stays deleted.
        AnswerLostError: An answer was lost, and the endpoint is still there.
    """
    endpoint = target.endpoint
    if endpoint is not None:
        try:
            await provisioner.save_endpoint(replace(endpoint, workers_min=0, workers_max=0))
            yield TeardownStep("workers")
            await _delete_endpoint(provisioner, endpoint.endpoint_id or "")
        except AnswerLostError as exc:
            exc.hint = f"The endpoint {endpoint.name} is left. Run the same command again."
            raise
        yield TeardownStep("endpoint")
    if target.template is not None:
        async for step in _delete_template(provisioner, target.template.name, clock):
            yield step


async def _delete_endpoint(provisioner: Provisioner, endpoint_id: str) -> None:
    try:
        await provisioner.delete_endpoint(endpoint_id)
    except AnswerLostError:
        # Should it be gone, its template must not be left behind by a command that stops here.
        if endpoint_id in {each.endpoint_id for each in await provisioner.endpoints()}:
            raise


async def _delete_template(
    provisioner: Provisioner, name: str, clock: Clock
) -> AsyncIterator[TeardownStep]:
    deadline_s = clock.now_s() + TEMPLATE_DELETE_LIMIT_S
    while True:
        try:
            await provisioner.delete_template(name)
        except (RefusedError, AnswerLostError) as exc:
            # It was done after all, or it went along with its endpoint.
            if await _is_gone(provisioner, name):
                yield TeardownStep("template")
                return
            remaining_s = deadline_s - clock.now_s()
            if remaining_s <= 0:
                exc.hint = f"The template {name} is left. Run the same command again later."
                raise
            yield TeardownStep("template", is_done=False, remaining_s=remaining_s)
            await clock.sleep(_TEMPLATE_DELETE_PAUSE_S)
        else:
            yield TeardownStep("template")
            return


async def _is_gone(provisioner: Provisioner, name: str) -> bool:
    return name not in {each.name for each in await provisioner.templates()}
