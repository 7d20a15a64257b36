"""The batch API over HTTP, with a worker that the test speaks for."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from conftest import Client, Puppet, Stage


@pytest.fixture(scope="module")
def on_duty(stage: Stage) -> tuple[str, Puppet]:
    """An endpoint with one worker."""
    endpoint_id, puppet = stage.on_duty()
    puppet.take()
    return endpoint_id, puppet


@pytest.fixture
def puppet(on_duty: tuple[str, Puppet]) -> Puppet:
    """The endpoint's worker."""
    return on_duty[1]


class Batches:
    """The batch API of one endpoint."""

    def __init__(self, client: Client, endpoint_id: str) -> None:
        self._http = client.http
        self._url = f"/v2/{endpoint_id}/batch"

    def ask(self, method: str, path: str = "", body: Any = None) -> httpx.Response:
        """Sends a request below /batch."""
        return self._http.request(method, f"{self._url}{path}", json=body)

    def answer(self, method: str, path: str = "", body: Any = None) -> Any:
        """Returns what a request below /batch that must succeed answers."""
        answer = self.ask(method, path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def draft(self, *inputs: Any) -> str:
        """Makes a draft of some inputs; returns its id."""
        batch_id: str = self.answer("POST", body=[{"input": each} for each in inputs])["id"]
        return batch_id


@pytest.fixture
def batches(client: Client, on_duty: tuple[str, Puppet]) -> Iterator[Batches]:
    """The endpoint's batches; all of them are over afterwards."""
    batches = Batches(client, on_duty[0])
    yield batches
    for batch in batches.answer("GET", "?limit=1000")["batches"]:
        batches.answer("POST", f"/{batch['id']}/cancel")


def take(puppet: Puppet) -> dict[str, Any]:
    """Returns the worker's next job."""
    job: dict[str, Any] = puppet.take(holding=True).json()
    return job


@pytest.mark.proves(
    "job-api: batch",
    "job-api: batch/{batch_id}",
    "job-api: batch/{batch_id}/requests",
    "job-api: batch/{batch_id}/finalize",
    "rule: batch-life-cycle",
    "rule: batch-id",
)
def test_a_batch_from_draft_to_results(batches: Batches, puppet: Puppet) -> None:
    """The calls of RunPod's page, in its order, with its answers."""
    created = batches.answer("POST", body=[{"input": {"n": 1}}])
    assert (created.keys(), created["status"]) == ({"id", "status"}, "DRAFT")
    assert re.fullmatch("batch_[a-z0-9]{10}", created["id"])
    path = f"/{created['id']}"
    batches.answer("POST", f"{path}/requests", {"requests": [{"input": {"n": 2}}]})
    assert batches.answer("POST", f"{path}/finalize")["status"] == "FINALIZED"

    for posted in ('{"output": "o"}', '{"error": "e"}'):
        job = take(puppet)
        assert job.keys() == {"id", "input", "batchId"}
        assert job["batchId"] == created["id"]
        assert batches.answer("GET", path)["requestInProgress"] == 1
        puppet.done(job["id"], posted)
    summary = batches.answer("GET", path)
    created_at = summary.pop("createdAt")
    assert isinstance(created_at, int)
    assert summary == {
        "id": created["id"],
        "endpointId": puppet.endpoint_id,
        "status": "FINALIZED",
        "requestTotal": 2,
        "requestInProgress": 0,
        "requestCompleted": 1,
        "requestFailed": 1,
    }

    page = batches.answer("GET", f"{path}/requests")
    done, failed = page.pop("requests")
    assert page == {"total": 2, "offset": 0, "limit": 50, "hasMore": False}
    assert done.keys() == {"id", "status", "output", "startedAt", "completedAt"}
    assert failed.keys() == {"id", "status", "error", "startedAt", "completedAt"}
    assert (done["status"], done["output"]) == ("COMPLETED", "o")
    assert (failed["status"], failed["error"]) == ("FAILED", "e")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", done["startedAt"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", done["completedAt"])


@pytest.mark.proves("job-api: batch/{batch_id}/requests", "rule: batch-paging")
def test_requests_are_listed_in_pages(batches: Batches) -> None:
    """In their order; `hasMore` says whether there are others behind."""
    path = f"/{batches.draft(*range(5))}/requests"
    first = batches.answer("GET", f"{path}?limit=2")
    last = batches.answer("GET", f"{path}?limit=2&offset=4")
    assert [each["input"] for each in first.pop("requests")] == [0, 1]
    assert [each["input"] for each in last.pop("requests")] == [4]
    assert first == {"total": 5, "offset": 0, "limit": 2, "hasMore": True}
    assert last == {"total": 5, "offset": 4, "limit": 2, "hasMore": False}
    beyond = batches.answer("GET", f"{path}?offset=9")
    assert (beyond["requests"], beyond["hasMore"]) == ([], False)
    for wrong in ("limit=-1", "limit=x", "offset=1.5", f"offset={'9' * 5000}"):
        assert batches.ask("GET", f"{path}?{wrong}").status_code == 400


@pytest.mark.proves("job-api: batch")
def test_batches_are_listed_the_newest_first(batches: Batches) -> None:
    """In pages, too, with their counts."""
    old, new = batches.draft(1), batches.draft(1, 2)
    page = batches.answer("GET", "?limit=2")
    assert [(each["id"], each["requestTotal"]) for each in page["batches"]] == [(new, 2), (old, 1)]


