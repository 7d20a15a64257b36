from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpcore
import httpx
import pytest
import respx
from hypothesis import given
from hypothesis import strategies as st

from runpodctl_py.api import serverless
from runpodctl_py.api.retrying import RetryPolicy
from runpodctl_py.api.serverless import Serverless, check_size, parse_job
from runpodctl_py.api.transport import Transport
from runpodctl_py.api.types import (
    Health,
    Job,
    JobCounts,
    JobRequest,
    JobStatus,
    Policy,
    WorkerCounts,
)
from runpodctl_py.errors import (
    AnswerLostError,
    NotFoundError,
    PayloadTooLargeError,
    RunpodctlError,
    ServerError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

pytestmark = pytest.mark.anyio

BASE = "https://api.runpod.ai/v2"
ENDPOINT = f"{BASE}/vsrx8zdokf21gz"
JOB_ID = "5e0ae067-1111-2222-3333-444455556666-u1"
QUEUED = {"id": JOB_ID, "status": "IN_QUEUE"}


@pytest.fixture
def runpod() -> Iterator[respx.MockRouter]:
    """RunPod's job API, with whatever answer a test gives it."""
    with respx.mock as router:
        yield router


@pytest.fixture
async def endpoint() -> AsyncIterator[Serverless]:
    """An endpoint whose requests are tried twice."""
    async with Transport(BASE, "rpa_key", retries=RetryPolicy(attempts=2)) as transport:
        yield Serverless(transport, "vsrx8zdokf21gz")


async def test_run_posts_the_body_as_documented(
    runpod: respx.MockRouter, endpoint: Serverless
) -> None:
    """Input, webhook and policy (API reference 4.2), and back comes the job's id."""
    route = runpod.post(f"{ENDPOINT}/run").respond(json=QUEUED)
    policy = Policy(execution_timeout_ms=600_000, ttl_ms=86_400_000, low_priority=True)

    job = await endpoint.run(JobRequest({"prompt": "ä"}, "https://hook", policy))

    assert job == Job(JOB_ID, JobStatus.IN_QUEUE)
    assert json.loads(route.calls.last.request.content) == {
        "input": {"prompt": "ä"},
        "webhook": "https://hook",
        "policy": {"executionTimeout": 600_000, "ttl": 86_400_000, "lowPriority": True},
    }


async def test_runsync_says_how_long_it_waits(
    runpod: respx.MockRouter, endpoint: Serverless
) -> None:
    """In milliseconds, and the connection is held at least as long."""
    route = runpod.post(f"{ENDPOINT}/runsync", params={"wait": "90000"}).respond(json=QUEUED)

    await endpoint.runsync(JobRequest({}), 90_000)

    assert route.calls.last.request.extensions["timeout"]["read"] == 120


async def test_status_sync_is_asked_once(runpod: respx.MockRouter, endpoint: Serverless) -> None:
    """Whoever asks it has `/status` to fall back to."""
    url = f"{ENDPOINT}/status-sync/{JOB_ID}"
    route = runpod.get(url, params={"wait": "1000"}).respond(500)

    with pytest.raises(ServerError):
        await endpoint.status_sync(JOB_ID, 1000)

    assert route.call_count == 1


@pytest.mark.parametrize(
    ("ask", "path"),
    [
        (lambda e: e.status(JOB_ID), f"/status/{JOB_ID}"),
        (lambda e: e.status_sync(JOB_ID, 1000), f"/status-sync/{JOB_ID}?wait=1000"),
    ],
    ids=["status", "status-sync"],
)
async def test_a_job_as_it_is_now(
    runpod: respx.MockRouter,
    endpoint: Serverless,
    ask: Callable[[Serverless], Awaitable[Job]],
    path: str,
) -> None:
    """Both ways of asking bring the same."""
    runpod.get(f"{ENDPOINT}{path}").respond(json=QUEUED)

    assert await ask(endpoint) == Job(JOB_ID, JobStatus.IN_QUEUE)


async def test_cancel_may_be_repeated(runpod: respx.MockRouter, endpoint: Serverless) -> None:
    """Cancelling twice is the same as once, so a lost answer is no end."""
    route = runpod.post(f"{ENDPOINT}/cancel/{JOB_ID}").mock(
        side_effect=[
            httpcore.ReadTimeout(),
            httpx.Response(200, json={"id": JOB_ID, "status": "CANCELLED"}),
        ]
    )

    assert await endpoint.cancel(JOB_ID) == Job(JOB_ID, JobStatus.CANCELLED)
    assert json.loads(route.calls.last.request.content) == {}


HEALTH = {
    "jobs": {"completed": 1, "failed": 2, "inProgress": 3, "inQueue": 4, "retried": 5},
    "workers": {
        "idle": 6,
        "initializing": 7,
        "ready": 8,
        "running": 9,
        "throttled": 10,
        "unhealthy": 11,
    },
}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (HEALTH, Health(JobCounts(1, 2, 3, 4, 5), WorkerCounts(6, 7, 8, 9, 10, 11))),
        ({"jobs": {}, "workers": {"idle": "many"}}, Health(JobCounts(), WorkerCounts())),
    ],
)
async def test_health_reads_all_eleven_counters(
    runpod: respx.MockRouter, endpoint: Serverless, body: dict[str, Any], expected: Health
) -> None:
    """One that is missing is zero (API reference 4.4)."""
    runpod.get(f"{ENDPOINT}/health").respond(json=body)

    assert await endpoint.health() == expected


