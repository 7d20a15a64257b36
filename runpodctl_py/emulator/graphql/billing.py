"""The account's bill as GraphQL shows it: `myself { billing }` (API reference 1.5).

What was used comes from `control/billing.py`; here it is divided into days or the like and added
up.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator.control.billing import bucket_start
from runpodctl_py.emulator.graphql.fields import always, iso_time, key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runpodctl_py.emulator.control.billing import Usage
    from runpodctl_py.emulator.graphql.fields import Info, Resolver

_BUCKETS = {"HOURLY": "hour", "DAILY": "day", "WEEKLY": "week", "MONTHLY": "month"}

_GROUPS: Mapping[str | None, tuple[str, ...]] = {
    None: ("endpoint_id", "gpu_type_id", "instance_id"),
    "ENDPOINT": ("endpoint_id",),
    "GPU_TYPE": ("gpu_type_id",),
    "INSTANCE_ID": ("instance_id",),
}


def _serverless_billing(view: BillingView, info: Info, **inputs: Any) -> list[dict[str, Any]]:
    """Adds up what cards cost; disks are storage (`summary`)."""
    names = _GROUPS[(inputs.get("input") or {}).get("groupBy")]
    groups: dict[tuple[Any, ...], list[Usage]] = defaultdict(list)
    for start, usage in _by_bucket(view, info):
        groups[start, *(getattr(usage, name) for name in names)].append(usage)
    return [
        {
            "time": iso_time(start),
            "amount": sum(each.gpu_usd for each in usages),
            "timeBilledSeconds": round(sum(each.billed_s for each in usages)),
            **dict.fromkeys(("endpoint_id", "gpu_type_id", "instance_id")),
            **dict(zip(names, values, strict=True)),
        }
        for (start, *values), usages in groups.items()
    ]


def _summary(view: BillingView, info: Info) -> list[dict[str, Any]]:
    buckets: dict[float, list[Usage]] = defaultdict(list)
    for start, usage in _by_bucket(view, info):
        buckets[start].append(usage)
    return [
        {
            "time": iso_time(start),
            "serverlessAmount": sum(each.gpu_usd for each in usages),
            "storageAmount": sum(each.disk_usd for each in usages),
        }
        for start, usages in buckets.items()
    ]


def _by_bucket(view: BillingView, info: Info) -> Iterator[tuple[float, Usage]]:
    """Yields everything that was used with the start of its bucket, the oldest first."""
    for usage in sorted(info.context.billing.usages(), key=lambda each: each.hour):
        yield bucket_start(usage.hour, view.bucket), usage


@dataclass(frozen=True, slots=True)
class BillingView:
    """The account's bill, divided into buckets of one length (`billing.BUCKETS`)."""

    bucket: str


def billing(_: object, _info: Info, **inputs: Any) -> BillingView:
    """Returns the bill in buckets of the length asked for, of a day by default."""
    granularity = (inputs.get("input") or {}).get("granularity") or "DAILY"
    return BillingView(_BUCKETS[granularity])


BILLING_TYPES: Mapping[str, Mapping[str, Resolver]] = {
    "UserBilling": {"serverless": _serverless_billing, "summary": _summary},
    "UserServerlessBilling": {
        **{name: key(name) for name in ("time", "amount", "timeBilledSeconds")},
        "endpointId": key("endpoint_id"),
        "gpuTypeId": key("gpu_type_id"),
        "instanceId": key("instance_id"),
    },
    "UserSummaryBilling": {
        **{name: key(name) for name in ("time", "serverlessAmount", "storageAmount")},
        # There are no pods and no public endpoints that could cost anything.
        **dict.fromkeys(("gpuCloudAmount", "cpuCloudAmount", "runpodEndpointAmount"), always(0.0)),
    },
}
"""Type to field to resolver, for the types of the bill."""
