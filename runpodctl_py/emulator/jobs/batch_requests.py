"""The requests of a batch: drafts until it is locked, jobs from then on.

A request has the id that its job will have from the beginning, so that a client can follow it with
/status. Which batch has which requests is `batch_book.py`'s business.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator.jobs.batch import KEPT_S
from runpodctl_py.emulator.jobs.job import Job, Policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runpodctl_py.emulator.ids import Ids
    from runpodctl_py.emulator.jobs.batch import Batch


@dataclass(frozen=True, slots=True)
class Draft:
    """A request of a batch that is not a job yet.

    Args:
        request: What its client sent beside the policy.
        policy: How long its job may take.
    """

    request: Mapping[str, Any]
    policy: Policy

    def job(self, request_id: str, batch: Batch, now: float) -> Job:
        """Returns the job that it becomes; its worker is told the batch's id."""
        return Job(
            id=request_id,
            endpoint_id=batch.endpoint_id,
            request={**self.request, "batchId": batch.id},
            policy=self.policy,
            created_at=now,
            queued_at=now,
            retention_s=KEPT_S,
        )


@dataclass(frozen=True, slots=True)
class Member:
    """A request of a batch as a page lists it: a draft, a job, or neither once that is gone."""

    id: str
    draft: Draft | None
    job: Job | None


@dataclass(frozen=True, slots=True)
class Part:
    """What one call added to a batch.

    It is what the store keeps of requests at a time: adding some does not write all others again.

    Args:
        id: Its own.
        batch_id: Which batch it belongs to.
        requests: Their ids, in their order, with the drafts that they are; None once locked.
    """

    id: str
    batch_id: str
    requests: Mapping[str, Draft | None]

    @classmethod
    def of(cls, batch: Batch, drafts: Sequence[Draft], ids: Ids) -> Part:
        """Returns a part with new ids, of which it has the first."""
        requests = {ids.job(sync=False): each for each in drafts}
        return cls(next(iter(requests)), batch.id, requests)

    @classmethod
    def loaded(cls, fields: Mapping[str, Any]) -> Part:
        """Returns the part that was kept as these fields."""
        requests = {
            request_id: kept and Draft(kept["request"], Policy(**kept["policy"]))
            for request_id, kept in fields["requests"].items()
        }
        return cls(fields["id"], fields["batch_id"], requests)

    def fields(self) -> Mapping[str, Any]:
        """Returns what the store keeps."""
        requests = {
            request_id: draft and {"request": draft.request, "policy": asdict(draft.policy)}
            for request_id, draft in self.requests.items()
        }
        return {"id": self.id, "batch_id": self.batch_id, "requests": requests}

    def without(self, request_id: str) -> Part:
        """Returns the part after one of its requests was taken out."""
        left = {each: draft for each, draft in self.requests.items() if each != request_id}
        return replace(self, requests=left)

    def locked(self) -> Part:
        """Returns the part after its requests became jobs, or never will: ids without drafts."""
        return replace(self, requests=dict.fromkeys(self.requests))
