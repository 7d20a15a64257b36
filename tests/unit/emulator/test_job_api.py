"""What clients and workers say over HTTP, and what time makes of it; neither socket nor process.

All of it is done in virtual time: jobs live by the test's clock, and held requests by an event loop
that leaps over whatever it would have to wait for.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from runpodctl_py.emulator import bodies
from runpodctl_py.emulator.config import Timings
from runpodctl_py.emulator.errors import JobApiError
from runpodctl_py.emulator.jobs import api as job_api
from runpodctl_py.emulator.jobs import batch_api
from runpodctl_py.emulator.workers import api as worker_api
from runpodctl_py.emulator.workers.record import Leaving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import World
    from starlette.requests import Request
    from starlette.responses import Response

    from runpodctl_py.emulator.control.model import Endpoint
    from runpodctl_py.emulator.workers.record import Worker

pytestmark = pytest.mark.anyio

WEEK_S = 7 * 24 * 60 * 60


class LeapingSelector(selectors.DefaultSelector):
    """Adds up what it was to wait for instead of waiting."""

    leapt_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Returns what is ready; where nothing is, the time is over at once."""
        if timeout is None:
            return super().select()
        ready = super().select(0)
        self.leapt_s += 0 if ready else max(timeout, 0)
        return ready


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop in which waiting takes no time, and is seen by its clock."""

    def __init__(self) -> None:
        self._leaping = LeapingSelector()
        super().__init__(self._leaping)

    def time(self) -> float:
        """Returns seconds that only run forward."""
        return super().time() + self._leaping.leapt_s


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Every test of this module runs in such a loop."""
    return "asyncio", {"loop_factory": LeapingLoop}


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, JobApiError)
    return bodies.answer({"error": error.message}, error.status)


@pytest.fixture
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """The APIs below an endpoint, all that are about jobs."""
    state, bells = world.state, world.bells
    apis = (
        (job_api.JobApi(state, bells), job_api.OPERATIONS),
        (batch_api.BatchApi(state), batch_api.OPERATIONS),
        (worker_api.WorkerApi(state, bells, Timings()), worker_api.OPERATIONS),
    )
    routes = [
        Route(f"/{{endpoint_id}}/{path}", getattr(api, operation), methods=list(methods))
        for api, operations in apis
        for path, (operation, methods) in operations.items()
    ]
    app = Starlette(routes=routes, exception_handlers={JobApiError: _refused})
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://local") as http:
        yield http


async def run(http: httpx.AsyncClient, endpoint: Endpoint, **body: Any) -> str:
    """Submits a job and returns its id."""
    answer = await http.post(f"/{endpoint.id}/run", json={"input": {"n": 1}, **body})
    assert answer.status_code == 200, answer.text
    job_id: str = answer.json()["id"]
    return job_id


async def taken(http: httpx.AsyncClient, worker: Worker) -> Any:
    """Returns what a worker gets that asks for a job."""
    return (await http.get(f"/{worker.endpoint_id}/job-take/{worker.id}?job_in_progress=1")).json()


async def done(http: httpx.AsyncClient, worker: Worker, job_id: str, **result: Any) -> None:
    """Has a worker say its last word on a job."""
    await http.post(f"/{worker.endpoint_id}/job-done/{worker.id}/{job_id}", json=result)


async def status(http: httpx.AsyncClient, endpoint: Endpoint, job_id: str) -> httpx.Response:
    """Returns what is answered about a job."""
    return await http.get(f"/{endpoint.id}/status/{job_id}")


async def held_s(http: httpx.AsyncClient, method: str, path: str, **body: Any) -> float:
    """Returns for how long a request was held that had nothing to answer but IN_QUEUE."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await http.request(method, path, **body)
    assert answer.json()["status"] == "IN_QUEUE"
    return loop.time() - began


# How long clients wait.

LIMITS = [
    ("?wait=0", 1),
    ("?wait=999", 1),
    ("?wait=20000", 20),
    ("?wait=299999", 299.999),
    ("?wait=300001", 300),
    ("?wait=999999999999999", 300),
]
"""What is asked, and how long the request is held."""


@pytest.mark.proves("rule: runsync-wait")
@pytest.mark.parametrize(("query", "expected_s"), [("", 90), *LIMITS])
async def test_synchronous_requests_wait_for_a_result(
    world: World, http: httpx.AsyncClient, query: str, expected_s: float
) -> None:
    """For 90 s unless they say otherwise, and for no less than 1 s and no more than 300 s."""
    endpoint = world.endpoint()
    path = f"/{endpoint.id}/runsync{query}"
    assert await held_s(http, "POST", path, json={"input": 1}) == pytest.approx(expected_s, abs=0.5)
    path = f"/{endpoint.id}/status-sync/{await run(http, endpoint)}{query}"
    assert await held_s(http, "GET", path) == pytest.approx(expected_s, abs=0.5)


@pytest.mark.proves("rule: stream-hold", "rule: client-time-limits")
@pytest.mark.parametrize(("query", "expected_s"), [("", 9), *LIMITS])
async def test_streams_wait_for_a_piece(
    world: World, http: httpx.AsyncClient, query: str, expected_s: float
) -> None:
    """For 9 s unless they say otherwise: after 10 s RunPod's Python client gives up."""
    endpoint = world.endpoint()
    path = f"/{endpoint.id}/stream/{await run(http, endpoint)}{query}"
    assert await held_s(http, "GET", path) == pytest.approx(expected_s, abs=0.5)


