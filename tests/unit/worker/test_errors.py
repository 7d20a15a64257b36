from __future__ import annotations

import pytest

from worker.errors import (
    InvalidInputError,
    OverrunError,
    ProcessingError,
    ResourceError,
    TaskError,
)


@pytest.mark.parametrize(
    ("error", "error_type"),
    [
        (InvalidInputError("m"), "validation_error"),
        (ProcessingError("m"), "processing_error"),
        (OverrunError("m"), "timeout_error"),
        (ResourceError("m"), "resource_error"),
    ],
)
def test_each_error_answers_in_the_documented_form(error: TaskError, error_type: str) -> None:
    """The four types that the reference documents."""
    expected = {"success": False, "error": error_type, "message": "m", "task_id": "t"}
    assert expected == error.to_output("t")
