"""REST v2 on workers: what they are, what they write, and that they may not use it themselves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from runpodctl_py.emulator.config import Simulation
from runpodctl_py.testing import FakeClock, LocalRunPodServer
from tests.integration.emulator.contract import Rest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.emulator.conftest import Client, Stage


BODY = {
    "name": "e",
    "image": "a",
    "type": "QUEUE",
    "gpu": {"pools": ["ADA_24"]},
    "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
}


@pytest.fixture(scope="module")
def rest(client: Client) -> Rest:
    """REST v2 of the module's local RunPod."""
    return Rest(client.http)


@pytest.fixture(scope="module")
def log(client: Client) -> Iterator[str]:
    """The path of the log of a real worker that has done a job."""
    endpoint_id = client.endpoint("plain", workersMin=1)
    client.final(endpoint_id, client.run(endpoint_id, {"do": "echo"}))
    [worker] = client.workers(endpoint_id)
    yield f"/v2/serverless/{endpoint_id}/workers/{worker['id']}/logs"
    client.delete(endpoint_id)


class TestWorkers:
    """/v2/serverless/{id}/workers."""

    @pytest.mark.proves(
        "rule: worker-states", "rule: gpu-selection", "rest: GET /v2/serverless/{id}/workers"
    )
    def test_a_worker_shows_its_state(self, rest: Rest, client: Client, stage: Stage) -> None:
        """From its start to its first job; the summary adds up."""
        endpoint_id, puppet = stage.on_duty(gpuIds="AMPERE_48,-NVIDIA A40", gpuCount=2)

        def seen() -> tuple[dict[str, Any], dict[str, int]]:
            listing = rest.get(f"/v2/serverless/{endpoint_id}/workers")
            [worker] = listing["workers"]
            return worker, listing["summary"]

        starting, summary = seen()
        assert starting == {
            "id": puppet.id,
            "status": "INITIALIZING",
            "isStale": False,
            "version": starting["version"],
            "gpuCount": 2,
            "image": "puppet",
            "uptimeSeconds": starting["uptimeSeconds"],
            "gpuTypeId": "NVIDIA RTX A6000",
            "dataCenterId": None,
            "startedAt": starting["startedAt"],
        }
        assert (summary["initializing"], summary["total"]) == (1, 1)
        puppet.take()
        assert (seen()[0]["status"], seen()[1]["idle"]) == ("IDLE", 1)
        job_id = client.run(endpoint_id, 1)
        puppet.take()
        assert (seen()[0]["status"], seen()[1]["running"]) == ("RUNNING", 1)
        puppet.done(job_id, '{"output": 1}')
        rest.delete(f"/v2/serverless/{endpoint_id}")

    @pytest.mark.proves("rule: rolling-release")
    def test_a_busy_worker_of_an_old_version_is_stale(
        self, rest: Rest, client: Client, stage: Stage
    ) -> None:
        """It finishes its job while a worker of the new version comes up."""
        endpoint_id, old = stage.on_duty(workersMax=2)
        old.take()
        job_id = client.run(endpoint_id, 1)
        old.take()
        path = f"/v2/serverless/{endpoint_id}"
        rest.patch(path, {"env": {"A": "b"}})
        new = stage.puppet()
        workers = {each["id"]: each for each in rest.get(f"{path}/workers")["workers"]}
        assert (workers[old.id]["isStale"], workers[new.id]["isStale"]) == (True, False)
        assert rest.get(f"{path}/releases")["rollout"] == {
            "inProgress": True,
            "workersOnLatest": 1,
            "workersTotal": 2,
            "percentOnLatest": 50,
        }
        old.done(job_id, '{"output": 1}')
        assert client.final(endpoint_id, job_id)["status"] == "COMPLETED"
        rest.delete(path)

    @pytest.mark.proves("rule: rest-billing", "rest: GET /v2/billing/serverless")
    def test_a_worker_costs_what_its_cards_cost(
        self, rest: Rest, client: Client, stage: Stage
    ) -> None:
        """By the second from its start, in the bill of its endpoint and in that of everything."""
        endpoint_id, _ = stage.on_duty(gpuIds="AMPERE_48", gpuCount=2)
        query = {"lastN": 1, "bucketSize": "year", "serverlessId": endpoint_id}
        bill = rest.get("/v2/billing/serverless", **query)
        [record] = bill["records"]
        seconds = record["gpuAmount"] / (2 * 0.00034)
        assert seconds == pytest.approx(round(seconds))
        assert round(seconds) >= 1
        assert (record["serverlessId"], record["cpuAmount"]) == (endpoint_id, 0)
        assert bill["metadata"]["uniqueServerlessCount"] == 1
        everything = rest.get("/v2/billing", lastN=1, bucketSize="year")["records"][0]
        assert everything["serverlessGpuAmount"] >= record["gpuAmount"]
        client.delete(endpoint_id)

    @pytest.mark.proves("rule: rest-problems")
    def test_a_workers_key_is_not_the_accounts(self, client: Client, stage: Stage) -> None:
        """It is known, and good for something else: 403."""
        endpoint_id, puppet = stage.on_duty()
        key = puppet.http.headers["authorization"]
        with httpx.Client(base_url=client.server.url) as http:
            refusal = Rest(http).ask(
                "GET", "/v2/serverless", headers={"Authorization": f"Bearer {key}"}
            )
        assert (refusal.status_code, refusal.json()["detail"]) == (403, "access denied")
        client.delete(endpoint_id)