@pytest.mark.proves("job-api: batch/{batch_id}")
def test_a_batch_can_be_named(batches: Batches) -> None:
    """The name is shown from then on, and can be taken away."""
    path = f"/{batches.draft()}"
    assert "name" not in batches.answer("GET", path)
    assert batches.answer("PUT", path, {"name": "nightly"})["name"] == "nightly"
    assert batches.answer("PUT", path, {})["name"] == "nightly"
    assert "name" not in batches.answer("PUT", path, {"name": None})
    assert batches.ask("PUT", path, {"name": 1}).status_code == 400


@pytest.mark.proves("job-api: batch/{batch_id}/requests/{request_id}")
def test_a_request_can_be_removed_from_a_draft(batches: Batches) -> None:
    """It is not there any more, a second time neither."""
    path = f"/{batches.draft('a', 'b')}/requests"
    first = batches.answer("GET", path)["requests"][0]
    assert (first["input"], first["status"]) == ("a", "DRAFT")
    assert batches.answer("DELETE", f"{path}/{first['id']}")["requestTotal"] == 1
    assert [each["input"] for each in batches.answer("GET", path)["requests"]] == ["b"]
    assert batches.ask("DELETE", f"{path}/{first['id']}").status_code == 404


@pytest.mark.proves("job-api: batch/{batch_id}/cancel", "rule: batch-life-cycle")
def test_cancelling_waits_for_what_runs(batches: Batches, puppet: Puppet) -> None:
    """The worker is not told to stop, and its result counts."""
    path = f"/{batches.draft(1, 2)}"
    batches.answer("POST", f"{path}/finalize")
    job = take(puppet)
    assert batches.answer("POST", f"{path}/cancel")["status"] == "FINALIZED"
    assert puppet.stops().status_code == 204
    puppet.done(job["id"], '{"output": 1}')
    summary = batches.answer("GET", path)
    assert (summary["status"], summary["requestCompleted"]) == ("CANCELLED", 1)
    listed = batches.answer("GET", f"{path}/requests")["requests"]
    assert [each["status"] for each in listed] == ["COMPLETED", "CANCELLED"]


def test_a_cancelled_draft_shows_its_requests_as_cancelled(batches: Batches) -> None:
    """They were never jobs."""
    path = f"/{batches.draft(1)}"
    assert batches.answer("POST", f"{path}/cancel")["status"] == "CANCELLED"
    (only,) = batches.answer("GET", f"{path}/requests")["requests"]
    assert (only.keys(), only["status"]) == ({"id", "status"}, "CANCELLED")


def test_requests_are_jobs_once_finalized(batches: Batches, client: Client, puppet: Puppet) -> None:
    """Under the ids they had as drafts; a policy of theirs applies, and so does /cancel."""
    policy = {"ttl": 20_000}
    path = f"/{batches.answer('POST', body=[{'input': 1, 'policy': policy}])['id']}"
    batches.answer("POST", f"{path}/finalize")
    (request,) = batches.answer("GET", f"{path}/requests")["requests"]
    assert request == {"id": request["id"], "status": "IN_QUEUE"}
    assert client.status(puppet.endpoint_id, request["id"])["status"] == "IN_QUEUE"
    client.http.post(f"/v2/{puppet.endpoint_id}/cancel/{request['id']}")
    assert batches.answer("GET", path)["requestFailed"] == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{", "not JSON"),
        ('{"requests": []}', "not a list"),
        ("[1]", "request 0 is not an object"),
        ('[{"input": 1}, {"prompt": 1}]', 'request 1: the body has no "input"'),
        ('[{"input": 1, "policy": {"ttl": 1}}]', "request 0: policy.ttl"),
    ],
)
def test_a_list_that_cannot_be_used_makes_no_batch(
    client: Client, puppet: Puppet, batches: Batches, body: str, words: str
) -> None:
    """The answer names the request at fault."""
    before = batches.answer("GET")["total"]
    answer = client.http.post(f"/v2/{puppet.endpoint_id}/batch", content=body)
    assert (answer.status_code, words in answer.json()["error"]) == (400, True)
    assert batches.answer("GET")["total"] == before


@pytest.mark.proves("rule: batch-limits")
def test_the_limits_of_one_call(batches: Batches) -> None:
    """10 MB of body, 5000 requests; the most there can be are finalized at once."""
    assert batches.ask("POST", body=[{"input": "a" * 10 * 1024 * 1024}]).status_code == 413
    assert batches.ask("POST", body=[{"input": 1}] * 5001).status_code == 400
    path = f"/{batches.draft(*[1] * 5000)}"
    assert batches.answer("POST", f"{path}/finalize")["requestTotal"] == 5000
    assert batches.answer("POST", f"{path}/cancel")["status"] == "CANCELLED"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/batch_x"),
        ("PUT", "/batch_x"),
        ("GET", "/batch_x/requests"),
        ("POST", "/batch_x/requests"),
        ("DELETE", "/batch_x/requests/y"),
        ("POST", "/batch_x/finalize"),
        ("POST", "/batch_x/cancel"),
    ],
)
def test_a_batch_that_is_not_there_is_not_found(batches: Batches, method: str, path: str) -> None:
    """Whatever is asked of it."""
    body = json.loads('{"requests": []}') if method in {"POST", "PUT"} else None
    assert batches.ask(method, path, body).status_code == 404


def test_an_endpoint_that_is_not_there_has_no_batches(client: Client) -> None:
    """Neither to list nor to make."""
    nowhere = Batches(client, "nowhere")
    assert (nowhere.ask("GET").status_code, nowhere.ask("POST", body=[]).status_code) == (404, 404)
