"""What the workers would have cost: from when each was started until it was gone (section 2).

Worker runs that are over are added up by the hour, so that years of them fit into memory; those
that go on are kept one by one and outlive a kill. Discounts and fees there are none.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from runpodctl_py.emulator.control.catalog import GPU_TYPES, gpu_type_of
from runpodctl_py.emulator.control.model import WorkerRun
from runpodctl_py.emulator.errors import ControlPlaneError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runpodctl_py.emulator.control.releases import Configuration
    from runpodctl_py.emulator.store import Snapshot, Store
    from runpodctl_py.emulator.workers.record import Worker

BUCKETS = ("hour", "day", "week", "month", "year")
"""The lengths a bill can be divided into; days are those of UTC, weeks begin on Mondays."""

RETENTION_S = 400 * 86_400
"""How long it is remembered what was used."""

DISK_PER_GB_MONTH_USD = 0.10
"""What a worker's container disk costs while the worker runs; a month has 30 days."""

_DAY_S = 86_400
_MONTH_S = 30 * _DAY_S
_DISK_INTERVAL_S = 300
_HOUR_S = 3600
_HEARTBEAT_S = 60.0
"""How often it is noted that workers still run: that much of a run may be lost by a kill."""

_RUN, _HOUR, _ALIVE = "worker run", "billed hour", "alive"
"""What the store calls their kinds."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What the workers of one endpoint on one kind of machine used in one hour.

    Args:
        hour: When the hour began, in seconds since 1970.
        endpoint_id: Whose workers.
        gpu_type_id: Their card, if they have one.
        instance_id: The CPU instance they are, if they are.
        billed_s: For how many seconds of workers is paid.
        gpu_usd: What the cards cost.
        disk_usd: What the container disks cost.
    """

    hour: float
    endpoint_id: str
    gpu_type_id: str | None
    instance_id: str | None
    billed_s: float = 0.0
    gpu_usd: float = 0.0
    disk_usd: float = 0.0

    @property
    def id(self) -> str:
        """What it is kept under."""
        return f"{self.hour:.0f} {self.endpoint_id} {self.gpu_type_id or self.instance_id}"

    def plus(self, other: Usage) -> Usage:
        """Returns the sum of two usages of the same hour, endpoint and machine."""
        return replace(
            self,
            billed_s=self.billed_s + other.billed_s,
            gpu_usd=self.gpu_usd + other.gpu_usd,
            disk_usd=self.disk_usd + other.disk_usd,
        )


@dataclass(frozen=True, slots=True)
class BillingRecord:
    """What one endpoint cost in one bucket of time.

    Args:
        start: When the bucket begins, in seconds since 1970.
        end: When the next one begins.
        endpoint_id: Whose workers.
        gpu_usd: What their cards cost.
        cpu_usd: What CPU workers cost; 0, as their prices are in no source.
        disk_usd: What their container disks cost.
        fee_usd: RunPod's platform fee; 0, as it is described nowhere.
        billed_s: For how many seconds of workers is paid.
    """

    start: float
    end: float
    endpoint_id: str
    gpu_usd: float = 0.0
    cpu_usd: float = 0.0
    disk_usd: float = 0.0
    fee_usd: float = 0.0
    billed_s: float = 0.0

    @property
    def total_usd(self) -> float:
        """All of it."""
        return self.gpu_usd + self.cpu_usd + self.disk_usd + self.fee_usd


