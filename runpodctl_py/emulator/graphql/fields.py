"""How GraphQL shows our values: for each of its types, the fields that are not simply attributes.

A resolver here gets the value, graphql's info (its context is the `State`) and the field's
arguments. Secrets and registry passwords have no field and cannot be asked for.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator.control.catalog import (
    DATA_CENTERS,
    GPU_TYPES,
    STOCK,
    CpuFlavor,
    DataCenter,
    GpuType,
    gpu_type_of,
    is_cpu_instance,
)
from runpodctl_py.emulator.control.model import Endpoint, NetworkVolume, Template
from runpodctl_py.emulator.errors import ControlPlaneError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from graphql import GraphQLResolveInfo

    from runpodctl_py.emulator.state import State
    from runpodctl_py.emulator.workers.record import Worker

    Info = GraphQLResolveInfo[State]
    Resolver = Callable[..., Any]

USER_ID = "user_local"

_STOCK = STOCK.capitalize()


def always(value: Any) -> Resolver:
    """Returns a resolver that has one answer."""
    return lambda _source, _info, **_inputs: value


def nothing(_source: object, _info: Info, **_inputs: Any) -> None:
    """Answers null, always: RunPod has a value here which is in no source, or not of this place.

    docs/make_coverage.py counts these fields apart from those that are served.
    """


def attribute(name: str) -> Resolver:
    """Returns a resolver that reads an attribute."""
    return lambda source, _info: getattr(source, name)


def key(name: str) -> Resolver:
    """Returns a resolver that reads a dictionary's entry."""
    return lambda source, _info: source[name]


def _instant(name: str) -> Resolver:
    """Returns a resolver that shows an attribute, in seconds since 1970, as ISO 8601."""
    return lambda source, _info: iso_time(getattr(source, name))


