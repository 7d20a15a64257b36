"""All batches of the local RunPod: which requests they have, and how far they are.

Every move is kept whole or not at all, together with what it means for jobs. How a batch moves is
`batch.py`'s business, how a job moves is `job.py`'s; a request's way from one to the other is
in `batch_requests.py`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from itertools import chain, islice
from typing import TYPE_CHECKING

from runpodctl_py.emulator.errors import JobApiError, bad_request, job_not_found
from runpodctl_py.emulator.jobs.batch import (
    KEPT_S,
    Batch,
    BatchLimits,
    BatchStatus,
    batch_not_found,
    too_much,
)
from runpodctl_py.emulator.jobs.batch_requests import Member, Part
from runpodctl_py.emulator.jobs.job import JobStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runpodctl_py.emulator.clock import Clock
    from runpodctl_py.emulator.ids import Ids
    from runpodctl_py.emulator.jobs.batch_requests import Draft
    from runpodctl_py.emulator.jobs.book import JobBook
    from runpodctl_py.emulator.jobs.job import Job
    from runpodctl_py.emulator.store import Snapshot, Store

_BATCH = "batch"
_PART = "batch-part"
"""What the store holds: how each batch stands, and what each call added to one."""


@dataclass(slots=True)
class _Entry:
    """All that is known of a batch; `pending` are its jobs that it waits for."""

    batch: Batch
    parts: dict[str, Part] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)

    def requests(self) -> Iterator[tuple[str, Draft | None]]:
        return chain.from_iterable(each.requests.items() for each in self.parts.values())


class BatchBook:
    """The batches of all endpoints.

    Args:
        store: What outlives a restart.
        kept: What it held at the start.
        jobs: Where finalized requests go, and who tells that they have ended.
        clock: Where the time comes from.
        ids: Makes the ids.
        limits: How much there may be.
    """

    def __init__(
        self,
        store: Store,
        kept: Snapshot,
        jobs: JobBook,
        clock: Clock,
        ids: Ids,
        *,
        limits: BatchLimits | None = None,
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._clock = clock
        self._ids = ids
        self._limits = limits or BatchLimits()
        self._entries = _loaded(kept)
        for entry in self._entries.values():
            if entry.batch.cancelling:
                # What ran when the emulator was killed waits again, which it must not.
                self.cancel(entry.batch)
        jobs.on_final.append(self.ended)

    # What clients ask.

    def get(self, endpoint_id: str, batch_id: str) -> Batch:
        """Returns a batch of an endpoint.

        Raises:
            JobApiError: There is none of this id, or it is not kept any more; 404.
        """
        entry = self._entries.get(batch_id)
        if entry is None or entry.batch.endpoint_id != endpoint_id or self._forgotten(entry.batch):
            raise batch_not_found(batch_id)
        return entry.batch

    def of(self, endpoint_id: str) -> Sequence[Batch]:
        """Returns the batches of an endpoint, the newest first."""
        return [each for each in reversed(self._all_of(endpoint_id)) if not self._forgotten(each)]

    def in_progress(self, batch: Batch) -> int:
        """Counts the requests that are on a worker."""
        pending = self._entries[batch.id].pending
        return sum(self._jobs[each].status is JobStatus.IN_PROGRESS for each in pending)

    def members(self, batch: Batch, offset: int, limit: int) -> Sequence[Member]:
        """Returns some requests of a batch, in the order in which they were added."""
        page = islice(self._entries[batch.id].requests(), offset, offset + limit)
        return [Member(each, draft, self._job(batch, each)) for each, draft in page]

    # What clients change.

    def create(self, endpoint_id: str, drafts: Sequence[Draft]) -> Batch:
        """Makes a draft with its first requests.

        Raises:
            JobApiError: The endpoint has too many batches that are not over (429), or the
                requests are too many (400).
        """
        self._forget_old()
        most = self._limits.active
        if sum(not each.over for each in self.of(endpoint_id)) >= most:
            raise too_much(f"endpoint {endpoint_id} has {most} active batches already")
        batch = Batch(id=self._ids.batch(), endpoint_id=endpoint_id, created_at=self._clock.now())
        return self.add(batch, drafts)

    def add(self, batch: Batch, drafts: Sequence[Draft]) -> Batch:
        """Adds requests to a draft.

        Raises:
            JobApiError: It is no draft, or they are too many; 400.
        """
        batch.must_be_draft()
        batch = batch.resized(batch.request_total + len(drafts))
        if batch.request_total > self._limits.requests:
            raise bad_request(f"a batch has at most {self._limits.requests} requests")
        with self._store.together():
            self._keep(batch)
            if drafts:
                self._keep_part(Part.of(batch, drafts, self._ids))
        return batch

    def remove(self, batch: Batch, request_id: str) -> Batch:
        """Takes a request out of a draft.

        Raises:
            JobApiError: It is no draft (400), or has no such request (404).
        """
        batch.must_be_draft()
        for part in self._entries[batch.id].parts.values():
            if request_id in part.requests:
                with self._store.together():
                    self._keep_part(part.without(request_id))
                    return self._keep(batch.resized(batch.request_total - 1))
        raise job_not_found(request_id)

    def rename(self, batch: Batch, name: str | None) -> Batch:
        """Gives a batch another name, in whatever state it is."""
        return self._keep(replace(batch, name=name))

    def finalize(self, batch: Batch) -> Batch:
        """Locks a draft; its requests become jobs.

        Raises:
            JobApiError: It is no draft or empty (400), or too many jobs would wait (429).
        """
        batch.must_be_draft()
        if not batch.request_total:
            raise bad_request(f"batch {batch.id} has no requests")
        if self._jobs.queued(batch.endpoint_id) + batch.request_total > self._limits.queued:
            raise too_much(f"more than {self._limits.queued} requests would wait")
        entry = self._entries[batch.id]
        now = self._clock.now()
        with self._store.together():
            for request_id, draft in entry.requests():
                if draft is not None:
                    self._jobs.add(draft.job(request_id, batch, now))
                    entry.pending.add(request_id)
            self._lock(entry)
            return self._keep(batch.finalized())

    def cancel(self, batch: Batch) -> Batch:
        """Cancels what waits; what runs may finish, and then the batch is CANCELLED (4.8).

        One that is over stays as it is.
        """
        if batch.over:
            return batch
        entry = self._entries[batch.id]
        waiting = [each for each in entry.pending if self._jobs[each].status is JobStatus.IN_QUEUE]
        # They must not be counted as failed one by one.
        entry.pending.difference_update(waiting)
        now = self._clock.now()
        with self._store.together():
            if batch.status is BatchStatus.DRAFT:
                self._lock(entry)
            for job_id in waiting:
                self._jobs.move(self._jobs[job_id].cancelled(now))
            return self._keep_progress(batch.cancelled())

    # What happens to their endpoints and jobs.

    def forget(self, endpoint_id: str) -> None:
        """Forgets the batches of an endpoint; its jobs are somebody else's business."""
        for batch in self._all_of(endpoint_id):
            self._drop(batch.id)

    def ended(self, job: Job) -> None:
        """Notes that a job is final, or was removed before: its time to live was over."""
        entry = _entry_of(job, self._entries)
        if entry is not None and job.id in entry.pending:
            entry.pending.remove(job.id)
            self._keep_progress(entry.batch.counted(job.status))

    def retried(self, job: Job) -> None:
        """Notes that a failed job is sent through once more; a cancelled batch does not care."""
        entry = _entry_of(job, self._entries)
        if entry is not None and not entry.batch.cancelling:
            entry.pending.add(job.id)
            self._keep(entry.batch.resumed())

    def _job(self, batch: Batch, job_id: str) -> Job | None:
        try:
            return self._jobs.get(batch.endpoint_id, job_id)
        except JobApiError:
            return None

    def _all_of(self, endpoint_id: str) -> list[Batch]:
        batches = [each.batch for each in self._entries.values()]
        return [each for each in batches if each.endpoint_id == endpoint_id]

    def _forgotten(self, batch: Batch) -> bool:
        return batch.ended_at is not None and batch.ended_at + KEPT_S <= self._clock.now()

    # Storage.

    def _keep(self, batch: Batch) -> Batch:
        self._store.put(_BATCH, batch.id, asdict(batch))
        self._entries.setdefault(batch.id, _Entry(batch)).batch = batch
        return batch

    def _keep_progress(self, batch: Batch) -> Batch:
        """Keeps a batch, which is over if it waits for nothing any more."""
        through = not self._entries[batch.id].pending
        return self._keep(batch.ended(self._clock.now()) if through else batch)

    def _keep_part(self, part: Part) -> None:
        self._store.put(_PART, part.id, part.fields())
        self._entries[part.batch_id].parts[part.id] = part

    def _lock(self, entry: _Entry) -> None:
        """Leaves no more of a batch's requests than their ids."""
        for part in entry.parts.values():
            self._keep_part(part.locked())

    def _forget_old(self) -> None:
        for batch in [each.batch for each in self._entries.values()]:
            if self._forgotten(batch):
                self._drop(batch.id)

    def _drop(self, batch_id: str) -> None:
        with self._store.together():
            for part_id in self._entries[batch_id].parts:
                self._store.drop(_PART, part_id)
            self._store.drop(_BATCH, batch_id)
        del self._entries[batch_id]


def _loaded(kept: Snapshot) -> dict[str, _Entry]:
    """Returns all batches by their ids."""
    entries: dict[str, _Entry] = {}
    for fields in kept.of(_BATCH):
        batch = Batch(**{**fields, "status": BatchStatus(fields["status"])})
        entries[batch.id] = _Entry(batch)
    for part in map(Part.loaded, kept.of(_PART)):
        entries[part.batch_id].parts[part.id] = part
    for job in kept.jobs:
        if (entry := _entry_of(job, entries)) is not None:
            entry.pending.add(job.id)
    return entries


def _entry_of(job: Job, entries: Mapping[str, _Entry]) -> _Entry | None:
    """Returns the batch that a job belongs to, unless it has failed or is CANCELLED."""
    entry = entries.get(job.request.get("batchId", ""))
    return entry if entry and entry.batch.status is BatchStatus.FINALIZED else None
