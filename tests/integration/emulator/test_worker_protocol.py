"""The worker's side of the API, spoken by the test itself."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Client, Puppet, Stage

    Eventually = Callable[[Callable[[], Any]], None]


@pytest.fixture
def duty(client: Client, stage: Stage) -> Iterator[tuple[str, Puppet]]:
    """An endpoint with one puppet that is up."""
    endpoint_id, puppet = stage.on_duty()
    puppet.take()
    yield endpoint_id, puppet
    client.delete(endpoint_id)


@pytest.mark.proves(
    "worker-api: job-take",
    "worker-api: job-done",
    "job-api: status-sync",
    "rule: job-shapes",
    "rule: pass-through",
)
def test_a_job_goes_to_the_worker_and_its_result_back(
    client: Client, duty: tuple[str, Puppet]
) -> None:
    """The worker sees id and input; the client sees output and times."""
    endpoint_id, puppet = duty
    job_id = client.run(endpoint_id, {"n": 1}, s3Config={"bucketName": "b"})
    taken = puppet.take()
    assert taken.json() == {"id": job_id, "input": {"n": 1}, "s3Config": {"bucketName": "b"}}
    assert client.status(endpoint_id, job_id).keys() == {"id", "status", "delayTime", "workerId"}
    assert puppet.done(job_id, '{"output": {"text": "é"}}').status_code == 200
    final = client.final(endpoint_id, job_id)
    assert (final["status"], final["output"]) == ("COMPLETED", {"text": "é"})
    assert (final["workerId"], final["id"]) == (puppet.id, job_id)
    assert {"delayTime", "executionTime"} <= final.keys()


@pytest.mark.proves("worker-api: job-done", "rule: worker-bodies", "rule: nan")
@pytest.mark.parametrize(
    ("posted", "shown"),
    [
        ('{"output": NaN}', {"status": "COMPLETED", "output": None}),
        ('{"output": null}', {"status": "COMPLETED", "output": None}),
        ("{}", {"status": "COMPLETED"}),
        ('{"output": []}', {"status": "COMPLETED", "output": []}),
        ('{"error": {"code": 3}}', {"status": "FAILED", "error": {"code": 3}}),
        (
            '{"output": {"extra": 1}, "error": "bad"}',
            {"status": "FAILED", "output": {"extra": 1}, "error": "bad"},
        ),
        ('{"output": "\\ud800"}', {"status": "COMPLETED", "output": "\ud800"}),
    ],
)
def test_results_are_shown_as_they_were_posted(
    client: Client, duty: tuple[str, Puppet], posted: str, shown: dict[str, Any]
) -> None:
    """Whatever the SDK can post; what is no JSON number becomes null."""
    endpoint_id, puppet = duty
    job_id = client.run(endpoint_id, 1)
    puppet.take()
    puppet.done(job_id, posted)
    final = client.final(endpoint_id, job_id)
    assert {key: final.get(key) for key in shown} == shown
    assert ("output" in final) == ("output" in shown)


@pytest.mark.proves("rule: progress", "rule: final-once")
def test_progress_is_shown_until_the_result(client: Client, duty: tuple[str, Puppet]) -> None:
    """An update that comes too late is accepted and ignored."""
    endpoint_id, puppet = duty
    job_id = client.run(endpoint_id, 1)
    puppet.take()
    puppet.done(job_id, '{"status": "IN_PROGRESS", "output": "half"}')
    assert client.status(endpoint_id, job_id)["output"] == "half"
    puppet.done(job_id, '{"output": "all"}')
    assert puppet.done(job_id, '{"status": "IN_PROGRESS", "output": "half"}').status_code == 200
    assert client.status(endpoint_id, job_id)["output"] == "all"


@pytest.mark.proves("rule: held-polls", "worker-api: job-stop")
def test_polls_are_held_and_then_answered_empty(duty: tuple[str, Puppet]) -> None:
    """An answer at once would make the SDK spin."""
    _, puppet = duty
    for poll in (puppet.take, puppet.stops):
        began = time.monotonic()
        assert poll().status_code == 204
        assert time.monotonic() - began >= 0.3


@pytest.mark.proves("rule: held-polls")
def test_a_held_poll_is_woken_by_a_job(client: Client, duty: tuple[str, Puppet]) -> None:
    """The job does not wait for the next poll."""
    endpoint_id, puppet = duty
    with ThreadPoolExecutor() as pool:
        for _ in range(30):
            poll = pool.submit(puppet.take)
            job_id = client.run(endpoint_id, 1)
            answer = poll.result()
            if answer.status_code == 204:
                answer = puppet.take()
            assert answer.json()["id"] == job_id
            puppet.done(job_id, '{"output": 1}')


@pytest.mark.proves("rule: hung-up-worker")
def test_a_worker_that_hung_up_gets_no_job(client: Client, duty: tuple[str, Puppet]) -> None:
    """The job goes to the next poll, as if nothing had happened."""
    endpoint_id, puppet = duty
    poll = (
        f"GET /v2/{endpoint_id}/job-take/{puppet.id}?gpu=x&job_in_progress=0 HTTP/1.1\r\n"
        f"Host: x\r\nAuthorization: {puppet.http.headers['authorization']}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", puppet.http.base_url.port)) as line:
        line.sendall(poll.encode())
        assert line.recv(4096).startswith(b"HTTP/1.1 204")
        line.sendall(poll.encode())
        # The server has read the poll, and later its end, by the time it has answered others.
        [client.health(endpoint_id) for _ in range(5)]
    [client.health(endpoint_id) for _ in range(5)]
    job_id = client.run(endpoint_id, 1)
    assert client.status(endpoint_id, job_id)["status"] == "IN_QUEUE"
    assert puppet.take().json()["id"] == job_id
    puppet.done(job_id, '{"output": 1}')
    assert "retries" not in client.status(endpoint_id, job_id)


@pytest.mark.proves("worker-api: job-take-batch", "rule: fifo")
def test_a_batch_poll_gets_a_list(client: Client, duty: tuple[str, Puppet]) -> None:
    """At most as many as were asked for, the oldest first."""
    endpoint_id, puppet = duty
    jobs = [client.run(endpoint_id, n) for n in range(3)]
    poll = f"/job-take-batch/{puppet.id}?gpu=x&batch_size=2&job_in_progress=0"
    assert [each["id"] for each in puppet.http.get(poll).json()] == jobs[:2]


@pytest.mark.proves("rule: empty-input")
def test_an_empty_input_is_dropped(client: Client, duty: tuple[str, Puppet]) -> None:
    """As RunPod does; the SDK then refuses the job."""
    endpoint_id, puppet = duty
    job_id = client.run(endpoint_id, {})
    assert puppet.take().json() == {"id": job_id}


@pytest.mark.proves("rule: lost-job")
def test_a_lost_job_is_given_out_again(client: Client, duty: tuple[str, Puppet]) -> None:
    """A worker without jobs asks; the one it had is queued again, then failed."""
    endpoint_id, puppet = duty
    job_id = client.run(endpoint_id, 1)
    assert [puppet.take().json()["id"] for _ in range(2)] == [job_id, job_id]
    assert puppet.take().status_code == 204
    final = client.status(endpoint_id, job_id)
    assert (final["status"], final["retries"]) == ("FAILED", 1)
    assert final["error"] == "job timed out after 1 retries"


@pytest.mark.proves("worker-api: job-stop", "rule: cancel-running")
def test_cancelling_reaches_the_worker(client: Client, duty: tuple[str, Puppet]) -> None:
    """Through its held poll, at once; a worker that is free again may stay."""
    endpoint_id, puppet = duty
    job_id = client.run(endpoint_id, 1)
    puppet.take()
    with ThreadPoolExecutor() as pool:
        poll = pool.submit(puppet.stops)
        cancelled = client.http.post(f"/v2/{endpoint_id}/cancel/{job_id}", json={})
        assert cancelled.json() == {"id": job_id, "status": "CANCELLED"}
        answer = poll.result()
    if answer.status_code == 204:
        answer = puppet.stops()
    assert answer.json() == {"jobsToStop": [job_id]}
    puppet.take()
    for _ in range(3):
        assert puppet.stops().status_code == 204
    assert [each["id"] for each in client.workers(endpoint_id)] == [puppet.id]


@pytest.mark.proves("rule: cancel-running")
def test_a_worker_that_does_not_listen_is_replaced(
    client: Client, stage: Stage, duty: tuple[str, Puppet]
) -> None:
    """After a grace its process group is killed, and the next job gets a new one."""
    endpoint_id, puppet = duty
    job_id = client.run(endpoint_id, 1)
    puppet.take()
    client.http.post(f"/v2/{endpoint_id}/cancel/{job_id}")
    assert stage.puppet().id != puppet.id
    assert client.status(endpoint_id, job_id)["status"] == "CANCELLED"


@pytest.mark.proves("rule: one-retry")
def test_a_dead_workers_job_goes_to_the_next(
    client: Client, stage: Stage, duty: tuple[str, Puppet]
) -> None:
    """The second one's result counts, and health tells of the retry."""
    endpoint_id, puppet = duty
    job_id = client.run(endpoint_id, 1)
    puppet.take()
    puppet.die()
    second = stage.puppet()
    assert second.take().json()["id"] == job_id
    second.done(job_id, '{"output": 1}')
    final = client.final(endpoint_id, job_id)
    assert (final["status"], final["retries"], final["workerId"]) == ("COMPLETED", 1, second.id)
    assert client.health(endpoint_id)["jobs"]["retried"] == 1


