"""Simulated workers behind the whole local RunPod, over HTTP."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.emulator.config import Simulation

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from conftest import Client

    Start = Callable[..., AbstractContextManager[Client]]
    Eventually = Callable[[Callable[[], Any]], None]

pytestmark = pytest.mark.proves("rule: simulated-workers")


def ended(client: Client, endpoint_id: str) -> int:
    """Counts the jobs that are final."""
    jobs = client.health(endpoint_id)["jobs"]
    return int(jobs["completed"] + jobs["failed"])


def test_all_jobs_end(start_with: Start, eventually: Eventually) -> None:
    """Some hundred jobs, for workers that come and go by the endpoint's own settings."""
    simulation = Simulation(delay_s=0.02, jitter_s=0.01, fail=0.1, seed=1, concurrency=20)
    with start_with(simulation=simulation) as client:
        endpoint_id = client.endpoint("any", workersMax=3)
        for n in range(200):
            client.run(endpoint_id, {"n": n})
        eventually(lambda: ended(client, endpoint_id) == 200)
        jobs = client.health(endpoint_id)["jobs"]
        listed = client.http.get(f"/v2/{endpoint_id}/requests").json()["requests"]
    assert (jobs["inQueue"], jobs["inProgress"], jobs["retried"]) == (0, 0, 0)
    assert 5 < jobs["failed"] < 40
    assert {job["status"] for job in listed} == {"COMPLETED", "FAILED"}


def test_a_file_is_in_the_output(start_with: Start) -> None:
    """Described as the bundled worker describes its files."""
    with start_with(simulation=Simulation()) as client:
        endpoint_id = client.endpoint("any")
        job = client.http.post(f"/v2/{endpoint_id}/runsync", json={"input": {}}).json()
    file = job["output"]["result"]
    content = base64.b64decode(file["content_base64"])
    assert job["id"] in content.decode()
    assert file == {
        "filename": f"simulated_{job['id'].removeprefix('sync-')[:8]}.txt",
        "content_type": "text/plain",
        "size_bytes": len(content),
        "content_base64": file["content_base64"],
        "preview": "A file from a simulated worker",
    }


def test_all_fail_if_all_should(start_with: Start) -> None:
    """A failed job is not tried again: its worker is well."""
    with start_with(simulation=Simulation(fail=1.0)) as client:
        endpoint_id = client.endpoint("any")
        job_ids = [client.run(endpoint_id, {}) for _ in range(20)]
        ends = [client.final(endpoint_id, job_id) for job_id in job_ids]
    assert {(end["status"], end.get("retries")) for end in ends} == {("FAILED", None)}


def test_a_running_job_is_seen_and_cancelled(start_with: Start, eventually: Eventually) -> None:
    """With its progress, on a worker without a process; the worker goes on."""
    with start_with(simulation=Simulation(delay_s=60, progress=6000, concurrency=1)) as client:
        endpoint_id = client.endpoint("any")
        job_id = client.run(endpoint_id, {})
        eventually(lambda: "step" in client.status(endpoint_id, job_id).get("output", {}))
        (worker,) = client.workers(endpoint_id)
        assert (worker["state"], worker["pid"], worker["jobs"]) == ("RUNNING", None, [job_id])
        next_id = client.run(endpoint_id, {})
        client.http.post(f"/v2/{endpoint_id}/cancel/{job_id}")
        assert client.status(endpoint_id, job_id)["status"] == "CANCELLED"
        eventually(lambda: client.status(endpoint_id, next_id)["status"] == "IN_PROGRESS")
        assert client.status(endpoint_id, next_id)["workerId"] == worker["id"]


def test_workers_are_scaled_like_real_ones(start_with: Start, eventually: Eventually) -> None:
    """Kept warm, and gone with their endpoint."""
    with start_with(simulation=Simulation()) as client:
        endpoint_id = client.endpoint("any", workersMin=2, workersMax=2)
        eventually(lambda: client.health(endpoint_id)["workers"]["idle"] == 2)
        client.delete(endpoint_id)
        eventually(lambda: client.workers(endpoint_id) == [])


def test_jobs_outlive_a_restart(start_with: Start, eventually: Eventually) -> None:
    """What was done is there; what was not begins anew, and no retry is counted."""
    with start_with(simulation=Simulation()) as client:
        endpoint_id = client.endpoint("any")
        done = client.final(endpoint_id, client.run(endpoint_id, {}))
    with start_with(simulation=Simulation(delay_s=60)) as client:
        job_id = client.run(endpoint_id, {})
        eventually(lambda: client.status(endpoint_id, job_id)["status"] == "IN_PROGRESS")
    with start_with(simulation=Simulation()) as client:
        ended = client.final(endpoint_id, job_id)
        assert (ended["status"], ended.get("retries")) == ("COMPLETED", None)
        assert client.status(endpoint_id, done["id"]) == done
