from __future__ import annotations

import asyncio
import base64
import json
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.progress import QUIET_S
from worker.tasks.test import JobHandler

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = {
    "text_processing": "Splitting sentences",
    "image_generation": "Choosing a palette",
    "data_analysis": "Parsing records",
}
FILES = {
    "text_processing": (r"text_result_[0-9a-f]{8}\.md", "text/markdown"),
    "image_generation": (r"generated_image_[0-9a-f]{8}\.png", "image/png"),
    "data_analysis": (r"analysis_results_[0-9a-f]{8}\.csv", "text/csv"),
}
ERROR_TYPES = {"validation_error", "processing_error", "timeout_error", "resource_error"}


class FakeClock:
    """Stands still but for `sleep`, and for what each look at it is made to cost."""

    def __init__(self, seconds_per_look: float = 0.0) -> None:
        self.now = 1000.0
        self._seconds_per_look = seconds_per_look

    def now_s(self) -> float:
        """Return the time, and let a look's cost pass."""
        self.now += self._seconds_per_look
        return self.now

    async def sleep(self, duration_s: float) -> None:
        """Let the time pass at once."""
        self.now += duration_s


@dataclass
class Bench:
    """A handler on a fake clock, and what it reported when."""

    clock: FakeClock = field(default_factory=FakeClock)
    reports: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    on_report: Callable[[], object] = lambda: None

    async def do(self, job_input: Any, **job_fields: Any) -> dict[str, Any]:
        """Have a job done."""
        handler = JobHandler(self._report, create_clock=lambda: self.clock, environ={})
        return await handler({"id": "job-1", "input": job_input, **job_fields})

    def _report(self, job: dict[str, Any], update: dict[str, Any]) -> None:
        assert job["id"] == "job-1"
        self.reports.append((self.clock.now, update))
        self.on_report()


@pytest.fixture
def bench() -> Bench:
    """A fresh handler and clock."""
    return Bench()


@pytest.mark.anyio
@pytest.mark.parametrize("task_type", STEPS)
async def test_success_has_exactly_the_documented_form(bench: Bench, task_type: str) -> None:
    """Every key of the reference, with its type and meaning, and no other."""
    output = await bench.do({"task_type": task_type, "duration": 5, "user_input": "a,b\n1,2\n"})
    file = output["result"].pop("result")
    content = base64.b64decode(file.pop("content_base64"), validate=True)
    pattern, content_type = FILES[task_type]
    assert re.fullmatch(pattern, file["filename"])
    assert output["task_id"][:8] in file.pop("filename")
    assert isinstance(file.pop("preview"), str)
    assert file == {"content_type": content_type, "size_bytes": len(content)}
    assert output.pop("progress_updates") == [update for _, update in bench.reports]
    task_id = output["task_id"]
    assert output == {
        "success": True,
        "task_id": task_id,
        "task_type": task_type,
        "duration_seconds": 5,
        "result": {
            "task_id": task_id,
            "status": "completed",
            "progress": 100,
            "total_duration": 5.0,
            "task_type": task_type,
        },
        "total_steps": 11,
        "metadata": {
            "runpod_request_id": "job-1",
            "processing_complete": True,
            "file_included": True,
        },
    }


@pytest.mark.anyio
@pytest.mark.parametrize("task_type", STEPS)
async def test_progress_goes_in_eleven_even_steps(bench: Bench, task_type: str) -> None:
    """In order, evenly, each step with a name of its own."""
    output = await bench.do({"task_type": task_type, "duration": 11})
    updates = [update for _, update in bench.reports]
    names = [update.pop("current_step") for update in updates]
    share_s = (11 - QUIET_S) / 11
    assert updates == [
        {
            "task_id": output["task_id"],
            "status": "processing",
            "progress": 100 * step // 11,
            "step": step,
            "total_steps": 11,
            "elapsed_time": pytest.approx(step * share_s, abs=0.01),
        }
        for step in range(1, 12)
    ]
    assert len(set(names)) == 11
    assert STEPS[task_type] in names


