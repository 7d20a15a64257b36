"""What the control plane keeps: templates, endpoints, releases, what belongs to the account.

Plain values with RunPod's fields and defaults. The rules for changing them are in `plane.py` and
`account.py`, their storage in `store.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RESERVED_IDS = frozenset(
    {
        "account",
        "billing",
        "catalog",
        "clusters",
        "network-volumes",
        "pods",
        "registries",
        "serverless",
        "templates",
    }
)
"""Words that REST v2 puts where the job API has an endpoint id (API reference 0)."""


def snake_case(name: str) -> str:
    """Returns RunPod's camelCase name as ours: `workersPFBTarget` as `workers_pfb_target`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def camel_case(name: str) -> str:
    """Returns our name of a field as RunPod's: `container_disk_in_gb` as `containerDiskInGb`."""
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


def frozen(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns fields, from clients or from the store, so that equal ones mean nothing changed."""
    return {name: tuple(each) if isinstance(each, list) else each for name, each in fields.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A container template (`PodTemplate`, API reference 1.3)."""

    id: str
    name: str
    image_name: str
    docker_args: str = ""
    container_disk_in_gb: int = 0
    volume_in_gb: int = 0
    volume_mount_path: str | None = None
    ports: str | None = None
    ports_config: Sequence[Mapping[str, Any]] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    is_public: bool = False
    is_serverless: bool = False
    bound_endpoint_id: str | None = None
    readme: str | None = None
    start_jupyter: bool = False
    start_script: str | None = None
    start_ssh: bool = False
    advanced_start: bool = False
    container_registry_auth_id: str | None = None
    category: str | None = None
    config: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A serverless endpoint (API reference 1.4); defaults are what RunPod resets to.

    RunPod shows all but `changed_at`: when somebody last saved it.
    """

    id: str
    name: str
    created_at: float
    template_id: str
    gpu_ids: str | None = None
    gpu_count: int = 1
    instance_ids: Sequence[str] = ()
    workers_min: int = 0
    workers_max: int = 3
    workers_pfb_target: int = 0
    idle_timeout: int = 10
    scaler_type: str = "QUEUE_DELAY"
    scaler_value: int = 4
    execution_timeout_ms: int = 0
    locations: str | None = None
    network_volume_id: str | None = None
    network_volume_ids: Sequence[str] = ()
    allowed_cuda_versions: str | None = None
    min_cuda_version: str | None = None
    flash_boot_type: str = "OFF"
    flash_environment_id: str | None = None
    type: str = "QB"
    compliance: Sequence[str] = ()
    model_references: Sequence[str] = ()
    hub_release_id: str | None = None
    version: int = 0
    changed_at: float | None = None


KEPT_ON_UPDATE = (
    "template_id",
    "allowed_cuda_versions",
    "min_cuda_version",
    "compliance",
    "model_references",
)
"""The only fields an update keeps that it does not mention (observed; API reference 1.4)."""

STARTS_A_RELEASE = (
    "template_id",
    "gpu_ids",
    "gpu_count",
    "instance_ids",
    "locations",
    "network_volume_id",
    "network_volume_ids",
    "allowed_cuda_versions",
    "min_cuda_version",
    "flash_boot_type",
)
"""The fields whose change replaces an endpoint's workers (API reference 1.4)."""

TEMPLATE_STARTS_A_RELEASE = (
    "image_name",
    "docker_args",
    "container_disk_in_gb",
    "volume_mount_path",
    "ports",
    "ports_config",
    "env",
    "start_jupyter",
    "start_script",
    "start_ssh",
    "advanced_start",
    "container_registry_auth_id",
)
"""The same for a template's fields: all that a container is made of."""


@dataclass(frozen=True, slots=True)
class RegistryAuth:
    """What is needed to pull private images; only id and name ever leave the emulator (1.5)."""

    id: str
    name: str
    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that templates name and only workers see (1.5)."""

    id: str
    name: str
    value: str = field(repr=False)
    description: str
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class NetworkVolume:
    """Storage that endpoints of one data centre share (1.5, 3.2).

    The emulator keeps the record only: its workers are given no such folder.
    """

    id: str
    name: str
    size_gb: int
    data_center_id: str
    type: str
    created_at: float


@dataclass(frozen=True, slots=True)
class DiffEntry:
    """One field that a release changed, under RunPod's name, such as `template.imageName`."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Release:
    """One version of an endpoint and what it changed (3.2)."""

    id: str
    endpoint_id: str
    version: int
    created_at: float
    diff: tuple[DiffEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkerRun:
    """A worker's life, as it is billed (section 2).

    Args:
        id: The worker's id.
        endpoint_id: Whose worker it is.
        gpu_type_id: The card it has; None for a CPU worker, or if the endpoint names no pool.
        gpu_count: How many of them.
        disk_gb: Its container disk.
        started_at: When it was started, in seconds since 1970.
        ended_at: When it was gone; None while it runs.
        instance_id: The CPU instance it is, if it is one.
    """

    id: str
    endpoint_id: str
    gpu_type_id: str | None
    gpu_count: int
    disk_gb: int
    started_at: float
    ended_at: float | None = None
    instance_id: str | None = None