@pytest.mark.proves("rule: refresh-worker")
def test_stop_pod_recycles_the_worker(
    client: Client, stage: Stage, duty: tuple[str, Puppet]
) -> None:
    """The result counts, and a fresh worker follows."""
    endpoint_id, puppet = duty
    job_id = client.run(endpoint_id, 1)
    puppet.take()
    puppet.done(job_id, '{"output": 1, "stopPod": true}')
    assert stage.puppet().id != puppet.id
    assert client.status(endpoint_id, job_id)["status"] == "COMPLETED"


@pytest.mark.proves("rule: draining")
def test_stop_pod_leaves_the_other_jobs_their_time(
    client: Client, stage: Stage, duty: tuple[str, Puppet], eventually: Eventually
) -> None:
    """A job beside it can still be cancelled, and another outlasts the grace period."""
    endpoint_id, puppet = duty
    jobs = [client.run(endpoint_id, n) for n in range(3)]
    puppet.http.get(f"/job-take-batch/{puppet.id}?gpu=x&batch_size=3&job_in_progress=0")
    puppet.done(jobs[0], '{"output": 1, "stopPod": true}')
    client.http.post(f"/v2/{endpoint_id}/cancel/{jobs[1]}")
    assert puppet.stops().json() == {"jobsToStop": [jobs[1]]}
    puppet.ping(f"&job_id={jobs[2]}")
    # Longer than the grace of three seconds that these tests set.
    grace_is_over = time.monotonic() + 3.5
    while time.monotonic() < grace_is_over:
        assert puppet.take(holding=True).status_code == 204
        puppet.ping(f"&job_id={jobs[2]}")
    puppet.done(jobs[2], '{"output": 3}')
    final = client.final(endpoint_id, jobs[2])
    assert (final["status"], final["output"], final["workerId"]) == ("COMPLETED", 3, puppet.id)
    assert "retries" not in final
    eventually(lambda: puppet.id not in [each["id"] for each in client.workers(endpoint_id)])
    assert stage.puppet().id != puppet.id


