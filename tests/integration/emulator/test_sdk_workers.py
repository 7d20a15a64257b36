"""Real workers of the official SDK: every kind of handler, and every way to lose one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Client

    Begun = tuple[str, list[str]]
    Eventually = Callable[[Callable[[], Any]], None]

KINDS = ("plain", "generator", "async_generator")


@pytest.fixture(scope="module")
def workers(client: Client) -> dict[str, str]:
    """One endpoint for each kind of handler; their workers start at the same time."""
    return {kind: client.endpoint(kind, workersMin=1) for kind in KINDS}


@pytest.fixture(scope="module", autouse=True)
def begun(client: Client, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Begun]:
    """Jobs that cost several workers: they go on while other tests have the word."""
    died = str(tmp_path_factory.mktemp("begun") / "died")
    tasks = {
        "refreshing": ("refreshing", [{"n": 1}, {"n": 2}]),
        "dying": ("plain", [{"do": "die", "died": died}, {"do": "echo"}]),
    }
    jobs: dict[str, Begun] = {}
    for name, (image, inputs) in tasks.items():
        endpoint_id = client.endpoint(image)
        jobs[name] = (endpoint_id, [client.run(endpoint_id, each) for each in inputs])
    return jobs


def streamed(client: Client, endpoint_id: str, job_id: str) -> tuple[str, list[Any]]:
    """Reads a job's stream to its end; returns the final status and all pieces."""
    pieces: list[Any] = []
    while True:
        answer = client.http.get(f"/v2/{endpoint_id}/stream/{job_id}?wait=20000").json()
        pieces += [each["output"] for each in answer["stream"]]
        if answer["status"] not in {"IN_QUEUE", "IN_PROGRESS"} and not answer["stream"]:
            return answer["status"], pieces


@pytest.mark.proves("rule: generators", "worker-api: job-stream", "job-api: stream")
def test_a_generator_streams(
    client: Client, workers: dict[str, str], tmp_path: Path, eventually: Eventually
) -> None:
    """Its pieces can be read while it runs, in order; its output is empty."""
    endpoint_id, until = workers["generator"], tmp_path / "go on"
    pieces = [{"token": "é"}, "b", 3]
    job_id = client.run(endpoint_id, {"pieces": pieces, "until": str(until)})
    early: list[Any] = []

    def all_there() -> bool:
        answer = client.http.get(f"/v2/{endpoint_id}/stream/{job_id}").json()
        assert answer["status"] == "IN_PROGRESS"
        early.extend(each["output"] for each in answer["stream"])
        return len(early) >= len(pieces)

    eventually(all_there)
    until.touch()
    assert early == pieces
    assert streamed(client, endpoint_id, job_id) == ("COMPLETED", [])
    assert client.status(endpoint_id, job_id)["output"] == []


@pytest.mark.proves("rule: generator-raises")
def test_a_generator_that_raises_fails_its_job(client: Client, workers: dict[str, str]) -> None:
    """With the SDK's words; what it yielded before can still be read."""
    endpoint_id = workers["generator"]
    job_id = client.run(endpoint_id, {"pieces": ["a", "b"], "raise": "mid-stream é"})
    assert streamed(client, endpoint_id, job_id) == ("FAILED", ["a", "b"])
    final = client.status(endpoint_id, job_id)
    assert final["error"].startswith("handler: mid-stream é \ntraceback: Traceback")
    assert "retries" not in final


@pytest.mark.proves("rule: error-shapes")
def test_a_yielded_error_fails_the_job(client: Client, workers: dict[str, str]) -> None:
    """It ends the stream, and is the job's error as it stands."""
    endpoint_id = workers["generator"]
    job_id = client.run(endpoint_id, {"pieces": [1], "error": "no more"})
    assert streamed(client, endpoint_id, job_id) == ("FAILED", [1])
    assert client.status(endpoint_id, job_id)["error"] == "no more"


@pytest.mark.proves("rule: generators")
def test_an_aggregated_stream_is_the_output_as_well(
    client: Client, workers: dict[str, str]
) -> None:
    """With `return_aggregate_stream`; pieces and output are the same."""
    endpoint_id = workers["async_generator"]
    job_id = client.run(endpoint_id, {"pieces": [{"n": 1}, {"n": 2}]})
    final = client.final(endpoint_id, job_id)
    assert (final["status"], final["output"]) == ("COMPLETED", [{"n": 1}, {"n": 2}])
    assert streamed(client, endpoint_id, job_id) == ("COMPLETED", [{"n": 1}, {"n": 2}])


