"""REST's operations on serverless endpoints, their workers, releases and logs (3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import StreamingResponse

from runpodctl_py.emulator import bodies
from runpodctl_py.emulator.rest import inputs, logs, shapes
from runpodctl_py.emulator.rest.call import created, deleted, found, listed
from runpodctl_py.emulator.workers import log_stream

if TYPE_CHECKING:
    from starlette.responses import Response

    from runpodctl_py.emulator.bells import Bells
    from runpodctl_py.emulator.clock import Clock
    from runpodctl_py.emulator.control.model import Endpoint
    from runpodctl_py.emulator.rest.call import Call
    from runpodctl_py.emulator.state import State
    from runpodctl_py.emulator.workers.record import Worker

_SSE_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


@dataclass(frozen=True, slots=True)
class ServerlessOperations:
    """One method for each operation.

    Args:
        state: Where the endpoints and workers are.
        bells: Tells when the emulator stops.
        clock: Where the time comes from.
    """

    state: State
    bells: Bells
    clock: Clock

    async def endpoints(self, call: Call) -> Response:
        """GET /v2/serverless."""
        kept = self.state.control.endpoints.values()
        return listed(call, "endpoints", [self._shape(call, each) for each in kept])

    async def create_endpoint(self, call: Call) -> Response:
        """POST /v2/serverless: an endpoint with a template of its own."""
        draft = inputs.new_endpoint(
            call.body, self.state.control.templates, self.state.ids.suffix()
        )
        return created(self._shape(call, self.state.save_endpoint(draft)))

    async def endpoint(self, call: Call) -> Response:
        """GET /v2/serverless/{id}."""
        return bodies.answer(self._shape(call, self._endpoint(call)))

    async def update_endpoint(self, call: Call) -> Response:
        """PATCH /v2/serverless/{id}: changes what is given, unlike `saveEndpoint`."""
        control, before = self.state.control, self._endpoint(call)
        draft = inputs.changed_endpoint(
            before,
            control.template_of(before),
            call.body,
            control.templates,
            self.state.ids.suffix(),
        )
        return bodies.answer(self._shape(call, self.state.save_endpoint(draft)))

    async def delete_endpoint(self, call: Call) -> Response:
        """DELETE /v2/serverless/{id}: with its own template and its jobs."""
        self.state.delete_endpoint(self._endpoint(call).id)
        return deleted()

    async def workers(self, call: Call) -> Response:
        """GET /v2/serverless/{id}/workers: those that are there, and how many of each state."""
        endpoint = self._endpoint(call)
        template, now = self.state.control.template_of(endpoint), self.clock.now()
        workers = self._workers(endpoint)
        return bodies.answer(
            {
                "workers": [shapes.worker(each, endpoint, template, now) for each in workers],
                "summary": shapes.worker_summary(workers),
                "endpointVersion": endpoint.version,
            }
        )

    async def releases(self, call: Call) -> Response:
        """GET /v2/serverless/{id}/releases: the newest first, and how far that one is."""
        endpoint = self._endpoint(call)
        workers = self._workers(endpoint)
        releases = self.state.releases.of(endpoint.id)
        return listed(
            call,
            "releases",
            [shapes.release(each, workers) for each in releases],
            endpointVersion=endpoint.version,
            rollout=shapes.rollout(endpoint.version, workers),
        )

    async def logs(self, call: Call) -> Response:
        """GET /v2/serverless/{id}/workers/{workerId}/logs: what it wrote and writes, for ever.

        Lines of RunPod's hosts, the source `system`, there are none: that stream stays silent.
        """
        workers = {each.id: each for each in self._workers(self._endpoint(call))}
        worker = found(workers, call.path["workerId"])
        after = logs.since(call)
        if (source := call.query.get("source", "container")) == "system":
            lines = logs.system()
        else:
            lines = log_stream.of(lambda: worker.log_path, after, call.query["tail"])
        events = logs.events(lines, source, self.bells)
        return StreamingResponse(events, media_type="text/event-stream", headers=_SSE_HEADERS)

    def _endpoint(self, call: Call) -> Endpoint:
        return found(self.state.control.endpoints, call.path["id"])

    def _workers(self, endpoint: Endpoint) -> list[Worker]:
        return self.state.fleet.staying(endpoint.id)

    def _shape(self, call: Call, endpoint: Endpoint) -> dict[str, object]:
        template = self.state.control.template_of(endpoint)
        return shapes.endpoint(endpoint, template, call.base_url)
