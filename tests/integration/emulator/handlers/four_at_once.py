"""A worker that takes four jobs at once and can be stopped in each."""

import asyncio
from typing import Any

import runpod


async def handler(job: dict[str, Any]) -> str:
    """Sleeps as long as asked for."""
    await asyncio.sleep(job["input"]["sleep_s"])
    return "slept"


runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda _: 4})
