"""A job as the outside sees it: in answers of the job API and in webhooks (API reference 4.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator.jobs.job import JobStatus

if TYPE_CHECKING:
    from runpodctl_py.emulator.jobs.job import Job


def shape(job: Job) -> dict[str, Any]:
    """Returns a job as /status shows it."""
    answer: dict[str, Any] = {"id": job.id, "status": job.status}
    if job.started_at is not None:
        answer["delayTime"] = round((job.started_at - job.queued_at) * 1000)
        answer["workerId"] = job.worker_id
        if job.finished_at is not None:
            answer["executionTime"] = round((job.finished_at - job.started_at) * 1000)
    if job.retries and job.status is not JobStatus.IN_QUEUE:
        answer["retries"] = job.retries
    return {**answer, **job.outcome}


def brief(job: Job) -> dict[str, Any]:
    """Returns a job as the calls show it that change it: its id and where it stands."""
    return {"id": job.id, "status": job.status}
