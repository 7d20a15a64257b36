"""REST's billing: what workers and volumes would have cost, by buckets of time (3.2).

Amounts of workers come from `control/billing.py`. Volumes cost from when they were made; those that
were deleted are not remembered. Pods, clusters and public endpoints do not exist here: their bills
are empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator import bodies
from runpodctl_py.emulator.control.billing import bucket_edges
from runpodctl_py.emulator.rest import times
from runpodctl_py.emulator.rest.problems import refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.responses import Response

    from runpodctl_py.emulator.clock import Clock
    from runpodctl_py.emulator.control.model import NetworkVolume
    from runpodctl_py.emulator.rest.call import Call
    from runpodctl_py.emulator.state import State

    Shape = dict[str, Any]

MOST_BUCKETS = 2000
"""How many buckets one bill may have, so that none holds up the others' requests for long.

RunPod's limit is in no source.
"""

VOLUME_PER_GB_MONTH_USD = 0.07
"""What a standard network volume costs (section 2)."""

_DAY_S = 86_400
_MONTH_S = 30 * _DAY_S
_DEFAULT_PERIOD_S = 30 * _DAY_S
_SHORTEST_S = {
    "hour": 3600,
    "day": _DAY_S,
    "week": 7 * _DAY_S,
    "month": 28 * _DAY_S,
    "year": 365 * _DAY_S,
}
_LATEST = 32_503_680_000
"""The year 3000: nothing is billed later, and not much later dates end."""

_ALL = (
    "totalAmount",
    "podGpuAmount",
    "podCpuAmount",
    "podDiskAmount",
    "serverlessGpuAmount",
    "serverlessCpuAmount",
    "serverlessDiskAmount",
    "serverlessFeeAmount",
    "storageStandardAmount",
    "storageHighPerformanceAmount",
    "endpointAmount",
    "clusterGpuAmount",
    "clusterDiskAmount",
    "clusterNetworkingAmount",
)
_SERVERLESS = ("totalAmount", "gpuAmount", "cpuAmount", "diskAmount", "feeAmount")
_VOLUMES = ("totalAmount", "standardAmount", "highPerformanceAmount")
_PODS = ("totalAmount", "gpuAmount", "cpuAmount", "diskAmount")
_CLUSTERS = ("totalAmount", "gpuAmount", "diskAmount", "networkingAmount")
"""What each bill adds up."""


@dataclass(frozen=True, slots=True)
class BillingOperations:
    """One method for each operation.

    Args:
        state: What there is to bill.
        clock: Where the time comes from.
    """

    state: State
    clock: Clock

    async def all_bills(self, call: Call) -> Response:
        """GET /v2/billing: everything together, one record for each bucket."""
        period = self._period(call.query)
        records = {
            times.text(start): {**_time_range(start, end), **dict.fromkeys(_ALL, 0.0)}
            for start, end in pairwise(period.edges)
        }
        for prefix, parts, amounts in (
            ("serverless", self._workers_cost(period, None), _SERVERLESS),
            ("storage", self._volumes_cost(period, None), _VOLUMES),
        ):
            for part in parts:
                _add(records[part["startTime"]], prefix, part, amounts)
        return _bill(period, list(records.values()), _ALL)

    async def serverless_bills(self, call: Call) -> Response:
        """GET /v2/billing/serverless: one record for each bucket and endpoint."""
        period, wanted = self._period(call.query), call.query.get("serverlessId")
        records = self._workers_cost(period, wanted)
        return _bill(period, records, _SERVERLESS, ("serverlessId", wanted, "Serverless"))

    async def volume_bills(self, call: Call) -> Response:
        """GET /v2/billing/network-volumes: one record for each bucket and volume."""
        period, wanted = self._period(call.query), call.query.get("networkVolumeId")
        records = self._volumes_cost(period, wanted)
        return _bill(period, records, _VOLUMES, ("networkVolumeId", wanted, "NetworkVolume"))

    async def pod_bills(self, call: Call) -> Response:
        """GET /v2/billing/pods: there are none."""
        wanted = call.query.get("podId")
        return _bill(self._period(call.query), (), _PODS, ("podId", wanted, "Pod"))

    async def cluster_bills(self, call: Call) -> Response:
        """GET /v2/billing/clusters: there are none."""
        wanted = call.query.get("clusterId")
        return _bill(self._period(call.query), (), _CLUSTERS, ("clusterId", wanted, "Cluster"))

    async def public_endpoint_bills(self, call: Call) -> Response:
        """GET /v2/billing/endpoints: RunPod's public endpoints, of which there are none."""
        return _bill(self._period(call.query), (), ("totalAmount",))

    def _period(self, query: Mapping[str, Any]) -> _Period:
        """Returns the time that a bill is asked for, widened to whole buckets (3.2).

        Raises:
            ProblemError: It is given in two ways, is empty, or has too many buckets.
        """
        bucket, now = query["bucketSize"], self.clock.now()
        if "lastN" in query:
            if "startTime" in query or "endTime" in query:
                raise refused("lastN and startTime/endTime exclude each other")
            return _Period(bucket, _last_buckets(query["lastN"], bucket, now))
        end = times.parse(query["endTime"]) if "endTime" in query else now
        start = end - _DEFAULT_PERIOD_S
        if "startTime" in query:
            start = times.parse(query["startTime"])
        if not 0 <= start < end <= _LATEST:
            raise refused("startTime must be before endTime, and both between 1970 and 3000")
        _check_count((end - start) / _SHORTEST_S[bucket])
        return _Period(bucket, bucket_edges(start, end, bucket))

    def _workers_cost(self, period: _Period, endpoint_id: str | None) -> list[Shape]:
        start, *_, end = period.edges
        return [
            {
                **_time_range(each.start, each.end),
                "serverlessId": each.endpoint_id,
                "totalAmount": each.total_usd,
                "gpuAmount": each.gpu_usd,
                "cpuAmount": each.cpu_usd,
                "diskAmount": each.disk_usd,
                "feeAmount": each.fee_usd,
            }
            for each in self.state.billing.serverless(start, end, period.bucket, endpoint_id)
        ]

    def _volumes_cost(self, period: _Period, volume_id: str | None) -> list[Shape]:
        return [
            _volume_cost(volume, start, end, self.clock.now())
            for start, end in pairwise(period.edges)
            for volume in self.state.account.volumes.values()
            if volume_id in {None, volume.id} and volume.created_at < end
        ]


