"""RunPod's Python package, unchanged: its clients and its control plane, in one interpreter.

Prints one JSON object: the name of each part to what went wrong in it, "" if nothing did. The
parts run at the same time, because the clients sleep for most of theirs.
"""

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
import runpod
from runpod.http_client import AsyncClientSession

ENDPOINTS: dict[str, str] = json.loads(sys.argv[1])
runpod.api_key = os.environ["RUNPOD_API_KEY"]


def refused(call: Callable[[], Any], kind: type[Exception]) -> str:
    """Returns the words of a refusal."""
    try:
        answer = call()
    except kind as error:
        return str(error)
    raise AssertionError(f"not refused: {answer}")


def jobs() -> None:
    """The synchronous client: everything that it can do with a job."""
    endpoint = runpod.Endpoint(ENDPOINTS["plain"])
    assert endpoint.run_sync({"do": "echo", "n": 1})["echo"] == {"do": "echo", "n": 1}
    job = endpoint.run({"input": {"do": "echo", "n": 2}})
    assert job.output(timeout=30)["echo"]["n"] == 2
    assert job.status() == "COMPLETED"
    failed = endpoint.run({"do": "error"})
    assert failed.output(timeout=30) == {"extra": 1}
    assert failed.status() == "FAILED"
    counters = endpoint.health()
    assert (counters["jobs"]["completed"], counters["jobs"]["failed"]) == (2, 1), counters
    assert sorted(counters["workers"]) == [
        *("idle", "initializing", "ready", "running", "throttled", "unhealthy")
    ]


def queue() -> None:
    """The synchronous client: cancelling and purging."""
    endpoint = runpod.Endpoint(ENDPOINTS["asleep"])
    first, second = endpoint.run({"n": 1}), endpoint.run({"n": 2})
    assert first.status() == "IN_QUEUE"
    assert first.cancel() == {"id": first.job_id, "status": "CANCELLED"}
    assert first.output(timeout=5) is None
    assert first.status() == "CANCELLED"
    assert endpoint.purge_queue() == {"removed": 1, "status": "completed"}
    assert second.status() == "CANCELLED"
    assert endpoint.health()["jobs"]["inQueue"] == 0


def stream() -> None:
    """The synchronous client's stream: every piece once, and it ends."""
    endpoint = runpod.Endpoint(ENDPOINTS["generator"])
    job = endpoint.run({"pieces": ["a", {"b": 1}, 3]})
    assert list(job.stream()) == ["a", {"b": 1}, 3]
    assert job.status() == "COMPLETED"
    broken = endpoint.run({"pieces": ["a"], "raise": "boom"})
    assert list(broken.stream()) == ["a"]
    assert broken.status() == "FAILED"


def asyncio_client() -> None:
    """The asyncio client."""

    async def everything() -> None:
        async with AsyncClientSession() as session:
            endpoint = runpod.AsyncioEndpoint(ENDPOINTS["async_generator"], session)
            job = await endpoint.run({"pieces": [1, 2]})
            assert [piece async for piece in job.stream()] == [1, 2]
            assert await job.status() == "COMPLETED"
            assert await job.output(timeout=30) == [1, 2]
            other = await endpoint.run({"pieces": [3]})
            assert await other.output(timeout=30) == [3]
            slow = await endpoint.run({"pieces": [1, 2], "pause_s": 600})
            while await slow.status() != "IN_PROGRESS":  # noqa: ASYNC110 - it has nothing else.
                await asyncio.sleep(0.1)
            assert await slow.cancel() == {"id": slow.job_id, "status": "CANCELLED"}
            assert await slow.status() == "CANCELLED"
            assert (await endpoint.health())["jobs"]["completed"] == 2
            assert await endpoint.purge_queue() == {"removed": 0, "status": "completed"}

    asyncio.run(everything())


