"""Which webhooks are owed, when the next try is due, and when it is given up."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.emulator.config import Timings
from runpodctl_py.emulator.ids import Ids
from runpodctl_py.emulator.jobs.job import Job, JobStatus, Policy
from runpodctl_py.emulator.jobs.shape import shape
from runpodctl_py.emulator.jobs.webhooks import WEBHOOKS
from runpodctl_py.emulator.state import State
from runpodctl_py.emulator.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import World

    from runpodctl_py.emulator.store import Store

URL = "https://receiver.example/done?key=secret"


def submit(world: World, policy: Policy | None = None, **request: Any) -> Job:
    """Submits a job whose client gave what the test says beside the input."""
    endpoint = world.endpoint()
    return world.state.submit(endpoint.id, {"input": {}, **request}, policy or Policy(), sync=False)


def end(world: World, job: Job, status: JobStatus) -> Job:
    """Has a job reach a final state in the way that leads there."""
    fleet = world.state.fleet
    worker = world.worker(world.state.endpoint(job.endpoint_id))
    fleet.take(worker, 1)
    match status:
        case JobStatus.COMPLETED:
            fleet.result(worker.id, job.id, {"output": {"text": "\ud800 lone"}})
        case JobStatus.FAILED:
            fleet.result(worker.id, job.id, {"error": "no"})
        case JobStatus.TIMED_OUT:
            world.clock.advance(6)
            world.state.sweep()
        case _:
            world.state.cancel(job.endpoint_id, job.id)
    assert world.job(job).status is status
    return world.job(job)


@pytest.mark.proves("rule: webhooks")
@pytest.mark.parametrize("status", [each for each in JobStatus if each.final])
def test_every_final_state_is_told(world: World, status: JobStatus) -> None:
    """At once, with the body that /status shows at that moment."""
    job = submit(world, Policy(execution_timeout_ms=5_000), webhook=URL)
    assert world.state.deliveries.next_due_s() is None
    job = end(world, job, status)
    assert world.state.deliveries.next_due_s() == 0
    (delivery,) = world.state.deliveries.take_due(9)
    assert (delivery.job_id, delivery.url) == (job.id, URL)
    assert json.loads(delivery.body) == shape(job)
    assert WEBHOOKS in world.rung


def test_a_job_without_a_webhook_leaves_no_trace(world: World) -> None:
    """Nothing is owed, nothing is kept, nobody is woken."""
    for nothing in ({}, {"webhook": None}, {"webhook": ""}):
        end(world, submit(world, **nothing), JobStatus.COMPLETED)
    assert world.state.deliveries.next_due_s() is None
    assert world.store.load().of("delivery") == ()
    assert WEBHOOKS not in world.rung


def test_a_job_that_expires_before_its_end_is_not_told(world: World) -> None:
    """There is no final state, and /status is a 404 (API reference 4.2)."""
    submit(world, Policy(ttl_ms=10_000), webhook=URL)
    world.clock.advance(10)
    world.state.sweep()
    assert world.state.deliveries.next_due_s() is None


@pytest.mark.proves("rule: webhooks")
def test_webhook_v2_is_a_second_receiver(world: World) -> None:
    """It gets the same body; the same URL twice is one receiver."""
    both = submit(world, webhook=URL, webhookV2="http://localhost:1/v2")
    end(world, both, JobStatus.COMPLETED)
    first, second = world.state.deliveries.take_due(9)
    assert (first.url, second.url) == (URL, "http://localhost:1/v2")
    assert first.body == second.body
    end(world, submit(world, webhook=URL, webhookV2=URL), JobStatus.COMPLETED)
    assert len(world.state.deliveries.take_due(9)) == 1


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://a.example/x", "receiver.example", "/x", "http://", "http://["),
        *("http://a/\ud800", "http://a/\x1b[31m", 5, ["http://a"]),
    ],
)
def test_what_is_no_web_address_is_noted_and_nothing_else(
    world: World, caplog: pytest.LogCaptureFixture, url: Any
) -> None:
    """The job is none the worse for it, and its other receiver is told."""
    job = end(world, submit(world, webhook=url, webhookV2=URL), JobStatus.COMPLETED)
    assert [each.url for each in world.state.deliveries.take_due(9)] == [URL]
    assert caplog.messages == [f"the webhook of job {job.id} is not an http or https URL"]


@pytest.mark.proves("rule: webhook-retries")
def test_a_failed_try_is_repeated_twice_ten_seconds_apart(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Then it is given up; the log tells the receiver's host, and no secret of its URL."""
    deliveries = world.state.deliveries
    job = end(world, submit(world, webhook=URL), JobStatus.COMPLETED)
    for _ in range(2):
        (delivery,) = deliveries.take_due(9)
        deliveries.failed(delivery, "answered 500")
        assert deliveries.next_due_s() == 10
        world.clock.advance(9.9)
        assert deliveries.take_due(9) == []
        world.clock.advance(0.1)
    (delivery,) = deliveries.take_due(9)
    deliveries.failed(delivery, "answered 500")
    assert deliveries.next_due_s() is None
    assert world.store.load().of("delivery") == ()
    told = f"webhook of job {job.id} to receiver.example: answered 500"
    assert caplog.messages == [f"{told} (try {number} of 3)" for number in (1, 2, 3)]


