from __future__ import annotations

import base64
import copy
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.api.types import Job, JobStatus
from runpodctl_py.errors import (
    JobCancelledError,
    JobFailedError,
    JobTimedOutError,
    SaveError,
)
from runpodctl_py.jobs.collect import (
    Submission,
    Summary,
    collect,
    cost_usd,
    judge,
    without_contents,
)

if TYPE_CHECKING:
    from pathlib import Path

    from runpodctl_py.jsontypes import JsonValue

pytestmark = pytest.mark.anyio

REPORT = b"# Report\n\nAll is well, and there is more to say about it.\n"
REPORT_OUTPUT = {
    "filename": "report.md",
    "content_type": "text/markdown",
    "content_base64": base64.b64encode(REPORT).decode(),
}
SUBMISSION = Submission("vsrx8zdokf21gz")


def job(status: str = "COMPLETED", output: JsonValue = None, **more: Any) -> Job:
    """Make a job that is final."""
    return Job("j-u1", JobStatus(status), output=output, **more)


async def collected(it: Job, folder: Path, submission: Submission = SUBMISSION) -> Summary:
    """Collect without a network."""
    return await collect(it, submission, folder, None)


async def test_a_file_is_saved_and_noted(tmp_path: Path) -> None:
    """The output then says where its content is."""
    folder = tmp_path / "new" / "folder"
    output = {"success": True, "result": {"result": REPORT_OUTPUT}}
    before = copy.deepcopy(output)

    summary = await collected(job(output=output), folder)

    path = folder / "report.md"
    assert path.read_bytes() == REPORT
    assert [(f.path, f.size_bytes) for f in summary.files] == [(path, len(REPORT))]
    assert (summary.error, summary.text, summary.warnings) == (None, None, ())
    assert summary.output == {
        "success": True,
        "result": {"result": {**REPORT_OUTPUT, "content_base64": {"saved": str(path)}}},
    }
    assert output == before


async def test_a_worker_that_died_is_told(tmp_path: Path) -> None:
    """RunPod's own words do not say it (API reference 4.3)."""
    summary = await collected(job("FAILED", error="job timed out after 1 retries"), tmp_path)

    assert summary.error is not None
    assert summary.error.hint == "Its worker died or fell silent, and so did the next one."


async def test_the_note_tells_what_we_know(tmp_path: Path) -> None:
    """Beside the files, for whoever finds them later."""
    submission = Submission(
        "vsrx8zdokf21gz",
        payload={"prompt": "hello"},
        preset="test",
        submitted_at=datetime(2026, 11, 21, 8, tzinfo=UTC),
        price_per_s_usd=0.00016,
    )
    it = job(output=REPORT_OUTPUT, delay_ms=824, execution_ms=3391, worker_id="w")

    summary = await collected(it, tmp_path, submission)

    assert summary.manifest is not None
    note = json.loads(summary.manifest.read_text())
    assert note["finished_at"] > note["submitted_at"] == "2026-11-21T08:00:00.000Z"
    expected = {
        "job_id": "j-u1",
        "endpoint_id": "vsrx8zdokf21gz",
        "preset": "test",
        "status": "COMPLETED",
        "input": {"prompt": "hello"},
        "delay_ms": 824,
        "execution_ms": 3391,
        "cost_usd": 0.000543,
        "worker_id": "w",
        "error": None,
    }
    assert {key: note[key] for key in expected} == expected


async def test_text_is_read_and_not_saved(tmp_path: Path) -> None:
    """An output without files is there to be read."""
    summary = await collected(job(output={"text": "Hello"}), tmp_path)

    assert (summary.text, summary.files, summary.error) == ("Hello", (), None)
    assert summary.output == {"text": "Hello"}


async def test_a_completed_job_can_have_failed(tmp_path: Path) -> None:
    """Some workers say so in their output only; what they had is saved all the same."""
    output = {"status": "error", "message": "out of memory", "partial": REPORT_OUTPUT}

    summary = await collected(job(output=output), tmp_path)

    assert isinstance(summary.error, JobFailedError)
    assert summary.error.message == "The job completed, but says: out of memory"
    assert (summary.error.exit_code, summary.error.job_id) == (10, "j-u1")
    assert (tmp_path / "report.md").read_bytes() == REPORT