@pytest.mark.proves("rule: runsync-wait", "rule: stream-hold")
@pytest.mark.parametrize("wait", ["soon", "-1", "1.5", ""])
async def test_a_wait_that_is_no_number_is_refused(
    world: World, http: httpx.AsyncClient, wait: str
) -> None:
    """With 400, and no job is made."""
    endpoint = world.endpoint()
    answer = await http.post(f"/{endpoint.id}/runsync?wait={wait}", json={"input": 1})
    assert answer.status_code == 400
    assert world.state.health(endpoint.id).in_queue == 0
    job_id = await run(http, endpoint)
    assert (await http.get(f"/{endpoint.id}/stream/{job_id}?wait={wait}")).status_code == 400


# How long results are kept.


@pytest.mark.proves("rule: retention")
@pytest.mark.parametrize(
    ("query", "kept_s"),
    [("", 60), ("?wait=1000", 60), ("?wait=200000", 200), ("?wait=900000", 300)],
)
async def test_a_synchronous_result_is_kept_for_as_long_as_its_client_would_have_waited(
    world: World, http: httpx.AsyncClient, query: str, kept_s: int
) -> None:
    """For 60 s at least and without a wait, and for 300 s at most, from the job's end."""
    endpoint = world.endpoint()
    worker = world.worker(endpoint)
    async with asyncio.TaskGroup() as together:
        asked = together.create_task(
            http.post(f"/{endpoint.id}/runsync{query}", json={"input": {"n": 1}})
        )
        job_id = (await taken(http, worker))["id"]
        world.clock.advance(30)
        await done(http, worker, job_id, output="o")
    job = asked.result().json()
    assert (job["id"], job["status"], job["output"]) == (job_id, "COMPLETED", "o")

    world.clock.advance(kept_s - 1)
    world.state.sweep()
    assert (await status(http, endpoint, job_id)).json() == job
    world.clock.advance(1)
    assert (await status(http, endpoint, job_id)).status_code == 404


# How long jobs may take.


@pytest.mark.proves("rule: policy-execution-timeout")
@pytest.mark.parametrize(
    ("endpoints_ms", "policy", "limit_s"),
    [
        (7_000, None, 7),
        (7_000, {}, 7),
        (7_000, {"ttl": 60_000, "executionTimeout": None}, 7),
        (7_000, {"executionTimeout": 5_000}, 5),
        (7_000, {"executionTimeout": 9_000}, 9),
        (0, {"executionTimeout": 9_000}, 9),
    ],
)
async def test_an_endpoints_execution_timeout_is_its_jobs_unless_they_have_one(
    world: World,
    http: httpx.AsyncClient,
    endpoints_ms: int,
    policy: dict[str, Any] | None,
    limit_s: int,
) -> None:
    """It counts from the moment at which a worker takes the job; that worker has to go."""
    endpoint = world.endpoint(execution_timeout_ms=endpoints_ms)
    job_id = await run(http, endpoint, policy=policy)
    world.clock.advance(20)
    worker = world.worker(endpoint)
    assert (await taken(http, worker))["id"] == job_id
    world.clock.advance(limit_s - 0.1)
    world.state.sweep()
    assert (await status(http, endpoint, job_id)).json()["status"] == "IN_PROGRESS"
    world.clock.advance(0.1)
    world.state.sweep()
    timed_out = (await status(http, endpoint, job_id)).json()
    assert (timed_out["status"], timed_out["error"]) == ("TIMED_OUT", "executionTimeout exceeded")
    assert worker.leaving is Leaving.AT_ONCE


@pytest.mark.proves("rule: policy-execution-timeout")
async def test_without_an_execution_timeout_a_job_may_take_all_its_life(
    world: World, http: httpx.AsyncClient
) -> None:
    """0 means no limit, and not that the time is over at once."""
    endpoint = world.endpoint()
    worker = world.worker(endpoint)
    job_id = await run(http, endpoint)
    await taken(http, worker)
    for _ in range(23):
        world.clock.advance(60 * 60)
        await http.get(f"/{endpoint.id}/ping/{worker.id}?job_id={job_id}")
        world.state.sweep()
    assert (await status(http, endpoint, job_id)).json()["status"] == "IN_PROGRESS"


