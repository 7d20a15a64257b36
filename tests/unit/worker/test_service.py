"""Jobs through a family that is loaded once; the family here counts instead of computing."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from worker.errors import InvalidInputError, SettingError, WeightsError
from worker.progress import QUIET_S
from worker.service import ModelHandler

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.delivery import Handover
    from worker.progress import Progress

pytestmark = pytest.mark.anyio


class Counting:
    """A family whose jobs say what to do."""

    def __init__(self, load_error: Exception | None = None) -> None:
        self.load_error = load_error
        self.loads = 0
        self.at_work = 0
        self.most_at_work = 0
        self.goes_on = threading.Event()
        self.has_begun = threading.Event()
        self.steps = 0

    def load(self) -> None:
        """Counts."""
        self.loads += 1
        if self.load_error is not None:
            raise self.load_error

    def parse(self, job: Mapping[str, Any]) -> str:
        """Returns what to do."""
        if "do" not in job["input"]:
            raise InvalidInputError("do is required")
        return str(job["input"]["do"])

    def work(self, wanted: str, progress: Progress, handover: Handover) -> dict[str, Any]:
        """Does it."""
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            match wanted:
                case "wait":
                    self.has_begun.set()
                    self.goes_on.wait(30)
                    progress.tell("Waited", 1, 1)
                    self.steps += 1
                case "fail":
                    raise RuntimeError("CUDA out of memory")
                case "tell" | "tell and fail":
                    progress.tell("Told", 1, 1)
                    if wanted != "tell":
                        raise ValueError(wanted)
            bucket = handover.bucket and handover.bucket.name
            return {"did": wanted, "folder": handover.folder, "bucket": bucket}
        finally:
            self.at_work -= 1


def handler_of(family: Counting) -> ModelHandler[str]:
    """A handler whose progress nobody takes."""
    return ModelHandler(family, lambda *_: None, {})


def job(do: str) -> dict[str, Any]:
    """A job."""
    return {"id": f"job-{do}", "input": {"do": do}}


async def test_the_model_is_loaded_once() -> None:
    """By the check, or by the first job where no check runs."""
    family = Counting()
    handler = handler_of(family)
    assert await handler(job("this")) == {
        "did": "this",
        "folder": "job-this",
        "bucket": None,
    }
    handler.load_model()
    await handler(job("that"))
    assert family.loads == 1


async def test_one_job_at_a_time() -> None:
    """A model has one card."""
    family = Counting()
    family.goes_on.set()
    handler = handler_of(family)
    answers = await asyncio.gather(*(handler(job("wait")) for _ in range(4)))
    assert ([answer["did"] for answer in answers], family.most_at_work) == (["wait"] * 4, 1)


async def test_wrong_input_does_not_wait_for_the_model() -> None:
    """Nothing is loaded for it."""
    family = Counting()
    answer = await handler_of(family)({"id": "j", "input": {}})
    assert (answer["error"], answer["message"]) == ("validation_error", "do is required")
    assert family.loads == 0


async def test_memory_that_ended_asks_for_a_fresh_worker() -> None:
    """The SDK takes the key out of the answer, and stops the worker after the job."""
    answer = await handler_of(Counting())(job("fail"))
    assert (answer["error"], answer["refresh_worker"]) == ("resource_error", True)


async def test_a_cancelled_job_ends_at_its_next_step() -> None:
    """Its thread cannot be ended; the next job waits until it has ended itself."""
    family = Counting()
    handler = handler_of(family)
    task = asyncio.create_task(handler(job("wait")))
    await asyncio.to_thread(family.has_begun.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    family.goes_on.set()
    assert (await handler(job("next")))["did"] == "next"
    assert (family.steps, family.most_at_work) == (0, 1)


async def test_a_model_that_cannot_be_loaded_fails_the_job_and_is_tried_again() -> None:
    """Where no check runs; the answer says what is missing."""
    family = Counting(WeightsError("weights are nowhere"))
    handler = handler_of(family)
    answer = await handler(job("this"))
    assert (answer["error"], answer["message"]) == ("resource_error", "weights are nowhere")
    family.load_error = None
    assert (await handler(job("this")))["did"] == "this"
    assert family.loads == 2


async def test_an_answer_waits_until_the_last_update_has_arrived() -> None:
    """That of a failed job, too: the update would come after it (API reference 5.5)."""
    told_s: list[float] = []
    handler = ModelHandler(Counting(), lambda *_: told_s.append(time.monotonic()), {})
    for wanted in ("tell", "tell and fail"):
        await handler(job(wanted))
        assert time.monotonic() - told_s[-1] >= QUIET_S


async def test_the_workers_own_bucket_is_known_to_the_work() -> None:
    """From its variables, for what is too large for an answer."""
    variables = ("ENDPOINT_URL", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "NAME")
    environ = {f"BUCKET_{name}": f"https://{name.lower()}" for name in variables}
    handler = ModelHandler(Counting(), lambda *_: None, environ)
    assert (await handler(job("this")))["bucket"] == "https://name"


def test_the_check_raises_what_is_wrong() -> None:
    """The SDK reports it, and ends the worker."""
    with pytest.raises(WeightsError):
        handler_of(Counting(WeightsError("weights are nowhere"))).load_model()


def test_a_wrong_limit_is_refused_at_the_start() -> None:
    """Not at the first large result."""
    with pytest.raises(SettingError, match="WORKER_RESULT_LIMIT_MB must be a number above 0"):
        ModelHandler(Counting(), lambda *_: None, {"WORKER_RESULT_LIMIT_MB": "0"})
