"""Tells how far a job is, in the one form that all task families share.

Owns what an update looks like, who takes it, and the pause after the last one. The pace, and what
the steps are, is each family's matter.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.errors import StoppedError

QUIET_S = 0.25
"""An update travels in a thread of its own; sent just before the return, 5 of 80 arrived after the
result (API reference 5.5)."""
# Set by the platform; in the SDK's local modes nobody takes progress, and sending it logs errors.
_REPORT_VARIABLE = "RUNPOD_WEBHOOK_POST_OUTPUT"

log = logging.getLogger(__name__)
Report = Callable[[dict[str, Any], dict[str, Any]], None]


@dataclass(frozen=True)
class Update:
    """A step that is done.

    Attributes:
        task_id: The task's id.
        step: Which step, counted from 1.
        total_steps: How many there are.
        name: What it was, for a person.
        elapsed_s: Since the task's start.
    """

    task_id: str
    step: int
    total_steps: int
    name: str
    elapsed_s: float

    def to_json(self) -> dict[str, Any]:
        """Return the documented form (workers reference E)."""
        return {
            "task_id": self.task_id,
            "status": "processing",
            "progress": 100 * self.step // self.total_steps,
            "current_step": self.name,
            "step": self.step,
            "total_steps": self.total_steps,
            "elapsed_time": round(self.elapsed_s, 2),
        }


class Progress:
    """How far one job of a model is; told from the thread that works on it.

    Args:
        job: The job, as the SDK gave it.
        task_id: The task's id.
        report: Who takes the updates.
    """

    def __init__(self, job: dict[str, Any], task_id: str, report: Report) -> None:
        self._job = job
        self._task_id = task_id
        self._report = report
        self._started_s = time.monotonic()
        self._last_s = 0.0
        self._stop = threading.Event()

    def tell(self, name: str, step: int, total_steps: int) -> None:
        """Tell that a step is done.

        Raises:
            StoppedError: The job was cancelled meanwhile.
        """
        self.check()
        elapsed_s = time.monotonic() - self._started_s
        update = Update(self._task_id, step, total_steps, name, elapsed_s)
        self._report(self._job, update.to_json())
        self._last_s = time.monotonic()

    def check(self) -> None:
        """Stop here if nobody waits for the answer any more.

        Raises:
            StoppedError: The job was cancelled.
        """
        if self._stop.is_set():
            raise StoppedError("the job was cancelled")

    def stop(self) -> None:
        """Let the next step of the job's thread be its last; called from another thread."""
        self._stop.set()

    def settle(self) -> None:
        """Wait until the last update has surely arrived, so that it cannot follow the result."""
        self._stop.wait(max(0.0, self._last_s + QUIET_S - time.monotonic()))


def find_report(environ: Mapping[str, str]) -> Report:
    """Return who takes a job's progress: RunPod, or the log in the SDK's local modes."""
    if _REPORT_VARIABLE not in environ:
        return _log_progress
    from runpod import serverless

    report: Report = serverless.progress_update
    return report


def _log_progress(_job: dict[str, Any], update: dict[str, Any]) -> None:
    log.info("%(progress)d %%: %(current_step)s", update)