async def test_files_that_stayed_on_the_worker_were_not_saved(tmp_path: Path) -> None:
    """The job is done with all the same: nobody gets at them. What came is saved."""
    output = {"files": [REPORT_OUTPUT, "/comfyui/output/a.png", "local_upload/b.png"]}
    submission = Submission("vsrx8zdokf21gz", returns_object=True)

    summary = await collected(job(output=output), tmp_path, submission)

    assert isinstance(summary.error, SaveError)
    assert summary.error.message == (
        "2 of its files stayed on the worker: /comfyui/output/a.png, local_upload/b.png"
    )
    assert (summary.error.exit_code, summary.error.job_id) == (14, "j-u1")
    assert "--bucket" in str(summary.error.hint)
    assert (summary.is_whole, len(summary.files), len(summary.warnings)) == (True, 1, 2)
    assert summary.manifest is not None
    assert json.loads(summary.manifest.read_text())["error"] == summary.error.message


async def test_of_an_unknown_worker_a_path_is_only_told(tmp_path: Path) -> None:
    """It may be anything: the echo of a setting, for one."""
    summary = await collected(job(output={"files": ["/comfyui/output/a.png"]}), tmp_path)

    assert (summary.error, len(summary.warnings)) == (None, 1)


async def test_what_failed_is_told_before_what_stayed_there(tmp_path: Path) -> None:
    """The job's own failure is the reason."""
    output = {"status": "error", "message": "out of memory", "files": ["/comfyui/output/a.png"]}
    submission = Submission("vsrx8zdokf21gz", returns_object=True)

    summary = await collected(job(output=output), tmp_path, submission)

    assert isinstance(summary.error, JobFailedError)


SDK_ERROR = json.dumps(
    {
        "error_type": "<class 'ValueError'>",
        "error_message": "boom \u00e9",
        "error_traceback": "Traceback (most recent call last):\n  File …",
        "hostname": "unknown",
        "worker_id": "w-fail",
        "runpod_version": "1.12.0",
    }
)


async def test_a_failed_job_in_the_sdks_form(tmp_path: Path) -> None:
    """JSON in a string (API reference 5.6): the words, the kind and the traceback come out."""
    it = job("FAILED", error=SDK_ERROR, execution_ms=3391)

    summary = await collected(it, tmp_path)

    error = summary.error
    assert isinstance(error, JobFailedError)
    assert error.message == "The job failed after 3.4 s: ValueError: boom é"
    assert error.error_type == "ValueError"
    assert str(error.traceback).startswith("Traceback (most recent call last):")
    assert summary.manifest is not None
    assert json.loads(summary.manifest.read_text())["error"] == error.message


@pytest.mark.parametrize(
    ("it", "kind", "exit_code", "message"),
    [
        (job("FAILED"), JobFailedError, 10, "The job failed: the worker gave no reason"),
        (
            job("FAILED", {"message": "Too long"}, error="validation_error"),
            JobFailedError,
            10,
            "The job failed: validation_error: Too long",
        ),
        (
            job("FAILED", error="job timed out after 1 retries", execution_ms=0),
            JobFailedError,
            10,
            "The job failed after 0.0 s: job timed out after 1 retries",
        ),
        (job("CANCELLED"), JobCancelledError, 11, "The job was cancelled"),
        (job("TIMED_OUT"), JobTimedOutError, 12, "The job took longer than it was allowed to"),
    ],
)
async def test_each_final_state_has_its_error(
    it: Job, *, kind: type[Exception], exit_code: int, message: str
) -> None:
    """And each error its exit code."""
    error = judge(it, returns_object=False)

    assert error is not None
    assert (type(error), error.exit_code, error.message) == (kind, exit_code, message)
    assert error.job_id == "j-u1"


async def test_a_success_is_no_error() -> None:
    """Whatever else the output holds."""
    assert judge(job(output={"success": True, "error": None}), returns_object=False) is None