def test_a_receipt_ends_it(world: World) -> None:
    """Nothing of it is left."""
    deliveries = world.state.deliveries
    end(world, submit(world, webhook=URL), JobStatus.COMPLETED)
    (delivery,) = deliveries.take_due(9)
    deliveries.delivered(delivery)
    assert deliveries.next_due_s() is None
    assert world.store.load().of("delivery") == ()


def test_a_retried_job_is_told_again(world: World) -> None:
    """What was owed before tells its first end still."""
    job = submit(world, webhook=URL)
    end(world, job, JobStatus.FAILED)
    world.state.retry(job.endpoint_id, job.id)
    end(world, job, JobStatus.COMPLETED)
    told = [json.loads(each.body)["status"] for each in world.state.deliveries.take_due(9)]
    assert told == ["FAILED", "COMPLETED"]


def test_no_more_are_handed_out_than_asked_for(world: World) -> None:
    """The one that is due first comes first."""
    jobs = [end(world, submit(world, webhook=URL), JobStatus.COMPLETED) for _ in range(3)]
    taken = world.state.deliveries.take_due(2)
    assert [each.job_id for each in taken] == [each.id for each in jobs[:2]]
    assert [each.job_id for each in world.state.deliveries.take_due(2)] == [jobs[2].id]


@pytest.mark.parametrize("arrived", [True, False])
def test_a_try_that_ends_after_all_was_forgotten_is_nobodys(
    world: World,
    arrived: bool,  # noqa: FBT001 - a parameter of the test.
) -> None:
    """With a seed, a new delivery has the id of a forgotten one, and is still owed."""
    ids, ring = Ids(seed=1), world.bells.ring
    world.state = State(world.store, world.clock, Timings(), ring, worker_quota=30, ids=ids)
    deliveries = world.state.deliveries
    taken = []
    for _ in range(2):
        deliveries.clear()
        ids.sequence("delivery").seed(1)
        end(world, submit(world, webhook=URL), JobStatus.COMPLETED)
        taken += deliveries.take_due(9)
    forgotten, owed = taken
    assert forgotten.id == owed.id
    if arrived:
        deliveries.delivered(forgotten)
    else:
        deliveries.failed(forgotten, "answered 500")
    assert deliveries.next_due_s() is None
    assert [each["id"] for each in world.store.of("delivery")] == [owed.id]


@pytest.mark.proves("rule: webhook-retries")
def test_what_is_owed_survives_a_kill(tmp_path: Path, start: Callable[[Store], World]) -> None:
    """Even while a try is under way; tries that failed before count, and so does the pause."""
    store = SqliteStore(tmp_path / "state.sqlite3")
    world = start(store)
    end(world, submit(world, webhook=URL), JobStatus.COMPLETED)
    (delivery,) = world.state.deliveries.take_due(9)
    world.state.deliveries.failed(delivery, "answered 500")
    world.clock.advance(4)

    world = start(store)
    assert world.state.deliveries.next_due_s() == 6
    world.clock.advance(6)
    (again,) = world.state.deliveries.take_due(9)
    assert (again.id, again.body, again.failures) == (delivery.id, delivery.body, 1)

    assert start(store).state.deliveries.take_due(9) == [again]
    store.close()
