from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
import stamina
from hypothesis import given
from hypothesis import strategies as st
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from runpodctl_py.api.retrying import RetryPolicy, TryAgainError, retry_after_s, with_retries
from runpodctl_py.errors import NetworkError

if TYPE_CHECKING:
    from collections.abc import Iterator


class _WouldWaitError(Exception):
    """Stands for a pause that a test does not want to sit through."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@pytest.fixture
def _real_waits() -> Iterator[None]:
    """Pauses are as long as in earnest, and end the test instead of being waited for."""

    def stop(details: RetryDetails) -> None:
        raise _WouldWaitError(details.wait_for)

    stamina.set_testing(False)
    set_on_retry_hooks([stop])
    yield
    set_on_retry_hooks(None)


async def pause_after(error: Exception) -> float:
    """Return how long we would wait after a try that ended so."""

    async def send() -> None:
        raise error

    with pytest.raises(_WouldWaitError) as raised:
        await with_retries(RetryPolicy(wait_initial_s=0.5), send)
    return raised.value.seconds


@pytest.mark.anyio
@pytest.mark.usefixtures("_real_waits")
@pytest.mark.parametrize("asked_s", [0.0, 7.0, 60.0])
async def test_we_wait_as_long_as_the_server_asks(asked_s: float) -> None:
    """Not our own pause, which is at most 10 s."""
    assert await pause_after(TryAgainError(NetworkError("busy"), asked_s)) == asked_s


@pytest.mark.anyio
@pytest.mark.usefixtures("_real_waits")
async def test_without_its_word_we_wait_our_own_time() -> None:
    """Half a second, and up to a second of jitter."""
    assert 0.5 <= await pause_after(TryAgainError(NetworkError("busy"))) <= 1.5


@pytest.mark.anyio
async def test_other_errors_are_not_tried_again() -> None:
    """Only what is known to be safe is repeated."""
    calls = []

    async def send() -> None:
        calls.append(1)
        raise KeyError

    with pytest.raises(KeyError):
        await with_retries(RetryPolicy(), send)

    assert calls == [1]


@pytest.mark.anyio
async def test_the_last_error_is_raised_with_its_cause() -> None:
    """After as many tries as the policy allows."""
    calls = []

    async def send() -> None:
        calls.append(1)
        raise TryAgainError(NetworkError(f"try {len(calls)}")) from OSError("why")

    with pytest.raises(NetworkError, match=r"^try 3$") as raised:
        await with_retries(RetryPolicy(attempts=3), send)

    assert isinstance(raised.value.__cause__, OSError)


@pytest.mark.anyio
async def test_a_later_success_is_a_success() -> None:
    """What failed before is forgotten."""
    answers = iter([TryAgainError(NetworkError("busy")), "done"])

    async def send() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await with_retries(RetryPolicy(), send) == "done"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("12", 12.0),
        ("86400", 60.0),
        ("9" * 400, 60.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("²", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", None),
        ("Wed, 21 Oct 9999 07:28:00 GMT", 60.0),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None),
    ],
)
def test_retry_after_in_all_its_forms(header: str | None, seconds: float | None) -> None:
    """Whole seconds or a date, never more than a minute, and nothing where it makes no sense."""
    assert retry_after_s(header) == seconds


def test_retry_after_as_a_date_counts_from_now() -> None:
    """A date half a minute ahead is a wait of about that long."""
    header = format_datetime(datetime.now(UTC) + timedelta(seconds=31), usegmt=True)

    assert 0 < (retry_after_s(header) or 0) <= 31


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ [\d:]+ [+-]?\w+"))
def test_no_header_breaks_the_reader(header: str) -> None:
    """It comes from outside."""
    seconds = retry_after_s(header)

    assert seconds is None or 0 <= seconds <= 60