@pytest.mark.parametrize("output", [REPORT_OUTPUT, {"text": "Hello"}], ids=["file", "text"])
async def test_a_folder_that_cannot_be_written(tmp_path: Path, output: JsonValue) -> None:
    """Exit code 14 and the reason in words; even for the note alone."""
    in_the_way = tmp_path / "file"
    in_the_way.touch()

    summary = await collected(job(output=output), in_the_way / "folder")

    error = summary.error
    assert isinstance(error, SaveError)
    assert (error.exit_code, error.job_id, summary.files, summary.manifest) == (
        14,
        "j-u1",
        (),
        None,
    )
    assert "a file stands where a folder should be" in error.message


async def test_a_failed_job_says_so_even_if_nothing_can_be_saved(tmp_path: Path) -> None:
    """The worse news first."""
    in_the_way = tmp_path / "file"
    in_the_way.touch()

    summary = await collected(job("FAILED", output=REPORT_OUTPUT, error="boom"), in_the_way)

    assert isinstance(summary.error, JobFailedError)
    files, note = summary.warnings
    assert "something else has that name" in files
    assert note.startswith("the manifest ")


async def test_a_link_is_left_out_without_a_network(tmp_path: Path) -> None:
    """With a warning, and the URL stays in the output."""
    output = {"image_url": "https://bucket.example/a/picture.png"}

    summary = await collected(job(output=output), tmp_path)

    assert (summary.files, summary.error, summary.output) == ((), None, output)
    assert summary.warnings == ("picture.png was not downloaded (output.image_url is a link)",)


@pytest.mark.parametrize(
    ("execution_ms", "price", "cost"),
    [
        (None, 0.00016, None),
        (1000, None, None),
        (0, 0.00016, 0.0),
        (1000, 0.0, 0.0),
        (3391, 0.00031, 0.001051),
    ],
)
async def test_cost(execution_ms: int | None, price: float | None, cost: float | None) -> None:
    """Run time by price; nothing is guessed."""
    assert cost_usd(job(execution_ms=execution_ms), price) == cost


@pytest.mark.parametrize(
    ("output", "saved", "expected"),
    [
        ("content", {"output": "f"}, {"saved": "f"}),
        ("content", {}, "content"),
        (None, {"output": "f"}, None),
        (["a", "b"], {"output[1]": "f"}, ["a", {"saved": "f"}]),
        ({"a": {"b": ["x"]}}, {"output.a.b[0]": "f"}, {"a": {"b": [{"saved": "f"}]}}),
        ({"a": "x", "b": "x"}, {"output.b": "f"}, {"a": "x", "b": {"saved": "f"}}),
        ({"my file.png": "x"}, {'output["my file.png"]': "f"}, {"my file.png": {"saved": "f"}}),
        (
            {"images": ["x", "y"], "n": 1},
            {"output.images[0]": "f", "output.images[1]": "g"},
            {"images": [{"saved": "f"}, {"saved": "g"}], "n": 1},
        ),
    ],
)
async def test_contents_become_paths(
    output: JsonValue, saved: dict[str, str], expected: JsonValue
) -> None:
    """By the path in the output, as `read_output` writes it; the output itself is not touched."""
    before = copy.deepcopy(output)

    assert without_contents(output, saved) == expected
    assert output == before


async def test_an_output_of_any_depth_is_collected(tmp_path: Path) -> None:
    """JSON may be nested deeper than Python likes to recurse."""
    output: Any = {"deep": "end", "file": REPORT_OUTPUT}
    for _ in range(50_000):
        output = [output]

    summary = await collected(job(output=output), tmp_path)

    assert [f.path for f in summary.files] == [tmp_path / "report.md"]
    assert summary.error is None


@pytest.mark.parametrize(
    ("returns_object", "expected"),
    [(True, "The job completed, but says: CUDA out of memory"), (False, None)],
)
def test_a_text_where_an_object_should_be_says_what_went_wrong(
    *, returns_object: bool, expected: str | None
) -> None:
    """As of Dekita's worker (workers reference C); of others it is the result."""
    error = judge(job(output="CUDA out of memory"), returns_object=returns_object)
    assert (error.message if error else None) == expected
