"""Faults over HTTP: what a client and the official SDK's workers meet, and the API to set them."""

from __future__ import annotations

import logging
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from runpodctl_py.emulator.config import Simulation
from runpodctl_py.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from conftest import Client

    Start = Callable[..., AbstractContextManager[Client]]
    Eventually = Callable[[Callable[[], Any]], None]

NOBODY = "/v2/nobody"
"""No endpoint: what the emulator itself answers is 404."""


@pytest.fixture(autouse=True)
def _no_faults_left(client: Client) -> Iterator[None]:
    yield
    client.server.faults.clear()


def final(client: Client, endpoint_id: str, task: dict[str, Any]) -> Any:
    """Sends a job and waits for its end."""
    return client.final(endpoint_id, client.run(endpoint_id, task))


@pytest.mark.parametrize(
    ("fault", "said", "match"),
    [
        ("health:drop", httpx.RemoteProtocolError, "without sending a response"),
        ("health:drop-after", httpx.RemoteProtocolError, "without sending a response"),
        ("health:truncate", httpx.RemoteProtocolError, "received .* bytes, expected"),
    ],
)
def test_a_connection_ends_without_an_answer(
    client: Client, caplog: pytest.LogCaptureFixture, fault: str, said: type[Exception], match: str
) -> None:
    """The client sees it end, the next request works, and nothing is logged as our crash."""
    with (
        caplog.at_level(logging.WARNING),
        client.server.faults(fault),
        pytest.raises(said, match=match),
    ):
        client.http.get(f"{NOBODY}/health")
    assert client.http.get(f"{NOBODY}/health").status_code == 404
    assert caplog.records == []


def test_an_error_says_that_it_was_set_and_when_to_try_again(client: Client) -> None:
    """In the body, and in Retry-After."""
    client.server.faults.set("health:503:7s")
    answer = client.http.get(f"{NOBODY}/health")
    expected = {"error": "the fault health:503:7s was set on this local RunPod"}
    assert (answer.status_code, answer.json()) == (503, expected)
    assert answer.headers["Retry-After"] == "7"


def test_an_answer_is_no_json(client: Client) -> None:
    """It is HTML with status 200, as from a proxy that knows better."""
    client.server.faults.set("rest:garbage")
    answer = client.http.get("/v2/serverless")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.text.startswith("<html>")


@pytest.mark.parametrize("fault", ["health:delay:200ms", "health:slow:200ms"])
def test_an_answer_takes_its_time(client: Client, fault: str) -> None:
    """And is what it would have been."""
    with client.server.faults(fault):
        began = time.monotonic()
        answer = client.http.get(f"{NOBODY}/health")
        took_s = time.monotonic() - began
    assert answer.json() == {"error": "endpoint nobody not found"}
    assert took_s >= 0.2


def test_a_fault_strikes_what_it_names_only(client: Client) -> None:
    """One GraphQL operation among all, and no other; a batch of jobs is taken like one."""
    faults = client.server.faults
    faults.set("graphql.saveTemplate:500", "job-take:418")
    ask = {"query": "mutation { saveTemplate(input: {}) { id } }"}
    assert client.http.post("/graphql", json=ask).status_code == 500
    assert client.http.post("/graphql", json={"query": "{ myself { id } }"}).status_code == 200
    assert client.http.get(f"{NOBODY}/job-take-batch/w").status_code == 418
    assert (faults.struck("graphql.saveTemplate:500"), faults.struck()) == (1, 2)


def test_a_pause_ends_with_the_local_runpod(start_with: Start) -> None:
    """A request that is held by a fault does not keep it from stopping."""
    with start_with(simulation=Simulation()) as other:
        other.server.faults.set("health:delay:1h")
        held = httpx.Client(base_url=other.server.url, timeout=0.2)
        with held, pytest.raises(httpx.ReadTimeout):
            held.get(f"{NOBODY}/health")
        began = time.monotonic()
    assert time.monotonic() - began < 10


def test_faults_are_set_over_http(client: Client) -> None:
    """POST adds, PUT replaces, GET counts, DELETE forgets one or all."""
    path = "/_local/faults"
    client.http.post(path, json={"faults": ["health:500*1"]})
    (added,) = client.http.post(path, json={"faults": ["run:429"]}).json()["faults"]
    assert added == {"id": added["id"], "fault": "run:429", "seen": 0, "struck": 0}
    for _ in range(2):
        client.http.get(f"{NOBODY}/health")
    first, second = client.http.get(path).json()["faults"]
    assert (first["fault"], first["seen"], first["struck"]) == ("health:500*1", 2, 1)
    assert second == added
    assert client.http.delete(f"{path}/{added['id']}").json() == {"faults": [first]}
    gone = client.http.delete(f"{path}/{added['id']}")
    assert (gone.status_code, gone.json()["error"]) == (404, f"No fault {added['id']} is set")
    put = client.http.put(path, json={"faults": ["run:500", "run:404"]})
    assert [each["fault"] for each in put.json()["faults"]] == ["run:500", "run:404"]
    assert client.http.delete(path).json() == {"faults": []}


