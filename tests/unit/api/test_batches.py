from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import respx
from hypothesis import given, settings
from hypothesis import strategies as st

from runpodctl_py.api.batches import (
    BatchRequest,
    BatchStatus,
    NativeBatch,
    NativeBatches,
    Page,
    page_of,
)
from runpodctl_py.api.retrying import RetryPolicy
from runpodctl_py.api.transport import Transport
from runpodctl_py.api.types import Job, JobStatus
from runpodctl_py.errors import (
    AnswerLostError,
    NotFoundError,
    RateLimitedError,
    RunpodctlError,
    ServerError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.anyio

BASE = "https://api.runpod.ai/v2"
BATCHES = f"{BASE}/vsrx8zdokf21gz/batch"
BATCH = f"{BATCHES}/batch_01j9abc123"
REQUEST: dict[str, Any] = {"input": {"text": "The quick brown fox"}}
# The summary on RunPod's page.
SUMMARY = {
    "id": "batch_01j9abc123",
    "endpointId": "abc123xyz",
    "status": "FINALIZED",
    "requestTotal": 1000,
    "requestInProgress": 8,
    "requestCompleted": 244,
    "requestFailed": 6,
    "createdAt": 1783584000000,
}
READ = NativeBatch(
    native_id="batch_01j9abc123",
    status=BatchStatus.FINALIZED,
    total=1000,
    completed=244,
    failed=6,
    created_at_ms=1783584000000,
)
DRAFT = NativeBatch(native_id="batch_01j9abc123", status=BatchStatus.DRAFT)


@pytest.fixture
def runpod() -> Iterator[respx.MockRouter]:
    """RunPod's batch API, with whatever answer a test gives it."""
    with respx.mock as router:
        yield router


@pytest.fixture
async def batches() -> AsyncIterator[NativeBatches]:
    """An endpoint's batches; requests are tried twice."""
    async with Transport(BASE, "rpa_key", retries=RetryPolicy(attempts=2)) as transport:
        yield NativeBatches(transport, "vsrx8zdokf21gz")


async def test_create_posts_a_list(runpod: respx.MockRouter, batches: NativeBatches) -> None:
    """RunPod's page: the body is a top-level JSON array, and back comes the draft's id."""
    route = runpod.post(BATCHES).respond(json={"id": "batch_01j9abc123", "status": "DRAFT"})

    assert await batches.create([REQUEST]) == "batch_01j9abc123"

    assert json.loads(route.calls.last.request.content) == [REQUEST]


async def test_add_posts_an_object(runpod: respx.MockRouter, batches: NativeBatches) -> None:
    """With the requests in it."""
    route = runpod.post(f"{BATCH}/requests").respond(json=SUMMARY)

    await batches.add("batch_01j9abc123", [REQUEST, REQUEST])

    assert json.loads(route.calls.last.request.content) == {"requests": [REQUEST, REQUEST]}


@pytest.mark.parametrize("call", ["create", "add", "finalize"])
async def test_what_must_not_happen_twice_is_sent_once(
    runpod: respx.MockRouter, batches: NativeBatches, call: str
) -> None:
    """Its answer is lost; what is to be done about that, the caller knows."""
    route = runpod.post(url__startswith=BATCHES).respond(500)
    arguments: dict[str, Any] = {"create": ([],), "add": ("b", []), "finalize": ("b",)}

    with pytest.raises(AnswerLostError):
        await getattr(batches, call)(*arguments[call])

    assert route.call_count == 1


async def test_a_full_endpoint_is_a_rate_limit(
    runpod: respx.MockRouter, batches: NativeBatches
) -> None:
    """It has its ten batches (API reference 4.8); nothing was made, so it is tried again."""
    route = runpod.post(BATCHES).respond(429, json={"error": "10 active batches already"})

    with pytest.raises(RateLimitedError, match="10 active batches"):
        await batches.create([REQUEST])

    assert route.call_count == 2


async def test_an_endpoint_without_batches_is_told(
    runpod: respx.MockRouter, batches: NativeBatches
) -> None:
    """It may not exist, or the batch API is not for it; there is another way."""
    runpod.post(BATCHES).respond(404)

    with pytest.raises(NotFoundError, match="vsrx8zdokf21gz, or it takes no batches") as caught:
        await batches.create([REQUEST])

    assert "leave out --native" in str(caught.value.hint)


async def test_cancel_may_be_repeated(runpod: respx.MockRouter, batches: NativeBatches) -> None:
    """Twice is the same as once."""
    route = runpod.post(f"{BATCH}/cancel").mock(
        side_effect=[respx.MockResponse(500), respx.MockResponse(json=SUMMARY)]
    )

    await batches.cancel("batch_01j9abc123")

    assert route.call_count == 2


async def test_summary_reads_the_counts(runpod: respx.MockRouter, batches: NativeBatches) -> None:
    """As RunPod's page shows them."""
    runpod.get(BATCH).respond(json=SUMMARY)

    found = await batches.summary("batch_01j9abc123")

    assert found == READ
    assert (found.ended, found.is_broken_off) == (250, False)


async def test_an_unknown_state_is_no_draft(
    runpod: respx.MockRouter, batches: NativeBatches
) -> None:
    """Nothing may be added to it, and it may be running."""
    runpod.get(BATCH).respond(json={**SUMMARY, "status": "ARCHIVED"})

    assert (await batches.summary("batch_01j9abc123")).status is BatchStatus.FINALIZED


@pytest.mark.parametrize("call", ["summary", "finalize", "cancel"])
async def test_a_batch_that_is_not_there_is_told(
    runpod: respx.MockRouter, batches: NativeBatches, call: str
) -> None:
    """Whatever was wanted of it."""
    runpod.route(url__startswith=BATCH).respond(404, json={"error": "batch not found"})

    with pytest.raises(NotFoundError, match=r"no such batch: .*batch not found"):
        await getattr(batches, call)("batch_01j9abc123")


async def test_page_reads_results(runpod: respx.MockRouter, batches: NativeBatches) -> None:
    """The page on RunPod's page, whose times are whole seconds; one that waits has none."""
    completed = {
        "id": "req_abc001",
        "status": "COMPLETED",
        "output": {"embedding": [0.12]},
        "startedAt": "2026-07-09T08:00:05Z",
        "completedAt": "2026-07-09T08:00:07Z",
    }
    failed = {
        "id": "req_abc002",
        "status": "FAILED",
        "error": "Handler raised an exception: timeout exceeded",
        "startedAt": "2026-07-09T08:00:01Z",
        "completedAt": "2026-07-09T08:00:10Z",
    }
    waiting = {"id": "req_abc003", "status": "IN_QUEUE"}
    more = {"total": 1000, "offset": 0, "limit": 3, "hasMore": True}
    runpod.get(f"{BATCH}/requests", params={"offset": "0", "limit": "3"}).respond(
        json={"requests": [completed, failed, waiting], **more}
    )

    page = await batches.page(READ, 0, 3)

    done = Job(
        "req_abc001",
        JobStatus.COMPLETED,
        output={"embedding": [0.12]},
        delay_ms=5_000,
        execution_ms=2_000,
    )
    broken = Job(
        "req_abc002",
        JobStatus.FAILED,
        error="Handler raised an exception: timeout exceeded",
        delay_ms=1_000,
        execution_ms=9_000,
    )
    assert page == Page(
        (
            BatchRequest("req_abc001", is_final=True, job=done),
            BatchRequest("req_abc002", is_final=True, job=broken),
            BatchRequest("req_abc003"),
        ),
        has_more=True,
    )


@pytest.mark.parametrize(
    ("shown", "is_final"),
    [
        ({"status": "COMPLETED"}, True),
        ({"status": "EXPIRED"}, True),
        ({"status": "RUNNING", "output": "progress"}, False),
    ],
)
async def test_what_a_page_does_not_tell_in_whole_is_no_job(
    runpod: respx.MockRouter,
    batches: NativeBatches,
    shown: dict[str, str],
    is_final: bool,  # noqa: FBT001 - a parameter.
) -> None:
    """A result that is left out is not an empty one."""
    runpod.get(f"{BATCH}/requests").respond(json={"requests": [{"id": "r", **shown}]})

    assert await batches.page(READ, 0, 50) == Page((BatchRequest("r", is_final),))


async def test_page_reads_a_draft(runpod: respx.MockRouter, batches: NativeBatches) -> None:
    """Its inputs, where RunPod shows them."""
    listed = [{"id": "a", "status": "DRAFT", "input": None}, {"id": "b", "status": "DRAFT"}]
    runpod.get(f"{BATCH}/requests").respond(json={"requests": listed, "hasMore": False})

    page = await batches.page(DRAFT, 0, 50)

    assert page == Page((BatchRequest("a", has_payload=True), BatchRequest("b")))


async def test_newest_takes_what_it_can_read(
    runpod: respx.MockRouter, batches: NativeBatches
) -> None:
    """The list is in no source, so anything else in it is left out."""
    runpod.get(BATCHES).respond(json={"batches": [SUMMARY, 3, {"status": "DRAFT"}]})
    assert await batches.newest() == [READ]

    runpod.get(BATCHES).respond(json={"items": []})
    assert await batches.newest() == []


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
FIELDS = ("id", "status", "output", "error", "startedAt", "completedAt", "input", "workerId")


@settings(max_examples=50, deadline=None)
@given(
    listed=st.lists(
        st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, JSON))
        | st.fixed_dictionaries(
            {"id": st.just("r"), "status": st.sampled_from(JobStatus)},
            optional={**dict.fromkeys(FIELDS[2:], JSON), "startedAt": st.datetimes().map(str)},
        ),
        max_size=3,
    ),
    batch=st.sampled_from([READ, DRAFT]),
)
def test_whatever_a_page_holds_is_read_or_refused(listed: list[Any], batch: NativeBatch) -> None:
    """Nothing that RunPod could answer ends in a stray exception."""
    try:
        page = page_of({"requests": listed}, batch)
    except RunpodctlError as exc:
        assert isinstance(exc, ServerError)  # noqa: PT017 - either is fine.
    else:
        assert len(page.requests) == len(listed)
