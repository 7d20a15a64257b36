"""The emulator's own API below /_local: what the command line shows of it. Not RunPod's."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runpodctl_py import __version__
from runpodctl_py.emulator import bodies
from runpodctl_py.emulator.bells import SCALER, hold
from runpodctl_py.emulator.errors import ControlPlaneError, JobApiError, bad_request
from runpodctl_py.emulator.workers.handlers import Handler, serve
from runpodctl_py.emulator.workers.images import Serves, stand_in, who_serves
from runpodctl_py.emulator.workers.logs import read_tail
from runpodctl_py.emulator.workers.simulated import SimulatedWorkers
from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from runpodctl_py.emulator.bells import Bells
    from runpodctl_py.emulator.clock import Clock
    from runpodctl_py.emulator.config import EmulatorConfig
    from runpodctl_py.emulator.control.model import Endpoint
    from runpodctl_py.emulator.state import State
    from runpodctl_py.emulator.workers.record import Worker
    from runpodctl_py.emulator.workers.reloading import Reloader
    from runpodctl_py.emulator.workers.scaler import WorkerHost

_BODY_LIMIT_BYTES = 1_000_000
_TRIAL_S = 20.0
"""How long an answer waits for a handler's first worker: longer than importing the SDK takes."""
_TOLD_LINES = 15


@dataclass(frozen=True, slots=True)
class LocalApi:
    """The operations of the emulator's own API.

    Args:
        state: What there is to show.
        clock: Where the time comes from.
        started_at: When the emulator started, in wall time.
        host: Starts the first worker of a handler.
        reloader: Watches the files of handlers.
        bells: What tells of changes.
        config: How this emulator runs.
    """

    state: State
    clock: Clock
    started_at: float
    host: WorkerHost
    reloader: Reloader
    bells: Bells
    config: EmulatorConfig

    async def status(self, _request: Request) -> Response:
        """GET /_local/status: the emulator and its endpoints."""
        return bodies.answer(
            {
                "version": __version__,
                "startedAt": self.started_at,
                "uptimeSeconds": round(self.clock.now() - self.started_at, 3),
                "rateLimits": self.config.rate_limits,
                "endpoints": [
                    {**endpoint_shape(self.state, each), **self._serving(self._image_of(each))}
                    for each in self.state.control.endpoints.values()
                ],
            }
        )

    async def images(self, request: Request) -> Response:
        """GET /_local/images?name=: who serves an image here, whether or not an endpoint has it."""
        if (name := request.query_params.get("name")) is None:
            raise bad_request("?name= names no image")
        return bodies.answer({"image": name, **self._serving(name)})

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

    async def handlers(self, request: Request) -> Response:
        """POST /_local/handlers: serves a handler of the person's own, and tries it.

        The answer comes when its first worker is up or has failed, or after a while; it names the
        worker's state and what it wrote last. An endpoint made for a handler that fails is gone
        again, unless its file is watched: then it may come to work.
        """
        given = bodies.parse_object(await bodies.read(request, _BODY_LIMIT_BYTES))
        handler, is_watched = _handler(given), bool(given.get("reload"))
        if isinstance(self.host, SimulatedWorkers):
            raise JobApiError(HTTPStatus.CONFLICT, "its workers are simulated and run no handler")
        known = set(self.state.control.endpoints)
        if not self.reloader.watches(handler):
            self.reloader.forget(handler.name)
        try:
            if is_watched:
                self.reloader.watch(handler)
            endpoint = serve(self.state, handler)
        except (ControlPlaneError, EmulatorError) as error:
            self.reloader.forget(handler.name)
            raise JobApiError(HTTPStatus.CONFLICT, str(error)) from error
        self.host.start(endpoint, 1)
        worker = self.state.fleet.of(endpoint.id)[-1]
        await hold(request, self.bells, (SCALER,), lambda: _is_settled(worker), _TRIAL_S)
        lines = read_tail(worker.log_path, _TOLD_LINES) if worker.log_path else []
        if worker.unhealthy and not is_watched and endpoint.id not in known:
            self.state.delete_endpoint(endpoint.id)
        return bodies.answer(
            {
                "endpointId": endpoint.id,
                "worker": {"id": worker.id, "state": worker.state},
                "log": [each.text for each in lines],
            }
        )

    def _image_of(self, endpoint: Endpoint) -> str:
        return self.state.control.template_of(endpoint).image_name

    def _serving(self, image_name: str) -> dict[str, Any]:
        """Returns who serves an image, and what a stand-in does instead."""
        is_handler = self.state.handlers.of_image(image_name) is not None
        serves = who_serves(image_name, self.config, is_handler=is_handler)
        does = stand_in(image_name) if serves is Serves.STAND_IN else None
        return {"servedBy": serves, "standIn": does}


def endpoint_shape(state: State, endpoint: Endpoint) -> dict[str, Any]:
    """Returns an endpoint at a glance."""
    health = state.health(endpoint.id)
    states = Counter(each.state for each in state.fleet.staying(endpoint.id))
    return {
        "id": endpoint.id,
        "name": endpoint.name,
        "image": state.control.template_of(endpoint).image_name,
        "workersMax": endpoint.workers_max,
        "workers": {name.lower(): count for name, count in states.items()},
        "jobs": {
            "inQueue": health.in_queue,
            "inProgress": health.in_progress,
            "completed": health.counters.completed,
            "failed": health.counters.failed,
            "retried": health.counters.retried,
        },
    }


def _is_settled(worker: Worker) -> bool | None:
    return True if worker.unhealthy or worker.ready or worker.throttled else None


def _handler(given: Mapping[str, Any]) -> Handler:
    try:
        name, path, python = (_text(given[each]) for each in ("name", "path", "python"))
        return Handler(name, Path(path), Path(python), tuple(map(_text, given["args"])))
    except (KeyError, TypeError, ValueError) as error:
        raise bad_request(f"this describes no handler: {error}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


OPERATIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "status": ("status", ("GET",)),
    "images": ("images", ("GET",)),
    "workers": ("workers", ("GET",)),
    "handlers": ("handlers", ("POST",)),
}
"""Path below /_local to method of `LocalApi` and HTTP methods."""