class Billing:
    """Who ran for how long, and what that is worth.

    A run that a former start of the emulator left open ended when that one last said it was
    alive.

    Args:
        store: What outlives a restart.
        kept: What it held at the start.
        now: Tells the wall time.
        made_of: Returns an endpoint by its id, with its template.
    """

    def __init__(
        self,
        store: Store,
        kept: Snapshot,
        now: Callable[[], float],
        made_of: Callable[[str], Configuration],
    ) -> None:
        self._store = store
        self._now = now
        self._made_of = made_of
        self._alive_at = max((each["at"] for each in kept.of(_ALIVE)), default=0.0)
        self._runs: dict[str, WorkerRun] = {}
        self._hours = {usage.id: usage for usage in (Usage(**each) for each in kept.of(_HOUR))}
        for fields in kept.of(_RUN):
            run = WorkerRun(**fields)
            self._close(replace(run, ended_at=max(run.started_at, self._alive_at)))

    def started(self, worker: Worker) -> None:
        """Notes that a worker is about to be started: it costs from now on."""
        made_of = self._made_of(worker.endpoint_id)
        endpoint = made_of.endpoint
        gpu_type = gpu_type_of(endpoint)
        run = WorkerRun(
            id=worker.id,
            endpoint_id=endpoint.id,
            gpu_type_id=None if gpu_type is None else gpu_type.id,
            gpu_count=endpoint.gpu_count,
            disk_gb=made_of.template.container_disk_in_gb,
            started_at=worker.started_at,
            instance_id=next(iter(endpoint.instance_ids), None),
        )
        self._runs[run.id] = run
        self._store.put(_RUN, run.id, asdict(run))
        self._beat()

    def ended(self, worker: Worker) -> None:
        """Notes that a worker is gone."""
        if (run := self._runs.pop(worker.id, None)) is not None:
            self._close(replace(run, ended_at=self._now()))

    def sweep(self) -> None:
        """Notes that the workers still run."""
        if self._runs and self._now() >= self._alive_at + _HEARTBEAT_S:
            self._beat()

    def next_due_s(self) -> float | None:
        """Returns in how many seconds `sweep` has something to do."""
        return self._alive_at + _HEARTBEAT_S - self._now() if self._runs else None

    def clear(self) -> None:
        """Forgets what was used; nobody may be at work, and the store has been emptied."""
        self._hours.clear()
        self._alive_at = 0.0

    def spend_per_h_usd(self, worker_id: str | None = None) -> float:
        """Returns what the cards of the workers that run now, or of one of them, cost an hour."""
        runs = [each for each in self._runs.values() if worker_id in {None, each.id}]
        return sum(map(_per_s_usd, runs)) * _HOUR_S

    def lifetime_usd(self) -> float:
        """Returns what everything has cost that is remembered."""
        return sum(each.gpu_usd + each.disk_usd for each in self.usages())

    def usages(self) -> Iterator[Usage]:
        """Yields everything that was used up to now, by the hour, in no order."""
        yield from self._hours.values()
        for run in self._runs.values():
            yield from _usages(replace(run, ended_at=self._now()))

    def serverless(
        self, start: float, end: float, bucket: str, endpoint_id: str | None = None
    ) -> list[BillingRecord]:
        """Divides what workers cost into buckets, one record per bucket and endpoint.

        Endpoints that cost nothing in all of that time are left out.

        Args:
            start: When the first bucket begins; one that it cuts counts in full.
            end: When the last bucket ends; the same.
            bucket: One of `BUCKETS`.
            endpoint_id: The only endpoint that matters.

        Raises:
            ControlPlaneError: There is no such bucket.
        """
        edges = bucket_edges(start, end, bucket)
        found: dict[str, dict[int, list[Usage]]] = defaultdict(lambda: defaultdict(list))
        for usage in self.usages():
            if endpoint_id in {None, usage.endpoint_id} and edges[0] <= usage.hour < edges[-1]:
                found[usage.endpoint_id][bisect_right(edges, usage.hour) - 1].append(usage)
        return [
            BillingRecord(
                begin,
                finish,
                each,
                gpu_usd=sum(usage.gpu_usd for usage in used[index]),
                disk_usd=sum(usage.disk_usd for usage in used[index]),
                billed_s=sum(usage.billed_s for usage in used[index]),
            )
            for index, (begin, finish) in enumerate(pairwise(edges))
            for each, used in found.items()
        ]

    def _beat(self) -> None:
        self._alive_at = self._now()
        self._store.put(_ALIVE, _ALIVE, {"at": self._alive_at})

    def _close(self, run: WorkerRun) -> None:
        with self._store.together():
            for usage in _usages(run):
                before = self._hours.get(usage.id)
                total = usage if before is None else before.plus(usage)
                self._hours[usage.id] = total
                self._store.put(_HOUR, usage.id, asdict(total))
            self._store.drop(_RUN, run.id)
            self._forget_old()

    def _forget_old(self) -> None:
        oldest = self._now() - RETENTION_S
        for usage in [each for each in self._hours.values() if each.hour < oldest]:
            del self._hours[usage.id]
            self._store.drop(_HOUR, usage.id)


