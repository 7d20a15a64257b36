"""The control plane's rules: what may be saved, what is reset, what cannot be deleted.

Works on plain templates and endpoints (API reference 1.3, 1.4) and keeps them in a store. GraphQL
and REST parse their input into `TemplateDraft` and `EndpointDraft` and come here. What happens to
jobs and workers when an endpoint changes is decided by `state.py`, which asks this module.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator.control.endpoint_rules import check_endpoint, check_sizes, idle_limit
from runpodctl_py.emulator.control.model import (
    KEPT_ON_UPDATE,
    Endpoint,
    Template,
    frozen,
)
from runpodctl_py.emulator.control.releases import Configuration, changes
from runpodctl_py.emulator.errors import ControlPlaneError, worker_quota_exceeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from runpodctl_py.emulator.control.account import Account
    from runpodctl_py.emulator.control.releases import Releases
    from runpodctl_py.emulator.ids import Ids
    from runpodctl_py.emulator.store import Snapshot, Store

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
        account: What templates and endpoints may refer to.
        releases: Where new versions of endpoints are recorded.
        ids: Makes the ids.
        worker_quota: The most workers all endpoints may ask for together.
        strict: Whether an endpoint's workers must be 0 before it is deleted.
    """

    def __init__(
        self,
        store: Store,
        kept: Snapshot,
        now: Callable[[], float],
        account: Account,
        releases: Releases,
        *,
        ids: Ids,
        worker_quota: int,
        strict: bool = False,
    ) -> None:
        self._store = store
        self._now = now
        self._ids = ids
        self._account = account
        self._releases = releases
        self._strict = strict
        self.worker_quota = worker_quota
        self.templates = {each["id"]: Template(**frozen(each)) for each in kept.of(_TEMPLATE)}
        self.endpoints = {each["id"]: Endpoint(**frozen(each)) for each in kept.of(_ENDPOINT)}

    def save_template(self, draft: TemplateDraft) -> Template:
        """Makes a template, or overwrites one in full: what is left out is reset (1.3).

        Raises:
            ControlPlaneError: The name is taken, there is none of this id, it asks for
                credentials that do not exist, or a serverless template asks for a volume.
        """
        before = None if draft.id is None else self._known_template(draft.id)
        bound = None if before is None else before.bound_endpoint_id
        fields = frozen({"bound_endpoint_id": bound, **draft.fields})
        template = Template(id=draft.id or self._ids.template(), **fields)
        self._check_template(template)
        users = self._users_of(template.id)
        with self._all_or_nothing():
            self._put_template(template)
            for user in users:
                self._put_endpoint(user, user.endpoint)
        return template

    def delete_template(self, name: str) -> None:
        """Deletes a template by its name.

        Raises:
            ControlPlaneError: There is none, or an endpoint uses it.
        """
        template = next((each for each in self.templates.values() if each.name == name), None)
        if template is None:
            raise ControlPlaneError("Unable to find template")
        if users := self._users_of(template.id):
            raise ControlPlaneError(
                f"Template is in use by endpoint {users[0].endpoint.id} and cannot be deleted"
            )
        self._drop_template(template)

    def save_endpoint(self, draft: EndpointDraft) -> Endpoint:
        """Makes an endpoint, or updates one: nearly all that is left out is reset (1.4).

        Raises:
            ControlPlaneError: RunPod would refuse it.
        """
        before = None if draft.id is None else self.configuration(draft.id)
        if draft.template is not None and "template_id" in draft.fields:
            raise ControlPlaneError("Provide either templateId or template, not both")
        now = self._now()
        fields = {"template_id": "", "created_at": now, **draft.fields, "changed_at": now}
        if before is not None:
            kept = {name: getattr(before.endpoint, name) for name in KEPT_ON_UPDATE}
            told = {"created_at": before.endpoint.created_at, "version": before.endpoint.version}
            fields = {**fields, **kept, **draft.fields, **told}
        endpoint = Endpoint(id=draft.id or self._ids.endpoint(), **frozen(fields))
        template = self._own_template(draft.template, endpoint, before)
        if template is None:
            self._check(endpoint)
            return self._put_endpoint(before, endpoint)
        self._check_template(template)
        endpoint = replace(endpoint, template_id=template.id)
        self._check(endpoint, template)
        with self._all_or_nothing():
            self._put_template(template)
            return self._put_endpoint(before, endpoint)

    def change_endpoint(self, endpoint_id: str, **fields: Any) -> Endpoint:
        """Changes some fields of an endpoint and leaves the others alone.

        Raises:
            ControlPlaneError: There is no such endpoint, or RunPod would refuse the change.
        """
        before = self.configuration(endpoint_id)
        endpoint = replace(before.endpoint, **fields, changed_at=self._now())
        self._check(endpoint)
        return self._put_endpoint(before, endpoint)

    def delete_endpoint(self, endpoint_id: str) -> None:
        """Deletes an endpoint, its releases, and the templates that were made along with it.

        RunPod's documents ask for workersMin and workersMax of 0 first; its service does not
        (API reference 1.4), and neither do we unless told to be strict.

        Raises:
            ControlPlaneError: There is no such endpoint, or it may still have workers.
        """
        endpoint = self.configuration(endpoint_id).endpoint
        if self._strict and (endpoint.workers_min, endpoint.workers_max) != (0, 0):
            raise ControlPlaneError(
                f"workersMin and workersMax of endpoint {endpoint_id} must both be 0 before it "
                "can be deleted"
            )
        self.drop_endpoint(endpoint_id)

    def drop_endpoint(self, endpoint_id: str) -> None:
        """Does what `delete_endpoint` does, for an endpoint that is there, and asks nothing."""
        with self._all_or_nothing():
            self._store.drop(_ENDPOINT, endpoint_id)
            del self.endpoints[endpoint_id]
            self._releases.forget(endpoint_id)
            for template in list(self.templates.values()):
                if template.bound_endpoint_id == endpoint_id:
                    self._let_go(template)

    def clear(self) -> None:
        """Forgets the templates; there are no endpoints left, and the store has been emptied."""
        self.templates.clear()

    def limit_idle(self, endpoint_id: str, idle_s: float) -> bool:
        """Takes workers from an endpoint that nobody uses, and tells whether it had too many."""
        endpoint = self.endpoints[endpoint_id]
        most = idle_limit(endpoint, idle_s)
        if most == endpoint.workers_max:
            return False
        fewer = replace(endpoint, workers_max=most, workers_min=min(most, endpoint.workers_min))
        self._put_endpoint(self.configuration(endpoint_id), fewer)
        return True

    def template_of(self, endpoint: Endpoint) -> Template:
        """Returns the template of an endpoint; it always has one."""
        return self.templates[endpoint.template_id]

    def user_of(self, resource_id: str) -> str | None:
        """Says who uses a registry auth or a network volume, if anybody does."""
        for template in self.templates.values():
            if template.container_registry_auth_id == resource_id:
                return f"template {template.id}"
        for endpoint in self.endpoints.values():
            if resource_id in volumes_of(endpoint):
                return f"endpoint {endpoint.id}"
        return None

    def configuration(self, endpoint_id: str) -> Configuration:
        """Returns an endpoint with its template.

        Raises:
            ControlPlaneError: There is no such endpoint.
        """
        try:
            endpoint = self.endpoints[endpoint_id]
        except KeyError:
            raise ControlPlaneError(f"Unable to find endpoint {endpoint_id}") from None
        return Configuration(endpoint, self.template_of(endpoint))

    def _known_template(self, template_id: str) -> Template:
        try:
            return self.templates[template_id]
        except KeyError:
            raise ControlPlaneError("Unable to find template") from None

    def _users_of(self, template_id: str) -> list[Configuration]:
        return [
            self.configuration(each.id)
            for each in self.endpoints.values()
            if each.template_id == template_id
        ]

    def _own_template(
        self, draft: TemplateDraft | None, endpoint: Endpoint, before: Configuration | None
    ) -> Template | None:
        """Returns the template that comes along with an endpoint, over the one that did before."""
        if draft is None:
            return None
        told = {"is_serverless": True, "bound_endpoint_id": endpoint.id}
        fields = frozen({**draft.fields, **told})
        if before is not None and before.template.bound_endpoint_id == endpoint.id:
            return Template(id=before.template.id, **fields)
        return Template(id=self._ids.template(), **fields)

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Has what is known stay as it was where not everything inside can be kept."""
        templates, endpoints = dict(self.templates), dict(self.endpoints)
        try:
            with self._store.together():
                yield
        except BaseException:
            # In place: others look at these, too.
            self.templates.clear()
            self.templates.update(templates)
            self.endpoints.clear()
            self.endpoints.update(endpoints)
            raise

    def _put_template(self, template: Template) -> None:
        self._store.put(_TEMPLATE, template.id, asdict(template))
        self.templates[template.id] = template

    def _let_go(self, template: Template) -> None:
        """Deletes a bound template; one that another endpoint came to use stays, unbound."""
        if self._users_of(template.id):
            self._put_template(replace(template, bound_endpoint_id=None))
        else:
            self._drop_template(template)

    def _drop_template(self, template: Template) -> None:
        self._store.drop(_TEMPLATE, template.id)
        del self.templates[template.id]

    def _put_endpoint(self, before: Configuration | None, endpoint: Endpoint) -> Endpoint:
        """Keeps an endpoint; a new version of it begins if its workers have to be replaced."""
        after = Configuration(endpoint, self.template_of(endpoint))
        diff = () if before is None else changes(before, after)
        if diff:
            endpoint = replace(endpoint, version=endpoint.version + 1)
        with self._store.together():
            self._store.put(_ENDPOINT, endpoint.id, asdict(endpoint))
            if before is None or diff:
                self._releases.record(endpoint, diff)
        self.endpoints[endpoint.id] = endpoint
        return endpoint

    def _check(self, endpoint: Endpoint, own_template: Template | None = None) -> None:
        template = own_template or self._known_template(endpoint.template_id)
        if not template.is_serverless:
            raise ControlPlaneError(
                "Serverless endpoints cannot use pod templates. Please use a serverless template."
            )
        check_endpoint(endpoint)
        for volume_id in volumes_of(endpoint):
            if volume_id not in self._account.volumes:
                raise ControlPlaneError(f"Unable to find network volume {volume_id}")
        others = sum(each.workers_max for each in self.endpoints.values() if each.id != endpoint.id)
        if others + endpoint.workers_max > self.worker_quota:
            raise worker_quota_exceeded(self.worker_quota, max(0, self.worker_quota - others))

    def _check_template(self, template: Template) -> None:
        check_sizes(template)
        if any(
            other.name == template.name and other.id != template.id
            for other in self.templates.values()
        ):
            raise ControlPlaneError(f"Template name must be unique: {template.name}")
        if template.is_serverless and template.volume_in_gb:
            raise ControlPlaneError(
                "Serverless templates cannot have a volume: volumeInGb must be 0"
            )
        registry_id = template.container_registry_auth_id
        if registry_id is not None and registry_id not in self._account.registries:
            raise ControlPlaneError(f"Unable to find registry auth {registry_id}")


def volumes_of(endpoint: Endpoint) -> tuple[str, ...]:
    """Returns the ids of an endpoint's network volumes, each once."""
    first = () if endpoint.network_volume_id is None else (endpoint.network_volume_id,)
    return tuple(dict.fromkeys((*first, *endpoint.network_volume_ids)))
