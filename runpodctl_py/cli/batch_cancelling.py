"""`batch cancel`: nothing more is sent, and what waits or runs is cancelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runpodctl_py.api.batches import NativeBatches
from runpodctl_py.api.serverless import Serverless
from runpodctl_py.api.transport import Transport
from runpodctl_py.api.types import JobStatus
from runpodctl_py.batch.native_cancelling import cancel_native
from runpodctl_py.batch.pace import CANCEL, Pace
from runpodctl_py.cli import asking
from runpodctl_py.errors import ConflictError, NotFoundError, RateLimitedError
from runpodctl_py.jobs.ledger import BatchState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runpodctl_py.cli.context import Context
    from runpodctl_py.jobs.ledger import Batch, Ledger, Record

_PAUSE_S = 0.2
_ROUNDS = 25


async def cancel_batch(context: Context, batch: Batch, *, is_sure: bool) -> None:
    """Cancel a batch.

    Raises:
        ConfirmationNeededError: Nobody was there to say yes.
        ConflictError: It is done.
    """
    ledger, output = context.ledger, context.output
    if batch.state is BatchState.DONE:
        # As a cancelled one, it would be run anew by the command that began it.
        raise ConflictError(f"Batch {batch.batch_id} is done: there is nothing to cancel")
    rows = list(ledger.batches.in_flight(batch.batch_id))
    if rows and not is_sure:
        asking.confirm(f"Cancel batch {batch.batch_id} and {_jobs(len(rows))}?", "Nothing changed")
    # First: who runs it sends nothing more from now on.
    ledger.batches.move(batch.batch_id, BatchState.CANCELLED)
    settings = context.settings
    async with Transport(settings.endpoint_base_url, settings.api_key) as transport:
        cancelling = _Cancelling(ledger, Serverless(transport, batch.endpoint_id))
        if batch.options["is_native"]:
            batches = NativeBatches(transport, batch.endpoint_id)
            cancelling.cancelled += await cancel_native(ledger, batches, batch.batch_id)
        else:
            await cancelling.cancel(rows)
        # Who runs it may have been sending, and looks every three seconds whether it may.
        for _ in range(_ROUNDS):
            if not ledger.batches.is_running(ledger.batches.find(batch.batch_id)):
                break
            await asyncio.sleep(_PAUSE_S)
            if not batch.options["is_native"]:
                await cancelling.cancel(ledger.batches.in_flight(batch.batch_id))
    cancelled = cancelling.cancelled
    if output.as_json:
        output.document(
            {"batch": batch.batch_id, "cancelled": cancelled, "in_flight": cancelling.asked}
        )
        return
    output.done(f"Batch {batch.batch_id} is cancelled, and {_jobs(cancelled)} with it")
    output.note(f"Go on after all:  runpodctl-py batch resume {batch.batch_id}")


class _Cancelling:
    """Cancels jobs, each of them once.

    Attributes:
        cancelled: How many are.
    """

    def __init__(self, ledger: Ledger, endpoint: Serverless) -> None:
        self.cancelled = 0
        self._ledger = ledger
        self._endpoint = endpoint
        self._pace = Pace(CANCEL)
        self._asked: set[str] = set()

    @property
    def asked(self) -> int:
        """How many RunPod was asked to cancel."""
        return len(self._asked)

    async def cancel(self, rows: Iterable[Record]) -> None:
        """Cancel those jobs that it was not asked for yet."""
        new = [each for each in rows if each.key not in self._asked]
        self._asked.update(each.key for each in new)
        self.cancelled += sum(await asyncio.gather(*map(self._cancel, new)))

    async def _cancel(self, record: Record) -> bool:
        while True:
            try:
                async with self._pace.request():
                    job = await self._endpoint.cancel(record.job_id or "")
            except RateLimitedError:
                continue
            except NotFoundError:
                return False
            self._ledger.asked(record.key, job)
            return job.status is JobStatus.CANCELLED


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"
