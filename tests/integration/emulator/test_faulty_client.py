"""What RunPod's own Python client makes of faults; where it fails, this is how."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runpodctl_py.testing import LocalRunPodServer, Simulation, Timings

SCRIPT = Path(__file__).with_name("clients") / "faulty_client.py"

MET = [
    # A job that was sent once is not sent again, whatever comes back.
    ("run", "run:429*1", "HTTPError 429", 0, 1),
    ("run", "run:503:1s*1", "HTTPError 503", 0, 1),
    ("run", "run:500-after*1", "HTTPError 500", 1, 1),
    ("run", "run:drop*1", "ConnectionError", 0, 1),
    ("run", "run:drop-after*1", "ConnectionError", 1, 1),
    ("run", "run:truncate*1", "ChunkedEncodingError", 1, 1),
    ("run", "run:garbage*1", "JSONDecodeError", 0, 1),
    ("run", "run:garbage-after*1", "JSONDecodeError", 1, 1),
    ("run", "run:delay:300ms", "sent", 1, 1),
    ("run", "run:slow:300ms", "sent", 1, 1),
    ("run_sync", "runsync:500*1", "HTTPError 500", 0, 1),
    # Questions are asked again where the connection broke, and after 429; not after other errors.
    ("status", "status:429:1s*1", "known", 1, 1),
    ("status", "status:drop*1", "known", 1, 1),
    ("status", "status:500*1", "HTTPError 500", 1, 1),
    ("status", "status:truncate*1", "ChunkedEncodingError", 1, 1),
    ("status", "status:garbage*1", "JSONDecodeError", 1, 1),
    ("health", "health:delay:1500ms*1", "counters", 0, 1),
    ("cancel", "cancel:delay:1500ms*1", "ReadTimeout, CANCELLED", 0, 1),
    ("purge", "purge-queue:500*1", "HTTPError 500, IN_QUEUE", 1, 1),
    ("purge", "purge-queue:drop-after*1", "ConnectionError, CANCELLED", 0, 1),
    ("stream", "stream:drop*1", "0 pieces", 1, 1),
    ("stream", "stream:500*1", "HTTPError 500", 1, 1),
    ("endpoints", "graphql.myself:500*1", "KeyError", 0, 1),
    ("endpoints", "graphql:drop*1", "ConnectionError", 0, 1),
    # What happens to workers, the client only sees in the job.
    ("run_sync", "worker:crash*1", "output", 1, 1),
    ("run_sync", "worker:crash", "no output", 1, 2),
    ("wait_for_worker", "worker:throttle*1", "throttled, IN_QUEUE, output", 1, 0),
    ("wait_for_worker", "coldstart:1s*1", "initializing, IN_QUEUE, output", 1, 1),
    ("wait_for_worker", "coldstart:crash*1", "unhealthy, IN_QUEUE, output", 1, 1),
]
"""What is done, the fault, what comes of it, how many jobs there are, how often it struck."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], tuple[object, ...]]:
    """What came of everything; importing the package takes 1.4 s."""
    folder = tmp_path_factory.mktemp("faulty")
    with LocalRunPodServer(
        folder, simulation=Simulation(), timings=Timings(first_backoff_s=1.5)
    ) as server:
        done = subprocess.run(
            [sys.executable, str(SCRIPT), json.dumps([each[:2] for each in MET])],
            env={"HOME": str(folder), "PATH": os.environ["PATH"], **server.environment()},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    came = json.loads(done.stdout.splitlines()[-1])
    return {each[:2]: tuple(found) for each, found in zip(MET, came, strict=True)}


@pytest.mark.parametrize("met", MET, ids=lambda met: met[1])
def test_the_official_client_meets_a_fault(
    met: tuple[str, str, str, int, int], outcomes: dict[tuple[str, str], tuple[object, ...]]
) -> None:
    """It raises, or goes on; and the fault has done what it says, no more."""
    do, fault, *expected = met
    assert outcomes[do, fault] == tuple(expected)