@dataclass(frozen=True, slots=True)
class _Period:
    """What time a bill is about: the size of its buckets, and where they begin and end."""

    bucket: str
    edges: Sequence[float]


def _last_buckets(count: int, bucket: str, now: float) -> list[float]:
    """Returns the edges of the last buckets, the current one included."""
    _check_count(count)
    edges = bucket_edges(now, now, bucket)
    while len(edges) <= count:
        if edges[0] <= 0:
            raise refused("lastN reaches back to before 1970")
        edges.insert(0, bucket_edges(edges[0] - 1, edges[0], bucket)[0])
    return edges


def _check_count(buckets: float) -> None:
    if buckets > MOST_BUCKETS:
        raise refused(f"a bill can have {MOST_BUCKETS} buckets at most")


def _time_range(start: float, end: float) -> Shape:
    return {"startTime": times.text(start), "endTime": times.text(end)}


def _volume_cost(volume: NetworkVolume, start: float, end: float, now: float) -> Shape:
    """Returns what a volume cost in one bucket; the price of fast ones is in no source."""
    kept_s = max(0.0, min(end, now) - max(start, volume.created_at))
    price_usd = VOLUME_PER_GB_MONTH_USD if volume.type == "STANDARD" else 0.0
    cost_usd = volume.size_gb * price_usd * kept_s / _MONTH_S
    return {
        **_time_range(start, end),
        "networkVolumeId": volume.id,
        "totalAmount": cost_usd,
        "standardAmount": cost_usd,
        "highPerformanceAmount": 0.0,
    }


def _add(record: Shape, prefix: str, part: Shape, amounts: Sequence[str]) -> None:
    """Adds a part's amounts to those of everything, where they have longer names."""
    for name in amounts:
        total = name if name == "totalAmount" else f"{prefix}{name[0].upper()}{name[1:]}"
        record[total] += part[name]


def _bill(
    period: _Period,
    records: Sequence[Shape],
    amounts: Sequence[str],
    by: tuple[str, str | None, str] | None = None,
) -> Response:
    """Returns a bill.

    Args:
        period: What time it is about.
        records: What was used in it.
        amounts: What is added up.
        by: What records are told apart by: the name of its id, the only id that was asked for,
            and what its count is called.
    """
    query = {**_time_range(period.edges[0], period.edges[-1]), "bucketSize": period.bucket}
    metadata: Shape = {"query": query, "recordCount": len(records)}
    if by is not None:
        name, wanted, counted = by
        query[name] = wanted
        metadata[f"unique{counted}Count"] = len({each[name] for each in records})
    metadata["totals"] = {name: sum(each[name] for each in records) for name in amounts}
    return bodies.answer({"records": records, "metadata": metadata})
