"""Rate limits as clients meet them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runpodctl_py.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from conftest import Client


def codes(client: Client, method: str, path: str, times: int) -> list[int]:
    """Sends the same request several times; returns the status codes."""
    return [client.http.request(method, path).status_code for _ in range(times)]


@pytest.mark.proves("rule: rate-limits")
def test_too_many_requests_are_refused_without_an_effect(
    start_with: Callable[..., AbstractContextManager[Client]],
) -> None:
    """With 429 and words, until the window has moved on; no one else is the worse for it."""
    clock = FakeClock()
    with start_with(rate_limits=True, clock=clock) as client:
        endpoint_id, other_id = (client.endpoint("none", workersMax=0) for _ in range(2))
        purge = f"/v2/{endpoint_id}/purge-queue"
        assert codes(client, "POST", purge, 2) == [200, 200]
        job_id = client.run(endpoint_id, {})

        answer = client.http.post(purge)
        assert answer.status_code == 429
        assert answer.json() == {"error": "too many requests: purge_queue takes 2 requests in 10 s"}
        assert client.status(endpoint_id, job_id)["status"] == "IN_QUEUE"
        assert codes(client, "POST", f"/v2/{other_id}/purge-queue", 1) == [200]
        assert codes(client, "GET", f"/v2/{endpoint_id}/requests", 11) == [200] * 10 + [429]

        clock.advance(10)
        assert client.http.post(purge).json() == {"removed": 1, "status": "completed"}


def test_who_has_no_key_uses_nothing_up(
    start_with: Callable[..., AbstractContextManager[Client]],
) -> None:
    """Strangers are told so, and the limit is there for the account's own requests."""
    with start_with(rate_limits=True, clock=FakeClock()) as client:
        purge = f"/v2/{client.endpoint('none', workersMax=0)}/purge-queue"
        for _ in range(3):
            assert client.http.post(purge, headers={"Authorization": "wrong"}).status_code == 401
        assert codes(client, "POST", purge, 3) == [200, 200, 429]


def test_there_are_no_limits_unless_asked_for(client: Client) -> None:
    """A test suite may ask as often as it likes."""
    endpoint_id = client.endpoint("none", workersMax=0)
    assert codes(client, "POST", f"/v2/{endpoint_id}/purge-queue", 9) == [200] * 9
