"""Which failures a second attempt may mend: those that say nothing about the row itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runpodctl_py.api.types import JobStatus
from runpodctl_py.jobs.words import worker_error

if TYPE_CHECKING:
    from runpodctl_py.api.types import Job
    from runpodctl_py.jobs.collect import Summary

_WORKER_DIED = "job timed out after"
"""RunPod's words for a job whose worker, and the next one's, fell silent (API reference 4.3)."""


def is_worth_retrying(job: Job, summary: Summary) -> bool:
    """Tell whether a job failed for want of a worker: it died, was too slow, or never came.

    What the worker itself says of the input, above all a validation error, it would say again.
    """
    if summary.error is None:
        return False
    if job.status is JobStatus.TIMED_OUT:
        return True
    said = worker_error(job.error, job.output)
    return job.status is JobStatus.FAILED and said.message.startswith(_WORKER_DIED)
