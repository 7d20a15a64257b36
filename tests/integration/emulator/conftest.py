"""A local RunPod in this process, a client for it, and workers that the test speaks for."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx
import pytest

from runpodctl_py.testing import LocalRunPodServer, Timings, WorkerCommand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

HANDLERS = Path(__file__).with_name("handlers")
SHORT = Timings(
    take_hold_s=0.3, stop_hold_s=0.3, cancel_grace_s=1.5, stop_grace_s=3, first_backoff_s=0.2
)


class Client:
    """What a test asks of the local RunPod, as RunPod's clients would ask."""

    def __init__(self, server: LocalRunPodServer) -> None:
        self.server = server
        self.http = httpx.Client(
            base_url=server.url, headers={"Authorization": f"Bearer {server.token}"}, timeout=60
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def graphql(self, query: str, **variables: Any) -> Any:
        """Returns the data of an operation that must succeed."""
        answer = self.http.post("/graphql", json={"query": query, "variables": variables})
        assert "errors" not in answer.json(), answer.text
        return answer.json()["data"]

    def endpoint(self, image: str, env: Mapping[str, str] | None = None, **fields: Any) -> str:
        """Makes a template and an endpoint for an image; returns the endpoint's id."""
        template = self.graphql(
            "mutation ($i: SaveTemplateInput) { saveTemplate(input: $i) { id } }",
            i={
                "name": f"template {time.monotonic_ns()}",
                "imageName": image,
                "dockerArgs": "",
                "containerDiskInGb": 5,
                "volumeInGb": 0,
                "env": [{"key": name, "value": value} for name, value in (env or {}).items()],
                "isServerless": True,
            },
        )["saveTemplate"]["id"]
        given = {"name": image, "templateId": template, "workersMax": 1, **fields}
        saved = self.graphql(
            "mutation ($i: EndpointInput!) { saveEndpoint(input: $i) { id } }", i=given
        )
        endpoint_id: str = saved["saveEndpoint"]["id"]
        return endpoint_id

    def delete(self, endpoint_id: str) -> None:
        """Deletes an endpoint."""
        self.graphql("mutation ($id: String!) { deleteEndpoint(id: $id) }", id=endpoint_id)

    def run(self, endpoint_id: str, task: Any, **body: Any) -> str:
        """Submits a job and returns its id."""
        answer = self.http.post(f"/v2/{endpoint_id}/run", json={"input": task, **body})
        assert answer.status_code == 200, answer.text
        job_id: str = answer.json()["id"]
        return job_id

    def final(self, endpoint_id: str, job_id: str) -> Any:
        """Waits until a job is final and returns it."""
        return self.http.get(f"/v2/{endpoint_id}/status-sync/{job_id}?wait=50000").json()

    def status(self, endpoint_id: str, job_id: str) -> Any:
        """Returns a job as it stands."""
        return self.http.get(f"/v2/{endpoint_id}/status/{job_id}").json()

    def health(self, endpoint_id: str) -> Any:
        """Returns an endpoint's counters."""
        return self.http.get(f"/v2/{endpoint_id}/health").json()

    def workers(self, endpoint_id: str) -> list[Any]:
        """Returns an endpoint's workers."""
        listed = self.http.get("/_local/workers").json()["workers"]
        return [each for each in listed if each["endpointId"] == endpoint_id]


class Puppet:
    """A worker whose process does nothing, so that the test can say what a worker says."""

    def __init__(self, url: str, told: dict[str, Any]) -> None:
        self.id: str = told["RUNPOD_POD_ID"]
        self.endpoint_id: str = told["RUNPOD_ENDPOINT_ID"]
        self.pid: int = told["pid"]
        self.http = httpx.Client(
            base_url=f"{url}/v2/{self.endpoint_id}",
            headers={"Authorization": told["RUNPOD_AI_API_KEY"]},
            timeout=60,
        )

    def take(self, *, holding: bool = False) -> httpx.Response:
        """Polls for a job."""
        return self.http.get(f"/job-take/{self.id}?gpu=local&job_in_progress={int(holding)}")

    def stops(self) -> httpx.Response:
        """Polls for jobs to stop."""
        return self.http.get(f"/job-stop/{self.id}?gpu=local")

    def ping(self, query: str = "") -> httpx.Response:
        """Pings."""
        return self.http.get(f"/ping/{self.id}?runpod_version=1.12.0{query}")

    def done(self, job_id: str, body: str) -> httpx.Response:
        """Posts what the SDK would post, with its content type."""
        return self.http.post(
            f"/job-done/{self.id}/{job_id}?gpu=local&isStream=false",
            content=body.encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )

    def stream(self, job_id: str, output: Any) -> httpx.Response:
        """Posts a piece of a streamed output."""
        return self.http.post(
            f"/job-stream/{self.id}/{job_id}?gpu=local&isStream=false", json={"output": output}
        )

    def die(self) -> None:
        """Kills the process."""
        os.kill(self.pid, signal.SIGKILL)


class Stage:
    """Where puppets come up."""

    def __init__(self, client: Client, pipe: Path) -> None:
        self.client = client
        os.mkfifo(pipe)
        # Opened for writing, too: reading must not end between two puppets.
        self._pipe = os.fdopen(os.open(pipe, os.O_RDWR), "rb", buffering=0)
        self._puppets: list[Puppet] = []

    def puppet(self) -> Puppet:
        """Waits for the next puppet that the emulator starts."""
        puppet = Puppet(self.client.server.url, json.loads(self._pipe.readline()))
        self._puppets.append(puppet)
        return puppet

    def on_duty(self, **fields: Any) -> tuple[str, Puppet]:
        """Makes an endpoint that keeps one puppet; returns both."""
        endpoint_id = self.client.endpoint("puppet", workersMin=1, **fields)
        return endpoint_id, self.puppet()

    def clear(self) -> None:
        """Closes everything."""
        for puppet in self._puppets:
            puppet.http.close()
        self._pipe.close()


@contextmanager
def served(folder: Path, timings: Timings, **options: Any) -> Iterator[Client]:
    """A local RunPod that knows the handlers beside this file."""
    images = {
        name: WorkerCommand([sys.executable, "-u", str(HANDLERS / f"{name}.py")])
        for name in (
            *("plain", "four_at_once", "puppet"),
            *("generator", "async_generator", "refreshing", "unfit"),
            "like_vllm",
        )
    }
    env = {"PUPPET_PIPE": str(folder / "pipe")}
    with (
        LocalRunPodServer(
            folder, images=images, worker_env=env, timings=timings, **options
        ) as server,
        Client(server) as client,
    ):
        yield client


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., AbstractContextManager[Client]]:
    """Starts local RunPods, one after the other on the same folder, with some timings."""
    return lambda **timings: served(tmp_path / "local", replace(SHORT, **timings))


@pytest.fixture
def start_with(tmp_path: Path) -> Callable[..., AbstractContextManager[Client]]:
    """Starts local RunPods, one after the other on the same folder, with some options."""
    return lambda **options: served(tmp_path / "local", SHORT, **options)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One local RunPod for a whole module, with waits of fractions of a second."""
    with served(tmp_path_factory.mktemp("local"), SHORT) as client:
        yield client


@pytest.fixture(scope="module")
def stage(client: Client) -> Iterator[Stage]:
    """The puppets of the module's local RunPod."""
    stage = Stage(client, client.server.data_folder / "pipe")
    yield stage
    stage.clear()


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], Any]], None]:
    """Waits until a condition holds that nothing announces; fails after thirty seconds."""

    def wait(condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, "it never came true"
            time.sleep(0.02)

    return wait
