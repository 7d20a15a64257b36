"""What workers cost: from their start to their end, by the price list (API reference 2)."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runpodctl_py.emulator.control.billing import RETENTION_S, _usages, bucket_edges
from runpodctl_py.emulator.control.model import WorkerRun
from runpodctl_py.emulator.errors import ControlPlaneError
from runpodctl_py.emulator.store import SqliteStore
from runpodctl_py.gpus import pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import World

    from runpodctl_py.emulator.control.billing import BillingRecord
    from runpodctl_py.emulator.control.model import Endpoint
    from runpodctl_py.emulator.store import Store

A40_USD = 0.00034
HOUR_S = 3600
MONTH_S = 30 * 86_400


def run(world: World, endpoint: Endpoint, lasts_s: float) -> None:
    """Lets a worker come, live and go."""
    worker = world.state.fleet.add(endpoint)
    world.clock.advance(lasts_s)
    world.state.fleet.remove(worker.id)


def bill(world: World, bucket: str = "year", **filters: Any) -> list[BillingRecord]:
    """Returns the bill up to now, from some days before."""
    now = world.clock.now()
    return world.state.billing.serverless(now - 86_400, now, bucket, **filters)


@pytest.mark.proves("rule: account-numbers", "rule: gpu-selection")
def test_seconds_are_rounded_up_and_cards_counted(world: World) -> None:
    """The preferred pool sets the price."""
    endpoint = world.endpoint(gpu_ids="AMPERE_48,ADA_24", gpu_count=2)
    run(world, endpoint, 10.2)
    (record,) = bill(world)
    assert record.billed_s == 11
    assert record.gpu_usd == pytest.approx(11 * A40_USD * 2)
    assert (record.endpoint_id, record.fee_usd, record.cpu_usd) == (endpoint.id, 0, 0)


def test_the_price_is_that_of_the_public_list(world: World) -> None:
    """The number the client shows beforehand is the number billed afterwards."""
    endpoint = world.endpoint(gpu_ids="ADA_24")
    run(world, endpoint, 1000)
    price_per_s_usd = pool("ADA_24").price_per_s_usd
    assert bill(world)[0].gpu_usd == pytest.approx(1000 * price_per_s_usd)


@pytest.mark.proves("rule: account-numbers")
def test_the_container_disk_is_billed_in_steps_of_five_minutes(world: World) -> None:
    """0.10 dollars a month and GB."""
    endpoint = world.endpoint(template_id=world.template("disk", container_disk_in_gb=20))
    run(world, endpoint, 301)
    assert bill(world)[0].disk_usd == pytest.approx(20 * 0.10 * 600 / MONTH_S)


@pytest.mark.parametrize(
    ("fields", "machine"),
    [
        ({"gpu_ids": "ADA_32_PRO"}, ("NVIDIA GeForce RTX 5090", None)),
        ({"instance_ids": ("cpu3c-2-4",)}, (None, "cpu3c-2-4")),
        ({}, (None, None)),
    ],
)
def test_what_has_no_known_price_costs_nothing(
    world: World, fields: dict[str, Any], machine: tuple[str | None, str | None]
) -> None:
    """It is remembered all the same for how long it ran, and on what."""
    run(world, world.endpoint(**fields), 60)
    (usage,) = world.state.billing.usages()
    assert (usage.gpu_type_id, usage.instance_id) == machine
    assert (usage.billed_s, usage.gpu_usd) == (60, 0)


@pytest.mark.proves("rule: account-numbers")
def test_running_workers_are_billed_up_to_now(world: World) -> None:
    """And counted in what the account spends per hour."""
    endpoint = world.endpoint(gpu_ids="AMPERE_48")
    worker = world.state.fleet.add(endpoint)
    world.clock.advance(100)
    assert bill(world)[0].gpu_usd == pytest.approx(100 * A40_USD)
    assert world.state.billing.spend_per_h_usd() == pytest.approx(3600 * A40_USD)
    assert world.state.billing.spend_per_h_usd("somebody") == 0
    world.state.fleet.remove(worker.id)
    world.clock.advance(100)
    assert bill(world)[0].gpu_usd == pytest.approx(100 * A40_USD)
    assert world.state.billing.spend_per_h_usd() == 0
    assert world.state.billing.lifetime_usd() == pytest.approx(100 * A40_USD)


def test_runs_are_divided_into_buckets(world: World) -> None:
    """Each bucket has what was used in it; the sum is the same."""
    endpoint = world.endpoint(gpu_ids="AMPERE_48")
    start = world.clock.now() // HOUR_S * HOUR_S + HOUR_S
    world.clock.advance(start + 1800 - world.clock.now())
    run(world, endpoint, HOUR_S)
    records = world.state.billing.serverless(start, start + 3 * HOUR_S, "hour")
    assert [(each.start, each.end, each.billed_s) for each in records] == [
        (start, start + HOUR_S, 1800),
        (start + HOUR_S, start + 2 * HOUR_S, 1800),
        (start + 2 * HOUR_S, start + 3 * HOUR_S, 0),
    ]
    assert sum(each.total_usd for each in records) == pytest.approx(HOUR_S * A40_USD)


def test_each_endpoint_has_its_records(world: World) -> None:
    """A filter leaves those of one; deleting an endpoint does not undo what it cost."""
    one, two = world.endpoint(gpu_ids="AMPERE_48"), world.endpoint(gpu_ids="ADA_24")
    run(world, one, 10)
    run(world, two, 20)
    world.state.delete_endpoint(one.id)
    assert {each.endpoint_id: each.billed_s for each in bill(world)} == {one.id: 10, two.id: 20}
    assert [each.endpoint_id for each in bill(world, endpoint_id=two.id)] == [two.id]
    assert bill(world, endpoint_id="nobody") == []


@pytest.mark.proves("rule: account-numbers")
def test_a_restart_loses_nothing(start: Callable[[Store], World]) -> None:
    """What ended stays; what ran when the emulator was killed ended when it was last alive."""
    store = SqliteStore(":memory:")
    world = start(store)
    endpoint = world.endpoint(gpu_ids="AMPERE_48")
    run(world, endpoint, 100)
    world.state.fleet.add(endpoint)
    world.clock.advance(59)
    world.state.sweep()
    world.clock.advance(1)
    assert world.state.billing.next_due_s() == 0
    world.state.sweep()
    world.clock.advance(5000)
    world = start(store)
    assert [each.billed_s for each in bill(world)] == [160]
    assert world.state.billing.spend_per_h_usd() == 0
    assert [each.billed_s for each in bill(start(store))] == [160]
    store.close()


def test_a_run_that_was_killed_at_once_costs_nothing(start: Callable[[Store], World]) -> None:
    """It never was known to be alive after its start."""
    store = SqliteStore(":memory:")
    world = start(store)
    world.state.fleet.add(world.endpoint(gpu_ids="AMPERE_48"))
    world.clock.advance(30)
    assert bill(start(store)) == []
    store.close()


def test_what_is_old_is_forgotten(start: Callable[[Store], World]) -> None:
    """Neither memory nor file keep more than 400 days, nor more than the hours in them."""
    store = SqliteStore(":memory:")
    world = start(store)
    endpoint = world.endpoint(gpu_ids="AMPERE_48")
    for _ in range(50):
        run(world, endpoint, 1)
    assert len(store.load().of("billed hour")) <= 2
    world.clock.advance(RETENTION_S + 2 * HOUR_S)
    run(world, endpoint, 1)
    assert [each["billed_s"] for each in store.load().of("billed hour")] == [1]
    assert sum(each.billed_s for each in world.state.billing.usages()) == 1
    store.close()


def test_a_throttled_worker_costs_nothing_until_it_starts(world: World) -> None:
    """It waits for room without a machine."""
    endpoint = world.endpoint(gpu_ids="AMPERE_48")
    waiting = world.state.fleet.add(endpoint, throttled=True)
    world.clock.advance(100)
    world.state.fleet.remove(waiting.id)
    assert bill(world) == []


@pytest.mark.parametrize(
    ("bucket", "edges"),
    [
        ("day", ["2026-02-26", "2026-02-27", "2026-02-28", "2026-03-01"]),
        ("week", ["2026-02-23", "2026-03-02"]),
        ("month", ["2026-02-01", "2026-03-01"]),
        ("year", ["2026-01-01", "2027-01-01"]),
    ],
)
def test_buckets_are_those_of_the_calendar(bucket: str, edges: list[str]) -> None:
    """In UTC; the first one and the last one are whole."""
    start = datetime(2026, 2, 26, 13, 5, tzinfo=UTC).timestamp()
    end = datetime(2026, 2, 28, 1, tzinfo=UTC).timestamp()
    found = [datetime.fromtimestamp(each, UTC) for each in bucket_edges(start, end, bucket)]
    assert [each.isoformat() for each in found] == [f"{each}T00:00:00+00:00" for each in edges]


def test_hours_follow_each_other() -> None:
    """Also over midnight."""
    start = datetime(2026, 12, 31, 22, 30, tzinfo=UTC).timestamp()
    edges = bucket_edges(start, start + 2 * HOUR_S, "hour")
    assert [each - edges[0] for each in edges] == [0, 3600, 7200, 10800]


@given(
    start=st.floats(min_value=0, max_value=4e9),
    # A clock counts in microseconds: added to a date, less is nothing.
    lasts_s=st.floats(min_value=1e-6, max_value=10 * 86_400) | st.just(0.0),
    disk_gb=st.integers(min_value=0, max_value=500),
)
def test_hours_add_up_to_the_run(start: float, lasts_s: float, disk_gb: int) -> None:
    """Wherever it is cut: no second is lost, none is paid twice, none is in two hours."""
    run = WorkerRun("w", "e", "NVIDIA A40", 2, disk_gb, start, start + lasts_s)
    usages = list(_usages(run))
    lasted_s = (start + lasts_s) - start
    assert sum(each.billed_s for each in usages) == pytest.approx(math.ceil(lasted_s))
    assert sum(each.gpu_usd for each in usages) == pytest.approx(math.ceil(lasted_s) * 2 * A40_USD)
    assert sum(each.disk_usd for each in usages) == pytest.approx(
        math.ceil(lasted_s / 300) * 300 * disk_gb * 0.10 / MONTH_S
    )
    assert all(0 <= each.billed_s <= HOUR_S for each in usages)
    assert len({each.id for each in usages}) == len(usages)


def test_unknown_buckets_are_refused() -> None:
    """In RunPod's name of the parameter."""
    with pytest.raises(ControlPlaneError, match="bucketSize must be one of hour, day"):
        bucket_edges(0, 1, "decade")