@pytest.mark.proves("rule: fitness", "worker-api: ping")
def test_an_unhealthy_worker_is_replaced(
    client: Client, stage: Stage, duty: tuple[str, Puppet], eventually: Eventually
) -> None:
    """It counts as unhealthy until the next one is started, after a pause."""
    endpoint_id, puppet = duty
    puppet.ping("&status=unhealthy&check=my_check&reason=no+model")
    eventually(lambda: client.health(endpoint_id)["workers"]["unhealthy"] == 1)
    second = stage.puppet()
    second.take()
    workers = client.health(endpoint_id)["workers"]
    assert (workers["unhealthy"], workers["ready"], workers["idle"]) == (0, 1, 1)


@pytest.mark.proves("rule: idle-timeout", "rule: draining")
def test_an_idle_worker_is_let_go(client: Client, stage: Stage, eventually: Eventually) -> None:
    """Its held polls are answered at once, and its process ends."""
    endpoint_id = client.endpoint("puppet", idleTimeout=1)
    job_id = client.run(endpoint_id, 1)
    puppet = stage.puppet()
    puppet.take()
    puppet.done(job_id, '{"output": 1}')
    while puppet.take().status_code == 204 and client.workers(endpoint_id):
        pass
    eventually(lambda: client.workers(endpoint_id) == [])


def test_stream_chunks_are_accepted(client: Client, duty: tuple[str, Puppet]) -> None:
    """They change nothing about the job's status; its output is what is posted at the end."""
    endpoint_id, puppet = duty
    job_id = client.run(endpoint_id, 1)
    puppet.take()
    chunk = f"/job-stream/{puppet.id}/{job_id}?gpu=x&isStream=false"
    assert puppet.http.post(chunk, content=b'{"output": {"tok": 0}}').status_code == 200
    assert "output" not in client.status(endpoint_id, job_id)
    puppet.done(job_id, '{"output": []}')
    assert client.status(endpoint_id, job_id)["output"] == []


@pytest.mark.proves("rule: job-done-expired")
def test_a_forgotten_job_is_not_found(duty: tuple[str, Puppet]) -> None:
    """The one case in which a result is refused."""
    _, puppet = duty
    assert puppet.done("nobody-u1", '{"output": 1}').status_code == 404


def test_users_and_workers_cannot_act_as_each_other(
    client: Client, duty: tuple[str, Puppet]
) -> None:
    """Each key opens its own half of the API."""
    endpoint_id, puppet = duty
    as_user = client.http.get(f"/v2/{endpoint_id}/job-take/{puppet.id}?gpu=x&job_in_progress=0")
    as_worker = puppet.http.get("/health")
    assert (as_user.status_code, as_worker.status_code) == (401, 401)


@pytest.mark.proves("rule: oversized-output")
def test_a_result_that_is_too_large_is_lost(client: Client, stage: Stage) -> None:
    """It is refused, and the worker that asks for the next job has lost this one: once more."""
    endpoint_id, puppet = stage.on_duty()
    job_id = client.run(endpoint_id, 1)
    assert puppet.take().json()["id"] == job_id
    body = '{"output": "' + "x" * 20 * 1024 * 1024 + '"}'
    assert puppet.done(job_id, body).status_code == 413
    assert puppet.take().json()["id"] == job_id
    assert puppet.done(job_id, body).status_code == 413
    assert puppet.take().status_code == 204
    final = client.status(endpoint_id, job_id)
    assert (final["status"], final["error"]) == ("FAILED", "job timed out after 1 retries")
    client.delete(endpoint_id)
