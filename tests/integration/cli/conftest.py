"""The command line called in this process, with a local RunPod in a thread beside it."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from runpodctl_py.cli.app import main
from runpodctl_py.testing import LocalRunPodServer, WorkerCommand
from tests.acceptance.cli.ledger_scene import LedgerScene, SimulatedRunPod, simulated
from tests.acceptance.cli.person import Said

if TYPE_CHECKING:
    from collections.abc import Iterator

_ODD_WORKER = Path(__file__).parents[2] / "acceptance" / "cli" / "odd_worker.py"
_VERSIONS = "query { myself { endpoints { id version } podTemplates { id } } }"


@dataclass(frozen=True)
class CommandLine:
    """Calls `main` and reads what it printed."""

    capture: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def __call__(self, *arguments: str, stdin: str = "", **variables: str) -> Said:
        """Run one command to its exit."""
        with self.monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            return self._run(arguments, stdin)

    def _run(self, arguments: tuple[str, ...], stdin: str) -> Said:
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        self.capture.readouterr()
        with pytest.raises(SystemExit) as exited:
            main(arguments)
        printed = self.capture.readouterr()
        code = exited.value.code
        return Said(code if isinstance(code, int) else 0, printed.out, printed.err)


@dataclass(frozen=True)
class Account:
    """What RunPod has of this account, asked without our client."""

    server: LocalRunPodServer

    def versions(self) -> dict[str, int]:
        """Return each endpoint's version: a counter of the changes that replace its workers."""
        return {each["id"]: each["version"] for each in self._ask()["endpoints"]}

    def template_ids(self) -> list[str]:
        """Return the ids of the templates."""
        return [each["id"] for each in self._ask()["podTemplates"]]

    def delete_endpoint(self, endpoint_id: str) -> None:
        """Delete an endpoint, as somebody does in the console."""
        self._query(f'mutation {{ deleteEndpoint(id: "{endpoint_id}") }}')

    def _ask(self) -> dict[str, Any]:
        found: dict[str, Any] = self._query(_VERSIONS)["myself"]
        return found

    def _query(self, query: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.server.token}"}
        answer = httpx.post(f"{self.server.url}/graphql", json={"query": query}, headers=headers)
        data: dict[str, Any] = answer.json()["data"]
        return data


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRunPodServer]:
    """A local RunPod for the whole session, with the image `odd` and a quick test worker."""
    command = WorkerCommand([sys.executable, "-u", str(_ODD_WORKER)])
    folder = tmp_path_factory.mktemp("runpod")
    environment = {"WORKER_TIME_SCALE": "0.02"}
    with LocalRunPodServer(folder, images={"odd": command}, worker_env=environment) as server:
        yield server


@pytest.fixture
def server(shared_server: LocalRunPodServer, monkeypatch: pytest.MonkeyPatch) -> LocalRunPodServer:
    """The local RunPod, and the variables that make it the RunPod of this test."""
    for name, value in shared_server.environment().items():
        monkeypatch.setenv(name, value)
    return shared_server


@pytest.fixture
def account(server: LocalRunPodServer) -> Account:
    """The account, seen from RunPod's side."""
    return Account(server)


@pytest.fixture
def cli(
    server: LocalRunPodServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> CommandLine:
    """The command line of somebody who has a key."""
    assert server.token
    return CommandLine(capsys, monkeypatch)


@pytest.fixture
def odd(cli: CommandLine) -> str:
    """The id of an endpoint whose workers do what the input says."""
    said = cli(
        *("setup-test", "--name", "odd", "--image", "odd", "--idle-timeout", "600"),
        *("--env-file", "odd.env", "--json", "--yes"),
    )
    assert (said.code, said.stderr) == (0, "")
    Path("odd.env").unlink(missing_ok=True)
    endpoint_id: str = said.document["endpoint_id"]
    return endpoint_id


@pytest.fixture(scope="session")
def simulated_runpod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedRunPod]:
    """A RunPod whose workers are no processes, with an endpoint that works and one that cannot."""
    with simulated(tmp_path_factory.mktemp("simulated")) as it:
        yield it


@pytest.fixture
def scene(
    simulated_runpod: SimulatedRunPod,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> LedgerScene:
    """Somebody with an empty ledger, and what RunPod has of their jobs."""
    for name, value in simulated_runpod.server.environment().items():
        monkeypatch.setenv(name, value)
    return simulated_runpod.scene(CommandLine(capsys, monkeypatch))
