"""An empty local RunPod without a restart, and ids that are the same in every run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runpodctl_py.testing import LocalRunPodServer, Simulation
from tests.integration.emulator.conftest import Client

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.emulator.conftest import Stage

EVERYTHING = """{ myself { endpoints { id } podTemplates { id } networkVolumes { id } pubKey
containerRegistryCreds { id } secrets { id } } }"""


def fill(client: Client) -> list[str]:
    """Makes one of everything; returns the ids."""
    endpoint_id = client.endpoint("any", workersMin=1)
    posts = {
        "/v2/registries": {"name": "r", "username": "u", "password": "p"},
        "/v2/network-volumes": {"name": "v", "size": 10, "dataCenter": "EU-RO-1"},
    }
    made = [client.http.post(path, json=body) for path, body in posts.items()]
    client.graphql(
        'mutation { secretCreate(input: {name: "s", value: "v", description: ""}) { id } }'
    )
    client.http.put("/v2/account/ssh-keys", json={"keys": ["ssh-ed25519 AAAA me"]})
    job_id = client.run(endpoint_id, {})
    assert client.final(endpoint_id, job_id)["status"] == "COMPLETED"
    batch = client.http.post(f"/v2/{endpoint_id}/batch", json=[{"input": {}}])
    assert batch.is_success, batch.text
    client.server.time.advance(0)
    worker_ids = [each["id"] for each in client.workers(endpoint_id)]
    created = [*made, batch]
    return [endpoint_id, *(each.json()["id"] for each in created), job_id, *worker_ids]


def contents(client: Client) -> Any:
    """Returns everything there is."""
    return client.graphql(EVERYTHING)["myself"]


def test_nothing_is_left_of_what_there_was(tmp_path: Path) -> None:
    """Neither in memory nor after a restart; it answers at the same place, with the same key."""
    folder = tmp_path / "local"
    with LocalRunPodServer(folder, simulation=Simulation()) as server, Client(server) as client:
        empty = contents(client)
        endpoint_id, *_, job_id, _ = fill(client)
        server.time.advance(3600)
        assert all(contents(client).values())
        assert client.http.post("/_local/reset").json() == {"reset": True}
        assert contents(client) == empty
        assert client.http.get("/_local/workers").json() == {"workers": []}
        assert client.http.get(f"/v2/{endpoint_id}/status/{job_id}").status_code == 404
        assert client.http.get("/v2/billing?lastN=1").json()["records"][0]["totalAmount"] == 0
        assert abs(client.http.get("/_local/time").json()["ahead"]) < 1
        fill(client)
        server.reset()
    with LocalRunPodServer(folder, simulation=Simulation()) as server, Client(server) as client:
        assert contents(client) == empty
        assert abs(client.http.get("/_local/time").json()["ahead"]) < 1


def test_processes_and_their_logs_are_gone_too(client: Client, stage: Stage) -> None:
    """The answer comes when the last process has ended; a held request learns of it."""
    endpoint_id, puppet = stage.on_duty()
    job_id = client.run(endpoint_id, {})
    puppet.take()
    (worker,) = client.workers(endpoint_id)
    client.server.reset()
    assert client.http.get("/_local/workers").json() == {"workers": []}
    assert not (client.server.data_folder / "logs").exists()
    assert client.http.get(f"/v2/{endpoint_id}/status-sync/{job_id}").status_code == 404
    assert worker["pid"] == puppet.pid
    again, puppet = stage.on_duty()
    assert puppet.endpoint_id == again


def test_quotas_are_whole_again(tmp_path: Path) -> None:
    """Who asked how often is forgotten, too, of REST as of the job API."""
    with (
        LocalRunPodServer(tmp_path / "local", simulation=Simulation(), rate_limits=True) as server,
        Client(server) as client,
    ):
        before = [client.http.get("/v2/templates").headers["RateLimit"] for _ in range(2)]
        server.reset()
        after = client.http.get("/v2/templates").headers["RateLimit"]
    assert [each.split(";")[1] for each in (*before, after)] == ["r=59", "r=58", "r=59"]


def test_strict_or_not_all_goes(tmp_path: Path) -> None:
    """What a client would be refused, a reset is not."""
    with (
        LocalRunPodServer(tmp_path / "local", simulation=Simulation(), strict=True) as server,
        Client(server) as client,
    ):
        client.endpoint("any", workersMin=1)
        server.reset()
        assert contents(client)["endpoints"] == []


def test_a_seed_makes_ids_repeatable(tmp_path: Path) -> None:
    """In another folder they are the same, and after a reset they begin anew."""
    seen = []
    for name in ("one", "another"):
        with (
            LocalRunPodServer(tmp_path / name, simulation=Simulation(), seed=7) as server,
            Client(server) as client,
        ):
            seen.append(fill(client))
            server.reset()
            seen.append(fill(client))
    first, *others = seen
    assert others == [first] * 3


def test_a_restart_repeats_no_id(tmp_path: Path) -> None:
    """What was made before is still there, and must not be overwritten."""
    seen = set()
    for _ in range(2):
        with (
            LocalRunPodServer(tmp_path / "local", simulation=Simulation(), seed=7) as server,
            Client(server) as client,
        ):
            endpoint_id = client.endpoint("any")
            seen |= {endpoint_id, client.run(endpoint_id, {})}
            count = len(contents(client)["endpoints"])
    assert (len(seen), count) == (4, 2)


def test_what_is_simulated_by_chance_is_repeatable(tmp_path: Path) -> None:
    """Every other job fails, and with the same seed the same ones."""
    outcomes = []
    simulation = Simulation(fail=0.5, concurrency=1)
    for name in ("one", "another"):
        with (
            LocalRunPodServer(tmp_path / name, simulation=simulation, seed=3) as server,
            Client(server) as client,
        ):
            endpoint_id = client.endpoint("any")
            jobs = [client.run(endpoint_id, {}) for _ in range(12)]
            outcomes.append([client.final(endpoint_id, each)["status"] for each in jobs])
    assert outcomes[0] == outcomes[1]
    assert set(outcomes[0]) == {"COMPLETED", "FAILED"}