@pytest.mark.proves("rule: policy-execution-timeout", "rule: one-retry")
async def test_each_worker_of_a_job_has_the_whole_execution_timeout(
    world: World, http: httpx.AsyncClient
) -> None:
    """What a lost worker spent on it does not count."""
    endpoint = world.endpoint()
    job_id = await run(http, endpoint, policy={"executionTimeout": 5_000})
    first, second = world.worker(endpoint), world.worker(endpoint)
    await taken(http, first)
    world.clock.advance(4)
    world.state.fleet.remove(first.id)
    await taken(http, second)
    world.clock.advance(4.9)
    world.state.sweep()
    assert (await status(http, endpoint, job_id)).json()["status"] == "IN_PROGRESS"
    world.clock.advance(0.1)
    world.state.sweep()
    assert (await status(http, endpoint, job_id)).json()["status"] == "TIMED_OUT"


@pytest.mark.proves("rule: policy-ttl", "rule: retry-failed-only")
async def test_a_retry_does_not_lengthen_a_jobs_life(world: World, http: httpx.AsyncClient) -> None:
    """Its time to live counts from its submission, its delay from the retry."""
    endpoint = world.endpoint()
    worker = world.worker(endpoint)
    job_id = await run(http, endpoint, policy={"ttl": 60_000})
    await taken(http, worker)
    world.clock.advance(30)
    await done(http, worker, job_id, error="e")
    world.clock.advance(20)
    assert (await http.post(f"/{endpoint.id}/retry/{job_id}")).json()["status"] == "IN_QUEUE"
    world.clock.advance(3)
    await taken(http, worker)
    world.clock.advance(6.9)
    world.state.sweep()
    running = (await status(http, endpoint, job_id)).json()
    assert (running["status"], running["delayTime"]) == ("IN_PROGRESS", 3_000)
    world.clock.advance(0.1)
    assert (await status(http, endpoint, job_id)).status_code == 404
    world.state.sweep()
    assert worker.told_to_stop() == [job_id]


@pytest.mark.proves("rule: policy-ttl")
async def test_a_result_does_not_outlive_its_job(world: World, http: httpx.AsyncClient) -> None:
    """However long results are kept otherwise."""
    endpoint = world.endpoint()
    worker = world.worker(endpoint)
    job_id = await run(http, endpoint, policy={"ttl": 60_000})
    await taken(http, worker)
    world.clock.advance(50)
    await done(http, worker, job_id, output="o")
    world.clock.advance(9.9)
    assert (await status(http, endpoint, job_id)).json()["status"] == "COMPLETED"
    world.clock.advance(0.1)
    assert (await status(http, endpoint, job_id)).status_code == 404


@pytest.mark.proves("rule: one-retry", "rule: job-shapes")
async def test_a_lost_jobs_delay_counts_from_its_submission(
    world: World, http: httpx.AsyncClient
) -> None:
    """It has waited all the time: its client did not ask for a retry."""
    endpoint = world.endpoint()
    first, second = world.worker(endpoint), world.worker(endpoint)
    job_id = await run(http, endpoint)
    world.clock.advance(1)
    await taken(http, first)
    world.clock.advance(2)
    world.state.fleet.remove(first.id)
    world.clock.advance(4)
    await taken(http, second)
    running = (await status(http, endpoint, job_id)).json()
    assert (running["delayTime"], running["retries"]) == (7_000, 1)


@pytest.mark.proves("rule: one-retry", "rule: drained-stream")
async def test_what_a_lost_run_streamed_is_void(world: World, http: httpx.AsyncClient) -> None:
    """A client reads the pieces of one run, and those of the last one when there is no other."""
    endpoint = world.endpoint()
    job_id = await run(http, endpoint)
    path = f"/{endpoint.id}/stream/{job_id}"
    for number in (1, 2):
        worker = world.worker(endpoint)
        await taken(http, worker)
        for piece in ("a", "b"):
            posted = f"/{endpoint.id}/job-stream/{worker.id}/{job_id}"
            await http.post(posted, json={"output": f"{piece}{number}"})
        world.state.fleet.remove(worker.id)
        if number == 1:
            assert (await http.get(path)).json() == {"status": "IN_QUEUE", "stream": []}
    assert (await http.get(path)).json() == {
        "status": "FAILED",
        "stream": [{"output": "a2"}, {"output": "b2"}],
    }


