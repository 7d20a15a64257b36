"""Half an hour or a week in an instant: what RunPod's rules do as time passes, over HTTP."""

from __future__ import annotations

import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.errors import EmulatorError
from runpodctl_py.gpus import POOLS
from runpodctl_py.testing import FakeClock, LocalRunPodServer, Simulation
from tests.integration.emulator.conftest import Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY_S = 86_400


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A local RunPod whose workers take 10 s for a job and report twice on the way."""
    folder = tmp_path_factory.mktemp("time") / "local"
    simulation = Simulation(delay_s=10, progress=1, concurrency=1)
    with LocalRunPodServer(folder, simulation=simulation) as server, Client(server) as client:
        yield client


@pytest.fixture
def client(running: Client) -> Client:
    """The same one, empty, at a standstill."""
    running.server.reset()
    running.server.time.freeze()
    return running


def advance(client: Client, seconds: float) -> Any:
    """Lets time pass, over HTTP."""
    answer = client.http.post("/_local/time", json={"action": "advance", "seconds": seconds})
    assert answer.status_code == 200, answer.text
    return answer.json()


def states(client: Client, endpoint_id: str) -> list[str]:
    """Returns the states of an endpoint's workers."""
    return [each["state"] for each in client.workers(endpoint_id)]


def done(client: Client, endpoint_id: str, **body: Any) -> str:
    """Has a job done and returns its id."""
    job_id = client.run(endpoint_id, {}, **body)
    advance(client, 10)
    assert client.status(endpoint_id, job_id)["status"] == "COMPLETED"
    return job_id


@pytest.mark.proves("rule: retention")
def test_a_result_is_kept_for_half_an_hour(client: Client) -> None:
    """Just before it is still there; then it is 404."""
    endpoint_id = client.endpoint("any")
    job_id = done(client, endpoint_id)
    advance(client, 30 * 60 - 1)
    assert client.status(endpoint_id, job_id)["status"] == "COMPLETED"
    advance(client, 1)
    assert client.http.get(f"/v2/{endpoint_id}/status/{job_id}").status_code == 404


def test_a_jobs_times_are_those_that_have_passed(client: Client) -> None:
    """20 s in the queue and 10 s at work; half way it shows progress."""
    endpoint_id = client.endpoint("any", scalerValue=60)
    first, second = (client.run(endpoint_id, {}) for _ in range(2))
    advance(client, 5)
    assert client.status(endpoint_id, first)["output"]["progress"] == 100
    advance(client, 15)
    job = client.status(endpoint_id, second)
    assert (job["delayTime"], job["executionTime"]) == (10_000, 10_000)


@pytest.mark.proves("rule: policy-ttl")
def test_a_job_lives_as_long_as_its_time_to_live(client: Client) -> None:
    """It is gone in whatever state; here it waits, since there is no worker to take it."""
    endpoint_id = client.endpoint("any", workersMax=0)
    job_id = client.run(endpoint_id, {}, policy={"ttl": 60_000})
    advance(client, 59)
    assert client.status(endpoint_id, job_id)["status"] == "IN_QUEUE"
    advance(client, 1)
    assert client.http.get(f"/v2/{endpoint_id}/status/{job_id}").status_code == 404
    assert client.health(endpoint_id)["jobs"]["inQueue"] == 0


@pytest.mark.proves("rule: policy-execution-timeout")
def test_a_job_that_takes_too_long_is_timed_out_on_the_way(client: Client) -> None:
    """In the middle of one leap of a minute, not at its end."""
    endpoint_id = client.endpoint("any")
    job_id = client.run(endpoint_id, {}, policy={"executionTimeout": 7_000})
    advance(client, 60)
    job = client.status(endpoint_id, job_id)
    assert (job["status"], job["executionTime"]) == ("TIMED_OUT", 7_000)


@pytest.mark.proves("rule: idle-endpoints")
def test_an_endpoint_that_nobody_uses_loses_its_workers(client: Client) -> None:
    """After 3 days it has at most 2, after 7 days none; one leap does both, in this order."""
    endpoint_id = client.endpoint("any", workersMin=3, workersMax=5)
    advance(client, 0)
    assert states(client, endpoint_id) == ["IDLE"] * 3
    advance(client, 3 * DAY_S - 1)
    assert states(client, endpoint_id) == ["IDLE"] * 3
    advance(client, 1)
    assert states(client, endpoint_id) == ["IDLE"] * 2
    advance(client, 4 * DAY_S)
    assert states(client, endpoint_id) == []
    (endpoint,) = client.graphql("{ myself { endpoints { workersMin workersMax } } }")["myself"][
        "endpoints"
    ]
    assert endpoint == {"workersMin": 0, "workersMax": 0}


def test_workers_are_paid_until_they_left_and_not_until_the_leap_was_over(client: Client) -> None:
    """One that was sent away after 5 idle seconds costs no week."""
    endpoint_id = client.endpoint("any", idleTimeout=5, gpuIds="AMPERE_16")
    done(client, endpoint_id)
    advance(client, 7 * DAY_S)
    bill = client.http.get("/v2/billing/serverless?lastN=2&bucketSize=week").json()
    (pool,) = (each for each in POOLS if each.id == "AMPERE_16")
    assert pool.price_per_s_usd is not None
    # Rounded up to whole seconds, of which sums of times may need one more.
    assert 14.9 < bill["records"][0]["gpuAmount"] / pool.price_per_s_usd < 16.1


class Refusing(BaseHTTPRequestHandler):
    """A receiver of webhooks that does not want them."""

    def do_POST(self) -> None:
        """Reads everything and refuses it."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.tries.append(time.monotonic())  # type: ignore[attr-defined]
        self.send_error(500)

    def log_message(self, *_: object) -> None:
        """Is silent."""


@pytest.fixture
def refusing() -> Iterator[Any]:
    """A receiver; `tries` has one entry for each."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        server.tries = []  # type: ignore[attr-defined]
        Thread(target=server.serve_forever, args=(0.01,)).start()
        yield server
        server.shutdown()


