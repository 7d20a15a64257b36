"""Which failures may be chance."""

from __future__ import annotations

from typing import Any

import pytest

from runpodctl_py.api.types import Job, JobStatus
from runpodctl_py.batch.retrying import is_worth_retrying
from runpodctl_py.errors import SaveError
from runpodctl_py.jobs.collect import Summary, judge

DIED = "job timed out after 1 retries"


def judged(job: Job) -> bool:
    """Tell whether a job is worth another try."""
    return is_worth_retrying(job, Summary(job, error=judge(job, returns_object=False)))


@pytest.mark.parametrize(
    "job",
    [
        Job("j", JobStatus.TIMED_OUT),
        Job("j", JobStatus.TIMED_OUT, error="validation_error"),
        Job("j", JobStatus.FAILED, error=DIED),
        Job("j", JobStatus.FAILED, error="job timed out after 3 retries"),
    ],
    ids=["timed out", "with words", "worker died", "worker died again"],
)
def test_for_want_of_a_worker(job: Job) -> None:
    """It died, was too slow, or never came."""
    assert judged(job)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (JobStatus.COMPLETED, {}),
        (JobStatus.COMPLETED, {"output": {"error": DIED}}),
        (JobStatus.FAILED, {"error": "validation_error: prompt is missing"}),
        (JobStatus.FAILED, {"error": '{"error_type": "ValueError", "error_message": "no"}'}),
        (JobStatus.FAILED, {"error": f"ValueError: {DIED}"}),
        (JobStatus.FAILED, {}),
        (JobStatus.CANCELLED, {}),
        (JobStatus.CANCELLED, {"error": DIED}),
    ],
)
def test_what_would_end_so_again(status: JobStatus, said: dict[str, Any]) -> None:
    """It is the row's own; or somebody wanted it."""
    assert not judged(Job("j", status, **said))


def test_a_file_that_could_not_be_saved() -> None:
    """The job is fine: it is asked for again, not run again."""
    job = Job("j", JobStatus.COMPLETED)
    assert not is_worth_retrying(job, Summary(job, error=SaveError("the disk is full")))
