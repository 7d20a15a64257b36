"""One job of the stand-in for worker-comfyui, from its input to its output.

Owns the order of the work and the output's form; what is painted, and what is refused, the parts
know.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from worker.standins.comfyui import inputs, rules
from worker.standins.comfyui.errors import ComfyError, NodeError
from worker.standins.comfyui.files import Names, hand_over
from worker.standins.comfyui.painting import paint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.standins.comfyui.workflow import Node, Workflow

log = logging.getLogger(__name__)


class Handler:
    """Answers jobs; the object that the SDK calls.

    Args:
        environ: Where the worker's own bucket is looked up.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._worker = _Worker(environ, Names())

    async def __call__(self, job: dict[str, Any]) -> dict[str, Any]:
        """Do one job and return its output, of success or of failure."""
        stop = threading.Event()
        try:
            wanted = inputs.read(job["input"])
            workflow = rules.parse(wanted.workflow)
            outputs = rules.outputs(workflow, wanted.images)
            run = _Run(
                job_id=str(job["id"]),
                wanted=wanted,
                workflow=workflow,
                worker=self._worker,
                stop=stop,
            )
            return await asyncio.to_thread(run.execute, outputs)
        except asyncio.CancelledError:
            # The thread cannot be ended; it ends itself at its next picture.
            stop.set()
            raise
        except ComfyError as error:
            log.warning("%s", error.message)
            details = {} if error.details is None else {"details": error.details}
            return {"error": error.message, **details}


@dataclass(frozen=True)
class _Worker:
    """What outlives a job."""

    environ: Mapping[str, str]
    names: Names


@dataclass(kw_only=True)
class _Run:
    """A workflow on its way; an object lives for one job."""

    job_id: str
    wanted: inputs.Wanted
    workflow: Workflow
    worker: _Worker
    stop: threading.Event
    images: list[dict[str, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def execute(self, outputs: list[Node]) -> dict[str, Any]:
        """Make each output until a node fails, and return what there is."""
        try:
            for output in outputs:
                if output.saves_images:
                    self._save(output)
        except NodeError as error:
            log.warning("%s", error.words)
            self.errors.append(error.words)
        return self._to_output()

    def _save(self, output: Node) -> None:
        prefix = self.worker.names.prefix(self.workflow, output)
        pictures = paint(self.workflow, output, self.wanted.images, self.wanted.workflow)
        for number, data in enumerate(pictures):
            if self.stop.is_set():
                return
            filename = self.worker.names.name(prefix, number)
            try:
                image = hand_over(self.job_id, filename, data, self.worker.environ)
            except Exception as error:  # noqa: BLE001 - whatever boto raises; the real one, too.
                self.errors.append(f"Error uploading {filename} to S3: {error}")
            else:
                self.images.append(image)

    def _to_output(self) -> dict[str, Any]:
        if not self.images:
            if self.errors:
                raise ComfyError("Job processing failed", self.errors)
            return {"status": "success_no_images", "images": []}
        errors = {"errors": self.errors} if self.errors else {}
        return {"images": self.images, **errors}
