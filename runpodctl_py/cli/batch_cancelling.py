"""`batch cancel`: nothing more is sent, and what waits or runs is cancelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runpodctl_py.api.serverless import Serverless
from runpodctl_py.api.transport import Transport
from runpodctl_py.batch.pace import CANCEL, Pace
from runpodctl_py.cli import asking
from runpodctl_py.errors import NotFoundError, RateLimitedError, RefusedError
from runpodctl_py.jobs.ledger import BatchState

if TYPE_CHECKING:
    from runpodctl_py.cli.context import Context
    from runpodctl_py.jobs.ledger import Batch, Record

_IN_FLIGHT = "saved_at IS NULL AND job_id IS NOT NULL AND state IN ('queued', 'running')"


async def cancel_batch(context: Context, batch: Batch, *, is_sure: bool) -> None:
    """Cancel a batch.

    Raises:
        ConfirmationNeededError: Nobody was there to say yes.
        RefusedError: It is done.
    """
    ledger, output = context.ledger, context.output
    if batch.state is BatchState.DONE:
        # As a cancelled one, it would be run anew by the command that began it.
        raise RefusedError(f"Batch {batch.batch_id} is done: there is nothing to cancel")
    rows = list(ledger.batches.rows(batch.batch_id, _IN_FLIGHT))
    if rows and not is_sure:
        asking.confirm(f"Cancel batch {batch.batch_id} and {_jobs(len(rows))}?", "Nothing changed")
    # First: who runs it sends nothing more from now on.
    ledger.batches.move(batch.batch_id, BatchState.CANCELLED)
    settings = context.settings
    async with Transport(settings.endpoint_base_url, settings.api_key) as transport:
        endpoint = Serverless(transport, batch.endpoint_id)
        pace = Pace(CANCEL)

        async def cancel(record: Record) -> bool:
            while True:
                try:
                    async with pace.request():
                        job = await endpoint.cancel(record.job_id or "")
                except RateLimitedError:
                    continue
                except NotFoundError:
                    return False
                ledger.asked(record.key, job)
                return job.status.value == "CANCELLED"

        cancelled = sum(await asyncio.gather(*map(cancel, rows)))
    if output.as_json:
        output.document({"batch": batch.batch_id, "cancelled": cancelled, "in_flight": len(rows)})
        return
    output.done(f"Batch {batch.batch_id} is cancelled, and {_jobs(cancelled)} with it")
    output.note(f"Go on after all:  runpodctl-py batch resume {batch.batch_id}")


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"
