"""How often a request is repeated, and how long we wait before.

Owns the loop and its limits. What may be repeated is decided by the module that sent the request:
it raises `TryAgainError` only for a try that is safe to repeat.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

import stamina

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runpodctl_py.errors import NetworkError

_Result = TypeVar("_Result")
_LONGEST_RETRY_AFTER_S = 60.0


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long a request is tried again.

    Args:
        attempts: Tries in all.
        wait_initial_s: The first pause; it doubles up to 10 s, with jitter.
        give_up_after_s: A try that fails after this time is the last one.
    """

    attempts: int = 5
    wait_initial_s: float = 0.5
    give_up_after_s: float = 90.0


class TryAgainError(Exception):
    """A try that had no effect, or whose repetition has none.

    Args:
        translated: What to raise when there are no more tries.
        wait_s: What the server asked us to wait, if it did.
    """

    def __init__(self, translated: NetworkError, wait_s: float | None = None) -> None:
        super().__init__(str(translated))
        self.translated = translated
        self.wait_s = wait_s


async def with_retries(policy: RetryPolicy, send: Callable[[], Awaitable[_Result]]) -> _Result:
    """Send until it works, for as long as it raises `TryAgainError` and the policy allows.

    Raises:
        NetworkError: The last try's `translated` error.
    """
    try:
        if policy.attempts == 1:
            # What is not repeated needs none of the machinery, which takes as long as the rest.
            return await send()
        async for attempt in stamina.retry_context(
            on=_wait_before_retry,
            attempts=policy.attempts,
            timeout=policy.give_up_after_s,
            wait_initial=policy.wait_initial_s,
            wait_max=10.0,
        ):
            with attempt:
                return await send()
    except TryAgainError as exc:
        raise exc.translated from exc.__cause__
    raise AssertionError  # pragma: no cover - retry_context returns or raises


def retry_after_s(header: str | None) -> float | None:
    """Read a `Retry-After` header, in seconds or as a date; at most a minute."""
    if not header:
        return None
    if header.isascii() and header.isdigit():
        return min(float(header), _LONGEST_RETRY_AFTER_S)
    try:
        until = parsedate_to_datetime(header) - datetime.now(UTC)
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(until.total_seconds(), 0.0), _LONGEST_RETRY_AFTER_S)


def _wait_before_retry(exc: Exception) -> bool | float:
    if not isinstance(exc, TryAgainError):
        return False
    return True if exc.wait_s is None else exc.wait_s
