"""A database that an older version wrote holds the same after it is opened by this one."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.emulator.errors import JobApiError
from runpodctl_py.emulator.jobs.job import RETENTION_S, SYNC_RETENTION_S, JobStatus
from runpodctl_py.emulator.store import Counters, SqliteStore
from runpodctl_py.emulator.store_schema import MIGRATIONS
from runpodctl_py.errors import EmulatorError
from runpodctl_py.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import World

    from runpodctl_py.emulator.store import Store

NOW = FakeClock().now()

TEMPLATE = {
    "id": "template01",
    "name": "mine",
    "image_name": "me/image:1",
    "docker_args": "",
    "container_disk_in_gb": 5,
    "volume_in_gb": 0,
    "volume_mount_path": "/workspace",
    "ports": None,
    "ports_config": [],
    "env": {"A": "b"},
    "is_public": False,
    "is_serverless": True,
    "bound_endpoint_id": None,
    "readme": "",
    "start_jupyter": False,
    "start_script": None,
    "start_ssh": False,
    "advanced_start": False,
    "container_registry_auth_id": None,
    "category": None,
    "config": None,
}
ENDPOINT = {
    "id": "endpoint000001",
    "name": "mine -fb",
    "created_at": NOW - 86_400,
    "template_id": "template01",
    "gpu_ids": "ADA_24,-NVIDIA L4",
    "gpu_count": 2,
    "instance_ids": [],
    "workers_min": 0,
    "workers_max": 4,
    "workers_pfb_target": 0,
    "idle_timeout": 7,
    "scaler_type": "REQUEST_COUNT",
    "scaler_value": 2,
    "execution_timeout_ms": 60_000,
    "locations": "EU-RO-1",
    "network_volume_id": "volume0001",
    "network_volume_ids": ["volume0001"],
    "allowed_cuda_versions": "12.8",
    "min_cuda_version": None,
    "flash_boot_type": "FLASHBOOT",
    "flash_environment_id": None,
    "type": "QB",
    "compliance": ["GDPR"],
    "model_references": [],
    "hub_release_id": None,
    "version": 3,
}
SECOND = {
    **ENDPOINT,
    "id": "endpoint000002",
    "name": "second",
    "network_volume_id": None,
    "network_volume_ids": [],
}
"""Bodies as version 1 wrote them: every field, lists for tuples."""


def job(number: int, status: str, **columns: Any) -> dict[str, Any]:
    """Returns a row as version 1 wrote it."""
    policy = {"execution_timeout_ms": 0, "ttl_ms": 86_400_000, "low_priority": number == 2}
    return {
        "id": f"job-{number}-u1",
        "endpoint_id": "endpoint000001",
        "request": json.dumps({"input": {"n": number}, "webhook": "https://receiver.example"}),
        "policy": json.dumps(policy),
        "sync": 0,
        "created_at": NOW - 100 + number,
        "status": status,
        "worker_id": None,
        "started_at": None,
        "finished_at": None,
        "retries": 0,
        "outcome": "{}",
        **columns,
    }


ON_A_WORKER = {"worker_id": "worker00000001", "started_at": NOW - 50}
JOBS = [
    job(1, "IN_PROGRESS", **ON_A_WORKER, retries=1, outcome='{"output":"half way"}'),
    job(2, "IN_QUEUE"),
    job(3, "IN_QUEUE", sync=1),
    job(4, "COMPLETED", **ON_A_WORKER, finished_at=NOW - 40, outcome='{"output":{"a":[1]}}'),
    job(5, "FAILED", **ON_A_WORKER, finished_at=NOW - 40, sync=1, outcome='{"error":"no"}'),
    job(6, "TIMED_OUT", **ON_A_WORKER, finished_at=NOW - 70, sync=1, outcome='{"error":"late"}'),
    job(7, "CANCELLED", finished_at=NOW - 40),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database of version 1."""
    path = tmp_path / "state.sqlite3"
    with closing(sqlite3.connect(path)) as old, old:
        old.executescript(f"{MIGRATIONS[0]}; PRAGMA user_version = 1;")
        old.execute("INSERT INTO template VALUES (?, ?)", ("template01", json.dumps(TEMPLATE)))
        for endpoint, counted in ((ENDPOINT, (5, 2, 1)), (SECOND, (0, 0, 0))):
            row = (endpoint["id"], json.dumps(endpoint), *counted)
            old.execute("INSERT INTO endpoint VALUES (?, ?, ?, ?, ?)", row)
        for each in JOBS:
            names = ", ".join(each)
            marks = ", ".join(f":{name}" for name in each)
            # The names are those of this file.
            old.execute(f"INSERT INTO job ({names}) VALUES ({marks})", each)  # noqa: S608
    return path


@pytest.fixture
def world(path: Path, start: Callable[[Store], World]) -> Iterator[World]:
    """What this version makes of it."""
    store = SqliteStore(path)
    yield start(store)
    store.close()