@pytest.mark.parametrize("body", [{"faults": ["run:explode"]}, {"faults": "run:500"}, {}, []])
def test_what_is_no_fault_is_refused_over_http(client: Client, body: object) -> None:
    """With words; and with nobody's key, nothing at all."""
    refused = client.http.post("/_local/faults", json=body)
    assert (refused.status_code, client.server.faults.struck()) == (400, 0)
    assert client.http.get("/_local/faults").json() == {"faults": []}
    assert httpx.get(f"{client.server.url}/_local/faults").status_code == 401


def test_the_fixture_sets_counts_and_clears(client: Client) -> None:
    """As a context it forgets only what it has set, even if that was cleared meanwhile."""
    faults = client.server.faults
    faults.set("run:500")
    with faults("health:429*1", "run:500") as same:
        client.http.get(f"{NOBODY}/health")
        assert (same.struck("health:429*1"), same.struck("run:500")) == (1, 0)
    left = client.http.get("/_local/faults").json()["faults"]
    assert [each["fault"] for each in left] == ["run:500"]
    with faults("health:500"):
        faults.clear()
    faults.add("health:404")
    faults.clear("health:404")
    with pytest.raises(UsageError, match="'explode'"):
        faults.set("run:explode")


def test_a_mistake_in_a_test_is_told_where_it_is_read(client: Client) -> None:
    """What is possible stands in the report; a fault that is not set cannot be counted."""
    with pytest.raises(UsageError) as told:
        client.server.faults.set("runn:429")
    assert any("purge-queue" in each for each in told.value.__notes__)
    with pytest.raises(NotFoundError, match="no fault run:429 is set"):
        client.server.faults.struck("run:429")
    with pytest.raises(TypeError, match="neither seconds nor a timedelta"):
        client.server.time.advance("31m")  # type: ignore[arg-type] # the mistake


def test_a_reset_clears_faults(start_with: Start) -> None:
    """None is left; workers come again."""
    with start_with(simulation=Simulation()) as other:
        other.server.faults.set("run:500", "worker:throttle")
        other.server.reset()
        assert other.http.get("/_local/faults").json() == {"faults": []}
        endpoint_id = other.endpoint("any")
        assert final(other, endpoint_id, {"n": 1})["status"] == "COMPLETED"


def test_a_cold_start_goes_by_virtual_time_where_workers_are_simulated(start_with: Start) -> None:
    """A quarter of an hour, at once."""
    with start_with(simulation=Simulation()) as other:
        other.server.time.freeze()
        with other.server.faults("coldstart:15m"):
            endpoint_id = other.endpoint("any")
            job_id = other.run(endpoint_id, {"n": 1})
            other.server.time.advance(14 * 60)
            assert other.health(endpoint_id)["workers"]["initializing"] == 1
            other.server.time.advance(60)
        job = other.status(endpoint_id, job_id)
    assert (job["status"], job["delayTime"]) == ("COMPLETED", 15 * 60 * 1000)


# The official SDK's workers.


def test_the_sdk_survives_refused_and_broken_polls(client: Client) -> None:
    """It asks again, whatever came of asking."""
    endpoint_id = client.endpoint("plain", workersMin=1)
    faults = ("job-take:500*3", "job-take:drop@4", "job-take:garbage@5", "job-stop:500*3")
    with client.server.faults(*faults) as known:
        job = final(client, endpoint_id, {"do": "echo"})
        assert known.struck("job-take:500*3") == 3
    assert (job["status"], job["output"]["echo"]) == ("COMPLETED", {"do": "echo"})
    client.delete(endpoint_id)


@pytest.mark.parametrize("fault", ["job-done:500*1", "job-done:500-after*1"])
def test_the_sdk_posts_a_refused_result_again(
    client: Client, worker: str, eventually: Eventually, fault: str
) -> None:
    """Until it is accepted; one that had arrived counts once."""
    with client.server.faults(fault):
        job = final(client, worker, {"do": "echo", "n": 1})
        eventually(lambda: client.http.get("/_local/faults").json()["faults"][0]["seen"] == 2)
    assert (job["status"], job["output"]["echo"]["n"]) == ("COMPLETED", 1)
    assert "retries" not in job


@pytest.mark.parametrize(
    ("fault", "retries"), [("job-done:drop*1", 1), ("job-done:drop-after*1", 0)]
)
def test_the_sdk_does_not_repeat_a_post_whose_connection_breaks(
    client: Client, worker: str, fault: str, retries: int
) -> None:
    """A result that had not arrived is lost, and the job done once more."""
    with client.server.faults(fault) as faults:
        job = final(client, worker, {"do": "echo", "n": 1})
        assert faults.struck() == 1
    assert (job["status"], job["output"]["echo"]["n"]) == ("COMPLETED", 1)
    assert job.get("retries", 0) == retries


def test_progress_arrives_after_the_end(
    client: Client, worker: str, eventually: Eventually, tmp_path: Path
) -> None:
    """It is ignored: the job stays as its worker has ended it."""
    until = tmp_path / "until"
    until.touch()
    with client.server.faults("progress:delay:500ms") as faults:
        job = final(client, worker, {"do": "progress", "until": str(until)})
        # It comes from a thread of the SDK, in its own time, and is held from then on.
        eventually(lambda: faults.struck() == 1)
        time.sleep(0.6)
    assert (job["status"], job["output"]) == ("COMPLETED", "all the way")
    assert client.status(worker, job["id"]) == job


