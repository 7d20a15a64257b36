"""The keys of a bucket that come with a job: its worker gets them, and nobody keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from runpodctl_py.testing import LocalRunPodServer, Simulation

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "MARKERsecret0123456789abcdef"
BUCKET = {"accessId": "MARKERid", "accessSecret": SECRET, "bucketName": "b", "endpointUrl": "u"}


def files_with(folder: Path, text: str) -> list[str]:
    """Returns the files below a folder that hold a text."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path.name for path in files if text.encode() in path.read_bytes()]


@pytest.mark.parametrize("fail", [0, 1])
def test_no_key_is_left_when_the_jobs_have_ended(tmp_path: Path, fail: int) -> None:
    """Done, failed, retried or cancelled: nothing of them is in the data folder, or is shown."""
    with (
        LocalRunPodServer(tmp_path, simulation=Simulation(fail=fail)) as server,
        httpx.Client(
            base_url=server.url, headers={"Authorization": f"Bearer {server.token}"}
        ) as client,
    ):
        busy, none = (endpoint(client, name, most) for name, most in (("busy", 1), ("none", 0)))
        body = {"input": {"n": 1}, "s3Config": BUCKET}
        waiting = [client.post(f"/v2/{none}/run", json=body).json()["id"] for _ in range(20)]
        assert files_with(tmp_path, SECRET) != []
        for _ in range(20):
            job = client.post(f"/v2/{busy}/runsync", json=body).json()
            assert job["status"] == ("FAILED" if fail else "COMPLETED")
        if fail:
            client.post(f"/v2/{busy}/retry/{job['id']}")
            client.get(f"/v2/{busy}/status-sync/{job['id']}")
        client.post(f"/v2/{none}/cancel/{waiting[0]}")
        client.post(f"/v2/{none}/purge-queue")
        for path in (f"/v2/{busy}/requests", "/_local/status", "/_local/workers"):
            assert SECRET not in client.get(path).text
    assert files_with(tmp_path, "MARKER") == []
    assert files_with(tmp_path, '"n"') != []


def endpoint(client: httpx.Client, name: str, workers_max: int) -> str:
    """Makes an endpoint and returns its id."""
    given = {
        "name": name,
        "image": "any",
        "type": "QUEUE",
        "gpu": {"pools": ["AMPERE_16"]},
        "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
        "workers": {"min": 0, "max": workers_max, "idleTimeout": 60},
    }
    return str(client.post("/v2/serverless", json=given).raise_for_status().json()["id"])
