from __future__ import annotations

import time
from typing import Any

import pytest

from worker.errors import StoppedError
from worker.progress import QUIET_S, Progress, find_report


def test_a_step_is_told_in_the_form_of_all_families() -> None:
    """The job comes with it, because the SDK asks for it."""
    told: list[tuple[dict[str, Any], dict[str, Any]]] = []
    job = {"id": "j-1", "input": {}}
    Progress(job, "t-1", lambda *update: told.append(update)).tell("Spoke", 1, 3)
    ((of_job, update),) = told
    assert of_job is job
    assert update.pop("elapsed_time") < 1
    assert update == {
        "task_id": "t-1",
        "status": "processing",
        "progress": 33,
        "current_step": "Spoke",
        "step": 1,
        "total_steps": 3,
    }


def test_a_stopped_job_goes_no_step_further() -> None:
    """Nothing is told of it any more, either."""
    told: list[object] = []
    progress = Progress({}, "t-1", lambda *update: told.append(update))
    progress.stop()
    with pytest.raises(StoppedError):
        progress.tell("Spoke", 1, 3)
    with pytest.raises(StoppedError):
        progress.check()
    assert told == []


def test_the_result_waits_until_the_last_update_has_arrived() -> None:
    """It is sent by another thread; without any update there is nothing to wait for."""
    progress = Progress({}, "t-1", lambda *_: None)
    began_s = time.monotonic()
    progress.settle()
    assert time.monotonic() - began_s < QUIET_S
    progress.tell("Spoke", 1, 1)
    progress.settle()
    assert time.monotonic() - began_s >= QUIET_S


def test_the_log_takes_progress_where_no_platform_is(caplog: pytest.LogCaptureFixture) -> None:
    """As in the SDK's local modes."""
    caplog.set_level("INFO")
    find_report({})({}, {"progress": 50, "current_step": "Half"})
    assert caplog.messages == ["50 %: Half"]
