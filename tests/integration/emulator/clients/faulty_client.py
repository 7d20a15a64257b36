"""RunPod's Python package, unchanged, as it meets faults: one after the other, in one interpreter.

Takes a JSON list of pairs, what is done and the fault that is set meanwhile. Prints a JSON list:
what came of it in the client's eyes, how many jobs there were afterwards, and how often the fault
struck.
"""

import json
import os
import sys
from typing import Any

import requests
import runpod

runpod.api_key = os.environ["RUNPOD_API_KEY"]
FAULTS = f"{os.environ['RUNPOD_API_BASE_URL']}/_local/faults"
KEY = {"Authorization": f"Bearer {runpod.api_key}"}
TASK = {"n": 1}


def set_faults(*faults: str) -> None:
    """Sets faults in the place of others."""
    requests.put(FAULTS, json={"faults": faults}, headers=KEY, timeout=10).raise_for_status()


def struck() -> int:
    """Returns how often the faults that are set have struck."""
    listed = requests.get(FAULTS, headers=KEY, timeout=10).json()["faults"]
    return sum(each["struck"] for each in listed)


def run(endpoint: runpod.Endpoint, _fault: str) -> str:
    """Sends a job."""
    return "sent" if endpoint.run(TASK).job_id else "no id"


def run_sync(endpoint: runpod.Endpoint, _fault: str) -> str:
    """Sends a job and waits for it."""
    return "output" if endpoint.run_sync(TASK) else "no output"


def status(endpoint: runpod.Endpoint, fault: str) -> str:
    """Asks for the status of a job."""
    set_faults()
    job = endpoint.run(TASK)
    set_faults(fault)
    return "known" if job.status() in {"IN_QUEUE", "IN_PROGRESS", "COMPLETED"} else "unknown"


def cancel(endpoint: runpod.Endpoint, fault: str) -> str:
    """Cancels a job, with less patience than it usually has; asks again if it hears nothing."""
    set_faults("worker:throttle")
    job = endpoint.run(TASK)
    set_faults(fault, "worker:throttle")
    try:
        return str(job.cancel(timeout=1)["status"])
    except requests.ReadTimeout:
        return f"ReadTimeout, {job.status()}"


def purge(endpoint: runpod.Endpoint, fault: str) -> str:
    """Purges the queue, and looks what became of the job in it."""
    set_faults("worker:throttle")
    job = endpoint.run(TASK)
    set_faults(fault, "worker:throttle")
    try:
        endpoint.purge_queue()
    except requests.HTTPError as error:
        return f"HTTPError {error.response.status_code}, {job.status()}"
    except requests.ConnectionError:
        return f"ConnectionError, {job.status()}"
    return f"purged, {job.status()}"


def stream(endpoint: runpod.Endpoint, fault: str) -> str:
    """Streams a job that has ended."""
    set_faults()
    job = endpoint.run(TASK)
    job.output(timeout=20)
    set_faults(fault)
    return f"{len(list(job.stream()))} pieces"


def health(endpoint: runpod.Endpoint, _fault: str) -> str:
    """Asks for an endpoint's health, with less patience than it usually has."""
    return "counters" if "jobs" in endpoint.health(timeout=1) else "no counters"


def endpoints(_endpoint: runpod.Endpoint, _fault: str) -> str:
    """Lists the endpoints."""
    return "listed" if runpod.get_endpoints() else "none"


def wait_for_worker(endpoint: runpod.Endpoint, _fault: str) -> str:
    """Sends a job, looks at the worker, clears the fault, and takes the output."""
    job = endpoint.run(TASK)
    workers = [name for name, number in endpoint.health()["workers"].items() if number]
    status = job.status()
    if workers == ["throttled"]:
        set_faults()
    output = "output" if job.output(timeout=20) else "no output"
    return f"{' and '.join(workers)}, {status}, {output}"


def outcome(do: str, fault: str, endpoint: runpod.Endpoint) -> tuple[str, int, int]:
    """Does something under a fault."""
    set_faults(fault)
    try:
        came: str = globals()[do](endpoint, fault)
    except requests.HTTPError as error:
        came = f"HTTPError {error.response.status_code}"
    except (requests.RequestException, KeyError, TypeError) as error:
        came = type(error).__name__
    times = struck()
    set_faults()
    jobs = endpoint.health()["jobs"]
    return came, sum(number for name, number in jobs.items() if name != "retried"), times


TEMPLATE = runpod.create_template("faulty", "any", is_serverless=True)["id"]


def made(number: int) -> runpod.Endpoint:
    """Makes an endpoint."""
    created: dict[str, Any] = runpod.create_endpoint(f"faulty {number}", TEMPLATE, workers_max=1)
    return runpod.Endpoint(created["id"])


SCENARIOS = json.loads(sys.argv[1])
outcomes = [outcome(*each, made(number)) for number, each in enumerate(SCENARIOS)]
sys.stdout.write(json.dumps(outcomes) + "\n")
