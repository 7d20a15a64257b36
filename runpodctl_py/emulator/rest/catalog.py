"""REST's catalog: what RunPod offers, with the stock of this emulator, which is simulated (3.2).

Pods are not emulated, so no card is to be had as one: neither cloud has any, prices of pods are
0, and the availability for pods and clusters is NONE. Prices of CPU workers are in no source and
are 0, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator import bodies
from runpodctl_py.emulator.control.account import VOLUME_TYPES
from runpodctl_py.emulator.control.catalog import CPU_FLAVORS, DATA_CENTERS, GPU_TYPES, STOCK
from runpodctl_py.emulator.rest.call import found, listed
from runpodctl_py.emulator.rest.problems import refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.responses import Response

    from runpodctl_py.emulator.control.catalog import CpuFlavor, DataCenter, GpuType
    from runpodctl_py.emulator.rest.call import Call

    Shape = dict[str, Any]

_NONE = "NONE"
_ONLY_WITH_AVAILABILITY = (
    "count",
    "cloud",
    "countryCodes",
    "cudaVersions",
    "minCudaVersion",
    "vcpuCount",
)


class CatalogOperations:
    """One method for each operation."""

    async def gpus(self, call: Call) -> Response:
        """GET /v2/catalog/gpus; without those that the countries asked for do not have."""
        with_stock = _asks_for_stock(call)
        places = _places(call.query)
        return listed(
            call,
            "gpus",
            [_gpu(each, call.query, places, with_stock) for each in GPU_TYPES.values()]
            if places
            else [],
        )

    async def gpu(self, call: Call) -> Response:
        """GET /v2/catalog/gpus/{id}."""
        gpu_type = found(GPU_TYPES, call.path["id"])
        with_stock = _asks_for_stock(call)
        return bodies.answer(_gpu(gpu_type, call.query, _places(call.query), with_stock))

    async def cpus(self, call: Call) -> Response:
        """GET /v2/catalog/cpus."""
        with_stock = _asks_for_stock(call)
        flavors = [_cpu(each, call.query, with_stock) for each in CPU_FLAVORS.values()]
        return listed(call, "cpus", flavors)

    async def cpu(self, call: Call) -> Response:
        """GET /v2/catalog/cpus/{id}."""
        flavor = found(CPU_FLAVORS, call.path["id"])
        return bodies.answer(_cpu(flavor, call.query, _asks_for_stock(call)))

    async def data_centers(self, call: Call) -> Response:
        """GET /v2/catalog/datacenters: those that pass all filters."""
        shapes = [_data_center(each, call.query) for each in DATA_CENTERS.values()]
        return listed(call, "dataCenters", [each for each in shapes if _passes(each, call.query)])

    async def data_center(self, call: Call) -> Response:
        """GET /v2/catalog/datacenters/{id}."""
        data_center = found(DATA_CENTERS, call.path["id"])
        return bodies.answer(_data_center(data_center, call.query))

    async def public_templates(self, call: Call) -> Response:
        """GET /v2/catalog/templates: nobody has published any here."""
        return listed(call, "templates", [])


def _asks_for_stock(call: Call) -> bool:
    """Returns whether availability is asked for (API reference 3.2).

    Raises:
        ProblemError: It is without a product, or filters are given that go only with it.
    """
    query = call.query
    with_stock = bool(query.get("include"))
    if with_stock != bool(query.get("product")):
        raise refused("include=AVAILABILITY and product require each other")
    # Asked of the request: in the query, a count that was left out has its default.
    given = [each for each in _ONLY_WITH_AVAILABILITY if each in call.request.query_params]
    if given and not with_stock:
        raise refused(f"only with include=AVAILABILITY: {', '.join(given)}")
    if "cudaVersions" in query and "minCudaVersion" in query:
        raise refused("cudaVersions and minCudaVersion exclude each other")
    if query.get("vcpuCount", 2).bit_count() != 1:
        raise refused("vcpuCount must be a power of two")
    return with_stock


def _places(query: Mapping[str, Any]) -> Sequence[DataCenter]:
    countries = query.get("countryCodes")
    return [each for each in DATA_CENTERS.values() if not countries or _country(each) in countries]


def _country(data_center: DataCenter) -> str:
    """Returns the country in an id: the first part of `US-KS-2`, the second of `EU-RO-1`."""
    area, part, _ = data_center.id.split("-")
    return area if area in {"CA", "US"} else part


def _gpu(
    value: GpuType,
    query: Mapping[str, Any],
    places: Sequence[DataCenter],
    with_stock: bool,  # noqa: FBT001 -- private, and all its callers name it
) -> Shape:
    serverless = value.serverless_per_h_usd
    shape = {
        "id": value.id,
        "name": value.name,
        "pool": None if value.pool is None else value.pool.id,
        "manufacturer": value.manufacturer,
        "memory": value.memory_gb,
        "secure": False,
        "community": False,
        "price": {
            "secure": 0,
            "community": 0,
            **({} if serverless is None else {"serverless": round(serverless, 4)}),
        },
        "maxCount": {"secure": 0, "community": 0},
    }
    offered = value.pool is not None and "SERVERLESS" in query.get("product", ())
    return shape | (_stock(places if offered else ()) if with_stock else {})


def _cpu(value: CpuFlavor, query: Mapping[str, Any], with_stock: bool) -> Shape:  # noqa: FBT001 -- as above
    shape = {
        "id": value.id,
        "name": value.name,
        "group": value.group,
        "vcpu": {"min": value.smallest_vcpu, "max": value.largest_vcpu},
        "ramGbPerVcpu": value.ram_gb_per_vcpu,
        "price": {"securePerVcpu": 0, "serverlessPerVcpu": 0},
    }
    offered = "SERVERLESS" in query.get("product", ())
    places = list(DATA_CENTERS.values()) if offered else ()
    return shape | (_stock(places) if with_stock else {})


def _stock(places: Sequence[DataCenter]) -> Shape:
    if not places:
        return {"availability": _NONE}
    listing = [{"id": each.id, "name": each.id, "availability": STOCK} for each in places]
    return {"availability": STOCK, "dataCenters": listing}


def _data_center(value: DataCenter, query: Mapping[str, Any]) -> Shape:
    shape: Shape = {
        "id": value.id,
        "name": value.id,
        "region": value.region,
        "globalNetwork": False,
        "networkVolumeTypes": list(VOLUME_TYPES),
        "compliance": [],
    }
    include = query.get("include", ())
    if "GPU_AVAILABILITY" in include:
        gpus = [each for each in GPU_TYPES.values() if each.pool is not None]
        shape["gpuAvailability"] = [_available(each.id, each.name) for each in gpus]
    if "CPU_AVAILABILITY" in include:
        cpus = CPU_FLAVORS.values()
        shape["cpuAvailability"] = [_available(each.id, each.name) for each in cpus]
    return shape


def _available(resource_id: str, name: str) -> Shape:
    return {"id": resource_id, "name": name, "availability": STOCK}


def _passes(shape: Shape, query: Mapping[str, Any]) -> bool:
    """Whether a data centre passes the filters: any of the regions, all of everything else."""
    return (
        shape["region"] in query.get("regions", (shape["region"],))
        and set(query.get("networkVolumeTypes", ())) <= set(shape["networkVolumeTypes"])
        and set(query.get("compliance", ())) <= set(shape["compliance"])
        and query.get("globalNetwork") in {None, shape["globalNetwork"]}
    )
