"""From a row's finished job to its files and its result.

Owns what a row's files are called: by the row, so that the folder can be read beside the input.
What is in an output and how a file lands is `jobs/`'s.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runpodctl_py.batch.row import RowResult
from runpodctl_py.errors import SaveError
from runpodctl_py.jobs.collect import Summary, cost_usd, judged, places_of, without_contents
from runpodctl_py.jobs.ledger import KeptFile, State
from runpodctl_py.jobs.naming import safe_name
from runpodctl_py.jobs.outputs import InlineFile, read_output
from runpodctl_py.jobs.save import called, prepared, save_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from runpodctl_py.api.types import Job
    from runpodctl_py.jobs.landing import Taken
    from runpodctl_py.jobs.save import Fetcher
    from runpodctl_py.jsontypes import JsonValue

_LARGEST_LINE_BYTES = 256 * 1024
"""A larger output becomes a file: results.jsonl is for reading, and the ledger for finding."""

_WHOLE = "output"
"""The place of an output in itself."""
_RESULTS = ("results.jsonl", "results.csv")
"""Files of the batch, which a row's must not stand in the way of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A row that was sent.

    Args:
        line: The line of the file on which it begins.
        name: What the file calls it, or else its line number.
        key: The ledger's name of this attempt.
        job_id: RunPod's id of it.
        number: Which attempt of the row it is; the first is 1.
    """

    line: int
    name: str
    key: str
    job_id: str
    number: int = 1


class Saving:
    """Saves what the jobs of a batch returned.

    Args:
        directory: Where files go.
        label: What files that are being written are called by: the batch, that nobody else is
            at work on.
        fetcher: Makes what fetches one job's links: its limits are for one job.
        price_per_s_usd: What a second of a worker costs, if we know.
        returns_object: Whether a mere text as an output says what went wrong.
    """

    def __init__(
        self,
        directory: Path,
        label: str,
        fetcher: Callable[[], Fetcher],
        price_per_s_usd: float | None,
        *,
        returns_object: bool = False,
    ) -> None:
        self._directory = directory
        self._label = label
        self._fetcher = fetcher
        self._price_per_s_usd = price_per_s_usd
        self._returns_object = returns_object
        self._taken: Taken | None = None

    def prepare(self) -> None:
        """Make the folder, clear away what a kill has left of files, and look what is in it.

        Raises:
            SaveError: That is not possible.
        """
        for label in (self._label, *_RESULTS):
            for path in self._directory.glob(f".{label}.*.part"):
                with suppress(OSError):
                    path.unlink()
        self._taken = prepared(self._directory)
        for name in _RESULTS:
            self._taken.add(name)

    async def save(self, attempt: Attempt, job: Job) -> Summary:
        """Save the files of a job that has ended, and say what came of it.

        Raises:
            SaveError: The folder takes no files: what else comes would be lost, too.
        """
        reading = read_output(job.output)
        files = called(reading.files, attempt.name)
        error = judged(job, reading, returns_object=self._returns_object)
        if not files and _is_large(job.output):
            files = (_whole_output(job.output, attempt.name),)
        report = await save_files(
            files, self._directory, label=self._label, fetch=self._fetcher(), taken=self._taken
        )
        if report.folder_problem is not None:
            raise SaveError(report.folder_problem, job_id=job.job_id)
        if error is None and report.problems:
            error = SaveError("\n".join(report.problems), job_id=job.job_id)
        return Summary(
            job,
            report.files,
            (*reading.warnings, *report.warnings),
            error,
            cost_usd=cost_usd(job, self._price_per_s_usd),
            output=_with_places(job.output, places_of(report.files)),
            is_whole=not report.problems,
        )


def result_of(attempt: Attempt, summary: Summary) -> RowResult:
    """Return what came of a row whose job has ended."""
    job = summary.job
    return RowResult(
        line=attempt.line,
        name=attempt.name,
        key=attempt.key,
        job_id=job.job_id,
        state=State.of(job.status),
        is_success=summary.error is None,
        delay_ms=job.delay_ms,
        execution_ms=job.execution_ms,
        cost_usd=summary.cost_usd,
        worker_id=job.worker_id,
        files=tuple(
            KeptFile(each.path.absolute(), each.size_bytes, each.sha256, each.content_type)
            for each in summary.files
        ),
        output=summary.output,
        error=None if summary.error is None else summary.error.message,
        attempts=attempt.number,
        is_whole=summary.is_whole,
    )


def _is_large(output: JsonValue) -> bool:
    return len(json.dumps(output)) > _LARGEST_LINE_BYTES


def _whole_output(output: JsonValue, row: str) -> InlineFile:
    try:
        content = json.dumps(output, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        # Half a character can only be escaped.
        content = json.dumps(output).encode()
    return InlineFile(safe_name(f"{row}.json"), _WHOLE, content, "application/json")


def _with_places(output: JsonValue, places: Mapping[str, str]) -> JsonValue:
    """Return an output in which what was saved is replaced by where it is."""
    if _WHOLE in places:
        return {"saved": places[_WHOLE]}
    return without_contents(output, places)
