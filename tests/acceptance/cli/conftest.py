"""A person with the command line installed, and a RunPod that is a real one as far as they see."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.testing import LocalRunPodServer, Timings, WorkerCommand
from tests.acceptance.cli.ledger_scene import LedgerScene, SimulatedRunPod, simulated
from tests.acceptance.cli.person import Person

if TYPE_CHECKING:
    from collections.abc import Iterator

_ODD_WORKER = Path(__file__).with_name("odd_worker.py")


@pytest.fixture(scope="session")
def runpod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRunPodServer]:
    """A RunPod whose test worker is fifty times faster, and that has one more image, `odd`."""
    folder = tmp_path_factory.mktemp("runpod")
    images = {"odd": WorkerCommand([sys.executable, "-u", str(_ODD_WORKER)])}
    fast = {"WORKER_TIME_SCALE": "0.02"}
    timings = Timings(cancel_grace_s=0.5)
    with LocalRunPodServer(folder, images=images, worker_env=fast, timings=timings) as server:
        yield server


@pytest.fixture
def person(runpod: LocalRunPodServer) -> Person:
    """Somebody with an empty folder and a key."""
    return Person(Path.cwd(), runpod.environment())


def _set_up(runpod: LocalRunPodServer, folder: Path, name: str, *flags: str) -> str:
    """Deploy an endpoint that keeps its workers, and return its id."""
    admin = Person(folder, {**runpod.environment(), "HOME": str(folder)})
    said = admin.run("setup-test", "--name", name, "--idle-timeout", "600", "--json", *flags)
    assert (said.code, said.stderr) == (0, "")
    endpoint_id: str = said.document["endpoint_id"]
    return endpoint_id


@pytest.fixture(scope="session")
def fast(runpod: LocalRunPodServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of an endpoint with the test worker: a task of 20 s takes 0.4 s."""
    return _set_up(runpod, tmp_path_factory.mktemp("fast"), "fast")


@pytest.fixture(scope="session")
def slow(runpod: LocalRunPodServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of an endpoint with the test worker: a task of 45 s takes 4.5 s."""
    flags = ("--env", "WORKER_TIME_SCALE=0.1", "--workers-max", "2")
    return _set_up(runpod, tmp_path_factory.mktemp("slow"), "slow", *flags)


@pytest.fixture(scope="session")
def odd(runpod: LocalRunPodServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of an endpoint whose workers do what the input says (`odd_worker.py`)."""
    flags = ("--image", "odd", "--workers-max", "3")
    return _set_up(runpod, tmp_path_factory.mktemp("odd"), "odd", *flags)


@pytest.fixture(scope="session")
def simulated_runpod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedRunPod]:
    """A RunPod whose workers are no processes, with an endpoint that works and one that cannot."""
    with simulated(tmp_path_factory.mktemp("simulated")) as it:
        yield it


@pytest.fixture
def user(simulated_runpod: SimulatedRunPod) -> Person:
    """Somebody with an empty folder, an empty ledger and a key of that RunPod."""
    return Person(Path.cwd(), simulated_runpod.server.environment())


@pytest.fixture
def scene(simulated_runpod: SimulatedRunPod, user: Person) -> LedgerScene:
    """What they and RunPod have."""
    return simulated_runpod.scene(user.run)
