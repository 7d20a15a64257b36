"""Rules of the job API that clients rely on, over HTTP; nothing here needs a worker's process."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Client, Stage

UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@pytest.fixture
def asleep(client: Client) -> Iterator[str]:
    """An endpoint that never gets a worker."""
    endpoint_id = client.endpoint("puppet", workersMax=0)
    yield endpoint_id
    client.delete(endpoint_id)


@pytest.mark.proves("rule: runsync-wait", "job-api: runsync", "job-api: status-sync")
@pytest.mark.parametrize("wait_ms", [1, 1000])
def test_a_synchronous_request_answers_at_the_end_of_its_wait(
    client: Client, asleep: str, wait_ms: int
) -> None:
    """With the job as it stands; a wait below a second is a second."""
    began = time.monotonic()
    job = client.http.post(f"/v2/{asleep}/runsync?wait={wait_ms}", json={"input": 1}).json()
    assert 1 <= time.monotonic() - began < 5
    assert job == {"id": job["id"], "status": "IN_QUEUE"}
    again = client.http.get(f"/v2/{asleep}/status-sync/{job['id']}?wait={wait_ms}").json()
    assert again == job


@pytest.mark.proves("rule: job-ids")
def test_ids_look_like_runpods(client: Client, asleep: str, stage: Stage) -> None:
    """Those of jobs, of synchronous jobs, of endpoints, templates and workers."""
    assert re.fullmatch(f"{UUID}-[ue][12]", client.run(asleep, 1))
    sync = client.http.post(f"/v2/{asleep}/runsync?wait=1000", json={"input": 1}).json()["id"]
    assert re.fullmatch(f"sync-{UUID}-[ue][12]", sync)
    endpoint_id, puppet = stage.on_duty()
    assert re.fullmatch("[a-z0-9]{14}", endpoint_id)
    assert re.fullmatch("[a-z0-9]{14}", puppet.id)
    listed = client.graphql("{ myself { endpoints { id templateId } } }")["myself"]["endpoints"]
    assert all(re.fullmatch("[a-z0-9]{10}", each["templateId"]) for each in listed)
    client.delete(endpoint_id)


@pytest.mark.proves("rule: npm-client", "job-api: cancel", "job-api: purge-queue")
def test_a_body_that_says_nothing_is_taken(client: Client, asleep: str) -> None:
    """RunPod's npm client sends {} where its Python client sends no body at all."""
    for body in (b"{}", b""):
        job_id = client.run(asleep, 1)
        cancelled = client.http.post(f"/v2/{asleep}/cancel/{job_id}", content=body)
        assert cancelled.json() == {"id": job_id, "status": "CANCELLED"}
        client.run(asleep, 2)
        purged = client.http.post(f"/v2/{asleep}/purge-queue", content=body)
        assert purged.json() == {"removed": 1, "status": "completed"}


@pytest.mark.proves("rule: npm-client", "rule: drained-stream")
def test_the_last_pieces_come_with_the_final_status(client: Client, stage: Stage) -> None:
    """RunPod's npm client reads no further than the first final answer."""
    endpoint_id, puppet = stage.on_duty()
    job_id = client.run(endpoint_id, 1)
    while puppet.take().status_code == 204:
        pass
    puppet.stream(job_id, "a")
    puppet.done(job_id, '{"output": []}')
    answer = client.http.get(f"/v2/{endpoint_id}/stream/{job_id}")
    assert answer.json() == {"status": "COMPLETED", "stream": [{"output": "a"}]}
    client.delete(endpoint_id)


@pytest.mark.proves("rule: job-states", "rule: purge-queued-only")
def test_a_cancelled_job_stays_cancelled(client: Client, asleep: str) -> None:
    """A second cancellation, a purge and a retry change nothing about it."""
    job_id = client.run(asleep, 1)
    for _ in range(2):
        cancelled = client.http.post(f"/v2/{asleep}/cancel/{job_id}").json()
        assert cancelled == {"id": job_id, "status": "CANCELLED"}
    client.http.post(f"/v2/{asleep}/purge-queue")
    assert client.http.post(f"/v2/{asleep}/retry/{job_id}").status_code == 400
    assert client.status(asleep, job_id) == {"id": job_id, "status": "CANCELLED"}
