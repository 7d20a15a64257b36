"""Somebody with a ledger, and a RunPod whose time and whose jobs a test has in its hands."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from runpodctl_py import settings
from runpodctl_py.jobs.ledger import Ledger, Record
from runpodctl_py.testing import LocalRunPodServer, Simulation
from tests.acceptance.cli.person import PATIENCE_S, Said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MINUTE_S = 60.0


@dataclass(frozen=True)
class LedgerScene:
    """A person, RunPod, and what each of them has.

    Args:
        run: Runs a command to its end, in a process or in this one.
        folder: Where commands are run.
        server: A RunPod with simulated workers; a job takes a moment.
        quick: An endpoint that does its jobs.
        stuck: One whose jobs stay in the queue: it may have no workers.
    """

    run: Callable[..., Said]
    folder: Path
    server: LocalRunPodServer
    quick: str
    stuck: str

    def left(self, endpoint_id: str, *more: str) -> str:
        """Send a job, leave it, and return its id."""
        said = self.run("submit", "-e", endpoint_id, *named(self), *more, "-d", "--json")
        assert (said.code, said.stderr) == (0, "")
        job_id: str = said.events[0]["id"]
        return job_id

    def ended(self, job_id: str) -> str:
        """Wait until a job of the quick endpoint has ended, and return its id."""
        shown = self.asked(f"{self.quick}/status-sync/{job_id}", wait=60_000)
        assert shown["status"] == "COMPLETED"
        return job_id

    def asked(self, path: str, **parameters: int) -> Any:
        """Return what RunPod answers, past our own client."""
        key = {"Authorization": f"Bearer {self.server.token}"}
        url = f"{self.server.url}/v2/{path}"
        return httpx.get(url, headers=key, params=parameters, timeout=PATIENCE_S).json()

    def at_runpod(self, endpoint_id: str) -> list[str]:
        """Return the ids of this test's jobs at RunPod."""
        listed = self.asked(f"{endpoint_id}/requests")["requests"]
        return [each["id"] for each in listed if each["input"].get("test") == _name(self)]

    @property
    def ledger_path(self) -> Path:
        """Where this person's ledger is by default."""
        return settings.load(os.environ, self.folder).ledger_path

    def records(self) -> list[Record]:
        """Return what the ledger says, the newest first; nothing is written."""
        with Ledger(self.ledger_path) as ledger:
            return ledger.jobs()

    def files(self, folder: str = "outputs") -> list[str]:
        """Return the names of the results in a folder, without manifests."""
        found = (self.folder / folder).glob("*")
        return sorted(each.name for each in found if not each.name.endswith(".job.json"))


def named(scene: LedgerScene) -> tuple[str, str]:
    """Return the option that makes an input one of this test's."""
    return "-s", f"test={_name(scene)}"


def _name(scene: LedgerScene) -> str:
    return str(scene.folder)


@dataclass(frozen=True)
class SimulatedRunPod:
    """A RunPod whose workers are no processes, and its two endpoints' ids."""

    server: LocalRunPodServer
    quick: str
    stuck: str

    def scene(self, run: Callable[..., Said]) -> LedgerScene:
        """Return what a test with an empty ledger needs."""
        return LedgerScene(run, Path.cwd(), self.server, self.quick, self.stuck)


@contextmanager
def simulated(folder: Path) -> Iterator[SimulatedRunPod]:
    """Run such a RunPod with its data in a folder."""
    with LocalRunPodServer(folder, simulation=Simulation(delay_s=0.05)) as server:
        yield SimulatedRunPod(
            server,
            endpoint(server, "quick", workers_max=1),
            endpoint(server, "stuck", workers_max=0),
        )


def endpoint(server: LocalRunPodServer, name: str, *, workers_max: int) -> str:
    """Make an endpoint and return its id."""
    body = {
        "name": name,
        "image": "any",
        "type": "QUEUE",
        "gpu": {"pools": ["AMPERE_16"]},
        "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
        "workers": {"min": 0, "max": workers_max},
    }
    key = {"Authorization": f"Bearer {server.token}"}
    made = httpx.post(f"{server.url}/v2/serverless", json=body, headers=key, timeout=PATIENCE_S)
    assert made.is_success, json.dumps(made.json())
    endpoint_id: str = made.json()["id"]
    return endpoint_id
