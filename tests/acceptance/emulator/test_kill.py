"""Nothing survives an emulator, and no job is lost with it."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from runpodctl_py.emulator import daemon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Emulator = Callable[..., subprocess.Popen[str]]
    Eventually = Callable[[Callable[[], Any]], None]

SAVE_TEMPLATE = """mutation { saveTemplate(input: {name: "t", imageName: "echo",
dockerArgs: "", containerDiskInGb: 5, volumeInGb: 0, env: [], isServerless: true}) { id } }"""
SAVE_ENDPOINT = """mutation ($t: String) { saveEndpoint(input: {name: "e", templateId: $t,
workersMin: 1, workersMax: 1}) { id } }"""

READ_ALL = """{ myself { endpoints { id name templateId workersMin workersMax scalerType version
createdAt } podTemplates { id name imageName env { key value } boundEndpointId } } }"""


@pytest.fixture
def connect(folder: Path) -> Iterator[Callable[[], httpx.Client]]:
    """Returns clients of the emulator that runs on the folder."""
    clients: list[httpx.Client] = []

    def connected() -> httpx.Client:
        found = daemon.find_running(folder)
        assert found is not None
        headers = {"Authorization": f"Bearer {found.token}"}
        clients.append(httpx.Client(base_url=found.url, headers=headers, timeout=30))
        return clients[-1]

    yield connected
    for client in clients:
        client.close()


def make_endpoint(client: httpx.Client) -> str:
    """Makes an endpoint that keeps one worker that returns its input; returns its id."""
    made = client.post("/graphql", json={"query": SAVE_TEMPLATE}).json()["data"]
    body = {"query": SAVE_ENDPOINT, "variables": {"t": made["saveTemplate"]["id"]}}
    endpoint_id: str = client.post("/graphql", json=body).json()["data"]["saveEndpoint"]["id"]
    return endpoint_id


def idle_worker(client: httpx.Client) -> int | None:
    """Returns the process id of the first worker that is up."""
    workers = client.get("/_local/workers").json()["workers"]
    return next((each["pid"] for each in workers if each["state"] == "IDLE"), None)


def children(pid: int) -> list[int]:
    """Returns the process ids of a process's children."""
    listed = subprocess.run(["pgrep", "-P", str(pid)], stdout=subprocess.PIPE, check=True)  # noqa: S607 - wherever it is.
    return [int(each) for each in listed.stdout.split()]


def is_gone(group: int) -> bool:
    """Whether a process group has no member left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.proves("rule: no-orphans")
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_no_worker_survives_the_emulator(
    emulator: Emulator,
    connect: Callable[[], httpx.Client],
    eventually: Eventually,
    signum: int,
) -> None:
    """Neither the worker nor the process that pings for it, however the emulator ends."""
    process = emulator()
    client = connect()
    make_endpoint(client)
    eventually(lambda: idle_worker(client))
    group = idle_worker(client)
    assert group is not None
    assert not is_gone(group)
    process.send_signal(signum)
    process.wait()
    eventually(lambda: is_gone(group))


def test_no_worker_survives_its_guard(
    emulator: Emulator, connect: Callable[[], httpx.Client], eventually: Eventually
) -> None:
    """If the guard itself is killed, the emulator ends what it guarded."""
    process = emulator()
    client = connect()
    make_endpoint(client)
    eventually(lambda: idle_worker(client))
    group = idle_worker(client)
    assert group is not None
    (guard,) = children(process.pid)
    os.kill(guard, signal.SIGKILL)
    eventually(lambda: is_gone(group))


@pytest.mark.proves("rule: no-orphans")
def test_a_killed_workers_ping_process_is_killed_too(
    emulator: Emulator, connect: Callable[[], httpx.Client], eventually: Eventually
) -> None:
    """Left alone it would ping on for ever; a new worker takes the dead one's place."""
    emulator()
    client = connect()
    make_endpoint(client)
    eventually(lambda: idle_worker(client))
    group = idle_worker(client)
    assert group is not None
    os.kill(group, signal.SIGKILL)
    eventually(lambda: is_gone(group))
    eventually(lambda: idle_worker(client) not in {None, group})


def test_a_second_signal_leaves_at_once(
    folder: Path,
    emulator: Emulator,
    connect: Callable[[], httpx.Client],
    eventually: Eventually,
) -> None:
    """Without the grace a busy worker has; it goes, too, and its job begins anew, uncounted."""
    process = emulator()
    client = connect()
    url = f"/v2/{make_endpoint(client)}"
    job_id = client.post(f"{url}/run", json={"input": {"sleep_s": 600}}).json()["id"]
    eventually(lambda: client.get(f"{url}/status/{job_id}").json()["status"] == "IN_PROGRESS")
    (worker,) = client.get("/_local/workers").json()["workers"]
    process.send_signal(signal.SIGINT)
    eventually(lambda: not (folder / "emulator.json").exists())
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=2) == -signal.SIGINT
    eventually(lambda: is_gone(worker["pid"]))

    emulator()
    client = connect()
    eventually(lambda: client.get(f"{url}/status/{job_id}").json()["status"] == "IN_PROGRESS")
    assert "retries" not in client.get(f"{url}/status/{job_id}").json()


def test_a_killed_emulators_litter_is_removed_by_the_next(
    folder: Path,
    emulator: Emulator,
    connect: Callable[[], httpx.Client],
    eventually: Eventually,
) -> None:
    """The homes of its workers go; their logs stay for who asks why."""
    process = emulator()
    client = connect()
    make_endpoint(client)
    eventually(lambda: idle_worker(client))
    (worker,) = client.get("/_local/workers").json()["workers"]
    process.kill()
    process.wait()
    assert (folder / "homes" / worker["id"]).is_dir()
    emulator()
    assert not (folder / "homes" / worker["id"]).exists()
    assert (folder / "logs" / worker["endpointId"] / f"{worker['id']}.log").is_file()


@pytest.mark.proves("rule: restart")
def test_everything_outlives_a_killed_emulator(
    tmp_path: Path,
    emulator: Emulator,
    connect: Callable[[], httpx.Client],
    eventually: Eventually,
) -> None:
    """Endpoints, templates, results and counters; what was running or waiting is done once more."""
    runs, until = tmp_path / "runs", tmp_path / "go on"
    process = emulator()
    client = connect()
    url = f"/v2/{make_endpoint(client)}"
    done = client.post(f"{url}/runsync", json={"input": "hello"}).json()
    task = {"runs": str(runs), "until": str(until)}
    running, waiting = (
        client.post(f"{url}/run", json={"input": task}).json()["id"] for _ in range(2)
    )
    eventually(runs.exists)
    assert client.get(f"{url}/status/{running}").json()["status"] == "IN_PROGRESS"
    before = client.post("/graphql", json={"query": READ_ALL}).json()
    process.kill()
    process.wait()

    until.touch()
    emulator()
    client = connect()
    assert client.post("/graphql", json={"query": READ_ALL}).json() == before
    assert client.get(f"{url}/status/{done['id']}").json() == done
    for job_id in (running, waiting):
        final = client.get(f"{url}/status-sync/{job_id}?wait=20000").json()
        assert (final["status"], final["output"]) == ("COMPLETED", task)
        assert "retries" not in final
    assert runs.read_text().split() == [running, running, waiting]
    assert client.get(f"{url}/health").json()["jobs"] == {
        "completed": 3,
        "failed": 0,
        "inProgress": 0,
        "inQueue": 0,
        "retried": 0,
    }