@pytest.mark.anyio
async def test_the_answer_comes_a_moment_after_the_last_update(bench: Bench) -> None:
    """So that an update on its way cannot follow the result."""
    await bench.do({"task_type": "text_processing", "duration": 5})
    last_report_s, _ = bench.reports[-1]
    assert bench.clock.now - last_report_s == pytest.approx(QUIET_S)
    assert bench.clock.now == pytest.approx(1005)


@pytest.mark.anyio
async def test_the_moment_is_kept_when_the_work_is_late() -> None:
    """Work that eats the whole duration does not eat the quiet at the end."""
    bench = Bench(FakeClock(seconds_per_look=0.3))
    output = await bench.do({"task_type": "text_processing", "duration": 5})
    last_report_s, _ = bench.reports[-1]
    assert output["result"]["total_duration"] > 5
    assert bench.clock.now - last_report_s >= QUIET_S


@pytest.mark.anyio
async def test_defaults_are_the_documented_ones(bench: Bench) -> None:
    """20 s, `Default test input`, base64, 512 x 512."""
    output = await bench.do({"task_type": "image_generation"})
    assert output["duration_seconds"] == 20
    assert output["result"]["result"]["preview"] == (
        "PNG image, 512 x 512 pixels, of: Default test input"
    )


@pytest.mark.anyio
async def test_unknown_fields_are_ignored(bench: Bench) -> None:
    """The platform may add some."""
    output = await bench.do({"task_type": "text_processing", "__trace": 1}, webhook="x", policy={})
    assert output["success"] is True


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("job_input", "message"),
    [
        (None, "input must be an object, not null"),
        ([], "input must be an object, not a list"),
        ({}, "task_type is required: one of text_processing, image_generation, data_analysis"),
        (
            {"task_type": "video"},
            (
                "task_type must be one of text_processing, image_generation, data_analysis, "
                "not 'video'"
            ),
        ),
        (
            {"task_type": "data_analysis", "duration": 46},
            "duration must be a whole number from 5 to 45, not 46",
        ),
        (
            {"task_type": "data_analysis", "duration": True},
            "duration must be a whole number from 5 to 45, not true",
        ),
        (
            {"task_type": "data_analysis", "duration": math.nan},
            "duration must be a whole number from 5 to 45, not nan",
        ),
        (
            {"task_type": "data_analysis", "user_input": 7},
            "user_input must be a string, not 7",
        ),
        (
            {"task_type": "data_analysis", "output_format": "xml"},
            "output_format must be one of base64, url, not 'xml'",
        ),
        (
            {"task_type": "image_generation", "width": 63},
            "width must be a whole number from 64 to 4096, not 63",
        ),
        (
            {"task_type": "image_generation", "height": "tall"},
            "height must be a whole number from 64 to 4096, not 'tall'",
        ),
    ],
)
async def test_wrong_input_is_a_validation_error(
    bench: Bench, job_input: Any, message: str
) -> None:
    """Refused at once, without an id, without an update, never bent into range."""
    output = await bench.do(job_input)
    assert output == {
        "success": False,
        "error": "validation_error",
        "message": message,
        "task_id": None,
    }
    assert (bench.reports, bench.clock.now) == ([], 1000.0)


@pytest.mark.anyio
async def test_unreadable_data_is_a_processing_error(bench: Bench) -> None:
    """The step that found it ends the task, which has an id by then."""
    rows = "1,2\n" * 30
    output = await bench.do({"task_type": "data_analysis", "user_input": f'a,b\n{rows}"3,4'})
    task_id = output.pop("task_id")
    assert output == {
        "success": False,
        "error": "processing_error",
        "message": (
            "user_input looks like CSV, but line 32 cannot be read: unexpected end of data"
        ),
    }
    assert task_id == bench.reports[0][1]["task_id"]


