"""The local RunPod that runs, for commands that ask it or tell it something: finding it, talking.

Starting and stopping it is `local.py`'s business; `--local`, which also starts one, `context.py`'s.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from runpodctl_py.errors import NotFoundError

if TYPE_CHECKING:
    from runpodctl_py.emulator.daemon import Announcement
    from runpodctl_py.jsontypes import JsonObject


def found_running() -> Announcement:
    """Return the local RunPod that runs.

    Raises:
        NotFoundError: None does.
    """
    from runpodctl_py.emulator import daemon

    running = daemon.find_running(daemon.data_folder(os.environ))
    if running is None:
        raise NotFoundError(
            "No local RunPod runs", hint="Start one:  runpodctl-py local up --detach"
        )
    return running


async def get(running: Announcement, operation: str) -> dict[str, Any]:
    """Return the answer of an operation below /_local."""
    from runpodctl_py.api.transport import Transport

    async with Transport(running.url, running.token) as transport:
        answer = await transport.get(f"/_local/{operation}")
    return answer.body


async def post(
    running: Announcement, operation: str, body: JsonObject, hold_s: float = 0.0
) -> dict[str, Any]:
    """Have an operation below /_local do something, and return its answer.

    Args:
        running: Which local RunPod.
        operation: The path.
        body: What it is told.
        hold_s: How long that may take.
    """
    from runpodctl_py.api.transport import Transport

    async with Transport(running.url, running.token) as transport:
        answer = await transport.post(f"/_local/{operation}", body, hold_s=hold_s)
    return answer.body