@pytest.mark.proves("rule: policy-ttl", "rule: batch-life-cycle")
async def test_a_batchs_requests_live_for_a_week(world: World, http: httpx.AsyncClient) -> None:
    """From the moment at which the batch was finalized; one that says how long, for that long."""
    endpoint = world.endpoint()
    asked = [{"input": 1}, {"input": 2, "policy": {}}, {"input": 3, "policy": {"ttl": 10_000}}]
    batch_id = (await http.post(f"/{endpoint.id}/batch", json=asked)).json()["id"]
    path = f"/{endpoint.id}/batch/{batch_id}"
    world.clock.advance(60)
    await http.post(f"{path}/finalize")

    async def statuses() -> list[str]:
        world.state.sweep()
        page = (await http.get(f"{path}/requests")).json()
        return [each["status"] for each in page["requests"]]

    world.clock.advance(9.5)
    assert await statuses() == ["IN_QUEUE", "IN_QUEUE", "IN_QUEUE"]
    world.clock.advance(0.5)
    assert await statuses() == ["IN_QUEUE", "IN_QUEUE", "EXPIRED"]
    world.clock.advance(WEEK_S - 10.5)
    assert await statuses() == ["IN_QUEUE", "IN_QUEUE", "EXPIRED"]
    world.clock.advance(0.5)
    assert await statuses() == ["EXPIRED", "EXPIRED", "EXPIRED"]


# What is passed on, and what is counted.


@pytest.mark.proves("rule: pass-through", "worker-api: job-take")
@pytest.mark.parametrize("operation", ["run", "runsync?wait=1000"])
async def test_a_worker_gets_what_its_job_came_with(
    world: World, http: httpx.AsyncClient, operation: str
) -> None:
    """Webhooks and the bucket beside the input, as they were sent; nothing else."""
    endpoint = world.endpoint()
    passed_on = {
        "input": {"n": 1},
        "webhook": "https://local/hook",
        "webhookV2": {"url": "https://local/hook2", "headers": [1, None]},
        "s3Config": {"accessId": "i", "accessSecret": "s", "bucketName": "b", "endpointUrl": "u"},
    }
    body = {**passed_on, "policy": {"ttl": 60_000}, "id": "mine", "batchId": "b", "other": 1}
    answer = await http.post(f"/{endpoint.id}/{operation}", json=body)
    job_id = answer.json()["id"]
    assert job_id != "mine"
    assert await taken(http, world.worker(endpoint)) == {"id": job_id, **passed_on}


async def _past(world: World, http: httpx.AsyncClient, endpoint: Endpoint) -> None:
    """One job completed, one failed, one timed out, three lost their worker, one was cancelled."""
    lost = world.worker(endpoint)
    for _ in range(3):
        await run(http, endpoint)
        await taken(http, lost)
    world.state.fleet.remove(lost.id)
    await http.post(f"/{endpoint.id}/purge-queue")

    slow, busy = world.worker(endpoint), world.worker(endpoint)
    await run(http, endpoint, policy={"executionTimeout": 5_000})
    await taken(http, slow)
    for result in ({"output": "o"}, {"error": "e"}):
        job_id = await run(http, endpoint)
        await taken(http, busy)
        await done(http, busy, job_id, **result)
    world.clock.advance(5)
    world.state.sweep()
    world.state.fleet.remove(busy.id)


@pytest.mark.proves("rule: health-counters", "rule: worker-states", "job-api: health")
async def test_health_counts_jobs_and_workers_of_every_state(
    world: World, http: httpx.AsyncClient
) -> None:
    """Ready are those that are idle or running; one on its way out counts no more."""
    endpoint, other = world.endpoint(), world.endpoint()
    nothing = {
        "jobs": dict.fromkeys(("completed", "failed", "inProgress", "inQueue", "retried"), 0),
        "workers": dict.fromkeys(
            ("idle", "initializing", "ready", "running", "throttled", "unhealthy"), 0
        ),
    }
    assert (await http.get(f"/{endpoint.id}/health")).json() == nothing

    await _past(world, http, endpoint)
    fleet = world.state.fleet
    for _ in range(3):
        running = world.worker(endpoint)
        for _ in range(2):
            await run(http, endpoint)
            await taken(http, running)
    for _ in range(7):
        await run(http, endpoint)
    fleet.add(endpoint)
    for _ in range(2):
        world.worker(endpoint)
    for _ in range(4):
        fleet.add(endpoint, throttled=True)
    for _ in range(6):
        fleet.mark_unhealthy(world.worker(endpoint).id)
    assert (await http.get(f"/{endpoint.id}/health")).json() == {
        "jobs": {"completed": 1, "failed": 2, "inProgress": 6, "inQueue": 7, "retried": 3},
        "workers": {
            "idle": 2,
            "initializing": 1,
            "ready": 5,
            "running": 3,
            "throttled": 4,
            "unhealthy": 6,
        },
    }
    assert (await http.get(f"/{other.id}/health")).json() == nothing
