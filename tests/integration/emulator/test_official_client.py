"""RunPod's own Python package, unchanged, against the local RunPod."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Client

SCRIPTS = Path(__file__).with_name("clients")


def run(client: Client, script: str, *arguments: str, home: str = "") -> dict[str, str]:
    """Runs a script with the official package; returns what went wrong in which part of it."""
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / script), *arguments],
        env={
            "HOME": home or os.environ["HOME"],
            "PATH": os.environ["PATH"],
            **client.server.environment(),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return outcomes


@pytest.fixture(scope="module")
def outcomes(client: Client) -> dict[str, str]:
    """What went wrong in which part of the package; importing it takes 1.4 s."""
    kinds = ("plain", "generator", "async_generator")
    endpoints = {kind: client.endpoint(kind, workersMin=1) for kind in kinds}
    endpoints["asleep"] = client.endpoint("plain", workersMax=0)
    return run(client, "python_client.py", json.dumps(endpoints))


@pytest.mark.proves(
    "rule: client-time-limits",
    "rule: job-keys",
    "job-api: run",
    "job-api: runsync",
    "job-api: status",
    "job-api: health",
)
def test_the_synchronous_client_runs_jobs(outcomes: dict[str, str]) -> None:
    """`run`, `run_sync`, `status`, `output`, `health`."""
    assert outcomes["jobs"] == ""


@pytest.mark.proves("rule: client-time-limits", "job-api: cancel", "job-api: purge-queue")
def test_the_synchronous_client_empties_a_queue(outcomes: dict[str, str]) -> None:
    """`cancel`, `purge_queue`."""
    assert outcomes["queue"] == ""


@pytest.mark.proves("rule: client-time-limits", "rule: drained-stream", "job-api: stream")
def test_the_synchronous_client_streams(outcomes: dict[str, str]) -> None:
    """Every piece once; a stream that breaks off ends as well."""
    assert outcomes["stream"] == ""


@pytest.mark.proves(
    "rule: client-time-limits",
    "rule: drained-stream",
    "rule: cancel-running",
    "job-api: stream",
    "job-api: cancel",
)
def test_the_asyncio_client_works(outcomes: dict[str, str]) -> None:
    """`run`, `stream`, `status`, `output`, `cancel`, `health`, `purge_queue`."""
    assert outcomes["asyncio_client"] == ""


@pytest.mark.proves(
    "graphql: Mutation.saveTemplate",
    "graphql: Mutation.saveEndpoint",
    "graphql: Mutation.updateEndpointTemplate",
    "graphql: Mutation.saveRegistryAuth",
    "graphql: Mutation.updateRegistryAuth",
    "graphql: User.endpoints",
    "rule: graphql-business-errors",
    "rule: graphql-literals-and-variables",
    "rule: template-names-unique",
)
def test_the_control_plane_works(outcomes: dict[str, str]) -> None:
    """Templates, endpoints and registry credentials, made and changed; refusals have words."""
    assert outcomes["control_plane"] == ""


@pytest.mark.proves("graphql: Mutation.deleteRegistryAuth")
def test_registry_credentials_can_be_deleted(outcomes: dict[str, str]) -> None:
    """When nothing uses them."""
    assert outcomes["registry_in_use"] == ""


@pytest.mark.proves(
    "graphql: Query.myself",
    "graphql: User.id",
    "graphql: User.pubKey",
    "graphql: User.networkVolumes",
    "graphql: Query.gpuTypes",
    "graphql: GpuType",
    "graphql: Mutation.updateUserSettings",
)
def test_the_account_and_the_catalogue_can_be_read(outcomes: dict[str, str]) -> None:
    """And the account's SSH keys be set."""
    assert outcomes["account"] == ""


@pytest.mark.proves("rule: not-emulated-says-so")
def test_pods_fail_with_words(outcomes: dict[str, str]) -> None:
    """None is invented: this is an emulator of Serverless."""
    assert outcomes["pods"] == ""


@pytest.mark.proves("rule: graphql-keys", "rule: job-keys", "rule: http-statuses")
def test_a_wrong_key_is_refused_as_the_clients_expect(outcomes: dict[str, str]) -> None:
    """So that they raise what their documents say."""
    assert outcomes["wrong_key"] == ""


@pytest.mark.proves("graphql: User.pubKey", "graphql: Mutation.updateUserSettings")
def test_the_command_line_works(client: Client, tmp_path: Path) -> None:
    """`runpod config`, `runpod ssh`: whatever of it needs no pod; `runpod pod list` tells so."""
    outcomes = run(client, "command_line.py", client.server.token, home=str(tmp_path))
    assert {name: words for name, words in outcomes.items() if words} == {}
