"""From a desired state to a live endpoint: plan, apply.

Owns what is compared with what, the order of the writes, and what to say when something is in the
way. RunPod's saves replace what they are not sent (API reference 1.3, 1.4), so everything is read,
changed and written whole. Knows no preset and no `.env`: the caller says which id it remembers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Literal, TypeVar

from runpodctl_py.api.types import Endpoint, Scaler, Template
from runpodctl_py.errors import (
    AnswerLostError,
    ConflictError,
    RunpodctlError,
)
from runpodctl_py.gpus import GpuSelection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from runpodctl_py.api.provisioning import Provisioner

_Resource = TypeVar("_Resource", Template, Endpoint)


@dataclass(frozen=True)
class Desired:
    """What should exist. None leaves what is there, or RunPod's default for something new.

    Args:
        name: Of the endpoint and of its template.
        keeps_image: Whether an existing template's image stays: `image` is only a default.
        renames: Whether an endpoint that was found by its id gets this name, too.
        env: Variables to set; others of an existing template stay.
        execution_timeout_s: Longest run of a job, 0 for no limit.
        scaler_value: Seconds for QUEUE_DELAY, requests per worker for REQUEST_COUNT.
        data_centers: RunPod's ids; empty means anywhere.
    """

    name: str
    image: str
    container_disk_gb: int
    gpu: GpuSelection
    gpu_count: int
    workers_min: int
    workers_max: int
    idle_timeout_s: int
    execution_timeout_s: int
    scaler: Scaler
    scaler_value: int
    flashboot: bool
    renames: bool = False
    keeps_image: bool = False
    start_command: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    registry_auth_id: str | None = None
    network_volume_id: str | None = None
    data_centers: tuple[str, ...] | None = None
    allowed_cuda_versions: tuple[str, ...] | None = None


@dataclass(frozen=True)
class FieldChange:
    """One field that differs, by our name for it; `env` values are never among them."""

    name: str
    old: object
    new: object


@dataclass(frozen=True)
class TemplateChange:
    """What happens to the template: `target` is written unless it is unchanged."""

    target: Template
    changes: tuple[FieldChange, ...]

    @property
    def action(self) -> Literal["create", "update", "unchanged"]:
        """What `apply` will do."""
        return _action(self.target.template_id, self.changes)


@dataclass(frozen=True)
class EndpointChange:
    """What happens to the endpoint: `target` is written unless it is unchanged."""

    target: Endpoint
    changes: tuple[FieldChange, ...]

    @property
    def action(self) -> Literal["create", "update", "unchanged"]:
        """What `apply` will do."""
        return _action(self.target.endpoint_id, self.changes)


@dataclass(frozen=True)
class Plan:
    """Everything `apply` will write; an empty one writes nothing.

    Args:
        gone_id: The remembered endpoint id, if no such endpoint exists any more.
        adopts: Whether something would be changed that was found by its name only: it may be
            somebody else's.
    """

    template: TemplateChange
    endpoint: EndpointChange
    gone_id: str | None = None
    adopts: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether everything is as it should be."""
        return self.template.action == self.endpoint.action == "unchanged"


@dataclass(frozen=True)
class Applied:
    """One resource as it now is."""

    kind: Literal["template", "endpoint"]
    action: Literal["create", "update", "unchanged"]
    resource_id: str
    name: str


async def plan(provisioner: Provisioner, desired: Desired, known_id: str | None) -> Plan:
    """Read what exists and return what would have to change. Writes nothing.

    Args:
        provisioner: The control plane.
        desired: What should exist.
        known_id: The endpoint id that was remembered from an earlier run.

    Raises:
        ConflictError: What exists cannot be taken over; the hint names the flag that helps.
    """
    endpoints = await provisioner.endpoints()
    templates = await provisioner.templates()
    found = _find_endpoint(endpoints, desired.name, known_id)
    name = desired.name if found is None or desired.renames else found.name
    template = _find_template(templates, endpoints, found, name, renames=desired.renames)
    wanted_template = _desired_template(desired, template, name)
    wanted_endpoint = _desired_endpoint(desired, found, name, wanted_template.template_id or "")
    is_known = known_id is None or any(e.endpoint_id == known_id for e in endpoints)
    template_changes = _template_changes(template, wanted_template)
    endpoint_changes = _differences(found, wanted_endpoint)
    is_ours = found is not None and found.endpoint_id == known_id
    return Plan(
        TemplateChange(wanted_template, template_changes),
        EndpointChange(wanted_endpoint, endpoint_changes),
        gone_id=None if is_known else known_id,
        adopts=not is_ours and bool(template_changes or endpoint_changes),
    )


async def apply(provisioner: Provisioner, plan: Plan) -> AsyncIterator[Applied]:
    """Write the template, then the endpoint, and yield each as soon as it is there.

    Raises:
        RunpodctlError: RunPod's refusal, with a hint that says what was written before it.
    """
    template, endpoint = plan.template, plan.endpoint.target
    template_id = template.target.template_id or ""
    if template.action != "unchanged":
        try:
            template_id = await provisioner.save_template(template.target)
        except AnswerLostError as exc:
            exc.hint = (
                f"The template {template.target.name} may be there: run the same command again, "
                "it will find it."
            )
            raise
    yield Applied("template", template.action, template_id, template.target.name)
    endpoint_id = endpoint.endpoint_id or ""
    if plan.endpoint.action != "unchanged":
        try:
            endpoint_id = await provisioner.save_endpoint(
                replace(endpoint, template_id=template_id)
            )
        except RunpodctlError as exc:
            known = None if isinstance(exc, AnswerLostError) else exc.hint
            exc.hint = "\n".join(filter(None, (known, _continue_hint(exc, template, template_id))))
            raise
    yield Applied("endpoint", plan.endpoint.action, endpoint_id, endpoint.name)


