"""REST's operations on what is kept by name: templates, registries, volumes, SSH keys (3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator import bodies
from runpodctl_py.emulator.rest import inputs, shapes
from runpodctl_py.emulator.rest.call import created, deleted, found, listed

if TYPE_CHECKING:
    from starlette.responses import Response

    from runpodctl_py.emulator.rest.call import Call
    from runpodctl_py.emulator.state import State


@dataclass(frozen=True, slots=True)
class ResourceOperations:
    """One method for each operation.

    Args:
        state: Where the resources are.
    """

    state: State

    async def templates(self, call: Call) -> Response:
        """GET /v2/templates: those that belong to no endpoint."""
        kept = self.state.control.templates.values()
        free = [shapes.template(each) for each in kept if each.bound_endpoint_id is None]
        return listed(call, "templates", free)

    async def create_template(self, call: Call) -> Response:
        """POST /v2/templates."""
        template = self.state.save_template(inputs.new_template(call.body))
        return created(shapes.template(template))

    async def template(self, call: Call) -> Response:
        """GET /v2/templates/{id}."""
        template = found(self.state.control.templates, call.path["id"])
        return bodies.answer(shapes.template(template))

    async def update_template(self, call: Call) -> Response:
        """PATCH /v2/templates/{id}: changes what is given, unlike `saveTemplate`."""
        before = found(self.state.control.templates, call.path["id"])
        template = self.state.save_template(inputs.changed_template(before, call.body))
        return bodies.answer(shapes.template(template))

    async def delete_template(self, call: Call) -> Response:
        """DELETE /v2/templates/{id}: refused while an endpoint uses it."""
        template = found(self.state.control.templates, call.path["id"])
        self.state.control.delete_template(template.name)
        return deleted()

    async def registries(self, call: Call) -> Response:
        """GET /v2/registries."""
        kept = self.state.account.registries.values()
        return listed(call, "registries", [shapes.registry(each) for each in kept])

    async def create_registry(self, call: Call) -> Response:
        """POST /v2/registries."""
        body = call.body
        registry = self.state.account.create_registry(
            body["name"], body["username"], body["password"]
        )
        return created(shapes.registry(registry))

    async def registry(self, call: Call) -> Response:
        """GET /v2/registries/{id}."""
        registry = found(self.state.account.registries, call.path["id"])
        return bodies.answer(shapes.registry(registry))

    async def delete_registry(self, call: Call) -> Response:
        """DELETE /v2/registries/{id}: refused while a template uses it."""
        registry = found(self.state.account.registries, call.path["id"])
        self.state.account.delete_registry(registry.id)
        return deleted()

    async def volumes(self, call: Call) -> Response:
        """GET /v2/network-volumes."""
        kept = self.state.account.volumes.values()
        return listed(call, "networkVolumes", [shapes.volume(each) for each in kept])

    async def create_volume(self, call: Call) -> Response:
        """POST /v2/network-volumes."""
        body = call.body
        kind: dict[str, Any] = {"type": body["type"]} if "type" in body else {}
        volume = self.state.account.create_volume(
            body["name"], int(body["size"]), body["dataCenter"], **kind
        )
        return created(shapes.volume(volume))

    async def volume(self, call: Call) -> Response:
        """GET /v2/network-volumes/{id}."""
        volume = found(self.state.account.volumes, call.path["id"])
        return bodies.answer(shapes.volume(volume))

    async def update_volume(self, call: Call) -> Response:
        """PATCH /v2/network-volumes/{id}: a new name, or a larger size."""
        before = found(self.state.account.volumes, call.path["id"])
        volume = self.state.account.update_volume(
            before.id,
            name=call.body.get("name"),
            size_gb=int(call.body.get("size", before.size_gb)),
        )
        return bodies.answer(shapes.volume(volume))

    async def delete_volume(self, call: Call) -> Response:
        """DELETE /v2/network-volumes/{id}: refused while an endpoint uses it."""
        volume = found(self.state.account.volumes, call.path["id"])
        self.state.account.delete_volume(volume.id)
        return deleted()

    async def ssh_keys(self, _call: Call) -> Response:
        """GET /v2/account/ssh-keys: one for each line of GraphQL's `pubKey`."""
        lines = (self.state.account.pub_key or "").splitlines()
        return bodies.answer({"keys": [each for each in lines if each.strip()]})

    async def set_ssh_keys(self, call: Call) -> Response:
        """PUT /v2/account/ssh-keys: replaces all of them."""
        self.state.account.set_pub_key("\n".join(call.body["keys"]) or None)
        return await self.ssh_keys(call)
