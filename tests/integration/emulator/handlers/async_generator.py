"""A worker that streams asynchronously, and sends all of it at the end as well."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import runpod


async def handler(job: dict[str, Any]) -> AsyncIterator[Any]:
    """Yields what it is told to, with a pause after each."""
    for piece in job["input"]["pieces"]:
        yield piece
        await asyncio.sleep(job["input"].get("pause_s", 0))


runpod.serverless.start({"handler": handler, "return_aggregate_stream": True})
