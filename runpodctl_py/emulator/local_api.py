"""The emulator's own API below /_local: what the command line shows of it. Not RunPod's."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runpodctl_py import __version__
from runpodctl_py.emulator import bodies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from runpodctl_py.emulator.clock import Clock
    from runpodctl_py.emulator.model import Endpoint
    from runpodctl_py.emulator.state import State


@dataclass(frozen=True, slots=True)
class LocalApi:
    """The operations of the emulator's own API.

    Args:
        state: What there is to show.
        clock: Where the time comes from.
        started_at: When the emulator started, in wall time.
    """

    state: State
    clock: Clock
    started_at: float

    async def status(self, _request: Request) -> Response:
        """GET /_local/status: the emulator and its endpoints."""
        return bodies.answer(
            {
                "version": __version__,
                "startedAt": self.started_at,
                "uptimeSeconds": round(self.clock.now() - self.started_at, 3),
                "endpoints": [
                    self._endpoint(each) for each in self.state.control.endpoints.values()
                ],
            }
        )

    async def workers(self, _request: Request) -> Response:
        """GET /_local/workers: every worker with its process and its log."""
        return bodies.answer(
            {
                "workers": [
                    {
                        "id": each.id,
                        "endpointId": each.endpoint_id,
                        "state": each.state,
                        "leaving": each.leaving is not None,
                        "pid": each.pid,
                        "startedAt": each.started_at,
                        "logPath": str(each.log_path) if each.log_path else None,
                        "jobs": sorted(each.jobs),
                    }
                    for each in self.state.fleet.workers.values()
                ]
            }
        )

    def _endpoint(self, endpoint: Endpoint) -> dict[str, Any]:
        health = self.state.health(endpoint.id)
        states = Counter(each.state for each in self.state.fleet.of(endpoint.id))
        return {
            "id": endpoint.id,
            "name": endpoint.name,
            "image": self.state.control.template_of(endpoint).image_name,
            "workers": {state.lower(): count for state, count in states.items()},
            "jobs": {
                "inQueue": health.in_queue,
                "inProgress": health.in_progress,
                "completed": health.counters.completed,
                "failed": health.counters.failed,
                "retried": health.counters.retried,
            },
        }


OPERATIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "status": ("status", ("GET",)),
    "workers": ("workers", ("GET",)),
}
"""Path below /_local to method of `LocalApi` and HTTP methods."""