def bucket_edges(start: float, end: float, bucket: str) -> list[float]:
    """Returns where the buckets begin that cover a time, and where the last one ends.

    Raises:
        ControlPlaneError: There is no such bucket.
    """
    if bucket not in BUCKETS:
        raise ControlPlaneError(f"bucketSize must be one of {', '.join(BUCKETS)}")
    edges = [bucket_start(start, bucket)]
    while len(edges) == 1 or edges[-1] < end:
        edges.append(_next_bucket(edges[-1], bucket))
    return edges


def bucket_start(time: float, bucket: str) -> float:
    """Returns when the bucket began that a time is in, both in seconds since 1970."""
    hour = datetime.fromtimestamp(time, UTC).replace(minute=0, second=0, microsecond=0)
    day = hour.replace(hour=0)
    starts = {
        "hour": hour,
        "day": day,
        "week": day - timedelta(days=day.weekday()),
        "month": day.replace(day=1),
        "year": day.replace(day=1, month=1),
    }
    return starts[bucket].timestamp()


def _next_bucket(start: float, bucket: str) -> float:
    """Returns when the next bucket begins: one that is in it after the longest of their kind."""
    longest_days = {"hour": 1 / 24, "day": 1, "week": 7, "month": 31, "year": 366}[bucket]
    return bucket_start(start + longest_days * _DAY_S, bucket)


def _per_s_usd(run: WorkerRun) -> float:
    """Returns the price of a run's cards per second; 0 where RunPod's price list has none."""
    gpu_type = GPU_TYPES.get(run.gpu_type_id or "")
    if gpu_type is None or gpu_type.pool is None:
        return 0.0
    return (gpu_type.pool.price_per_s_usd or 0.0) * run.gpu_count


def _usages(run: WorkerRun) -> Iterator[Usage]:
    """Yields what a run used in each hour: seconds rounded up, the disk in steps of 5 minutes."""
    lasted_s = (run.started_at if run.ended_at is None else run.ended_at) - run.started_at
    billed_s = math.ceil(lasted_s)
    disk_s = math.ceil(lasted_s / _DISK_INTERVAL_S) * _DISK_INTERVAL_S
    disk_per_s_usd = run.disk_gb * DISK_PER_GB_MONTH_USD / _MONTH_S
    hour = run.started_at // _HOUR_S * _HOUR_S
    while (disk_in_hour_s := _overlap_s(hour, run.started_at, disk_s)) > 0:
        in_hour_s = _overlap_s(hour, run.started_at, billed_s)
        yield Usage(
            hour=hour,
            endpoint_id=run.endpoint_id,
            gpu_type_id=run.gpu_type_id,
            instance_id=run.instance_id,
            billed_s=in_hour_s,
            gpu_usd=in_hour_s * _per_s_usd(run),
            disk_usd=disk_in_hour_s * disk_per_s_usd,
        )
        hour += _HOUR_S


def _overlap_s(hour: float, start: float, length_s: float) -> float:
    """Returns how much of a time lies in an hour."""
    return max(0.0, min(hour + _HOUR_S, start + length_s) - max(hour, start))
