"""The handler, as RunPod would run it: its endpoint, its queue, its worker, its clients."""

import os
import subprocess
import sys

import pytest
import runpod


@pytest.fixture(scope="module")
def client_script():
    """Some program of yours that uses RunPod, and knows nothing of tests."""
    return (
        "import os, runpod, sys\n"
        "runpod.api_key = os.environ['RUNPOD_API_KEY']\n"
        "print(runpod.Endpoint(sys.argv[1]).run_sync({'text': 'hello'}, timeout=60)['text'])\n"
    )


def test_it_shouts(runpod_endpoint):
    endpoint = runpod_endpoint("handler.py")
    job = endpoint.runsync({"text": "hello"})
    assert (job["status"], job["output"]) == ("COMPLETED", {"text": "HELLO!"})


def test_it_says_what_is_missing(runpod_endpoint):
    endpoint = runpod_endpoint("handler.py")
    job = endpoint.runsync({"text": ""})
    assert (job["status"], job["error"]) == ("FAILED", "text is missing")


def test_runpods_own_client(runpod_endpoint):
    endpoint = runpod_endpoint("handler.py", env={"MARK": "?"}, workers_max=2)
    job = runpod.Endpoint(endpoint.id).run({"text": "hello"})
    assert job.output(timeout=60) == {"text": "HELLO?"}
    assert job.status() == "COMPLETED"


def test_a_program_that_uses_runpod(runpod_endpoint, client_script):
    endpoint = runpod_endpoint("handler.py")
    said = subprocess.run(
        [sys.executable, "-c", client_script, endpoint.id],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "HELLO!\n"


def test_deploying(runpod_local):
    """Whatever creates endpoints can be tested as well: here, RunPod's client."""
    made = runpod.create_template("shout", "you/shout:1", is_serverless=True)
    endpoint = runpod.create_endpoint("shout", made["id"], "AMPERE_16")
    assert [each["id"] for each in runpod.get_endpoints()] == [endpoint["id"]]
    assert os.environ["RUNPOD_API_BASE_URL"] == runpod_local.url