@pytest.mark.proves("rule: webhook-retries")
def test_a_webhook_is_tried_three_times_ten_seconds_apart(client: Client, refusing: Any) -> None:
    """Each leap returns when the tries that were due have been made."""
    endpoint_id = client.endpoint("any")
    done(client, endpoint_id, webhook=f"http://127.0.0.1:{refusing.server_port}/")
    assert len(refusing.tries) == 1
    advance(client, 9)
    assert len(refusing.tries) == 1
    advance(client, 1)
    assert len(refusing.tries) == 2
    advance(client, DAY_S)
    assert len(refusing.tries) == 3


@pytest.mark.proves("rule: rolling-release")
def test_a_release_replaces_workers_as_they_end_their_jobs(client: Client) -> None:
    """The busy one finishes its job, while a new one takes the next."""
    template = {"dockerArgs": "", "containerDiskInGb": 5, "volumeInGb": 0, "env": []}
    saved = client.graphql(
        "mutation ($i: SaveTemplateInput) { saveTemplate(input: $i) { id } }",
        i={"name": "rolled", "imageName": "one", "isServerless": True, **template},
    )["saveTemplate"]
    endpoint_id = client.endpoint("any", templateId=saved["id"], workersMax=2, idleTimeout=60)
    first = client.run(endpoint_id, {})
    advance(client, 1)
    (old,) = client.workers(endpoint_id)
    client.graphql(
        "mutation ($i: SaveTemplateInput) { saveTemplate(input: $i) { id } }",
        i={"id": saved["id"], "name": "rolled", "imageName": "two", "isServerless": True}
        | template,
    )
    second = client.run(endpoint_id, {})
    advance(client, 0)
    (leaving, new) = client.workers(endpoint_id)
    assert (leaving["id"], leaving["jobs"], leaving["leaving"]) == (old["id"], [first], True)
    assert (new["jobs"], new["leaving"]) == ([second], False)
    advance(client, 9)
    assert [each["id"] for each in client.workers(endpoint_id)] == [new["id"]]
    assert client.status(endpoint_id, first)["workerId"] == old["id"]
    advance(client, 1)
    assert client.status(endpoint_id, second)["workerId"] == new["id"]


# What the clock is, and who it is for.


def test_the_clock_says_where_it_is(client: Client) -> None:
    """Now, standing still or not, and how far ahead of the machine."""
    before = client.http.get("/_local/time").json()
    assert advance(client, 3600)["now"] == pytest.approx(before["now"] + 3600, abs=0.001)
    client.server.time.run()
    after = client.http.get("/_local/time").json()
    assert (before["frozen"], after["frozen"]) == (True, False)
    assert 3590 < after["ahead"] <= 3600


def test_a_clock_that_stands_still_does_not_move_by_itself(client: Client) -> None:
    """Reading it twice gives the same; running, it goes on from there."""
    first = client.server.time.now()
    assert client.server.time.now() == first
    client.server.time.run()
    assert first <= client.server.time.now() < first + 60


def test_a_leap_may_be_a_timedelta(client: Client) -> None:
    """For people who think in days."""
    before = client.server.time.now()
    client.server.time.advance(timedelta(days=2))
    assert client.server.time.now() == pytest.approx(before + 2 * DAY_S, abs=0.001)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "action must be freeze, advance or run"),
        ({"action": "stop"}, "action must be freeze, advance or run"),
        ({"action": "advance"}, "seconds must be a number"),
        ({"action": "advance", "seconds": True}, "seconds must be a number"),
        ({"action": "advance", "seconds": -1}, "-1 s cannot pass"),
        ({"action": "advance", "seconds": 1e10}, "until the year 2100"),
        ({"action": "advance", "seconds": 10**400}, "seconds is too large"),
    ],
)
def test_what_no_clock_can_do_is_refused(client: Client, body: Any, words: str) -> None:
    """400 with words, and no time has passed."""
    before = client.server.time.now()
    answer = client.http.post("/_local/time", json=body)
    assert (answer.status_code, words in answer.json()["error"]) == (400, True), answer.text
    assert client.server.time.now() == before


def test_a_clock_that_a_test_brought_along_moves_by_itself_only(tmp_path: Path) -> None:
    """The API says 409, and the fixture raises; reading is fine."""
    clock = FakeClock()
    with (
        LocalRunPodServer(tmp_path / "local", simulation=Simulation(), clock=clock) as server,
        Client(server) as client,
    ):
        assert client.http.post("/_local/time", json={"action": "run"}).status_code == 409
        with pytest.raises(EmulatorError, match="clock was handed in"):
            server.time.freeze()
        assert server.time.now() == clock.now()
        server.reset()


def test_time_that_has_passed_has_passed_after_a_restart_too(tmp_path: Path) -> None:
    """Or what was written down would lie in the future; a clock that stood still still does."""
    folder = tmp_path / "local"
    for frozen in (False, True):
        with LocalRunPodServer(folder, simulation=Simulation()) as server:
            server.time.advance(DAY_S)
            if frozen:
                server.time.freeze()
            before = server.time.now()
        with LocalRunPodServer(folder, simulation=Simulation()) as server, Client(server) as again:
            assert before <= server.time.now() < before + 60
            assert again.http.get("/_local/time").json()["frozen"] is frozen


def test_before_its_start_there_is_no_time(tmp_path: Path) -> None:
    """The fixture says what is missing."""
    with pytest.raises(RuntimeError, match="enter its `with` block"):
        _ = LocalRunPodServer(tmp_path).time
