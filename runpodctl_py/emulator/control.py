"""The control plane's rules: what may be saved, what is reset, what cannot be deleted.

Works on plain templates and endpoints (API reference 1.3, 1.4) and keeps them in a store. GraphQL
and REST parse their input into `TemplateDraft` and `EndpointDraft` and come here. What happens to
jobs and workers when an endpoint changes is decided by `state.py`, which asks this module.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator.errors import ControlPlaneError, worker_quota_exceeded
from runpodctl_py.emulator.model import (
    KEPT_ON_UPDATE,
    STARTS_A_RELEASE,
    Endpoint,
    Template,
    new_endpoint_id,
    new_template_id,
)
from runpodctl_py.gpus import POOLS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runpodctl_py.emulator.store import Snapshot, Store

MAX_IDLE_TIMEOUT_S = 3600
SCALER_TYPES = ("QUEUE_DELAY", "REQUEST_COUNT")

_TEMPLATE, _ENDPOINT = "template", "endpoint"
"""What the store calls their kinds."""


@dataclass(frozen=True, slots=True)
class TemplateDraft:
    """A template as a client wants it.

    Args:
        id: The template to overwrite; None makes a new one.
        fields: `Template`'s fields as far as the client gave them.
    """

    id: str | None
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EndpointDraft:
    """An endpoint as a client wants it.

    Args:
        id: The endpoint to update; None makes a new one.
        fields: `Endpoint`'s fields as far as the client gave them.
        template: A template to make along with it.
    """

    id: str | None
    fields: Mapping[str, Any]
    template: TemplateDraft | None = None


class ControlPlane:
    """The templates and endpoints of the one account there is.

    Args:
        store: Where they are kept.
        kept: What it held at the start.
        now: Tells the wall time.
        worker_quota: The most workers all endpoints may ask for together.
    """

    def __init__(
        self,
        store: Store,
        kept: Snapshot,
        now: Callable[[], float],
        worker_quota: int,
    ) -> None:
        self._store = store
        self._now = now
        self._worker_quota = worker_quota
        self.templates = {each["id"]: Template(**each) for each in kept.of(_TEMPLATE)}
        self.endpoints = {each["id"]: Endpoint(**each) for each in kept.of(_ENDPOINT)}

    def save_template(self, draft: TemplateDraft) -> Template:
        """Makes a template, or overwrites one in full: what is left out is reset (1.3).

        Raises:
            ControlPlaneError: The name is taken, there is none of this id, or a serverless
                template asks for a volume.
        """
        if draft.id is not None and draft.id not in self.templates:
            raise ControlPlaneError("Unable to find template")
        template = Template(id=draft.id or new_template_id(), **draft.fields)
        if any(
            other.name == template.name and other.id != template.id
            for other in self.templates.values()
        ):
            raise ControlPlaneError(f"Template name must be unique: {template.name}")
        if template.is_serverless and template.volume_in_gb:
            raise ControlPlaneError(
                "Serverless templates cannot have a volume: volumeInGb must be 0"
            )
        before = self.templates.get(template.id)
        self._put_template(template)
        if before is not None and before != template:
            self._release_new_version(template.id)
        return template

    def delete_template(self, name: str) -> None:
        """Deletes a template by its name.

        Raises:
            ControlPlaneError: There is none, or an endpoint uses it.
        """
        template = next((each for each in self.templates.values() if each.name == name), None)
        if template is None:
            raise ControlPlaneError("Unable to find template")
        if users := [each for each in self.endpoints.values() if each.template_id == template.id]:
            raise ControlPlaneError(
                f"Template is in use by endpoint {users[0].id} and cannot be deleted"
            )
        del self.templates[template.id]
        self._store.drop(_TEMPLATE, template.id)

    def save_endpoint(self, draft: EndpointDraft) -> Endpoint:
        """Makes an endpoint, or updates one: nearly all that is left out is reset (1.4).

        Raises:
            ControlPlaneError: RunPod would refuse it.
        """
        fields = dict(draft.fields)
        before = self._known(draft.id) if draft.id is not None else None
        if before is not None:
            kept = {name: getattr(before, name) for name in KEPT_ON_UPDATE}
            fields = {**kept, **fields, "created_at": before.created_at, "version": before.version}
        else:
            fields["created_at"] = self._now()
        endpoint_id = draft.id or new_endpoint_id()
        if draft.template is not None:
            if "template_id" in draft.fields:
                raise ControlPlaneError("Provide either templateId or template, not both")
            fields["template_id"] = new_template_id()
        endpoint = Endpoint(id=endpoint_id, **{"template_id": "", **fields})
        self._check(endpoint, own_template=draft.template is not None)
        if draft.template is not None:
            bound = {**draft.template.fields, "is_serverless": True}
            self._put_template(
                Template(id=endpoint.template_id, bound_endpoint_id=endpoint_id, **bound)
            )
        return self._put_endpoint(_versioned(before, endpoint))

    def change_endpoint(self, endpoint_id: str, **fields: Any) -> Endpoint:
        """Changes some fields of an endpoint and leaves the others alone.

        Raises:
            ControlPlaneError: There is no such endpoint, or RunPod would refuse the change.
        """
        before = self._known(endpoint_id)
        endpoint = replace(before, **fields)
        self._check(endpoint)
        return self._put_endpoint(_versioned(before, endpoint))

    def delete_endpoint(self, endpoint_id: str) -> None:
        """Deletes an endpoint, and the template that was made along with it.

        RunPod's documents ask for workersMin and workersMax of 0 first; its service does not
        (API reference 1.4), and neither do we.

        Raises:
            ControlPlaneError: There is no such endpoint.
        """
        endpoint = self._known(endpoint_id)
        del self.endpoints[endpoint_id]
        self._store.drop(_ENDPOINT, endpoint_id)
        template = self.templates.get(endpoint.template_id)
        if template is not None and template.bound_endpoint_id == endpoint_id:
            del self.templates[template.id]
            self._store.drop(_TEMPLATE, template.id)

    def template_of(self, endpoint: Endpoint) -> Template:
        """Returns the template of an endpoint; it always has one."""
        return self.templates[endpoint.template_id]

    def _known(self, endpoint_id: str) -> Endpoint:
        try:
            return self.endpoints[endpoint_id]
        except KeyError:
            raise ControlPlaneError(f"Unable to find endpoint {endpoint_id}") from None

    def _put_template(self, template: Template) -> None:
        self.templates[template.id] = template
        self._store.put(_TEMPLATE, template.id, asdict(template))

    def _put_endpoint(self, endpoint: Endpoint) -> Endpoint:
        self.endpoints[endpoint.id] = endpoint
        self._store.put(_ENDPOINT, endpoint.id, asdict(endpoint))
        return endpoint

    def _release_new_version(self, template_id: str) -> None:
        for endpoint in list(self.endpoints.values()):
            if endpoint.template_id == template_id:
                self._put_endpoint(replace(endpoint, version=endpoint.version + 1))

    def _check(self, endpoint: Endpoint, *, own_template: bool = False) -> None:
        if not own_template:
            self._check_template(endpoint.template_id)
        _check_numbers(endpoint)
        _check_pools(endpoint.gpu_ids)
        others = sum(each.workers_max for each in self.endpoints.values() if each.id != endpoint.id)
        if others + endpoint.workers_max > self._worker_quota:
            raise worker_quota_exceeded(self._worker_quota, max(0, self._worker_quota - others))

    def _check_template(self, template_id: str) -> None:
        template = self.templates.get(template_id)
        if template is None:
            raise ControlPlaneError("Unable to find template")
        if not template.is_serverless:
            raise ControlPlaneError(
                "Serverless endpoints cannot use pod templates. Please use a serverless template."
            )


def _versioned(before: Endpoint | None, after: Endpoint) -> Endpoint:
    """Counts the version up if the change replaces the endpoint's workers."""
    if before is None or all(
        getattr(before, name) == getattr(after, name) for name in STARTS_A_RELEASE
    ):
        return after
    return replace(after, version=before.version + 1)


