"""What a client asks of the job API: query parameters and bodies, read and checked once.

Limits and defaults are RunPod's (API reference 4.1, 4.2); what is done about it is `api.py`'s
and `state.py`'s business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator import bodies
from runpodctl_py.emulator.errors import bad_request
from runpodctl_py.emulator.jobs.job import DAY_MS, Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from runpodctl_py.emulator.control.model import Endpoint

_PASSED_ON = ("input", "webhook", "webhookV2", "s3Config")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long something may take, in milliseconds, and how long it takes by default."""

    least: int
    most: int
    default: int


SYNC_WAIT = Limits(1_000, 300_000, 90_000)
"""How long runsync and status-sync wait for a result."""

STREAM_WAIT = Limits(1_000, 300_000, 9_000)
"""How long stream waits for a piece. RunPod's default is 10 s, at which its own Python client
gives up (API reference 4.5); a second less serves that client and is noticed by no other."""

_MOST_DIGITS = 15
_EXECUTION_TIMEOUT_MS = (5_000, 7 * DAY_MS)
_TTL_MS = (10_000, 7 * DAY_MS)


def wait_s(request: Request, limits: Limits) -> float:
    """Returns how long a client is ready to wait, as ?wait= says, within the limits.

    Raises:
        JobApiError: It is no number; 400.
    """
    asked_ms = milliseconds(request, "wait")
    if asked_ms is None:
        return limits.default / 1000
    return min(max(asked_ms, limits.least), limits.most) / 1000


def milliseconds(request: Request, name: str) -> int | None:
    """Returns a query parameter that is a number of milliseconds.

    Raises:
        JobApiError: It is no number, or negative; 400.
    """
    text = request.query_params.get(name)
    if text is None:
        return None
    # Other digits than these are decimal to Python, too.
    if not (text.isascii() and text.isdecimal()) or len(text) > _MOST_DIGITS:
        raise bad_request(f"{name} is not a number of milliseconds")
    return int(text)


async def job_body(
    request: Request, limit_bytes: int, endpoint: Endpoint
) -> tuple[dict[str, Any], Policy]:
    """Returns what a worker is to get of a body, and the policy in it.

    Raises:
        JobApiError: It is too large (413), or cannot be used (400).
    """
    return parsed(bodies.parse_object(await bodies.read(request, limit_bytes)), endpoint)


def parsed(body: Mapping[str, Any], endpoint: Endpoint) -> tuple[dict[str, Any], Policy]:
    """Returns what a worker is to get of a job's body, and the policy in it.

    Raises:
        JobApiError: It cannot be used; 400.
    """
    if "input" not in body:
        raise bad_request('the body has no "input"')
    return {name: body[name] for name in _PASSED_ON if name in body}, _policy(body, endpoint)


def _policy(body: Mapping[str, Any], endpoint: Endpoint) -> Policy:
    policy = body.get("policy")
    if policy is None:
        policy = {}
    if not isinstance(policy, dict):
        raise bad_request("policy is not an object")
    low_priority = policy.get("lowPriority", False)
    if not isinstance(low_priority, bool):
        raise bad_request("policy.lowPriority is not true or false")
    return Policy(
        execution_timeout_ms=_duration(
            policy, "executionTimeout", _EXECUTION_TIMEOUT_MS, endpoint.execution_timeout_ms
        ),
        ttl_ms=_duration(policy, "ttl", _TTL_MS, DAY_MS),
        low_priority=low_priority,
    )


def _duration(policy: Mapping[str, Any], name: str, limits: tuple[int, int], default: int) -> int:
    value = policy.get(name)
    if value is None:
        return default
    least, most = limits
    # bool is an int to Python, and no duration to anybody.
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise bad_request(f"policy.{name} must be between {least} and {most} milliseconds")
    return value
