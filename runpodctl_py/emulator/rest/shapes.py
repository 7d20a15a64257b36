"""From our values to REST v2's answers (API reference 3.2); reads nothing but what it is given."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator.control.catalog import gpu_type_of
from runpodctl_py.emulator.control.plane import volumes_of
from runpodctl_py.emulator.rest import times
from runpodctl_py.emulator.rest.inputs import ENDPOINT_TYPES, cuda_versions, has_idle_timeout
from runpodctl_py.gpus import GpuSelection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runpodctl_py.emulator.control.model import (
        Endpoint,
        NetworkVolume,
        RegistryAuth,
        Release,
        Template,
    )
    from runpodctl_py.emulator.workers.record import Worker

    Shape = dict[str, Any]

STATUSES = ("RUNNING", "IDLE", "INITIALIZING", "THROTTLED", "UNHEALTHY")
"""What a worker can be."""

_TYPES = {ours: theirs for theirs, ours in ENDPOINT_TYPES.items()}
_REQUEST_PATHS = {
    "run": "run",
    "runSync": "runsync",
    "status": "status/{job_id}",
    "stream": "stream/{job_id}",
    "cancel": "cancel/{job_id}",
    "retry": "retry/{job_id}",
    "purgeQueue": "purge-queue",
    "health": "health",
}


def template(value: Template) -> Shape:
    """Returns a `Template`."""
    mount = {"size": value.volume_in_gb, "path": value.volume_mount_path or "/workspace"}
    return {
        "id": value.id,
        "name": value.name,
        **_container(value),
        # GraphQL takes a disk of 0, which the contract of REST cannot express.
        "disk": max(1, value.container_disk_in_gb),
        "mounts": {"persistent": mount} if value.volume_in_gb else {},
        "serverless": value.is_serverless,
        "public": value.is_public,
        "category": value.category or "NVIDIA",
        "startSsh": value.start_ssh,
        "startJupyter": value.start_jupyter,
        "allowedCudaVersions": cuda_versions(value),
    }


def endpoint(value: Endpoint, of: Template, base_url: str) -> Shape:
    """Returns an `Endpoint`.

    Args:
        value: The endpoint.
        of: Its template.
        base_url: Where this emulator answers, without a slash at its end.
    """
    shape: Shape = {
        "id": value.id,
        "name": value.name,
        "type": _TYPES[value.type],
        **_container(of),
        "workers": {"min": value.workers_min, "max": value.workers_max},
        "scaling": _scaling(value),
        "dataCenterIds": _list(value.locations),
        "networkVolumes": list(volumes_of(value)),
        "timeout": value.execution_timeout_ms,
        "flashboot": value.flash_boot_type,
        "createdAt": times.text(value.created_at),
    }
    shape |= {"cpu": _cpu(value)} if value.instance_ids else {"gpu": _gpu(value)}
    if has_idle_timeout(value):
        shape["workers"]["idleTimeout"] = value.idle_timeout
    if value.type == "QB":
        url = f"{base_url}/v2/{value.id}"
        shape["requestUrls"] = {name: f"{url}/{path}" for name, path in _REQUEST_PATHS.items()}
    return shape


def worker(value: Worker, of: Endpoint, container: Template, now: float) -> Shape:
    """Returns a `Worker` of an endpoint, with its current template."""
    gpu_type = gpu_type_of(of)
    is_stale = value.version != of.version
    is_placed = value.state != "THROTTLED"
    return {
        "id": value.id,
        "status": value.state,
        "isStale": is_stale,
        "version": value.version,
        "gpuCount": 0 if of.instance_ids else of.gpu_count,
        # What a worker of an older version runs is not remembered.
        "image": None if is_stale else container.image_name,
        "uptimeSeconds": max(0, int(now - value.started_at)) if is_placed else None,
        "gpuTypeId": gpu_type.id if gpu_type is not None and is_placed else None,
        "dataCenterId": next(iter(_list(of.locations)), None) if is_placed else None,
        "startedAt": times.text(value.started_at) if is_placed else None,
    }


def worker_summary(workers: Sequence[Worker]) -> Shape:
    """Returns a `WorkerSummary`."""
    counts = Counter[str](each.state for each in workers)
    return {**{each.lower(): counts[each] for each in STATUSES}, "total": len(workers)}


def release(value: Release, workers: Sequence[Worker]) -> Shape:
    """Returns a `Release` of an endpoint with these workers."""
    return {
        "id": value.id,
        "version": value.version,
        "source": "MANUAL",
        "buildId": None,
        "createdByUserId": None,
        "workerCount": sum(each.version == value.version for each in workers),
        "createdAt": times.text(value.created_at),
        "diff": [{"field": each.field, "old": each.old, "new": each.new} for each in value.diff],
    }


def rollout(version: int, workers: Sequence[Worker]) -> Shape:
    """Returns a `RolloutSummary` of an endpoint of this version."""
    latest, total = sum(each.version == version for each in workers), len(workers)
    return {
        "inProgress": latest < total,
        "workersOnLatest": latest,
        "workersTotal": total,
        "percentOnLatest": 100 * latest // total if total else 0,
    }


def registry(value: RegistryAuth) -> Shape:
    """Returns a `Registry`: never its credentials."""
    return {"id": value.id, "name": value.name}


def volume(value: NetworkVolume) -> Shape:
    """Returns a `NetworkVolume`."""
    return {
        "id": value.id,
        "name": value.name,
        "size": value.size_gb,
        "dataCenter": value.data_center_id,
        "type": value.type,
    }


def _container(of: Template) -> Shape:
    disk: Mapping[str, int] = {"disk": of.container_disk_in_gb} if of.container_disk_in_gb else {}
    return {
        "image": of.image_name,
        "args": of.docker_args,
        **disk,
        "env": dict(of.env),
        "ports": _list(of.ports),
        "registry": of.container_registry_auth_id,
    }


def _scaling(value: Endpoint) -> Shape:
    name = "queueDelay" if value.scaler_type == "QUEUE_DELAY" else "requestCount"
    return {"type": value.scaler_type, name: value.scaler_value}


def _gpu(value: Endpoint) -> Shape | None:
    chosen = GpuSelection.from_gpu_ids(value.gpu_ids or "")
    if not chosen.pools:
        return None
    return {
        "pools": list(chosen.pools),
        **({"excludedTypes": list(chosen.excluded)} if chosen.excluded else {}),
        "count": value.gpu_count,
        "allowedCudaVersions": _list(value.allowed_cuda_versions),
        "minCudaVersion": value.min_cuda_version,
    }


def _cpu(value: Endpoint) -> list[Shape]:
    parts = (each.split("-") for each in value.instance_ids)
    return [{"id": id_, "vcpuCount": int(vcpu), "memory": int(gb)} for id_, vcpu, gb in parts]


def _list(text: str | None) -> list[str]:
    """Returns the entries of what GraphQL writes as one text."""
    return [each.strip() for each in (text or "").split(",") if each.strip()]
