"""Real workers of the official SDK."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Client

    Eventually = Callable[[Callable[[], Any]], None]


@pytest.fixture(scope="module")
def plain(client: Client) -> str:
    """An endpoint whose handler does what its input asks for."""
    return client.endpoint("plain")


@pytest.mark.proves("job-api: runsync", "rule: worker-environment", "rule: job-ids")
def test_a_job_is_done(client: Client, plain: str) -> None:
    """/runsync holds until the worker has started and answered; its HOME is empty."""
    task = {"do": "echo", "text": "é"}
    answer = client.http.post(f"/v2/{plain}/runsync", json={"input": task}).json()
    assert (answer["status"], answer["id"][:5]) == ("COMPLETED", "sync-")
    assert answer["output"] == {"echo": task, "home": []}


@pytest.mark.proves("rule: error-shapes")
def test_an_exception_fails_the_job(client: Client, plain: str) -> None:
    """The error is a JSON string with the SDK's keys."""
    final = client.final(plain, client.run(plain, {"do": "raise"}))
    assert final["status"] == "FAILED"
    error = json.loads(final["error"])
    assert error["error_type"] == "<class 'ValueError'>"
    assert error["error_message"] == "boom é"
    assert error["worker_id"] == final["workerId"]


@pytest.mark.proves("rule: error-shapes")
def test_a_returned_error_fails_the_job(client: Client, plain: str) -> None:
    """The other keys stay in the output."""
    final = client.final(plain, client.run(plain, {"do": "error"}))
    assert (final["status"], final["error"]) == ("FAILED", "bad thing")
    assert final["output"] == {"extra": 1}


@pytest.mark.proves("rule: nan")
def test_nan_becomes_null(client: Client, plain: str) -> None:
    """The SDK posts it bare, which no strict parser reads."""
    final = client.final(plain, client.run(plain, {"do": "nan"}))
    assert final["output"] == {"number": None}


@pytest.mark.proves("rule: progress")
def test_progress_is_shown(
    client: Client, plain: str, tmp_path: Path, eventually: Eventually
) -> None:
    """As the output, while the job runs."""
    until = tmp_path / "go on"
    job_id = client.run(plain, {"do": "progress", "until": str(until)})
    eventually(lambda: client.status(plain, job_id).get("output") == "half way")
    assert client.status(plain, job_id)["status"] == "IN_PROGRESS"
    until.touch()
    assert client.final(plain, job_id)["output"] == "all the way"


@pytest.mark.proves("rule: unserialisable", "rule: one-retry")
def test_a_result_that_cannot_be_sent_is_noticed(client: Client, plain: str) -> None:
    """The SDK logs it and says nothing; the job is tried once more, then failed."""
    final = client.final(plain, client.run(plain, {"do": "set"}))
    assert (final["status"], final["retries"]) == ("FAILED", 1)
    assert final["error"] == "job timed out after 1 retries"


@pytest.mark.proves("rule: crash", "rule: one-retry")
def test_a_crash_is_retried_once(client: Client) -> None:
    """Each attempt costs a worker; their logs stay."""
    endpoint_id = client.endpoint("plain")
    final = client.final(endpoint_id, client.run(endpoint_id, {"do": "crash"}))
    assert (final["status"], final["retries"]) == ("FAILED", 1)
    logs = list((client.server.data_folder / "logs" / endpoint_id).glob("*.log"))
    assert len(logs) == 2
    log = (logs[0].parent / f"{final['workerId']}.log").read_text("utf-8")
    assert f'"{final["id"]}"' in log
    assert "The job was lost: its worker ended with exit code 7." in log


@pytest.mark.proves("rule: cancel-running")
def test_a_blocked_worker_is_killed_on_cancel(client: Client, eventually: Eventually) -> None:
    """A synchronous handler never reads the stop signal."""
    endpoint_id = client.endpoint("plain")
    job_id = client.run(endpoint_id, {"do": "sleep"})
    eventually(lambda: client.status(endpoint_id, job_id)["status"] == "IN_PROGRESS")
    client.http.post(f"/v2/{endpoint_id}/cancel/{job_id}")
    eventually(lambda: client.workers(endpoint_id) == [])
    assert client.status(endpoint_id, job_id)["status"] == "CANCELLED"


@pytest.mark.proves("rule: concurrency")
def test_one_worker_runs_several_jobs_at_once(client: Client, eventually: Eventually) -> None:
    """With a concurrency of four, and one of them can be cancelled without harm to the others."""
    endpoint_id = client.endpoint("four_at_once")
    # The first batch shows the SDK's batch polls; the queue is full before the worker is up.
    jobs = [client.run(endpoint_id, {"sleep_s": 1}) for _ in range(3)]
    long = client.run(endpoint_id, {"sleep_s": 600})
    eventually(lambda: client.health(endpoint_id)["jobs"]["inProgress"] == 4)
    client.http.post(f"/v2/{endpoint_id}/cancel/{long}")
    finals = [client.final(endpoint_id, job_id) for job_id in jobs]
    assert [each["output"] for each in finals] == ["slept"] * 3
    assert len({each["workerId"] for each in finals}) == 1
    assert [each for each in finals if "retries" in each] == []
    assert client.status(endpoint_id, long)["status"] == "CANCELLED"
    again = client.final(endpoint_id, client.run(endpoint_id, {"sleep_s": 0}))
    assert again["workerId"] == finals[0]["workerId"]


def test_the_bundled_worker_starts(client: Client, eventually: Eventually) -> None:
    """Under any registry and tag."""
    endpoint_id = client.endpoint("me/worker-test:dev", workersMin=1)
    eventually(lambda: client.health(endpoint_id)["workers"]["idle"] == 1)
    client.delete(endpoint_id)


def test_an_image_nobody_can_start_says_so(client: Client, eventually: Eventually) -> None:
    """The worker is unhealthy, its log tells why, and the job waits."""
    endpoint_id = client.endpoint("me/unheard-of:1")
    job_id = client.run(endpoint_id, 1)
    eventually(lambda: client.health(endpoint_id)["workers"]["unhealthy"] == 1)
    (worker,) = client.workers(endpoint_id)
    assert "no command is known" in Path(worker["logPath"]).read_text("utf-8")
    assert client.status(endpoint_id, job_id)["status"] == "IN_QUEUE"
    client.delete(endpoint_id)