class TestLogs:
    """/v2/serverless/{id}/workers/{workerId}/logs."""

    def read(
        self, client: Client, path: str, count: int, headers: dict[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """The first events of a log; the stream would not end by itself."""
        events: list[dict[str, Any]] = []
        with client.http.stream("GET", path, headers=headers or {}) as answer:
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            event_id = ""
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    event_id = value
                if name == "data":
                    events.append(json.loads(value))
                    assert events[-1]["ts"] == event_id
                    if len(events) == count:
                        break
        return events

    @pytest.mark.proves("rest: GET /v2/serverless/{id}/workers/{workerId}/logs")
    def test_what_was_written_comes_first(self, client: Client, log: str) -> None:
        """The last lines are replayed, each with its time and its source."""
        events = self.read(client, f"{log}?source=container", 3)
        assert [set(each) for each in events] == [{"ts", "source", "line"}] * 3
        assert {each["source"] for each in events} == {"container"}
        assert [each["ts"] for each in events] == sorted(each["ts"] for each in events)

    def test_the_tail_is_as_long_as_asked(
        self, client: Client, log: str, eventually: Callable[[Callable[[], Any]], None]
    ) -> None:
        """Once the worker is silent, the last line of two is the last line of one."""

        def is_the_same() -> bool:
            two, one = (self.read(client, f"{log}?tail={count}", count) for count in (2, 1))
            return two[1:] == one

        eventually(is_the_same)

    @pytest.mark.proves("rule: rest-worker-logs")
    def test_a_reconnect_goes_on_behind_the_last_event(self, client: Client, log: str) -> None:
        """Last-Event-ID wins over since, and both over tail (3.2)."""
        first, second, third = self.read(client, log, 3)
        since = f"{log}?tail=0&since={first['ts']}"
        assert self.read(client, since, 1) == [second]
        assert self.read(client, since, 1, {"Last-Event-ID": second["ts"]}) == [third]
        # As ids look in RunPod's own examples.
        counted = {"Last-Event-ID": f"{second['ts']}/000000000042"}
        assert self.read(client, since, 1, counted) == [third]

    @pytest.mark.proves("rule: rest-worker-logs")
    def test_new_lines_are_followed(self, client: Client, log: str) -> None:
        """Without a tail, what comes is what is written from now on."""
        endpoint_id = log.split("/")[3]
        with client.http.stream("GET", f"{log}?tail=0") as answer:
            job_id = client.run(endpoint_id, {"do": "echo"})
            lines = (each for each in answer.iter_lines() if each.startswith("data: "))
            assert any(job_id in each for each in lines)

    @pytest.mark.proves("rule: rest-worker-logs")
    def test_parameters_without_sense_are_refused(self, rest: Rest, log: str) -> None:
        """By the contract, with the words of a validation; a worker must be there."""
        assert rest.refused("GET", f"{log}?tail=5001")[0] == 422
        assert rest.refused("GET", f"{log}?source=worker")[0] == 422
        assert rest.refused("GET", f"{log}?since=now")[0] == 422
        assert rest.refused("GET", log, headers={"Last-Event-ID": "42"})[0] == 422
        assert rest.refused("GET", log.replace("/workers/", "/workers/x"))[0] == 404

    def test_a_stream_ends_with_the_emulator(self, tmp_path: Path) -> None:
        """Nobody who follows a log keeps it from stopping."""
        with LocalRunPodServer(tmp_path / "local", simulation=Simulation()) as server:
            client = httpx.Client(
                base_url=server.url, headers={"Authorization": f"Bearer {server.token}"}
            )
            rest = Rest(client)
            made = rest.post("/v2/serverless", {**BODY, "workers": {"min": 1}})
            path = f"/v2/serverless/{made['id']}/workers"
            worker_id = rest.get(path)["workers"][0]["id"]
            stream = client.send(
                client.build_request("GET", f"{path}/{worker_id}/logs?source=system"), stream=True
            )
        assert list(stream.iter_lines()) == []
        client.close()


class TestLimits:
    """429."""

    @pytest.mark.proves("rule: rest-rate-limits")
    def test_the_sixty_first_request_of_a_minute_waits(self, tmp_path: Path) -> None:
        """With --rate-limits; the clock decides when the next ones may come (3.3)."""
        clock = FakeClock()
        with LocalRunPodServer(tmp_path / "local", rate_limits=True, clock=clock) as server:
            headers = {"Authorization": f"Bearer {server.token}"}
            with httpx.Client(base_url=server.url, headers=headers) as http:
                rest = Rest(http)
                for _ in range(60):
                    rest.get("/v2/account/ssh-keys")
                clock.advance(48)
                refusal = rest.ask("GET", "/v2/account/ssh-keys")
                assert (refusal.status_code, refusal.headers["retry-after"]) == (429, "12")
                assert refusal.json() == {
                    "title": "Too Many Requests",
                    "status": 429,
                    "detail": "rate limit exceeded for the minute window",
                }
                assert refusal.headers["ratelimit"].startswith('"minute";r=0;t=12, "hour";r=2939')
                clock.advance(12)
                assert rest.get("/v2/account/ssh-keys") == {"keys": []}


class TestStrict:
    """--strict."""

    @pytest.mark.proves("rule: endpoint-delete-workers")
    def test_workers_must_be_0_before_an_endpoint_is_deleted(self, tmp_path: Path) -> None:
        """As RunPod's documents say and its service does not ask (1.4)."""
        with LocalRunPodServer(tmp_path / "local", strict=True) as server:
            headers = {"Authorization": f"Bearer {server.token}"}
            with httpx.Client(base_url=server.url, headers=headers) as http:
                rest = Rest(http)
                path = f"/v2/serverless/{rest.post('/v2/serverless', BODY)['id']}"
                assert rest.refused("DELETE", path)[0] == 400
                rest.patch(path, {"workers": {"min": 0, "max": 0}})
                rest.delete(path)