def iso_time(seconds: float) -> str:
    """Returns a time as RunPod writes it: in UTC, to the millisecond."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _variables(env: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in env.items()]


# Endpoints.


def _template_of(endpoint: Endpoint, info: Info) -> Template:
    return info.context.control.template_of(endpoint)


def _volume(endpoint: Endpoint, info: Info) -> NetworkVolume | None:
    return info.context.account.volumes.get(endpoint.network_volume_id or "")


def _volume_ids(endpoint: Endpoint, info: Info) -> list[dict[str, str | None]]:
    # An endpoint from before volumes were kept may name one that is not there.
    known = info.context.account.volumes
    return [
        {
            "networkVolumeId": each,
            "dataCenterId": known[each].data_center_id if each in known else None,
        }
        for each in endpoint.network_volume_ids
    ]


def _worker_state(endpoint: Endpoint, info: Info, **inputs: Any) -> list[dict[str, Any]]:
    """Counts the workers as they are now; what they were is not remembered."""
    if (inputs.get("input") or {}).get("granularity", "LIVE") != "LIVE":
        raise ControlPlaneError("not emulated: Endpoint.workerState of the past")
    health = info.context.health(endpoint.id)
    return [
        {
            "time": iso_time(info.context.now()),
            "initialized": health.initializing,
            "ready": health.idle,
            "running": health.running,
            "throttled": health.throttled,
        }
    ]


# Workers, which are an endpoint's pods.


def _of_template(name: str) -> Resolver:
    def resolve(worker: Worker, info: Info) -> Any:
        return getattr(info.context.control.configuration(worker.endpoint_id).template, name)

    return resolve


def _cost_per_h(worker: Worker, info: Info) -> float:
    return info.context.billing.spend_per_h_usd(worker.id)


def _gpu_count(worker: Worker, info: Info) -> int:
    endpoint = info.context.control.configuration(worker.endpoint_id).endpoint
    return 0 if gpu_type_of(endpoint) is None else endpoint.gpu_count


# The catalogue.


def _lowest_price(gpu_type: GpuType, _info: Info, **_inputs: Any) -> GpuType:
    """Prices of pods are in no source; the stock is told of cards that Serverless has."""
    return gpu_type


def _gpu_availability(_center: DataCenter, _info: Info, **_inputs: Any) -> list[GpuType]:
    return [each for each in GPU_TYPES.values() if each.pool is not None]


def _specifics(flavor: CpuFlavor, _info: Info, **inputs: Any) -> dict[str, Any]:
    instance_id = (inputs.get("input") or {}).get("instanceId")
    exists = instance_id is None or (
        instance_id.startswith(f"{flavor.id}-") and is_cpu_instance(instance_id)
    )
    return {"stockStatus": _STOCK if exists else None}


TYPES: Mapping[str, Mapping[str, Resolver]] = {
    "User": {"id": always(USER_ID)},
    "PodTemplate": {
        "env": lambda template, _info: _variables(template.env),
        "isRunpod": always(value=False),
        "runtimeInMin": always(0),
        "earned": always(0.0),
    },
    "Endpoint": {
        # RunPod hands out a key here; ours is written nowhere but into the user's own files.
        "aiKey": nothing,
        "userId": always(USER_ID),
        "template": _template_of,
        "env": lambda endpoint, info: _variables(_template_of(endpoint, info).env),
        "createdAt": _instant("created_at"),
        "networkVolumeIds": _volume_ids,
        "networkVolume": _volume,
        "workersStandby": attribute("workers_min"),
        "computeType": lambda endpoint, _info: "CPU" if endpoint.instance_ids else "GPU",
        # Nothing is built from a repository, deployed from the Hub or edited in an IDE here.
        **dict.fromkeys(("activeBuildid", "idePodId", "hubRelease", "repo"), nothing),
        "pods": lambda endpoint, info: info.context.fleet.of(endpoint.id),
        "workerState": _worker_state,
    },
    "WorkerState": {
        name: key(name) for name in ("time", "initialized", "ready", "running", "throttled")
    },
    "Pod": {
        "desiredStatus": lambda worker, _info: "EXITED" if worker.leaving else "RUNNING",
        "imageName": _of_template("image_name"),
        "templateId": _of_template("id"),
        "containerDiskInGb": _of_template("container_disk_in_gb"),
        "volumeInGb": always(0),
        "dockerArgs": _of_template("docker_args"),
        "ports": _of_template("ports"),
        "gpuCount": _gpu_count,
        "costPerHr": _cost_per_h,
        "createdAt": _instant("started_at"),
        "lastStartedAt": _instant("started_at"),
        "uptimeSeconds": lambda worker, info: int(info.context.now() - worker.started_at),
        "slsVersion": attribute("version"),
    },
    "EnvironmentVariable": {"key": key("key"), "value": key("value")},
    # As a client gave it: both may be left out.
    "PortConfig": {
        "port": lambda given, _info: given.get("port"),
        "name": lambda given, _info: given.get("name"),
    },
    "NetworkVolumeIds": {
        "networkVolumeId": key("networkVolumeId"),
        "dataCenterId": key("dataCenterId"),
    },
    "NetworkVolume": {
        "size": attribute("size_gb"),
        "dataCenter": lambda volume, _info: DATA_CENTERS[volume.data_center_id],
    },
    "ContainerRegistryAuth": {"userId": always(USER_ID)},
    "Secret": {
        "createdAt": _instant("created_at"),
        "updatedAt": _instant("updated_at"),
        "lastUpdatedAt": _instant("updated_at"),
    },
    "GpuType": {
        "displayName": attribute("name"),
        "memoryInGb": attribute("memory_gb"),
        **dict.fromkeys(
            (
                "cudaCores",
                "secureCloud",
                "communityCloud",
                "securePrice",
                "communityPrice",
                "oneMonthPrice",
                "threeMonthPrice",
                "sixMonthPrice",
                "oneWeekPrice",
                "communitySpotPrice",
                "secureSpotPrice",
                "maxGpuCount",
                "maxGpuCountCommunityCloud",
                "maxGpuCountSecureCloud",
                "minPodGpuCount",
            ),
            nothing,
        ),
        "lowestPrice": _lowest_price,
    },
    "LowestPrice": {
        **dict.fromkeys(
            ("minimumBidPrice", "uninterruptablePrice", "minMemory", "minVcpu"), nothing
        ),
        "stockStatus": lambda gpu_type, _info: None if gpu_type.pool is None else _STOCK,
        "gpuName": attribute("name"),
        "gpuTypeId": attribute("id"),
    },
    "ServerlessGpuPool": {
        "gpuTypeIds": lambda pool, _info: [card.id for card in pool.cards],
    },
    "DataCenter": {
        "name": attribute("id"),
        "listed": always(value=True),
        "storageSupport": always(value=True),
        "gpuAvailability": _gpu_availability,
    },
    "GpuAvailability": {
        "gpuTypeId": attribute("id"),
        "gpuTypeDisplayName": attribute("name"),
        "displayName": attribute("name"),
        "stockStatus": always(_STOCK),
        "available": always(value=True),
    },
    "CpuFlavor": {
        "groupId": lambda flavor, _info: flavor.id[:-1],
        "groupName": lambda flavor, _info: flavor.id[:-1].upper(),
        "displayName": attribute("name"),
        "minVcpu": attribute("smallest_vcpu"),
        "maxVcpu": attribute("largest_vcpu"),
        "diskLimitPerVcpu": attribute("disk_gb_per_vcpu"),
        "ramMultiplier": attribute("ram_gb_per_vcpu"),
        "specifics": _specifics,
    },
    "Specifics": {
        "stockStatus": key("stockStatus"),
        **dict.fromkeys(("securePrice", "slsPrice"), nothing),
    },
}
"""Type to field to resolver, for fields that are no attribute of the value or have another name."""


def _names(kind: type) -> frozenset[str]:
    return frozenset(field.name for field in fields(kind))


ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "PodTemplate": _names(Template),
    "Endpoint": _names(Endpoint),
    "Pod": frozenset({"id"}),
    "NetworkVolume": _names(NetworkVolume),
    "ContainerRegistryAuth": frozenset({"id", "name"}),
    "Secret": frozenset({"id", "name", "description"}),
    "GpuType": frozenset({"id", "manufacturer"}),
    "GpuAvailability": frozenset({"id"}),
    "ServerlessGpuPool": frozenset({"id"}),
    "DataCenter": _names(DataCenter),
    "CpuFlavor": _names(CpuFlavor),
}
"""Type to the attributes of its values that may be read as fields of the same name."""