@pytest.mark.parametrize("body", [{}, {"jobs": [], "workers": {}}, {"jobs": {}, "workers": None}])
async def test_what_is_no_health_is_told(
    runpod: respx.MockRouter, endpoint: Serverless, body: dict[str, Any]
) -> None:
    """Zeros would be a lie."""
    runpod.get(f"{ENDPOINT}/health").respond(json=body)

    with pytest.raises(ServerError, match="not an endpoint's health"):
        await endpoint.health()


CALLS: dict[str, Callable[[Serverless], Awaitable[object]]] = {
    "run": lambda e: e.run(JobRequest({})),
    "runsync": lambda e: e.runsync(JobRequest({}), 1000),
    "health": lambda e: e.health(),
    "status": lambda e: e.status("nope"),
    "cancel": lambda e: e.cancel("nope"),
}


@pytest.mark.parametrize(
    ("call", "message", "job_id"),
    [
        ("run", "There is no endpoint vsrx8zdokf21gz", None),
        ("runsync", "There is no endpoint vsrx8zdokf21gz", None),
        ("health", "There is no endpoint vsrx8zdokf21gz", None),
        ("status", "Endpoint vsrx8zdokf21gz knows no job nope", "nope"),
        ("cancel", "Endpoint vsrx8zdokf21gz knows no job nope", "nope"),
    ],
)
async def test_404_says_what_is_missing(
    runpod: respx.MockRouter,
    endpoint: Serverless,
    *,
    call: str,
    message: str,
    job_id: str | None,
) -> None:
    """An endpoint or a job, each with a hint of its own."""
    runpod.route(url__startswith=ENDPOINT).respond(404)

    with pytest.raises(NotFoundError) as raised:
        await CALLS[call](endpoint)

    assert (raised.value.message, raised.value.job_id) == (message, job_id)
    assert raised.value.hint


async def test_ids_are_quoted(runpod: respx.MockRouter) -> None:
    """An id from a person or a file cannot lead to another path or query."""
    route = runpod.get(path__startswith="/v2/").respond(json=QUEUED)

    async with serverless.connect(BASE, "rpa_key", "e/p?x") as endpoint:
        await endpoint.status("../a b#c%2F")

    path = route.calls.last.request.url.raw_path
    assert path == b"/v2/e%2Fp%3Fx/status/..%2Fa%20b%23c%252F"


LOST: dict[str, Any] = {
    "timeout": httpcore.ReadTimeout(),
    "cut": httpcore.RemoteProtocolError("Server disconnected"),
    "500": httpx.Response(500),
    "502": httpx.Response(502, html="<h1>Bad gateway</h1>"),
    "no JSON": httpx.Response(200, text="<html>"),
    "no job": httpx.Response(200, json={"ok": True}),
    "no id": httpx.Response(200, json={"status": "IN_QUEUE"}),
}


@pytest.mark.parametrize("operation", ["run", "runsync"])
@pytest.mark.parametrize("trouble", LOST.values(), ids=LOST.keys())
async def test_a_lost_submission_is_unknown_and_never_repeated(
    runpod: respx.MockRouter, endpoint: Serverless, operation: str, trouble: Any
) -> None:
    """A job may exist: the error says so, and where to look."""
    route = runpod.post(url__startswith=f"{ENDPOINT}/{operation}").mock(side_effect=[trouble])

    with pytest.raises(AnswerLostError) as raised:
        await CALLS[operation](endpoint)

    assert raised.value.message.endswith(". The job is unknown: it may be queued, and billed")
    assert raised.value.hint == (
        "It was not sent again. Look before you repeat it:  runpodctl-py health vsrx8zdokf21gz"
    )
    assert route.call_count == 1


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (httpx.Response(503), "api.runpod.ai answered 503"),
        (httpx.Response(307, headers={"Location": "/"}), "api.runpod.ai redirects elsewhere (307)"),
        (httpx.Response(401), "api.runpod.ai does not accept the API key (401)"),
    ],
)
async def test_a_submission_without_effect_is_not_called_unknown(
    runpod: respx.MockRouter, endpoint: Serverless, trouble: Any, message: str
) -> None:
    """Nobody should look for a job that cannot be there."""
    runpod.post(f"{ENDPOINT}/run").mock(return_value=trouble)

    with pytest.raises(RunpodctlError) as raised:
        await endpoint.run(JobRequest({}))

    assert not isinstance(raised.value, AnswerLostError)
    assert raised.value.message == message


def body_of(size: int) -> dict[str, Any]:
    """Make a body that is so many bytes long as JSON."""
    empty = len(json.dumps({"input": {"a": ""}}))
    return {"input": {"a": "x" * (size - empty)}}


