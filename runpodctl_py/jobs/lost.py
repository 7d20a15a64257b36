"""Finding jobs whose answers were lost: RunPod may have them, under ids that we never learned."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runpodctl_py.errors import NotFoundError, RefusedError, ServerError
from runpodctl_py.jobs.ledger import State
from runpodctl_py.jobs.masking import masked

if TYPE_CHECKING:
    from runpodctl_py.api.serverless import Serverless
    from runpodctl_py.api.types import Job, Listed
    from runpodctl_py.jobs.ledger import Ledger, Record


class LostJobs:
    """Looks for unknown jobs in what one endpoint lists.

    The endpoint is asked for its list once, because that may be asked rarely (API reference 4.3);
    whoever looks again later needs a new one of these.

    Args:
        ledger: Where the jobs are written down.
        endpoint: Where they were sent.
    """

    def __init__(self, ledger: Ledger, endpoint: Serverless) -> None:
        self._ledger = ledger
        self._endpoint = endpoint
        self._requests: list[Listed] | None = None
        self._listing = asyncio.Lock()

    async def find(self, record: Record) -> Job | None:
        """Look for a job whose answer was lost: one with our input that is nobody's yet.

        Of several alike, which were lost alike, each takes one; a job that somebody else may
        have sent, or that is on its way, is nobody's to take. What is found stands in the ledger.
        """
        ledger, payload = self._ledger, self._ledger.payload(record.key)
        if record.state is not State.UNKNOWN or payload is None:
            return None
        if ledger.twins(record, State.SENDING):
            return None
        async with self._listing:
            alike = [
                each
                for each in await self._listed()
                if each.has_payload
                and masked(each.payload) == payload
                and not ledger.knows(each.job_id)
            ]
            if not alike or len(alike) > ledger.twins(record, State.UNKNOWN):
                return None
            # The oldest comes last.
            (self._requests or []).remove(alike[-1])
            try:
                job = await self._endpoint.status(alike[-1].job_id)
            except NotFoundError:
                return None
            return job if ledger.found(record.key, job) else None

    async def _listed(self) -> list[Listed]:
        if self._requests is None:
            try:
                self._requests = await self._endpoint.requests()
            except (NotFoundError, RefusedError, ServerError):
                self._requests = []
        return self._requests
