from __future__ import annotations

import pytest

from runpodctl_py.api.types import JobRequest, JobStatus, Policy


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (JobRequest({"a": 1}), {"input": {"a": 1}}),
        (JobRequest({}), {"input": {}}),
        (JobRequest({}, webhook="https://h"), {"input": {}, "webhook": "https://h"}),
        (JobRequest({}, webhook=""), {"input": {}}),
        (
            JobRequest({}, policy=Policy(execution_timeout_ms=5000)),
            {"input": {}, "policy": {"executionTimeout": 5000}},
        ),
        (
            JobRequest({}, policy=Policy(execution_timeout_ms=0, ttl_ms=0)),
            {"input": {}, "policy": {"executionTimeout": 0, "ttl": 0}},
        ),
        (
            JobRequest({}, policy=Policy(ttl_ms=10_000, low_priority=True)),
            {"input": {}, "policy": {"ttl": 10_000, "lowPriority": True}},
        ),
    ],
)
def test_a_request_holds_what_was_asked_for(request_: JobRequest, body: dict[str, object]) -> None:
    """In RunPod's names and milliseconds (API reference 4.2); what was not asked is not sent."""
    assert request_.as_json() == body


@pytest.mark.parametrize(
    ("text", "status", "is_final"),
    [
        ("IN_QUEUE", JobStatus.IN_QUEUE, False),
        ("IN_PROGRESS", JobStatus.IN_PROGRESS, False),
        ("RUNNING", JobStatus.IN_PROGRESS, False),
        ("SOMETHING_NEW", JobStatus.IN_PROGRESS, False),
        ("COMPLETED", JobStatus.COMPLETED, True),
        ("FAILED", JobStatus.FAILED, True),
        ("CANCELLED", JobStatus.CANCELLED, True),
        ("TIMED_OUT", JobStatus.TIMED_OUT, True),
    ],
)
def test_states(text: str, status: JobStatus, is_final: bool) -> None:  # noqa: FBT001 # a table's column
    """One that we do not know is no reason to stop following (API reference 4.3)."""
    assert (JobStatus.parse(text), JobStatus.parse(text).is_final) == (status, is_final)