BUCKET_HINT = "Put large files into a bucket and pass their URL instead."
SYNC_HINT = "Use --sync, which takes 20 MB, or put large files into a bucket and pass their URL."


@pytest.mark.parametrize(
    ("size", "limit", "message", "hint"),
    [
        (10_000_001, 10_000_000, "10.0 MB; RunPod's /op takes 10 MB", SYNC_HINT),
        (20_000_000, 10_000_000, "20.0 MB; RunPod's /op takes 10 MB", SYNC_HINT),
        (20_000_001, 10_000_000, "20.0 MB; RunPod's /op takes 10 MB", BUCKET_HINT),
        (20_000_001, 20_000_000, "20.0 MB; RunPod's /op takes 20 MB", BUCKET_HINT),
    ],
)
def test_a_body_over_the_limit_says_what_to_do(
    size: int, limit: int, message: str, hint: str
) -> None:
    """`--sync` is only suggested where it would help."""
    with pytest.raises(PayloadTooLargeError) as raised:
        check_size(body_of(size), limit, "/op")

    assert raised.value.message == f"The job's body has {message}"
    assert raised.value.hint == hint


@pytest.mark.parametrize("limit", [10_000_000, 20_000_000])
def test_a_body_at_the_limit_is_taken(limit: int) -> None:
    """The limit itself is allowed."""
    body = body_of(limit)
    assert len(json.dumps(body)) == limit

    check_size(body, limit, "/op")


async def test_too_large_a_body_is_not_sent(runpod: respx.MockRouter, endpoint: Serverless) -> None:
    """Neither by run nor by runsync."""
    with pytest.raises(PayloadTooLargeError):
        await endpoint.run(JobRequest({"a": "x" * 10_000_000}))
    with pytest.raises(PayloadTooLargeError):
        await endpoint.runsync(JobRequest({"a": "x" * 20_000_000}), 1000)

    assert runpod.calls.call_count == 0


@pytest.mark.parametrize(
    ("body", "job"),
    [
        (QUEUED, Job(JOB_ID, JobStatus.IN_QUEUE)),
        (
            {
                "id": "sync-1",
                "status": "IN_PROGRESS",
                "delayTime": 12,
                "workerId": "moi9fq5smrmwvl",
                "output": {"progress": 50},
                "retries": 1,
            },
            Job(
                "sync-1",
                JobStatus.IN_PROGRESS,
                output={"progress": 50},
                delay_ms=12,
                worker_id="moi9fq5smrmwvl",
            ),
        ),
        (
            {
                "id": "j",
                "status": "COMPLETED",
                "delayTime": 824,
                "executionTime": 3391,
                "output": 0,
                "workerId": "w",
            },
            Job("j", JobStatus.COMPLETED, 0, None, 824, 3391, "w"),
        ),
        (
            {"id": "j", "status": "FAILED", "error": {"code": 3}, "output": {"extra": 1}},
            Job("j", JobStatus.FAILED, {"extra": 1}, {"code": 3}),
        ),
        ({"id": "j", "status": "RUNNING"}, Job("j", JobStatus.IN_PROGRESS)),
        ({"id": "j", "status": "PAUSED"}, Job("j", JobStatus.IN_PROGRESS)),
        (
            {"id": "j", "status": "TIMED_OUT", "delayTime": 1.6, "executionTime": True},
            Job("j", JobStatus.TIMED_OUT, delay_ms=2),
        ),
        (
            {"id": "j", "status": "CANCELLED", "delayTime": "1", "executionTime": 1e999},
            Job("j", JobStatus.CANCELLED),
        ),
        (
            {"id": "j", "status": "CANCELLED", "delayTime": -1, "executionTime": 10**400},
            Job("j", JobStatus.CANCELLED),
        ),
        ({"id": "j", "status": "IN_QUEUE", "workerId": 5}, Job("j", JobStatus.IN_QUEUE)),
    ],
)
def test_jobs_in_all_their_shapes(body: dict[str, Any], job: Job) -> None:
    """What is there is taken, what makes no sense is left out (API reference 4.4)."""
    assert parse_job(body) == job


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"id": "j"},
        {"status": "COMPLETED"},
        {"id": 1, "status": "COMPLETED"},
        {"id": "j", "status": None},
        {"id": "j", "status": ""},
        {"id": "j", "status": ["COMPLETED"]},
    ],
)
def test_what_is_no_job_is_told(body: dict[str, Any]) -> None:
    """Without an id or a state there is nothing to follow."""
    with pytest.raises(ServerError, match="not a job"):
        parse_job(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=5,
)
JOB_KEYS = ("delayTime", "executionTime", "output", "error", "workerId", "extra")


@given(st.dictionaries(st.sampled_from(JOB_KEYS), json_values))
def test_nothing_beside_id_and_state_breaks_a_job(more: dict[str, Any]) -> None:
    """Any JSON may stand in the other fields."""
    job = parse_job({**more, "id": "j", "status": "COMPLETED"})

    assert (job.job_id, job.status, job.output) == ("j", JobStatus.COMPLETED, more.get("output"))
