"""Cancelling what RunPod's own batches have of a batch: what waits is dropped, what runs finishes.

RunPod knows no other way: in-progress requests are allowed to finish and are billed (API reference
4.8). Whoever calls this says first, in the ledger, that the batch is cancelled: then nothing more
is finalized by a command that is at work on it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from runpodctl_py.api.batches import LARGEST_PAGE
from runpodctl_py.api.types import JobStatus
from runpodctl_py.errors import NotFoundError, RefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runpodctl_py.api.batches import NativeBatches
    from runpodctl_py.api.types import Job
    from runpodctl_py.jobs.ledger import Ledger


async def cancel_native(ledger: Ledger, batches: NativeBatches, batch_id: str) -> int:
    """Have RunPod cancel what it has of a batch and has not begun, and note which jobs that were.

    Args:
        ledger: Where the batch is written down.
        batches: RunPod's batches of its endpoint.
        batch_id: The batch.

    Returns:
        How many jobs were cancelled.

    Raises:
        NetworkError, UnauthorizedError, LedgerError: It was not done, or not in whole.
    """
    keys = {row.job_id: row.key for row in ledger.batches.in_flight(batch_id)}
    count = 0
    for native in ledger.native_batches.unfinished(batch_id):
        if native.native_id is None:
            continue
        # It may be gone already, or over.
        with suppress(NotFoundError, RefusedError):
            await batches.cancel(native.native_id)
            async for job in _cancelled(batches, native.native_id):
                if (key := keys.get(job.job_id)) is not None:
                    ledger.asked(key, job)
                    count += 1
    return count


async def _cancelled(batches: NativeBatches, native_id: str) -> AsyncIterator[Job]:
    batch = await batches.summary(native_id)
    offset, has_more = 0, True
    while has_more:
        page = await batches.page(batch, offset, LARGEST_PAGE)
        for each in page.requests:
            if each.job is not None and each.job.status is JobStatus.CANCELLED:
                yield each.job
        offset += len(page.requests)
        has_more = page.has_more and bool(page.requests)
