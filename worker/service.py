"""Answers jobs by a model that is loaded once and does one job at a time.

Owns what all model families have in common between the SDK and their work: loading before the first
job, the thread, the lock, what a cancelled job and a failed one leave behind. What a job asks for
and how it is done is the family's matter.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from worker.delivery import Handover, read_limit_bytes
from worker.errors import TaskError
from worker.progress import Progress, Report
from worker.trouble import attempt

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)
W = TypeVar("W")


class Family(Protocol[W]):
    """A model family; loads and works for one job at a time, in changing threads."""

    def load(self) -> None:
        """Load the model; called once, before any job.

        Raises:
            SettingError: It cannot be loaded as this worker is set up.
        """

    def parse(self, job: Mapping[str, Any]) -> W:
        """Read what a job asks for, without any work or download.

        Raises:
            InvalidInputError: The input breaks the schema.
        """

    def work(self, wanted: W, progress: Progress, handover: Handover) -> dict[str, Any]:
        """Do a job and return its output.

        Raises:
            Exception: Whatever went wrong; the job fails by it, and the worker lives on.
        """


class ModelHandler(Generic[W]):
    """Answers the jobs of one family; the object that the SDK calls.

    Args:
        family: What is done.
        report: Who takes a job's progress.
        environ: Where the worker's own bucket is looked up.

    Raises:
        SettingError: The worker's limit of a result is none.
    """

    def __init__(self, family: Family[W], report: Report, environ: Mapping[str, str]) -> None:
        self._family = family
        self._report = report
        self._environ = environ
        self._limit_bytes = read_limit_bytes(environ)
        self._lock = threading.Lock()
        self._is_loaded = False

    def load_model(self) -> None:
        """Load the model unless it is loaded; the fitness check that the SDK runs first.

        Raises:
            Exception: It cannot be loaded: the worker is unhealthy.
        """
        with self._lock:
            self._load()

    async def __call__(self, job: dict[str, Any]) -> dict[str, Any]:
        """Do one job and return its output, of success or of failure; never raise."""
        task_id = str(uuid.uuid4())
        progress = Progress(job, task_id, self._report)
        try:
            wanted = attempt("Reading the input", lambda: self._family.parse(job))
            handover = Handover.of(job, self._environ, self._limit_bytes)
            return await asyncio.to_thread(self._do, wanted, progress, handover)
        except asyncio.CancelledError:
            # The thread cannot be ended; it ends itself at its next step.
            progress.stop()
            raise
        except TaskError as error:
            log.warning("%s: %s", error.error_type, error.message)
            return error.to_output(task_id)

    def _do(self, wanted: W, progress: Progress, handover: Handover) -> dict[str, Any]:
        with self._lock:
            progress.check()
            try:
                attempt("Loading the model", self._load)
                return attempt("Working", lambda: self._family.work(wanted, progress, handover))
            finally:
                progress.settle()

    def _load(self) -> None:
        if not self._is_loaded:
            self._family.load()
            self._is_loaded = True
