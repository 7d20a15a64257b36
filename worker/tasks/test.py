"""The task family `test`: real small work that takes as long as the job asks for, with progress.

Owns the documented form of its input, its answer and its progress, and the pace: eleven steps that
share the duration evenly. What the steps make is `content`'s matter, how the file travels is
`worker.delivery`'s.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from worker.clock import Clock, ScaledClock, read_time_scale
from worker.delivery import BucketDelivery, Delivery, FinishedFile, InlineDelivery, find_bucket
from worker.errors import OverrunError, TaskError
from worker.progress import QUIET_S, Report, Update, find_report
from worker.tasks import Service
from worker.tasks.content.metrics import DataAnalysis
from worker.tasks.content.picture import LARGEST_SIDE, SMALLEST_SIDE, Picture
from worker.tasks.content.report import TextReport
from worker.trouble import attempt
from worker.validation import read_choice, read_object, read_text, read_whole_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.tasks.content import Maker

MIN_DURATION_S = 5
MAX_DURATION_S = 45
TOTAL_STEPS = 11
DELIVERY_STEP = "Delivering the file"
# Work is given up when it makes the task this much longer than its duration.
OVERRUN_ALLOWANCE_S = 30.0

_TASK_TYPES = ("text_processing", "image_generation", "data_analysis")
_OUTPUT_FORMATS = ("base64", "url")

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class TaskInput:
    """What a job asks for.

    Attributes:
        task_type: `text_processing`, `image_generation` or `data_analysis`.
        duration_s: How long the task is to take.
        user_input: The text, the prompt or the data.
        output_format: `base64` for the file itself, `url` for a link to it in a bucket. Without
            one: a link if the job brings a bucket.
        width: Of an image, in pixels.
        height: Of an image, in pixels.
    """

    task_type: str
    duration_s: int
    user_input: str
    output_format: str
    width: int
    height: int

    @classmethod
    def parse(cls, job: Mapping[str, Any]) -> TaskInput:
        """Read a job's `input`.

        Raises:
            InvalidInputError: A field is missing, of the wrong type or out of range.
        """
        fields = read_object(job, "input")
        return cls(
            task_type=read_choice(fields, "task_type", _TASK_TYPES),
            duration_s=read_whole_number(
                fields, "duration", low=MIN_DURATION_S, high=MAX_DURATION_S, default=20
            ),
            user_input=read_text(fields, "user_input", default="Default test input"),
            output_format=read_choice(
                fields,
                "output_format",
                _OUTPUT_FORMATS,
                default="url" if job.get("s3Config") else "base64",
            ),
            width=_read_side(fields, "width"),
            height=_read_side(fields, "height"),
        )

    def create_maker(self) -> Maker:
        """Return the maker of the file that this task type gives.

        Raises:
            ResourceError: The picture would be too large.
        """
        if self.task_type == "image_generation":
            return Picture(self.user_input, self.width, self.height)
        return (TextReport if self.task_type == "text_processing" else DataAnalysis)(
            self.user_input
        )


class JobHandler:
    """Answers jobs; the object that the SDK calls.

    Args:
        report: Sends a progress update of a job, as `runpod.serverless.progress_update` does.
        create_clock: Makes the clock of one job.
        environ: Where the worker's own bucket is looked up.
    """

    def __init__(
        self,
        report: Report,
        *,
        create_clock: Callable[[], Clock] = ScaledClock,
        environ: Mapping[str, str],
    ) -> None:
        self._report = report
        self._create_clock = create_clock
        self._environ = environ

    async def __call__(self, job: dict[str, Any]) -> dict[str, Any]:
        """Do one job and return the documented answer, of success or of failure; never raise."""
        task_id = None
        try:
            task = TaskInput.parse(job)
            delivery = self._choose_delivery(job, task)
            maker = task.create_maker()
            task_id = str(uuid.uuid4())
            run = _Run(job, task, task_id, clock=self._create_clock(), report=self._report)
            return await run.execute(maker, delivery)
        except TaskError as error:
            log.warning("%s: %s", error.error_type, error.message)
            return error.to_output(task_id)

    def _choose_delivery(self, job: dict[str, Any], task: TaskInput) -> Delivery:
        if task.output_format == "base64":
            return InlineDelivery()
        return BucketDelivery(find_bucket(job, self._environ), folder=str(job["id"]))


class _Run:
    """One task on its way; an object lives for one job."""

    def __init__(
        self, job: dict[str, Any], task: TaskInput, task_id: str, *, clock: Clock, report: Report
    ) -> None:
        self._job = job
        self._task = task
        self._task_id = task_id
        self._clock = clock
        self._report = report
        self._started_s = clock.now_s()
        self._updates: list[dict[str, Any]] = []

    async def execute(self, maker: Maker, delivery: Delivery) -> dict[str, Any]:
        for step in maker.steps:
            await self._perform(step.name, step.work)
        file = await self._perform(DELIVERY_STEP, lambda: delivery.deliver(self._name_file(maker)))
        last_update_s = self._elapsed_s()
        await self._wait_until(max(self._task.duration_s, last_update_s + QUIET_S))
        return self._to_output(file)

    async def _perform(self, name: str, work: Callable[[], T]) -> T:
        """Work, wait for the end of the step's share of the time, then tell that it is done."""
        # In a thread: a stopped job is cancelled at once, not after the work (API reference 5.7).
        outcome = await asyncio.to_thread(attempt, name, work)
        self._refuse_overrun(name)
        step = len(self._updates) + 1
        await self._wait_until((self._task.duration_s - QUIET_S) * step / TOTAL_STEPS)
        update = Update(self._task_id, step, TOTAL_STEPS, name, self._elapsed_s()).to_json()
        self._updates.append(update)
        self._report(self._job, update)
        return outcome

    def _refuse_overrun(self, name: str) -> None:
        limit_s = self._task.duration_s + OVERRUN_ALLOWANCE_S
        if self._elapsed_s() > limit_s:
            raise OverrunError(
                f"the work was given up in step '{name}' after {self._elapsed_s():.1f} s; "
                f"a duration of {self._task.duration_s} s allows {limit_s:.0f} s"
            )

    async def _wait_until(self, elapsed_s: float) -> None:
        await self._clock.sleep(max(0.0, elapsed_s - self._elapsed_s()))

    def _elapsed_s(self) -> float:
        return self._clock.now_s() - self._started_s

    def _name_file(self, maker: Maker) -> FinishedFile:
        content = maker.content()
        return FinishedFile(
            filename=f"{content.label}_{self._task_id[:8]}{content.extension}",
            content_type=content.content_type,
            data=content.data,
            preview=content.preview,
        )

    def _to_output(self, file: dict[str, Any]) -> dict[str, Any]:
        return {
            "success": True,
            "task_id": self._task_id,
            "task_type": self._task.task_type,
            "duration_seconds": self._task.duration_s,
            "progress_updates": self._updates,
            "result": {
                "task_id": self._task_id,
                "status": "completed",
                "progress": 100,
                "result": file,
                "total_duration": round(self._elapsed_s(), 2),
                "task_type": self._task.task_type,
            },
            "total_steps": TOTAL_STEPS,
            "metadata": {
                "runpod_request_id": self._job["id"],
                "processing_complete": True,
                "file_included": "content_base64" in file,
            },
        }


def create_service(environ: Mapping[str, str]) -> Service:
    """Return the handler that reports through the SDK, paced by `WORKER_TIME_SCALE`.

    Raises:
        SettingError: `WORKER_TIME_SCALE` is no scale.
    """
    scale = read_time_scale(environ)
    return Service(
        JobHandler(find_report(environ), create_clock=lambda: ScaledClock(scale), environ=environ)
    )


def _read_side(fields: Mapping[str, Any], name: str) -> int:
    return read_whole_number(fields, name, low=SMALLEST_SIDE, high=LARGEST_SIDE, default=512)