def _check_numbers(endpoint: Endpoint) -> None:
    if not 0 <= endpoint.workers_min <= endpoint.workers_max:
        raise ControlPlaneError("workersMin must be between 0 and workersMax")
    if not 1 <= endpoint.idle_timeout <= MAX_IDLE_TIMEOUT_S:
        raise ControlPlaneError(f"idleTimeout must be between 1 and {MAX_IDLE_TIMEOUT_S}")
    if endpoint.scaler_type not in SCALER_TYPES:
        raise ControlPlaneError(f"scalerType must be one of {', '.join(SCALER_TYPES)}")
    if endpoint.scaler_value < 1:
        raise ControlPlaneError("scalerValue must be at least 1")
    if endpoint.gpu_count < 1:
        raise ControlPlaneError("gpuCount must be at least 1")
    if endpoint.execution_timeout_ms < 0:
        raise ControlPlaneError("executionTimeoutMs must not be negative")


def _check_pools(gpu_ids: str | None) -> None:
    """Refuses pools that do not exist; unknown exclusions pass silently, as they do there (2)."""
    known = {pool.id for pool in POOLS}
    for token in (gpu_ids or "").split(","):
        name = token.strip()
        if name and not name.startswith("-") and name not in known:
            raise ControlPlaneError(f"Unknown GPU pool: {name}")
