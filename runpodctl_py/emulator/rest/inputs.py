"""From REST's bodies to drafts: what a valid body means for templates and endpoints.

Bodies have passed the contract when they come here, so their types are right. Rules of REST that
GraphQL does not have are here, too (API reference 3.2); those of both are `control/plane.py`'s.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator.control.catalog import CPU_FLAVORS
from runpodctl_py.emulator.control.model import Endpoint, Template
from runpodctl_py.emulator.control.plane import EndpointDraft, TemplateDraft
from runpodctl_py.emulator.rest.problems import ProblemError, invalid, not_found, refused
from runpodctl_py.gpus import GpuSelection, pool

if TYPE_CHECKING:
    from collections.abc import Mapping

    Body = Mapping[str, Any]
    Fields = dict[str, Any]

DEFAULT_DISK_GB = 50
"""The container disk of who asks for none: REST v1's default, as v2's is in no source (3.4)."""

ENDPOINT_TYPES = {"QUEUE": "QB", "LOAD_BALANCER": "LB"}
"""What GraphQL calls REST's types of endpoints."""

_CONTAINER = ("image", "args", "disk", "env", "ports", "registry")
_KEPT_BY_CONTROL = ("id", "created_at", "changed_at", "version")


def new_template(body: Body) -> TemplateDraft:
    """Returns the template that a body describes."""
    defaults = {
        "container_disk_in_gb": DEFAULT_DISK_GB,
        "category": "NVIDIA",
        "start_ssh": True,
        "start_jupyter": True,
    }
    return TemplateDraft(None, {**defaults, **_template_fields(body)})


def changed_template(before: Template, body: Body) -> TemplateDraft:
    """Returns a template with the changes that a body asks for; all else stays."""
    kept = asdict(before)
    del kept["id"]
    fields = {**kept, **_template_fields(body)}
    if "allowedCudaVersions" in body:
        fields["config"] = {**_config(before), **fields["config"]}
    return TemplateDraft(before.id, fields)


def new_endpoint(body: Body, templates: Mapping[str, Template], suffix: str) -> EndpointDraft:
    """Returns the endpoint that a body describes, with a template of its own.

    A template that the body names is only a source of settings: later changes of it do not reach
    the endpoint.

    Raises:
        ProblemError: The body breaks one of REST's rules.
    """
    if ("gpu" in body) == ("cpu" in body):
        raise refused("exactly one of gpu and cpu is required")
    source = _source(body, templates)
    fields = {"type": ENDPOINT_TYPES[body["type"]], **_endpoint_fields(body)}
    if source is not None and "gpu" in body and not _constrains_cuda(body["gpu"]):
        fields["allowed_cuda_versions"] = ",".join(cuda_versions(source)) or None
    _check(Endpoint(id="", created_at=0, template_id="", **fields), body)
    base = {"name": f"{body['name']}__template__{suffix}", "disk": DEFAULT_DISK_GB}
    return EndpointDraft(None, fields, TemplateDraft(None, _container(body, source, base)))


def changed_endpoint(
    before: Endpoint,
    template: Template,
    body: Body,
    templates: Mapping[str, Template],
    suffix: str,
) -> EndpointDraft:
    """Returns an endpoint with the changes that a body asks for; all else stays.

    An endpoint that shares its template gets one of its own when its container changes.

    Raises:
        ProblemError: The body breaks one of REST's rules.
    """
    if "cpu" in body and ("gpu" in body or not before.instance_ids):
        raise refused("cpu cannot be set on a GPU endpoint: the compute family is fixed")
    if "gpu" in body and before.instance_ids:
        raise refused("gpu cannot be set on a CPU endpoint: the compute family is fixed")
    kept = {name: value for name, value in asdict(before).items() if name not in _KEPT_BY_CONTROL}
    fields = {**kept, **_endpoint_fields(body)}
    _check(Endpoint(id=before.id, created_at=before.created_at, **fields), body)
    source = _source(body, templates)
    if source is None and not any(name in body for name in _CONTAINER):
        return EndpointDraft(before.id, fields)
    del fields["template_id"]
    own = asdict(template)
    del own["id"], own["bound_endpoint_id"]
    if template.bound_endpoint_id != before.id:
        own["name"] = f"{before.name}__template__{suffix}"
    return EndpointDraft(before.id, fields, TemplateDraft(None, own | _container(body, source)))


def cuda_versions(template: Template) -> list[str]:
    """Returns the CUDA versions that a template accepts; none means any."""
    return list(_config(template).get("allowedCudaVersions", ()))


def _config(template: Template) -> Fields:
    """Returns GraphQL's `config` of a template, where REST's CUDA versions are kept, too."""
    return template.config if isinstance(template.config, dict) else {}


def _template_fields(body: Body) -> Fields:
    fields = _container_fields(body)
    renamed = {
        "name": "name",
        "serverless": "is_serverless",
        "public": "is_public",
        "category": "category",
        "startSsh": "start_ssh",
        "startJupyter": "start_jupyter",
    }
    fields |= {ours: body[theirs] for theirs, ours in renamed.items() if theirs in body}
    if mount := body.get("mounts", {}).get("persistent"):
        fields |= {"volume_in_gb": int(mount["size"]), "volume_mount_path": mount["path"]}
    if "allowedCudaVersions" in body:
        fields["config"] = {"allowedCudaVersions": body["allowedCudaVersions"]}
    return fields


