"""What the ledger's tests write down: jobs with little in them, on RunPod or on a local one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from runpodctl_py.api.types import Job, JobStatus
from runpodctl_py.jobs.ledger import Deployment, Intent, Place

RUNPOD = Place("https://api.runpod.ai/v2")
LOCAL = Place("/home/somebody/.local/share/runpodctl-py/local", is_local=True)
INTENT = Intent(place=RUNPOD, endpoint_id="i02xupws21hp6i", payload={"prompt": "a lake"})
DEPLOYMENT = Deployment(at=0.0, place=RUNPOD, action="create", endpoint_id="i02xupws21hp6i")
KEY = "rpa_MARKERMARKERMARKER0123456789abcdef"


def intent(**changes: Any) -> Intent:
    """Return a job that is about to be sent."""
    return replace(INTENT, **changes)


def job(job_id: str = "8f3c2a54-u1", status: str = "IN_QUEUE", **more: Any) -> Job:
    """Return a job as RunPod shows it."""
    return Job(job_id, JobStatus(status), **more)
