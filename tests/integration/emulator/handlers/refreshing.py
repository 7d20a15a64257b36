"""A worker that is fresh for every job."""

import os
from typing import Any

import runpod


def handler(_job: dict[str, Any]) -> int:
    """Returns which process it is."""
    return os.getpid()


runpod.serverless.start({"handler": handler, "refresh_worker": True})
