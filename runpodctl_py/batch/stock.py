"""Taking stock before a batch goes on: its results' file and the ledger say the same afterwards.

A kill can come between a line of the file and the ledger's word on it, and a person can delete the
file. The line is the proof, because it was written after the files and before the ledger was told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runpodctl_py.api.types import Job, JobStatus
from runpodctl_py.batch.results import read_results
from runpodctl_py.batch.row import RowResult
from runpodctl_py.jobs.ledger import Home, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from runpodctl_py.batch.results import ResultsFile
    from runpodctl_py.batch.tally import Tally
    from runpodctl_py.jobs.ledger import Batch, Ledger, Record

RESULTS = "results.jsonl"
"""The file of a batch's results, in its folder."""
_WORDS = {
    State.EXPIRED: "RunPod does not know the job any more: its result was not fetched in time",
    State.CANCELLED: "The job was cancelled",
}
"""What is said of a row of which nobody else said anything."""
_GROUP = 500
"""Lines that are put back are safe after as many, rather than after each."""


@dataclass(slots=True)
class _Known:
    """The ledger's keys of the rows that stay as they are.

    Args:
        current: Of all of these.
        expired: Of those that RunPod does not know any more, and whose results never came home.
        unsaved: Of those whose results are not on our disk as far as the ledger knows; with what
            they have cost, if they have ended before.
    """

    current: set[str] = field(default_factory=set)
    expired: set[str] = field(default_factory=set)
    unsaved: dict[str, float] = field(default_factory=dict)


def take_stock(
    batch: Batch,
    file: ResultsFile,
    ledger: Ledger,
    tally: Tally,
    is_due: Callable[[Record], bool],
) -> None:
    """Bring file and ledger together, and count what is done with.

    Args:
        batch: Which batch; it is in our hands.
        file: Its results.
        ledger: Where it is written down.
        tally: Gets the results of before.
        is_due: Whether a row is to be sent once more; its old result goes.
    """
    known = _known(batch.batch_id, ledger, tally, is_due)
    again = {
        each.key
        for each in (read_results(batch.output_dir / RESULTS) if known.unsaved else ())
        if each.key in known.unsaved and not each.is_whole
    }
    told = set()
    for result in file.kept(lambda _, key: key in known.current and key not in again):
        tally.take(result)
        told.add(result.key)
        is_news = result.key in known.unsaved or result.key in known.expired
        if is_news and result.state.is_final and result.is_whole:
            _adopt(ledger, result)
    missing = [*(known.current - known.unsaved.keys() - told)]
    for start in range(0, len(missing), _GROUP):
        results = [result_in(ledger, key) for key in missing[start : start + _GROUP]]
        file.append(results)
        for result in results:
            tally.take(result)
    # What is brought home again is counted again.
    again_usd = sum(cost for key, cost in known.unsaved.items() if key not in told)
    tally.cost_usd = ledger.batches.counts(batch.batch_id).cost_usd - again_usd
    tally.kept = tally.ended


def _known(batch_id: str, ledger: Ledger, tally: Tally, is_due: Callable[[Record], bool]) -> _Known:
    known = _Known()
    for record in ledger.batches.rows(batch_id):
        if is_due(record):
            continue
        if record.state is State.UNKNOWN:
            tally.unknown.append(record.intent.row or record.key)
            continue
        known.current.add(record.key)
        if record.state is State.EXPIRED and record.saved_at is None:
            known.expired.add(record.key)
        elif record.saved_at is None and record.state is not State.NOT_SENT:
            known.unsaved[record.key] = record.cost_usd or 0.0
    return known


def _adopt(ledger: Ledger, result: RowResult) -> None:
    """Tell the ledger what the file proves."""
    job = Job(
        result.job_id or "",
        JobStatus[result.state.name],
        delay_ms=result.delay_ms,
        execution_ms=result.execution_ms,
        worker_id=result.worker_id,
    )
    with ledger.together():
        ledger.seen(result.key, job)
        ledger.home(
            result.key,
            Home(
                files=result.files,
                output=result.output,
                cost_usd=result.cost_usd,
                error=result.error,
            ),
        )


def result_in(ledger: Ledger, key: str) -> RowResult:
    """Return what the ledger knows of a row's result; secrets in its output are left out there."""
    record = ledger.record(key)
    name = record.intent.row or ""
    return RowResult(
        line=record.intent.line or 0,
        name=name,
        key=key,
        job_id=record.job_id,
        state=record.state,
        is_success=record.state is State.COMPLETED and record.error is None,
        delay_ms=record.delay_ms,
        execution_ms=record.execution_ms,
        cost_usd=record.cost_usd,
        worker_id=record.worker_id,
        files=ledger.files(key),
        output=ledger.output(key),
        error=record.error or _WORDS.get(record.state),
        attempts=ledger.batches.attempt_count(record.intent.batch_id or "", name),
    )
