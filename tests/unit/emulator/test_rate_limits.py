"""How often, and how often at once, the job API may be called."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from runpodctl_py.emulator.errors import JobApiError
from runpodctl_py.emulator.jobs import api as job_api
from runpodctl_py.emulator.jobs import openai_api
from runpodctl_py.emulator.jobs.rate_limits import LIMITS, Limit, RateLimits
from runpodctl_py.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping

ENDPOINTS = {"one": 1, "two": 2}


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def limits(clock: FakeClock) -> RateLimits:
    """No request so far, and two endpoints."""
    return RateLimits(ENDPOINTS, clock)


def call(
    limits: RateLimits, limit: Limit, operation: str = "cancel", endpoint: str = "one"
) -> None:
    """Makes a request that is over at once."""
    with limits.admitted(endpoint, operation, limit):
        pass


def is_refused(
    limits: RateLimits, limit: Limit, operation: str = "cancel", endpoint: str = "one"
) -> bool:
    """Makes a request; returns whether that was one too many."""
    try:
        call(limits, limit, operation, endpoint)
    except JobApiError as error:
        return error.status is HTTPStatus.TOO_MANY_REQUESTS
    return False


def request_to(endpoint: str) -> Request:
    """Returns a request as the routes hand it on."""
    return Request({"type": "http", "path_params": {"endpoint_id": endpoint}})


async def send(response: Response) -> None:
    """Sends an answer to nobody."""

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("nobody listens")

    async def forget(_message: MutableMapping[str, Any]) -> None: ...

    await response({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, forget)


@pytest.mark.proves("rule: rate-limits")
def test_the_limits_are_those_of_the_reference() -> None:
    """API reference 4.3; what has no known limit has none."""
    written = {name: (each.requests, each.at_once) for name, each in LIMITS.items()}
    assert written == {
        "run": (1000, 200),
        "runsync": (2000, 400),
        "status": (2000, 400),
        "status_sync": (2000, 400),
        "stream": (2000, 400),
        "cancel": (100, 20),
        "purge_queue": (2, None),
        "openai": (2000, 400),
        "requests": (10, 2),
    }


def test_the_limits_are_those_of_operations_that_exist() -> None:
    """A limit of another name would limit nothing."""
    operations = [*job_api.OPERATIONS.values(), *openai_api.OPERATIONS.values()]
    assert LIMITS.keys() <= {operation for operation, _ in operations}


@pytest.mark.proves("rule: rate-limits")
def test_the_window_slides(limits: RateLimits, clock: FakeClock) -> None:
    """Each request makes room 10 s after it came, not when some period begins anew."""
    limit = Limit(2, None)
    call(limits, limit)
    clock.advance(6)
    call(limits, limit)
    clock.advance(3.9)
    assert is_refused(limits, limit)
    clock.advance(0.1)
    assert not is_refused(limits, limit)
    assert is_refused(limits, limit)
    clock.advance(6)
    assert not is_refused(limits, limit)


def test_refused_requests_do_not_count(limits: RateLimits, clock: FakeClock) -> None:
    """Whoever keeps asking gets in when the first one is 10 s old."""
    limit = Limit(1, None)
    call(limits, limit)
    for _ in range(9):
        clock.advance(1)
        assert is_refused(limits, limit)
    clock.advance(1)
    assert not is_refused(limits, limit)


@pytest.mark.proves("rule: rate-limits")
def test_no_more_are_open_than_allowed(limits: RateLimits) -> None:
    """One that ends makes room, whatever it ended with."""
    limit = Limit(100, 2)
    with limits.admitted("one", "cancel", limit):
        with suppress(LookupError), limits.admitted("one", "cancel", limit):
            assert is_refused(limits, limit)
            raise LookupError
        assert not is_refused(limits, limit)


def test_endpoints_and_operations_are_counted_for_themselves(limits: RateLimits) -> None:
    """What one of them uses up, another one still has."""
    limit = Limit(1, 1)
    with limits.admitted("one", "run", limit):
        assert is_refused(limits, limit, "run", "one")
        assert not is_refused(limits, limit, "runsync", "one")
        assert not is_refused(limits, limit, "run", "two")


def test_endpoints_that_are_gone_are_forgotten(clock: FakeClock) -> None:
    """Those that never were are not counted at all: memory does not grow with odd requests."""
    endpoints = {"old": 1}
    limits = RateLimits(endpoints, clock)
    call(limits, Limit(1, 1), endpoint="old")
    assert not any(is_refused(limits, Limit(0, 0), endpoint="odd") for _ in range(3))
    del endpoints["old"]
    endpoints["new"] = 2
    call(limits, Limit(1, 1), endpoint="new")
    assert list(limits._uses) == ["new"]


@pytest.mark.anyio
async def test_a_refused_request_has_no_effect(limits: RateLimits) -> None:
    """Its handler is never asked."""
    asked = []

    async def handler(request: Request) -> Response:
        asked.append(request)
        return Response()

    limited = limits.limited("purge_queue", handler)
    for _ in range(2):
        await send(await limited(request_to("one")))
    with pytest.raises(JobApiError, match="purge_queue takes 2 requests in 10 s"):
        await limited(request_to("one"))
    assert len(asked) == 2


@pytest.mark.anyio
async def test_an_answer_counts_until_its_last_byte(limits: RateLimits) -> None:
    """An endless stream of them is what the limit is for."""
    more = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        await more.wait()

    async def handler(_request: Request) -> Response:
        return StreamingResponse(pieces())

    limited = limits.limited("requests", handler)
    async with asyncio.TaskGroup() as sending:
        for _ in range(2):
            sending.create_task(send(await limited(request_to("one"))))
        with pytest.raises(JobApiError, match="requests takes 2 requests at once"):
            await limited(request_to("one"))
        more.set()
    await send(await limited(request_to("one")))


@pytest.mark.anyio
async def test_a_handler_that_is_given_up_makes_room(limits: RateLimits) -> None:
    """Cancelled, as when the emulator stops, or failed."""
    asked: asyncio.Queue[None] = asyncio.Queue()

    async def handler(_request: Request) -> Response:
        asked.put_nowait(None)
        await asyncio.Event().wait()
        return Response()

    limited = limits.limited("requests", handler)
    for _ in range(3):
        held = asyncio.ensure_future(limited(request_to("one")))
        await asked.get()
        held.cancel()
        await asyncio.wait([held])
    assert limits._uses["one"]["requests"].open == 0


def test_what_has_no_limit_is_left_as_it_is(limits: RateLimits) -> None:
    """Not even a counter is put around it."""

    async def handler(_request: Request) -> Response:
        return Response()

    assert limits.limited("health", handler) is handler
    assert limits.limited("retry", handler) is handler