def _continue_hint(exc: RunpodctlError, template: TemplateChange, template_id: str) -> str:
    kept = f"The template {template.target.name} ({template_id}) is there and stays."
    if isinstance(exc, AnswerLostError):
        return f"{kept} The endpoint may be, too: run the same command again, it will find it."
    return f"{kept} Run the same command again: it continues from there."


def _action(
    resource_id: str | None, changes: tuple[FieldChange, ...]
) -> Literal["create", "update", "unchanged"]:
    if resource_id is None:
        return "create"
    return "update" if changes else "unchanged"


def plain_name(name: str) -> str:
    """Return an endpoint's name without the suffix that older consoles put on for FlashBoot."""
    return name.removesuffix("-fb").rstrip()


def _find_endpoint(
    endpoints: Sequence[Endpoint], name: str, known_id: str | None
) -> Endpoint | None:
    for endpoint in endpoints:
        if endpoint.endpoint_id == known_id is not None:
            return endpoint
    named = [e for e in endpoints if name in (e.name, plain_name(e.name))]
    if len(named) > 1:
        ids = ", ".join(str(e.endpoint_id) for e in named)
        raise ConflictError(
            f"{len(named)} endpoints are called {name}: {ids}",
            hint="Put the id of the one you mean into .env, or take another name with --name.",
        )
    return named[0] if named else None


def _find_template(
    templates: Sequence[Template],
    endpoints: Sequence[Endpoint],
    endpoint: Endpoint | None,
    name: str,
    *,
    renames: bool,
) -> Template | None:
    """Return the endpoint's own template, or a free one of the right name."""
    own = None
    if endpoint is not None:
        own = next((t for t in templates if t.template_id == endpoint.template_id), None)
    namesake = next((t for t in templates if t.name == name and t is not own), None)
    if namesake is None or (own is not None and not renames):
        return own
    if own is not None:
        raise ConflictError(
            f"{own.name} cannot be renamed to {name}: there is such a template already "
            f"({namesake.template_id}), and names are unique",
            hint="Take another name with --name.",
        )
    if not namesake.is_serverless:
        raise ConflictError(
            f"The template {name} ({namesake.template_id}) is for pods, and names are unique",
            hint="Take another name with --name.",
        )
    user = next((e for e in endpoints if e.template_id == namesake.template_id), None)
    owner = user.name if user else namesake.bound_endpoint_id
    if owner:
        raise ConflictError(
            f"The template {name} ({namesake.template_id}) belongs to the endpoint {owner}, "
            "and a serverless template serves one endpoint",
            hint="Take another name with --name.",
        )
    return namesake


def _desired_template(desired: Desired, existing: Template | None, name: str) -> Template:
    base = existing or Template(None, name, desired.image, desired.container_disk_gb)
    return replace(
        base,
        name=name if existing is None or desired.renames else existing.name,
        image=base.image if desired.keeps_image else desired.image,
        container_disk_gb=desired.container_disk_gb,
        start_command=desired.start_command,
        volume_gb=0,
        env={**base.env, **desired.env},
        is_serverless=True,
        registry_auth_id=_or(desired.registry_auth_id, base.registry_auth_id),
    )


def _desired_endpoint(
    desired: Desired, existing: Endpoint | None, name: str, template_id: str
) -> Endpoint:
    same_gpus = existing and GpuSelection.from_gpu_ids(existing.gpu_ids) == desired.gpu
    flashboot = existing.flashboot if existing else "OFF"
    if desired.flashboot != (flashboot != "OFF"):
        flashboot = "FLASHBOOT" if desired.flashboot else "OFF"
    return Endpoint(
        endpoint_id=existing.endpoint_id if existing else None,
        name=name,
        template_id=template_id,
        gpu_ids=existing.gpu_ids if existing and same_gpus else desired.gpu.to_gpu_ids(),
        gpu_count=desired.gpu_count,
        workers_min=desired.workers_min,
        workers_max=desired.workers_max,
        idle_timeout_s=desired.idle_timeout_s,
        execution_timeout_ms=desired.execution_timeout_s * 1000,
        scaler=desired.scaler,
        scaler_value=desired.scaler_value,
        flashboot=flashboot,
        network_volume_id=_or(
            desired.network_volume_id, existing.network_volume_id if existing else ""
        ),
        locations=_or(_joined(desired.data_centers), existing.locations if existing else ""),
        allowed_cuda_versions=_or(
            _joined(desired.allowed_cuda_versions),
            existing.allowed_cuda_versions if existing else "",
        ),
        kept=existing.kept if existing else {},
    )


def _or(value: str | None, otherwise: str) -> str:
    return otherwise if value is None else value


def _joined(values: tuple[str, ...] | None) -> str | None:
    return None if values is None else ",".join(values)


def _template_changes(old: Template | None, new: Template) -> tuple[FieldChange, ...]:
    """Compare two templates; of variables only the names are told, their values may be secret."""
    changes = _differences(old, replace(new, env=old.env if old else {}))
    if old is None:
        return changes
    differing = sorted(name for name, value in new.env.items() if old.env.get(name) != value)
    told = (
        FieldChange(f"env {name}", "set", "changed")
        if name in old.env
        else FieldChange(f"env {name}", None, "set")
        for name in differing
    )
    return (*changes, *told)


def _differences(old: _Resource | None, new: _Resource) -> tuple[FieldChange, ...]:
    if old is None:
        return ()
    pairs = ((f.name, getattr(old, f.name), getattr(new, f.name)) for f in fields(new))
    return tuple(FieldChange(name, was, will) for name, was, will in pairs if was != will)