@pytest.mark.anyio
async def test_work_far_beyond_its_duration_is_a_timeout_error() -> None:
    """Five seconds were asked for; past thirty more the task is given up."""
    bench = Bench(FakeClock(seconds_per_look=3))
    output = await bench.do({"task_type": "text_processing", "duration": 5})
    assert output["error"] == "timeout_error"
    assert output["message"].endswith("a duration of 5 s allows 35 s")
    assert len(bench.reports) < 11


@pytest.mark.anyio
async def test_a_picture_too_large_is_a_resource_error(bench: Bench) -> None:
    """Before any work and any waiting."""
    output = await bench.do({"task_type": "image_generation", "width": 4096, "height": 4096})
    assert (output["error"], bench.clock.now) == ("resource_error", 1000.0)


@pytest.mark.anyio
async def test_a_link_without_a_bucket_is_a_resource_error(bench: Bench) -> None:
    """The message names what to set; nothing is worked for nothing."""
    output = await bench.do({"task_type": "text_processing", "output_format": "url"})
    assert (output["error"], bench.reports) == ("resource_error", [])
    assert "BUCKET_ENDPOINT_URL, BUCKET_ACCESS_KEY_ID" in output["message"]


@pytest.mark.anyio
async def test_half_a_bucket_in_the_job_is_a_validation_error(bench: Bench) -> None:
    """The keys are named, the secret is not quoted."""
    output = await bench.do(
        {"task_type": "text_processing", "output_format": "url"},
        s3Config={"accessSecret": "hush-hush"},
    )
    assert output["error"] == "validation_error"
    assert output["message"] == "s3Config lacks endpointUrl, accessId, bucketName"


@pytest.mark.anyio
async def test_a_job_that_brings_a_bucket_wants_a_link(bench: Bench) -> None:
    """Unless it says otherwise: half a bucket is told, and not passed over for base64."""
    half = {"accessSecret": "hush-hush"}
    output = await bench.do({"task_type": "text_processing"}, s3Config=half)
    assert output["message"] == "s3Config lacks endpointUrl, accessId, bucketName"
    inline = {"task_type": "text_processing", "output_format": "base64"}
    output = await bench.do(inline, s3Config=half)
    assert "content_base64" in output["result"]["result"]


@pytest.mark.anyio
async def test_a_stopped_job_is_cancelled_at_its_next_wait(bench: Bench) -> None:
    """The SDK cancels the handler; it must not turn that into an answer."""

    async def stop() -> dict[str, Any]:
        return await bench.do({"task_type": "text_processing"})

    task = asyncio.create_task(stop())
    bench.on_report = task.cancel
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(bench.reports) == 1


def mostly(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Right values more often than wrong ones, so that success is reached too."""
    wrong = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([])
    return st.one_of(good, good, good, wrong)


JOB_INPUTS = st.fixed_dictionaries(
    {"task_type": mostly(st.sampled_from(list(STEPS)))},
    optional={
        "duration": mostly(st.integers(5, 45)),
        "user_input": mostly(st.text(st.characters(categories=None))),
        "output_format": mostly(st.just("base64")),
        "width": mostly(st.integers(64, 128)),
        "height": mostly(st.integers(64, 128)),
        "extra": st.none() | st.integers(),
    },
)


@settings(max_examples=60, deadline=None)
@given(JOB_INPUTS | mostly(st.just({})))
def test_every_input_gets_a_documented_answer(job_input: Any) -> None:
    """Success or one of the four errors, always as valid JSON, never an exception."""
    output = asyncio.run(Bench().do(job_input))
    assert json.loads(json.dumps(output, allow_nan=False, ensure_ascii=False).encode()) == output
    if output["success"]:
        assert len(output["progress_updates"]) == 11
        base64.b64decode(output["result"]["result"]["content_base64"], validate=True)
    else:
        assert set(output) == {"success", "error", "message", "task_id"}
        assert output["error"] in ERROR_TYPES
        assert output["message"]
