"""From a finished job to its files, its manifest and one summary of what came of it.

Owns the order: read the output, save its files, write the manifest, judge. Prints nothing; the
summary's `error` says what the exit code should tell.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runpodctl_py.api.types import Job, JobStatus
from runpodctl_py.errors import (
    JobCancelledError,
    JobFailedError,
    JobTimedOutError,
    RunpodctlError,
    SaveError,
)
from runpodctl_py.jobs.manifest import Manifest, write_manifest
from runpodctl_py.jobs.outputs import read_output
from runpodctl_py.jobs.save import SavedFile, called, save_files
from runpodctl_py.jobs.tree import ancestors, walk, where
from runpodctl_py.jobs.words import readable_text, worker_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from runpodctl_py.jobs.outputs import Reading
    from runpodctl_py.jobs.save import Fetcher
    from runpodctl_py.jobs.tree import Node
    from runpodctl_py.jsontypes import JsonValue


@dataclass(frozen=True)
class Submission:
    """What our side knows of a job.

    Args:
        endpoint_id: Where it ran.
        payload: What it was sent; None if another command sent it.
        preset: The preset's name, if it was one's.
        submitted_at: When we sent it, if we did.
        price_per_s_usd: What a second of its worker costs, if we know.
        returns_object: Whether a mere text as its output says what went wrong.
        output_name: What its file is to be called, without the extension; then there is no
            manifest beside it.
    """

    endpoint_id: str
    payload: JsonValue = None
    preset: str | None = None
    submitted_at: datetime | None = None
    price_per_s_usd: float | None = None
    returns_object: bool = False
    output_name: str | None = None


@dataclass(frozen=True)
class Summary:
    """What came of a job.

    Args:
        job: The job in its final state.
        files: Those that are on disk.
        warnings: What the person should know, but need not act on.
        error: Why this is no success, if it is none.
        manifest: The note beside the files.
        cost_usd: About what the run cost: run time by pool price.
        text: What the output says, if it holds no files.
        output: The job's output; contents that were saved are replaced by where they are.
        is_whole: Whether all that there was to save is on disk.
    """

    job: Job
    files: tuple[SavedFile, ...] = ()
    warnings: tuple[str, ...] = ()
    error: RunpodctlError | None = None
    manifest: Path | None = None
    cost_usd: float | None = None
    text: str | None = None
    output: JsonValue = field(default=None, repr=False)
    is_whole: bool = True


def cost_usd(job: Job, price_per_s_usd: float | None) -> float | None:
    """Return about what a job's run cost; None where time or price is unknown."""
    if job.execution_ms is None or price_per_s_usd is None:
        return None
    return round(job.execution_ms / 1000 * price_per_s_usd, 6)


async def collect(
    job: Job, submission: Submission, directory: Path, fetch: Fetcher | None
) -> Summary:
    """Save everything a finished job returned, and say what came of it.

    Files of a job that failed are saved, too: some workers return what they had.
    """
    reading = read_output(job.output)
    files = reading.files
    if submission.output_name is not None:
        files = called(files, submission.output_name)
    report = await save_files(files, directory, label=job.job_id, fetch=fetch)
    warnings = [*reading.warnings, *report.warnings]
    cost = cost_usd(job, submission.price_per_s_usd)
    error = judged(job, reading, returns_object=submission.returns_object)
    if error is not None:
        # The job's own failure is the error to tell; what else went wrong must not be silent.
        warnings += report.problems
    elif report.problems:
        error = SaveError("\n".join(report.problems), job_id=job.job_id)
    note = Manifest(
        job_id=job.job_id,
        endpoint_id=submission.endpoint_id,
        status=job.status.value,
        input=submission.payload,
        preset=submission.preset,
        submitted_at=submission.submitted_at,
        finished_at=datetime.now(UTC),
        delay_ms=job.delay_ms,
        execution_ms=job.execution_ms,
        cost_usd=cost,
        worker_id=job.worker_id,
        files=report.files,
        warnings=tuple(warnings),
        error=error.message if error else None,
    )
    manifest, has_manifest = None, True
    # Who names a file wants that file there and nothing else; the ledger has the rest.
    if submission.output_name is None:
        try:
            manifest = write_manifest(directory, note)
        except SaveError as exc:
            has_manifest = False
            if error is None:
                error = exc
            else:
                warnings.append(exc.message)
    return Summary(
        job,
        report.files,
        tuple(warnings),
        error,
        manifest,
        cost,
        text=None if reading.files else readable_text(job.output),
        output=without_contents(job.output, places_of(report.files)),
        is_whole=not report.problems and has_manifest,
    )