def control_plane() -> None:
    """Templates, endpoints, registry credentials, the account and GPUs."""
    auth = runpod.create_container_registry_auth("docker.io", "me", "secret")
    assert auth["name"] == "docker.io", auth
    changed = runpod.update_container_registry_auth(auth["id"], "you", "other")
    assert changed["id"] == auth["id"], changed
    template = runpod.create_template(
        "official",
        "plain",
        "python -u h.py",
        env={"A": "b"},
        is_serverless=True,
        registry_auth_id=auth["id"],
    )
    assert template["env"] == [{"key": "A", "value": "b"}], template
    created = runpod.create_endpoint(
        "official", template["id"], "AMPERE_48,-NVIDIA A40", workers_max=1, flashboot=True
    )
    assert (created["workersMax"], created["flashBootType"]) == (1, "FLASHBOOT"), created
    (listed,) = [each for each in runpod.get_endpoints() if each["id"] == created["id"]]
    assert listed["templateId"] == template["id"], listed
    assert listed["gpuIds"] == "AMPERE_48,-NVIDIA A40", listed
    other = runpod.create_template("official 2", "plain", is_serverless=True)
    moved = runpod.update_endpoint_template(created["id"], other["id"])
    assert moved["templateId"] == other["id"], moved
    assert "unique" in refused(
        lambda: runpod.create_template("official", "plain", is_serverless=True),
        runpod.error.QueryError,
    )
    assert "Unable to find template" in refused(
        lambda: runpod.create_endpoint("none", "xxxxxxxxxx"), runpod.error.QueryError
    )


def registry_in_use() -> None:
    """Registry credentials can be deleted when no template uses them."""
    auth = runpod.create_container_registry_auth("ghcr.io", "me", "secret")
    assert runpod.delete_container_registry_auth(auth["id"]) is not False


def account() -> None:
    """The account, its key, and the catalogue."""
    user = runpod.get_user()
    assert user["id"], user
    key = "ssh-ed25519 AAAA me"
    assert runpod.update_user_settings(key) == {"id": user["id"], "pubKey": key}
    assert runpod.get_user()["pubKey"] == key
    gpus = runpod.get_gpus()
    assert {"id", "displayName", "memoryInGb"} == set(gpus[0]), gpus[0]
    assert len(gpus) > 10
    one = runpod.get_gpu("NVIDIA A40", 2)
    assert (one["id"], one["memoryInGb"]) == ("NVIDIA A40", 48), one


def pods() -> None:
    """There are none here: whatever needs one fails, with words."""
    gpu = "NVIDIA A40"
    for call in (
        runpod.get_pods,
        lambda: runpod.create_pod("p", "image", gpu),
        lambda: runpod.get_pod("xxxxxxxxxxxxxx"),
        lambda: runpod.stop_pod("xxxxxxxxxxxxxx"),
        lambda: runpod.resume_pod("xxxxxxxxxxxxxx", 1),
        lambda: runpod.terminate_pod("xxxxxxxxxxxxxx"),
    ):
        assert "not emulated" in refused(call, runpod.error.QueryError)


def wrong_key() -> None:
    """Both APIs refuse it as the clients expect."""
    refused(lambda: runpod.get_user(api_key="wrong"), runpod.error.AuthenticationError)
    stranger = runpod.Endpoint(ENDPOINTS["plain"], api_key="wrong")
    assert "401" in refused(stranger.health, RuntimeError)
    unknown = runpod.Endpoint("nosuchendpoint")
    assert "404" in refused(unknown.health, requests.HTTPError)


def outcome(part: Callable[[], None]) -> str:
    """Returns what went wrong in one part."""
    try:
        part()
    except Exception:  # noqa: BLE001 - the test shows it.
        return traceback.format_exc()
    return ""


PARTS = [
    *(jobs, queue, stream, asyncio_client),
    *(control_plane, registry_in_use, account, pods, wrong_key),
]
with ThreadPoolExecutor(len(PARTS)) as pool:
    outcomes = dict(zip([part.__name__ for part in PARTS], pool.map(outcome, PARTS), strict=True))
sys.stdout.write(json.dumps(outcomes) + "\n")
