"""Secrets reach workers, and nobody else."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from runpodctl_py.testing import LocalRunPodServer, WorkerCommand

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "correct horse battery staple"
TELLS = """
import os, signal
with open(os.environ["PIPE"], "w") as pipe:
    pipe.write(os.environ["TOLD"])
signal.pause()
"""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a local RunPod whose only image writes a variable into a pipe."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = WorkerCommand([sys.executable, "-c", TELLS], env={"PIPE": str(pipe)})
    with LocalRunPodServer(tmp_path / "local", images={"teller": command}) as server:
        headers = {"Authorization": f"Bearer {server.token}"}
        with httpx.Client(base_url=server.url, headers=headers) as client:
            yield client


def graphql(client: httpx.Client, query: str, **variables: Any) -> Any:
    """Returns the data of an operation that must succeed."""
    answer = client.post("/graphql", json={"query": query, "variables": variables}).json()
    assert "errors" not in answer, answer
    return answer["data"]


@pytest.mark.proves(
    "graphql: Mutation.secretCreate",
    "rule: worker-environment",
    "rule: secrets-in-env",
)
def test_a_worker_finds_the_secret_in_its_environment(client: httpx.Client, tmp_path: Path) -> None:
    """Where the template names it; the template itself still shows the name."""
    graphql(
        client,
        "mutation ($i: SecretCreateInput!) { secretCreate(input: $i) { id } }",
        i={"name": "words", "value": SECRET},
    )
    inline = {
        "name": "with a secret",
        "imageName": "teller",
        "env": [{"key": "TOLD", "value": "it is {{ RUNPOD_SECRET_words }}"}],
    }
    saved = graphql(
        client,
        "mutation ($i: EndpointInput!) { saveEndpoint(input: $i) { id env { value } } }",
        i={"name": "e", "template": inline, "workersMin": 1, "workersMax": 1},
    )["saveEndpoint"]
    assert (tmp_path / "pipe").read_text() == f"it is {SECRET}"
    assert saved["env"] == [{"value": "it is {{ RUNPOD_SECRET_words }}"}]
    everything = """{ myself { secrets { id name description createdAt }
        endpoints { env { key value } template { env { key value } } } }
        podTemplates { env { key value } } }"""
    assert SECRET not in str(graphql(client, everything))
    for path in ("/v2/templates", "/v2/serverless", f"/v2/serverless/{saved['id']}/releases"):
        assert SECRET not in client.get(path).text
    graphql(client, "mutation ($id: String!) { deleteEndpoint(id: $id) }", id=saved["id"])