def judge(job: Job, *, returns_object: bool) -> RunpodctlError | None:
    """Return the error that a final state stands for; None for a success.

    A job can be COMPLETED and have failed: some workers say so in their output only. And its files
    can have stayed where nobody gets at them; then it is done with all the same.

    Args:
        job: The job.
        returns_object: Whether its worker returns an object whenever it succeeds, with its files.
    """
    return judged(job, read_output(job.output), returns_object=returns_object)


def judged(job: Job, reading: Reading, *, returns_object: bool) -> RunpodctlError | None:
    """Return the same of a job whose output has been read."""
    match job.status:
        case JobStatus.COMPLETED:
            failures = reading.failures
            is_text = isinstance(job.output, str) and not reading.files
            if not failures and returns_object and is_text:
                # Where there should be an object (workers reference G).
                failures = (str(job.output),)
            if not failures:
                return _left_behind(job, reading) if returns_object else None
            said = "\n".join(failures)
            return JobFailedError(f"The job completed, but says: {said}", job_id=job.job_id)
        case JobStatus.CANCELLED:
            return JobCancelledError("The job was cancelled", job_id=job.job_id)
        case JobStatus.TIMED_OUT:
            return JobTimedOutError(
                "The job took longer than it was allowed to",
                hint="Give it more time with --execution-timeout, or let setup do so for all jobs.",
                job_id=job.job_id,
            )
        case _:
            return _failed(job)


def _left_behind(job: Job, reading: Reading) -> SaveError | None:
    """Return the error of a job whose files stayed on its worker, if any did.

    Nobody can fetch them any more: RunPod's workers share no files with anybody.
    """
    if not (paths := reading.left_behind):
        return None
    return SaveError(
        f"{len(paths)} of its files stayed on the worker: {', '.join(paths)}",
        hint="Dekita's ComfyUI worker uploads files if it is told a bucket:  --bucket NAME "
        "(tobucket), and returns them if it understands tobase64, which comfy run --worker dekita "
        "sends.",
        job_id=job.job_id,
    )


def _failed(job: Job) -> JobFailedError:
    said = worker_error(job.error, job.output)
    after = "" if job.execution_ms is None else f" after {job.execution_ms / 1000:.1f} s"
    kind = f"{said.error_type}: " if said.error_type else ""
    died = said.message.startswith("job timed out after")
    return JobFailedError(
        "\n".join((f"The job failed{after}: {kind}{said.message}", *said.details)),
        hint="Its worker died or fell silent, and so did the next one." if died else None,
        job_id=job.job_id,
        error_type=said.error_type,
        traceback=said.traceback,
    )


def places_of(files: Sequence[SavedFile]) -> dict[str, str]:
    """Return each file's path on disk by every place in the output that has its content."""
    return {place: str(f.path) for f in files for place in (f.where, *f.also_at)}


def without_contents(output: JsonValue, saved: Mapping[str, str]) -> JsonValue:
    """Return an output in which each content that was saved is replaced by its path.

    Args:
        output: The job's output; it stays as it is.
        saved: The files' paths on disk, by their path in the output.
    """
    holder: list[JsonValue] = [output]
    for node in walk(output) if saved else ():
        if isinstance(node.value, str) and (path := saved.get(where(node))):
            _replace(holder, node, {"saved": path})
    return holder[0]


def _replace(holder: list[JsonValue], node: Node, value: JsonValue) -> None:
    """Put a value in a node's place, and copies in place of all that holds it."""
    target: Any = holder
    step: str | int = 0
    for place in reversed([node, *ancestors(node)]):
        if place.step is not None:
            target[step] = target[step].copy()
            target, step = target[step], place.step
    target[step] = value
