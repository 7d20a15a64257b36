"""What RunPod asks of an endpoint by itself, and how many workers it leaves to an idle one.

Pure functions over `Endpoint` and `Template`. Rules that take the whole account into view are in
`plane.py`.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from runpodctl_py.emulator.control.catalog import is_cpu_instance
from runpodctl_py.emulator.control.model import camel_case
from runpodctl_py.emulator.errors import ControlPlaneError
from runpodctl_py.gpus import POOLS

if TYPE_CHECKING:
    from runpodctl_py.emulator.control.model import Endpoint, Template

MAX_IDLE_TIMEOUT_S = 3600
SCALER_TYPES = ("QUEUE_DELAY", "REQUEST_COUNT")

_LARGEST = 2**31 - 1
_DAY_S = 86_400
_IDLE_LIMITS = ((7 * _DAY_S, 0), (3 * _DAY_S, 2))
"""After how long without a request how many workers are left at most (API reference 1.4)."""


def check_endpoint(endpoint: Endpoint) -> None:
    """Refuses an endpoint that cannot be.

    Raises:
        ControlPlaneError: It says what is wrong.
    """
    check_sizes(endpoint)
    _check_numbers(endpoint)
    _check_pools(endpoint.gpu_ids)
    for instance_id in endpoint.instance_ids:
        if not is_cpu_instance(instance_id):
            raise ControlPlaneError(f"Unknown CPU instance: {instance_id}")


def check_sizes(value: Endpoint | Template) -> None:
    """Refuses numbers that are negative, or that GraphQL's Int cannot hold.

    Raises:
        ControlPlaneError: It names the field.
    """
    for field in fields(value):
        number = getattr(value, field.name)
        if isinstance(number, int) and not 0 <= number <= _LARGEST:
            raise ControlPlaneError(f"{camel_case(field.name)} must be between 0 and {_LARGEST}")


def idle_limit(endpoint: Endpoint, idle_s: float) -> int:
    """Returns how many workers an endpoint may have at most after so long without a request."""
    limits = (most for after_s, most in _IDLE_LIMITS if idle_s >= after_s)
    return min(next(limits, endpoint.workers_max), endpoint.workers_max)


def next_idle_limit_s(endpoint: Endpoint, idle_s: float) -> float | None:
    """Returns in how many seconds without a request `idle_limit` will be lower, if ever."""
    waits = [
        after_s - idle_s
        for after_s, most in _IDLE_LIMITS
        if idle_s < after_s and most < endpoint.workers_max
    ]
    return min(waits, default=None)


def _check_numbers(endpoint: Endpoint) -> None:
    if not 0 <= endpoint.workers_min <= endpoint.workers_max:
        raise ControlPlaneError("workersMin must be between 0 and workersMax")
    if not 1 <= endpoint.idle_timeout <= MAX_IDLE_TIMEOUT_S:
        raise ControlPlaneError(f"idleTimeout must be between 1 and {MAX_IDLE_TIMEOUT_S}")
    if endpoint.scaler_type not in SCALER_TYPES:
        raise ControlPlaneError(f"scalerType must be one of {', '.join(SCALER_TYPES)}")
    if endpoint.scaler_value < 1:
        raise ControlPlaneError("scalerValue must be at least 1")
    if endpoint.gpu_count < 1:
        raise ControlPlaneError("gpuCount must be at least 1")


def _check_pools(gpu_ids: str | None) -> None:
    """Refuses pools that do not exist; unknown exclusions pass silently, as they do there (2)."""
    known = {pool.id for pool in POOLS}
    for token in (gpu_ids or "").split(","):
        name = token.strip()
        if name and not name.startswith("-") and name not in known:
            raise ControlPlaneError(f"Unknown GPU pool: {name}")
