"""RunPod's own Python client, unchanged, against the local RunPod."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Client

SCRIPT = """
import os, runpod

runpod.api_key = os.environ["RUNPOD_API_KEY"]
template = runpod.create_template(
    "official", "plain", "python -u h.py", env={"A": "b"}, is_serverless=True
)
assert template["env"] == [{"key": "A", "value": "b"}], template
created = runpod.create_endpoint("official", template["id"], "AMPERE_16", workers_max=1)
assert created["workersMax"] == 1, created
(listed,) = [each for each in runpod.get_endpoints() if each["id"] == created["id"]]
assert listed["templateId"] == template["id"], listed
assert runpod.get_user()["id"] and len(runpod.get_gpus()) > 10

endpoint = runpod.Endpoint(created["id"])
output = endpoint.run_sync({"do": "echo", "n": 1})
assert output["echo"] == {"do": "echo", "n": 1}, output
job = endpoint.run({"input": {"do": "echo", "n": 2}})
assert job.output(timeout=30)["echo"]["n"] == 2
assert job.status() == "COMPLETED"
assert endpoint.health()["jobs"]["completed"] == 2, endpoint.health()
slow = endpoint.run({"input": {"do": "sleep"}})
assert slow.cancel() == {"id": slow.job_id, "status": "CANCELLED"}
assert slow.status() == "CANCELLED"

try:
    runpod.create_template("official", "plain", is_serverless=True)
except runpod.error.QueryError as error:
    assert "unique" in str(error), error
else:
    raise AssertionError("a second template of the same name")
runpod.api_key = "wrong"
try:
    runpod.get_user()
except runpod.error.AuthenticationError:
    print("all of it")
"""


def test_the_official_client_works_unchanged(client: Client) -> None:
    """Templates, endpoints, jobs, health and both kinds of refusal."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={"HOME": os.environ["HOME"], "PATH": os.environ["PATH"], **client.server.environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["all of it"]), done.stderr