def test_templates_and_endpoints_are_the_same(world: World) -> None:
    """Every field of them, in their order; sequences are equal to those of a new one."""
    control = world.state.control
    template = control.templates["template01"]
    assert {name: getattr(template, name) for name in TEMPLATE} == {**TEMPLATE, "ports_config": ()}
    assert list(control.endpoints) == ["endpoint000001", "endpoint000002"]
    for old in (ENDPOINT, SECOND):
        endpoint = control.endpoints[str(old["id"])]
        expected = {name: tuple(v) if isinstance(v, list) else v for name, v in old.items()}
        assert {name: getattr(endpoint, name) for name in old} == expected


def test_counters_go_on(world: World) -> None:
    """Each endpoint has its own."""
    health = world.state.health("endpoint000001")
    assert (health.counters.completed, health.counters.failed, health.counters.retried) == (5, 2, 1)
    other = world.state.health("endpoint000002").counters
    assert (other.completed, other.failed, other.retried) == (0, 0, 0)


def test_jobs_that_are_not_final_wait_in_their_order(world: World) -> None:
    """The one that ran begins anew without a retry counted; low priority is still behind."""
    queue = world.state.jobs.queue("endpoint000001", 9)
    assert [each.id for each in queue] == ["job-1-u1", "job-3-u1", "job-2-u1"]
    running, sync, low = queue
    assert (running.status, running.retries, running.worker_id) == (JobStatus.IN_QUEUE, 1, None)
    assert running.request == {"input": {"n": 1}, "webhook": "https://receiver.example"}
    assert [each.policy.low_priority for each in queue] == [False, False, True]
    assert [each.created_at for each in queue] == [NOW - 99, NOW - 97, NOW - 98]
    assert all(each.queued_at == each.created_at for each in queue)
    assert (low.retention_s, sync.retention_s) == (RETENTION_S, SYNC_RETENTION_S)


def test_final_jobs_are_found(world: World) -> None:
    """With what came of them."""
    done = world.state.job("endpoint000001", "job-4-u1")
    assert (done.status, done.outcome) == (JobStatus.COMPLETED, {"output": {"a": [1]}})
    assert (done.worker_id, done.started_at, done.finished_at) == (
        "worker00000001",
        NOW - 50,
        NOW - 40,
    )
    failed = world.state.job("endpoint000001", "job-5-u1")
    assert (failed.status, failed.outcome) == (JobStatus.FAILED, {"error": "no"})
    assert world.state.job("endpoint000001", "job-7-u1").status is JobStatus.CANCELLED


def test_results_are_kept_as_long_as_they_were(world: World) -> None:
    """One minute for synchronous jobs, thirty for others, from their end (API reference 4.3)."""

    def found() -> list[int]:
        world.state.sweep()
        kept = []
        for number in (4, 5, 6, 7):
            try:
                world.state.job("endpoint000001", f"job-{number}-u1")
            except JobApiError:
                continue
            kept.append(number)
        return kept

    assert found() == [4, 5, 7]
    world.clock.advance(20)
    assert found() == [4, 7]
    world.clock.advance(RETENTION_S - 60)
    assert found() == []


def test_the_migrated_database_works(world: World) -> None:
    """It can be written to as a new one can, and nothing is migrated twice."""
    endpoint = world.state.endpoint("endpoint000001")
    job = world.submit(endpoint)
    worker = world.worker(endpoint)
    taken = world.state.fleet.take(worker, 9)
    assert [each.id for each in taken] == ["job-1-u1", "job-3-u1", job.id, "job-2-u1"]
    world.state.fleet.result(worker.id, "job-1-u1", {"output": 1})
    world.state.change_endpoint("endpoint000002", workers_max=1)
    kept = world.store.load()
    assert kept.counters[endpoint.id] == Counters(6, 2, 1, requested_at=job.queued_at)
    assert [each["workers_max"] for each in kept.of("endpoint")] == [4, 1]


def test_opening_it_again_changes_nothing(path: Path) -> None:
    """The second time it is of this version."""
    first = SqliteStore(path)
    before = first.load()
    first.close()
    again = SqliteStore(path)
    assert again.load() == before
    again.close()
    with closing(sqlite3.connect(path)) as raw:
        (version,) = raw.execute("PRAGMA user_version").fetchone()
    assert version == len(MIGRATIONS)


def test_a_migration_that_fails_leaves_the_old_version(path: Path) -> None:
    """All of a step or nothing: the version that wrote it can still open it."""
    with closing(sqlite3.connect(path)) as old, old:
        old.execute("CREATE TABLE resource (x)")
    with pytest.raises(EmulatorError, match="resource"):
        SqliteStore(path)
    with closing(sqlite3.connect(path)) as raw:
        (version,) = raw.execute("PRAGMA user_version").fetchone()
        (jobs,) = raw.execute("SELECT count(*) FROM job WHERE sync IN (0, 1)").fetchone()
    assert (version, jobs) == (1, len(JOBS))
