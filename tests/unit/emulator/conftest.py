"""A state with a clock that only tests move."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.emulator.bells import Bells
from runpodctl_py.emulator.config import Timings
from runpodctl_py.emulator.control.plane import EndpointDraft, TemplateDraft
from runpodctl_py.emulator.jobs.job import RETENTION_S, SYNC_RETENTION_S, Job, Policy
from runpodctl_py.emulator.state import State
from runpodctl_py.emulator.store import SqliteStore
from runpodctl_py.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runpodctl_py.emulator.control.model import Endpoint
    from runpodctl_py.emulator.store import Store
    from runpodctl_py.emulator.workers.record import Worker


@dataclass
class World:
    """A state with all that a test may want to reach."""

    clock: FakeClock
    store: Store
    state: State
    bells: Bells = field(default_factory=Bells)
    rung: list[str] = field(default_factory=list)

    def template(self, name: str = "t", **fields: Any) -> str:
        """Saves a serverless template and returns its id."""
        given = {"name": name, "image_name": "image", "is_serverless": True, **fields}
        return self.state.save_template(TemplateDraft(None, given)).id

    def endpoint(self, **fields: Any) -> Endpoint:
        """Saves an endpoint with a template of its own."""
        template_id = self.template(f"t{len(self.state.control.templates)}")
        given = {"name": "e", "template_id": template_id, **fields}
        return self.state.save_endpoint(EndpointDraft(None, given))

    def submit(self, endpoint: Endpoint, *, sync: bool = False, **policy: Any) -> Job:
        """Submits a job."""
        kept_s = SYNC_RETENTION_S if sync else RETENTION_S
        return self.state.submit(
            endpoint.id, {"input": {"n": 1}}, Policy(**policy), sync=sync, retention_s=kept_s
        )

    def worker(self, endpoint: Endpoint) -> Worker:
        """Adds a worker that has asked for a job once and got none."""
        worker = self.state.fleet.add(endpoint)
        self.state.fleet.poll_started(worker.id, holds_jobs=False)
        return worker

    def running(self, endpoint: Endpoint, **policy: Any) -> tuple[Job, Worker]:
        """Submits a job and hands it to a new worker."""
        job = self.submit(endpoint, **policy)
        worker = self.worker(endpoint)
        (taken,) = self.state.fleet.take(worker, 1)
        assert taken.id == job.id
        return taken, worker

    def job(self, job: Job) -> Job:
        """Returns how a job stands now."""
        return self.state.job(job.endpoint_id, job.id)


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def start(clock: FakeClock) -> Callable[[Store], World]:
    """Makes a state on a store, as a start of the emulator does."""

    def start_on(store: Store) -> World:
        bells, rung = Bells(), list[str]()

        def ring(name: str) -> None:
            rung.append(name)
            bells.ring(name)

        state = State(store, clock, Timings(), ring, worker_quota=30)
        return World(clock, store, state, bells, rung)

    return start_on


@pytest.fixture
def world(start: Callable[[Store], World]) -> Iterator[World]:
    """An empty state that nothing outlives."""
    store = SqliteStore(":memory:")
    yield start(store)
    store.close()