@pytest.mark.proves("rule: cancel-running", "job-api: cancel")
def test_an_async_generator_is_stopped_between_its_pieces(
    client: Client, workers: dict[str, str]
) -> None:
    """Its stream ends with CANCELLED, and the same worker takes the next job."""
    endpoint_id = workers["async_generator"]
    job_id = client.run(endpoint_id, {"pieces": ["first", "never"], "pause_s": 600})
    first = client.http.get(f"/v2/{endpoint_id}/stream/{job_id}?wait=20000").json()
    assert first == {"status": "IN_PROGRESS", "stream": [{"output": "first"}]}
    worker_id = client.status(endpoint_id, job_id)["workerId"]
    client.http.post(f"/v2/{endpoint_id}/cancel/{job_id}")
    assert streamed(client, endpoint_id, job_id) == ("CANCELLED", [])
    after = client.final(endpoint_id, client.run(endpoint_id, {"pieces": []}))
    assert (after["status"], after["workerId"]) == ("COMPLETED", worker_id)


@pytest.mark.proves("rule: refresh-worker")
def test_a_returned_refresh_gets_a_fresh_worker(client: Client, workers: dict[str, str]) -> None:
    """The key is not part of the output, and the process is another for the next job."""
    endpoint_id = workers["plain"]
    first = client.final(endpoint_id, client.run(endpoint_id, {"do": "refresh"}))
    second = client.final(endpoint_id, client.run(endpoint_id, {"do": "echo"}))
    assert [each["status"] for each in (first, second)] == ["COMPLETED"] * 2
    assert first["output"] == {"done": True}
    assert first["workerId"] != second["workerId"]
    assert "retries" not in second


@pytest.mark.proves("rule: refresh-worker")
def test_a_refreshing_worker_is_fresh_for_every_job(
    client: Client, begun: dict[str, Begun]
) -> None:
    """Its process ends by itself after each; no job is lost over it."""
    endpoint_id, jobs = begun["refreshing"]
    finals = [client.final(endpoint_id, job_id) for job_id in jobs]
    assert [each["status"] for each in finals] == ["COMPLETED"] * 2
    assert len({each["output"] for each in finals}) == 2
    assert [each for each in finals if "retries" in each] == []


@pytest.mark.proves("rule: crash", "rule: one-retry")
def test_a_job_that_ends_its_workers_fails(client: Client, begun: dict[str, Begun]) -> None:
    """In RunPod's words, after `sys.exit` and SIGKILL; the queue goes on behind it."""
    endpoint_id, (deadly, behind) = begun["dying"]
    final = client.final(endpoint_id, deadly)
    assert (final["status"], final["retries"]) == ("FAILED", 1)
    assert final["error"] == "job timed out after 1 retries"
    after = client.final(endpoint_id, behind)
    assert (after["status"], "retries" in after) == ("COMPLETED", False)
    assert client.health(endpoint_id)["jobs"] == {
        "completed": 1,
        "failed": 1,
        "inProgress": 0,
        "inQueue": 0,
        "retried": 1,
    }


@pytest.mark.proves("rule: fitness", "worker-api: ping")
def test_a_worker_that_fails_its_fitness_check_is_unhealthy(
    client: Client, eventually: Eventually
) -> None:
    """Its log says why, its job waits, and another endpoint's jobs do not care."""
    endpoint_id = client.endpoint("unfit")
    job_id = client.run(endpoint_id, {"n": 1})
    eventually(lambda: client.health(endpoint_id)["workers"]["unhealthy"])
    assert client.status(endpoint_id, job_id)["status"] == "IN_QUEUE"
    worker = client.workers(endpoint_id)[0]
    log = Path(worker["logPath"]).read_text("utf-8")
    assert r"Fitness check failed: model_is_there | RuntimeError: no model \u00e9" in log
    client.delete(endpoint_id)
    eventually(lambda: client.workers(endpoint_id) == [])


@pytest.mark.proves("rule: empty-input", "rule: one-retry")
def test_an_empty_input_fails_in_the_sdk(client: Client, workers: dict[str, str]) -> None:
    """It is dropped on the way; the SDK refuses what is left, twice, and asks for the next."""
    endpoint_id = workers["plain"]
    final = client.final(endpoint_id, client.run(endpoint_id, {}))
    assert (final["status"], final["retries"]) == ("FAILED", 1)
    assert final["error"] == "job timed out after 1 retries"


@pytest.mark.proves("rule: oversized-output", "rule: worker-bodies")
def test_a_result_of_twenty_megabytes_arrives(client: Client, workers: dict[str, str]) -> None:
    """Whole; a larger one is lost, its job fails, and the worker does the next one."""
    endpoint_id, size_bytes = workers["plain"], 20_000_000
    fitting, too_large, behind = (
        client.run(endpoint_id, {"do": "large", "size_bytes": each})
        for each in (size_bytes, 21_000_000, 1)
    )
    final = client.final(endpoint_id, fitting)
    assert (final["status"], len(final["output"])) == ("COMPLETED", size_bytes)
    lost = client.final(endpoint_id, too_large)
    assert (lost["status"], lost["retries"]) == ("FAILED", 1)
    assert lost["error"] == "job timed out after 1 retries"
    after = client.final(endpoint_id, behind)
    assert (after["status"], after["workerId"]) == ("COMPLETED", lost["workerId"])