def _container_fields(body: Body) -> Fields:
    fields: Fields = {}
    if "image" in body:
        fields["image_name"] = body["image"]
    if "args" in body:
        fields["docker_args"] = body["args"]
    if "disk" in body:
        fields["container_disk_in_gb"] = int(body["disk"])
    if "env" in body:
        fields["env"] = body["env"]
    if "ports" in body:
        fields["ports"] = ",".join(body["ports"]) or None
    if "registry" in body:
        fields["container_registry_auth_id"] = body["registry"] or None
    return fields


def _container(body: Body, source: Template | None, base: Body | None = None) -> Fields:
    """Returns the settings of a container: a body's over those of a template it names."""
    defaults = {} if base is None else {**_container_fields(base), "name": base["name"]}
    if source is None:
        return {**defaults, **_container_fields(body)}
    theirs = {
        "image_name": source.image_name,
        "docker_args": source.docker_args,
        "container_disk_in_gb": source.container_disk_in_gb or DEFAULT_DISK_GB,
        "ports": source.ports,
        "container_registry_auth_id": source.container_registry_auth_id,
    }
    env = {**source.env, **body.get("env", {})}
    return {**defaults, **theirs, **_container_fields(body), "env": env}


def _source(body: Body, templates: Mapping[str, Template]) -> Template | None:
    """Returns the template whose settings a body starts from, if it names one."""
    if "templateId" not in body:
        return None
    if (template := templates.get(body["templateId"])) is None:
        raise not_found()
    if not template.is_serverless:
        raise invalid("$.templateId: the template is not a serverless template")
    return template


def _endpoint_fields(body: Body) -> Fields:
    fields: Fields = {}
    if "name" in body:
        fields["name"] = body["name"]
    if "timeout" in body:
        fields["execution_timeout_ms"] = int(body["timeout"])
    if "flashboot" in body:
        fields["flash_boot_type"] = body["flashboot"]
    if "dataCenterIds" in body:
        fields["locations"] = ",".join(body["dataCenterIds"]) or None
    if "networkVolumes" in body:
        first = next(iter(body["networkVolumes"]), None)
        fields |= {"network_volume_id": first, "network_volume_ids": body["networkVolumes"]}
    if "cpu" in body:
        fields["instance_ids"] = [_instance_id(each) for each in body["cpu"]]
    workers = body.get("workers", {})
    renamed = {"min": "workers_min", "max": "workers_max", "idleTimeout": "idle_timeout"}
    fields |= {ours: int(workers[theirs]) for theirs, ours in renamed.items() if theirs in workers}
    return {**fields, **_scaling_fields(body.get("scaling")), **_gpu_fields(body.get("gpu", {}))}


def _scaling_fields(scaling: Body | None) -> Fields:
    if scaling is None:
        return {}
    # GraphQL shows the same value as a whole number, so a part of a second counts as one.
    value = scaling["queueDelay" if scaling["type"] == "QUEUE_DELAY" else "requestCount"]
    return {"scaler_type": scaling["type"], "scaler_value": math.ceil(value)}


def _gpu_fields(gpu: Body) -> Fields:
    fields: Fields = {}
    if "pools" in gpu:
        fields["gpu_ids"] = _selection(gpu).to_gpu_ids()
    if "count" in gpu:
        fields["gpu_count"] = int(gpu["count"])
    if "allowedCudaVersions" in gpu:
        fields["allowed_cuda_versions"] = ",".join(gpu["allowedCudaVersions"]) or None
    if "minCudaVersion" in gpu:
        fields["min_cuda_version"] = gpu["minCudaVersion"] or None
    return fields


def _selection(gpu: Body) -> GpuSelection:
    """Returns the choice of cards; unlike GraphQL, REST looks at every exclusion (section 2)."""
    pools = [(each, pool(each)) for each in gpu["pools"]]
    if unknown := [name for name, known in pools if known is None]:
        raise refused(f"unknown GPU pools: {', '.join(unknown)}")
    excluded = tuple(each.strip() for each in gpu.get("excludedTypes", ()))
    cards = {card.id for _, known in pools if known is not None for card in known.cards}
    if strangers := [each for each in excluded if each not in cards]:
        raise refused(f"excludedTypes are in none of the pools: {', '.join(strangers)}")
    if not cards - set(excluded):
        raise refused("excludedTypes leave no GPU type in the pools")
    return GpuSelection(tuple(gpu["pools"]), excluded)


def _instance_id(cpu: Body) -> str:
    if (flavor := CPU_FLAVORS.get(cpu["id"])) is None:
        raise refused(f"unknown CPU flavor: {cpu['id']}")
    count = int(cpu["vcpuCount"])
    return f"{flavor.id}-{count}-{count * flavor.ram_gb_per_vcpu}"


def _constrains_cuda(gpu: Body) -> bool:
    return "allowedCudaVersions" in gpu or "minCudaVersion" in gpu


def _check(endpoint: Endpoint, body: Body) -> None:
    """Refuses what REST does not allow and GraphQL does."""
    if endpoint.allowed_cuda_versions and endpoint.min_cuda_version:
        raise refused("allowedCudaVersions and minCudaVersion exclude each other")
    if endpoint.type == "LB" and endpoint.scaler_type != "REQUEST_COUNT":
        raise refused("load-balancing endpoints scale on REQUEST_COUNT only")
    if not has_idle_timeout(endpoint) and "idleTimeout" in body.get("workers", {}):
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "idleTimeout does not apply to queue-based endpoints scaling on requestCount",
        )


def has_idle_timeout(endpoint: Endpoint) -> bool:
    """Whether REST knows an idle timeout of an endpoint (API reference 3.2)."""
    return endpoint.type == "LB" or endpoint.scaler_type != "REQUEST_COUNT"