def test_a_result_arrives_late(client: Client, worker: str) -> None:
    """The job runs until then."""
    with client.server.faults("job-done:delay:400ms"):
        job = final(client, worker, {"do": "echo"})
    assert job["status"] == "COMPLETED"
    assert job["executionTime"] >= 400


def test_a_streamed_piece_comes_twice(client: Client) -> None:
    """If the SDK heard an error for the first one, which had arrived."""
    endpoint_id = client.endpoint("generator", workersMin=1)
    with client.server.faults("job-stream:500-after*1"):
        job_id = client.run(endpoint_id, {"pieces": ["a", "b"]})
        client.final(endpoint_id, job_id)
    streamed = client.http.get(f"/v2/{endpoint_id}/stream/{job_id}").json()["stream"]
    assert [each["output"] for each in streamed] == ["a", "a", "b"]
    client.delete(endpoint_id)


def test_a_worker_process_is_killed_as_it_takes_a_job(client: Client) -> None:
    """Another one does the job."""
    endpoint_id = client.endpoint("plain")
    with client.server.faults("worker:crash@1") as faults:
        job = final(client, endpoint_id, {"do": "echo"})
        assert faults.struck() == 1
    assert (job["status"], job["retries"]) == ("COMPLETED", 1)
    client.delete(endpoint_id)


def test_a_worker_gets_no_room_until_the_fault_is_cleared(
    client: Client, eventually: Eventually
) -> None:
    """THROTTLED, whatever room there is; clearing others releases nobody."""
    client.server.faults.set("worker:throttle*1", "run:delay:1ms")
    endpoint_id = client.endpoint("plain")
    job_id = client.run(endpoint_id, {"do": "echo"})
    client.server.faults.clear("run:delay:1ms")
    eventually(lambda: client.health(endpoint_id)["workers"]["throttled"] == 1)
    assert client.status(endpoint_id, job_id)["status"] == "IN_QUEUE"
    client.server.faults.clear()
    assert client.final(endpoint_id, job_id)["status"] == "COMPLETED"
    client.delete(endpoint_id)


def test_a_worker_starts_late(client: Client, eventually: Eventually) -> None:
    """It is INITIALIZING meanwhile, without a process; one that has to go does not wait."""
    with client.server.faults("coldstart:1h*1", "coldstart:300ms"):
        doomed = client.endpoint("plain", workersMin=1)
        eventually(lambda: client.health(doomed)["workers"]["initializing"] == 1)
        assert [each["pid"] for each in client.workers(doomed)] == [None]
        client.delete(doomed)
        eventually(lambda: client.workers(doomed) == [])
        late = client.endpoint("plain")
        job = final(client, late, {"do": "echo"})
    assert (job["status"], job["delayTime"] >= 300) == ("COMPLETED", True)
    client.delete(late)


def test_a_worker_that_stays_cold_is_given_up(client: Client, eventually: Eventually) -> None:
    """After RUNPOD_INIT_TIMEOUT; its log says why, and the next one comes after a pause."""
    with client.server.faults("coldstart:1h"):
        endpoint_id = client.endpoint("plain", env={"RUNPOD_INIT_TIMEOUT": "0.1"}, workersMin=1)
        folder = client.server.data_folder / "logs" / endpoint_id

        def given_up() -> list[datetime]:
            lines = [
                line for path in folder.glob("*.log") for line in path.read_text().splitlines()
            ]
            return sorted(
                datetime.fromisoformat(line.partition(" ")[0])
                for line in lines
                if line.endswith("could not be started: it was cold for too long")
            )

        eventually(lambda: len(given_up()) == 2)
        client.delete(endpoint_id)
    first, second = given_up()
    # 0.2 s of pause, then 0.1 s until it is given up.
    assert (second - first).total_seconds() >= 0.29


def test_a_worker_ends_before_it_is_up(client: Client) -> None:
    """It is unhealthy, its log says why, and the next one comes after a pause."""
    with client.server.faults("coldstart:crash*2") as faults:
        endpoint_id = client.endpoint("plain")
        job = final(client, endpoint_id, {"do": "echo"})
        assert faults.struck() == 2
    # 0.2 s after the first, 0.4 s after the second.
    assert (job["status"], job["delayTime"] >= 600) == ("COMPLETED", True)
    logs = (client.server.data_folder / "logs" / endpoint_id).glob("*.log")
    assert any("the fault coldstart:crash*2 was set" in each.read_text() for each in logs)
    client.delete(endpoint_id)


@pytest.fixture(scope="module")
def worker(client: Client) -> Iterator[str]:
    """The id of an endpoint with one worker that is up."""
    endpoint_id = client.endpoint("plain", workersMin=1)
    final(client, endpoint_id, {"do": "echo"})
    yield endpoint_id
    client.delete(endpoint_id)
