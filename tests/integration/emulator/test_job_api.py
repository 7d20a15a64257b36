"""The job API over HTTP, with a worker that the test speaks for."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Client, Puppet, Stage

MEGABYTE = 1024 * 1024


@pytest.fixture
def duty(stage: Stage) -> Iterator[tuple[str, Puppet]]:
    """An endpoint with one worker."""
    endpoint_id, puppet = stage.on_duty()
    yield endpoint_id, puppet
    stage.client.delete(endpoint_id)


def taken(client: Client, duty: tuple[str, Puppet], **body: Any) -> str:
    """Submits a job and has the worker take it; returns its id."""
    endpoint_id, puppet = duty
    job_id = client.run(endpoint_id, {"n": 1}, **body)
    while (answer := puppet.take()).status_code == 204:
        pass
    assert answer.json()["id"] == job_id
    return job_id


def streamed(client: Client, endpoint_id: str, job_id: str, query: str = "") -> Any:
    """Returns what /stream answers."""
    return client.http.get(f"/v2/{endpoint_id}/stream/{job_id}{query}").json()


@pytest.mark.proves("job-api: stream/{job_id}", "rule: drained-stream")
def test_a_stream_is_drained_and_ends_with_an_empty_list(
    client: Client, duty: tuple[str, Puppet]
) -> None:
    """Each piece is handed out once; the final status comes with the last ones or with none."""
    endpoint_id, puppet = duty
    job_id = taken(client, duty)
    puppet.stream(job_id, {"token": "a"})
    puppet.stream(job_id, "b")
    first = {"status": "IN_PROGRESS", "stream": [{"output": {"token": "a"}}, {"output": "b"}]}
    assert streamed(client, endpoint_id, job_id) == first
    puppet.stream(job_id, "c")
    puppet.done(job_id, '{"output": []}')
    assert streamed(client, endpoint_id, job_id) == {
        "status": "COMPLETED",
        "stream": [{"output": "c"}],
    }
    posted = client.http.post(f"/v2/{endpoint_id}/stream/{job_id}")
    assert posted.json() == {"status": "COMPLETED", "stream": []}
    assert client.status(endpoint_id, job_id)["output"] == []


@pytest.mark.proves("rule: stream-hold")
def test_a_stream_is_held_until_a_piece_comes(client: Client, duty: tuple[str, Puppet]) -> None:
    """Without one it answers after the wait, with an empty list."""
    endpoint_id, puppet = duty
    job_id = taken(client, duty)
    assert streamed(client, endpoint_id, job_id, "?wait=1000") == {
        "status": "IN_PROGRESS",
        "stream": [],
    }
    answers: list[Any] = []
    reader = threading.Thread(
        target=lambda: answers.append(streamed(client, endpoint_id, job_id, "?wait=60000"))
    )
    reader.start()
    puppet.stream(job_id, "late")
    reader.join()
    assert answers == [{"status": "IN_PROGRESS", "stream": [{"output": "late"}]}]
    puppet.done(job_id, "{}")


@pytest.mark.proves("rule: stream-chunk-limit")
def test_a_large_piece_of_text_is_split(client: Client, duty: tuple[str, Puppet]) -> None:
    """No piece is larger than 1 MB, none is cut inside a character, and nothing is lost."""
    endpoint_id, puppet = duty
    job_id = taken(client, duty)
    text = "x" + "\u00e9" * MEGABYTE
    puppet.stream(job_id, text)
    puppet.done(job_id, "{}")
    pieces = [each["output"] for each in streamed(client, endpoint_id, job_id)["stream"]]
    assert "".join(pieces) == text
    assert [len(each.encode()) for each in pieces] == [MEGABYTE - 1, MEGABYTE, 2]


@pytest.mark.proves("job-api: retry/{job_id}")
def test_a_failed_job_is_retried_under_its_id(client: Client, duty: tuple[str, Puppet]) -> None:
    """The old error and the old stream are gone; a finished or running job is refused."""
    endpoint_id, puppet = duty
    job_id = taken(client, duty)
    puppet.stream(job_id, "old")
    retry = f"/v2/{endpoint_id}/retry/{job_id}"
    assert client.http.post(retry).status_code == 400
    puppet.done(job_id, '{"error": "boom"}')
    assert client.status(endpoint_id, job_id)["status"] == "FAILED"
    assert client.http.post(retry).json() == {"id": job_id, "status": "IN_QUEUE"}
    assert client.status(endpoint_id, job_id) == {"id": job_id, "status": "IN_QUEUE"}
    assert puppet.take().json()["id"] == job_id
    puppet.done(job_id, '{"output": 2}')
    again = client.final(endpoint_id, job_id)
    assert (again["status"], again["output"], "error" in again) == ("COMPLETED", 2, False)
    assert streamed(client, endpoint_id, job_id)["stream"] == []
    assert client.http.post(retry).status_code == 400


@pytest.mark.proves("job-api: purge-queue")
def test_purging_the_queue_spares_running_jobs(client: Client, duty: tuple[str, Puppet]) -> None:
    """Those that wait are cancelled, and counted."""
    endpoint_id, puppet = duty
    running = taken(client, duty)
    waiting = [client.run(endpoint_id, n) for n in range(2)]
    purged = client.http.post(f"/v2/{endpoint_id}/purge-queue", json={})
    assert purged.json() == {"removed": 2, "status": "completed"}
    assert [client.status(endpoint_id, each)["status"] for each in waiting] == ["CANCELLED"] * 2
    assert client.status(endpoint_id, running)["status"] == "IN_PROGRESS"
    puppet.done(running, "{}")
    assert client.http.post(f"/v2/{endpoint_id}/purge-queue").json()["removed"] == 0


@pytest.mark.proves("job-api: requests")
def test_the_latest_requests_are_listed(client: Client, duty: tuple[str, Puppet]) -> None:
    """The latest first, running ones with their progress."""
    endpoint_id, puppet = duty
    done, running = taken(client, duty), None
    puppet.done(done, '{"output": 1}')
    running = taken(client, duty)
    puppet.done(running, json.dumps({"status": "IN_PROGRESS", "output": "half"}))
    listed = client.http.get(f"/v2/{endpoint_id}/requests").json()["requests"]
    assert [(each["id"], each["output"]) for each in listed[:2]] == [(running, "half"), (done, 1)]
    puppet.done(running, "{}")


@pytest.mark.proves("rule: status-ttl")
def test_a_client_can_have_a_result_removed_sooner(
    client: Client, duty: tuple[str, Puppet]
) -> None:
    """`?ttl=` on a final job counts from that request; a running job keeps its life."""
    endpoint_id, puppet = duty
    job_id = taken(client, duty)
    path = f"/v2/{endpoint_id}/status/{job_id}"
    assert client.http.get(f"{path}?ttl=0").status_code == 200
    assert client.http.get(f"{path}?ttl=soon").status_code == 400
    puppet.done(job_id, '{"output": 1}')
    assert client.http.get(f"{path}?ttl=0").json()["output"] == 1
    assert client.http.get(path).status_code == 404


@pytest.mark.parametrize("query", ["ttl=" + "9" * 400, "ttl=" + "9" * 5000, "ttl=-1", "ttl=\u0663"])
def test_a_time_that_is_none_is_refused(
    client: Client, duty: tuple[str, Puppet], query: str
) -> None:
    """However large it is."""
    endpoint_id, puppet = duty
    job_id = taken(client, duty)
    assert client.http.get(f"/v2/{endpoint_id}/status/{job_id}?{query}").status_code == 400
    puppet.done(job_id, "{}")


@pytest.mark.parametrize("depth", [400, 900, 960, 980, 100_000])
def test_a_body_of_any_depth_is_kept_or_refused(
    client: Client, duty: tuple[str, Puppet], depth: int
) -> None:
    """What can be read and not be written any more is a bad request, and no job."""
    endpoint_id, puppet = duty
    body = '{"input": ' + "[" * depth + "1" + "]" * depth + "}"
    answer = client.http.post(f"/v2/{endpoint_id}/run", content=body)
    assert answer.status_code in {200, 400}, answer.text
    queued = client.health(endpoint_id)["jobs"]["inQueue"]
    assert queued == (answer.status_code == 200)
    if queued:
        assert puppet.take().status_code == 200
        puppet.done(answer.json()["id"], "{}")
