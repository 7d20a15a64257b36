"""What GraphQL's operations do: queries, mutations, and the fields of `myself`.

Each resolver gets the parent object, graphql's info (its context is the `State`) and the field's
arguments. The rules are those of `control/plane.py` and `control/account.py`; how the values that
come back are shown is in `fields.py`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator.control.catalog import CPU_FLAVORS, DATA_CENTERS, GPU_TYPES
from runpodctl_py.emulator.errors import ControlPlaneError
from runpodctl_py.emulator.graphql.billing import billing
from runpodctl_py.emulator.graphql.fields import always, nothing
from runpodctl_py.emulator.graphql.inputs import endpoint_draft, template_draft
from runpodctl_py.gpus import POOLS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from graphql import GraphQLResolveInfo

    from runpodctl_py.emulator.control.catalog import CpuFlavor, GpuType
    from runpodctl_py.emulator.control.model import (
        Endpoint,
        NetworkVolume,
        RegistryAuth,
        Secret,
        Template,
    )
    from runpodctl_py.emulator.state import State
    from runpodctl_py.gpus import Pool

    Info = GraphQLResolveInfo[State]
    Resolver = Callable[..., Any]

SPEND_LIMIT_USD = 80.0
"""What RunPod lets an account spend in an hour unless asked (1.5)."""

BALANCE_USD = 1000.0
"""What the local account owns; nothing is ever taken from it."""


# Templates.


def _save_template(_: object, info: Info, **inputs: Any) -> Template:
    if inputs.get("input") is None:
        raise ControlPlaneError("input is required")
    return info.context.save_template(template_draft(inputs["input"]))


def _delete_template(_: object, info: Info, **inputs: Any) -> None:
    info.context.control.delete_template(inputs["templateName"])


def _pod_templates(_: object, info: Info, **inputs: Any) -> list[Template]:
    if (inputs.get("input") or {}).get("isRunpod"):
        return []
    return list(info.context.control.templates.values())


def _pod_template(_: object, info: Info, **inputs: Any) -> Template | None:
    return info.context.control.templates.get(inputs["id"])


# Endpoints.


def _save_endpoint(_: object, info: Info, **inputs: Any) -> Endpoint:
    return info.context.save_endpoint(endpoint_draft(inputs["input"]))


def _delete_endpoint(_: object, info: Info, **inputs: Any) -> None:
    info.context.delete_endpoint(inputs["id"])


def _update_template(_: object, info: Info, **inputs: Any) -> Endpoint:
    given = inputs["input"]
    return info.context.change_endpoint(given["endpointId"], template_id=given["templateId"])


def _update_workers(field: str, _: object, info: Info, **inputs: Any) -> Endpoint:
    given = inputs["input"]
    return info.context.change_endpoint(given["endpointId"], **{field: given["workerCount"]})


def _endpoints(_: object, info: Info) -> list[Endpoint]:
    return list(info.context.control.endpoints.values())


def _endpoint(_: object, info: Info, **inputs: Any) -> Endpoint | None:
    return info.context.control.endpoints.get(inputs["id"])


# The account.


def _save_registry(_: object, info: Info, **inputs: Any) -> RegistryAuth:
    given = inputs["input"]
    return info.context.account.create_registry(given["name"], given["username"], given["password"])


def _update_registry(_: object, info: Info, **inputs: Any) -> RegistryAuth:
    given = inputs["input"]
    return info.context.account.update_registry(given["id"], given["username"], given["password"])


def _delete_registry(_: object, info: Info, **inputs: Any) -> None:
    info.context.account.delete_registry(inputs["registryAuthId"])


def _create_secret(_: object, info: Info, **inputs: Any) -> Secret:
    given = inputs["input"]
    description = given.get("description") or ""
    return info.context.account.create_secret(given["name"], given["value"], description)


def _delete_secret(_: object, info: Info, **inputs: Any) -> None:
    info.context.account.delete_secret(inputs["id"])


def _create_volume(_: object, info: Info, **inputs: Any) -> NetworkVolume:
    given = inputs["input"]
    return info.context.account.create_volume(given["name"], given["size"], given["dataCenterId"])


def _update_volume(_: object, info: Info, **inputs: Any) -> NetworkVolume:
    given = inputs["input"]
    return info.context.account.update_volume(
        given["id"], name=given.get("name"), size_gb=given.get("size")
    )


def _delete_volume(_: object, info: Info, **inputs: Any) -> bool:
    info.context.account.delete_volume(inputs["input"]["id"])
    return True


def _update_settings(_: object, info: Info, **inputs: Any) -> dict[str, Any]:
    if "pubKey" in inputs["input"]:
        info.context.account.set_pub_key(inputs["input"]["pubKey"])
    return {}


# The catalogue.


def _gpu_types(_: object, _info: Info, **inputs: Any) -> list[GpuType]:
    given = inputs.get("input") or {}
    asked = {each for each in (given.get("id"), *(given.get("ids") or ())) if each}
    return [each for each in GPU_TYPES.values() if not asked or each.id in asked]


def _pools(_: object, _info: Info) -> list[Pool]:
    return list(POOLS)


def _cpu_flavors(_: object, _info: Info, **inputs: Any) -> list[CpuFlavor]:
    asked = (inputs.get("input") or {}).get("id")
    return [each for each in CPU_FLAVORS.values() if not asked or each.id == asked]


OPERATIONS: Mapping[str, Mapping[str, Resolver]] = {
    "Query": {
        "myself": always({}),
        "podTemplates": _pod_templates,
        "podTemplate": _pod_template,
        "gpuTypes": _gpu_types,
        "serverlessGpuPools": _pools,
        "dataCenters": lambda _, _info: list(DATA_CENTERS.values()),
        "cpuFlavors": _cpu_flavors,
    },
    "Mutation": {
        "saveTemplate": _save_template,
        "deleteTemplate": _delete_template,
        "saveEndpoint": _save_endpoint,
        "deleteEndpoint": _delete_endpoint,
        "updateEndpointTemplate": _update_template,
        "updateEndpointWorkersMin": partial(_update_workers, "workers_min"),
        "updateEndpointWorkersMax": partial(_update_workers, "workers_max"),
        "saveRegistryAuth": _save_registry,
        "updateRegistryAuth": _update_registry,
        "deleteRegistryAuth": _delete_registry,
        "secretCreate": _create_secret,
        "secretDelete": _delete_secret,
        "createNetworkVolume": _create_volume,
        "updateNetworkVolume": _update_volume,
        "deleteNetworkVolume": _delete_volume,
        "updateUserSettings": _update_settings,
    },
    "User": {
        "email": always("local@localhost"),
        "pubKey": lambda _, info: info.context.account.pub_key,
        "podTemplates": _pod_templates,
        "endpoints": _endpoints,
        "endpoint": _endpoint,
        "networkVolumes": lambda _, info: list(info.context.account.volumes.values()),
        "containerRegistryCreds": lambda _, info: list(info.context.account.registries.values()),
        "secrets": lambda _, info: list(info.context.account.secrets.values()),
        "datacenters": lambda _, _info: list(DATA_CENTERS.values()),
        "serverlessDiscount": nothing,
        "billing": billing,
        "maxServerlessConcurrency": lambda _, info: info.context.control.worker_quota,
        "clientBalance": always(BALANCE_USD),
        "currentSpendPerHr": lambda _, info: info.context.billing.spend_per_h_usd(),
        "clientLifetimeSpend": lambda _, info: info.context.billing.lifetime_usd(),
        "spendLimit": always(SPEND_LIMIT_USD),
        "minBalance": always(0.0),
        "underBalance": always(value=False),
        "notifyPodsStale": always(value=False),
        "notifyPodsGeneral": always(value=False),
        "notifyLowBalance": always(value=False),
    },
}
"""Type to field to resolver: the roots, and `User`, which is no object but a view of the state."""
