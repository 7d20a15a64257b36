"""Taking stock: the results' file and the ledger say the same, whichever of them knew more."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.api.types import Job, JobStatus
from runpodctl_py.batch.results import ResultsFile, read_results
from runpodctl_py.batch.row import RowResult
from runpodctl_py.batch.stock import RESULTS, result_in, take_stock
from runpodctl_py.batch.tally import Tally
from runpodctl_py.jobs.ledger import Batch, Home, Intent, KeptFile, Ledger, State
from tests.unit.batch.scene import ENDPOINT, RUNPOD, batch_of, failed, nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runpodctl_py.jobs.ledger import Record


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger in which a batch has begun."""
    with Ledger(tmp_path / "ledger.sqlite3") as it:
        it.batches.add(batch_of(tmp_path))
        yield it


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    """That batch."""
    return batch_of(tmp_path)


def sent(ledger: Ledger, name: str, status: JobStatus = JobStatus.IN_QUEUE, **more: object) -> str:
    """Write down that a row was sent, and how its job stands; return the key."""
    parent = more.pop("parent", None)
    assert parent is None or isinstance(parent, str)
    intent = Intent(
        place=RUNPOD,
        endpoint_id=ENDPOINT,
        payload={"row": name},
        batch_id="b7f3a2",
        row=name,
        line=int(name[1:]),
        parent=parent,
    )
    key = ledger.intend(intent)
    ledger.sent(key, Job(f"{key}-u1", status, **more))  # type: ignore[arg-type] # its own
    return key


def home(
    ledger: Ledger, name: str, status: JobStatus = JobStatus.COMPLETED, **changes: object
) -> str:
    """Write down that a row's job has ended, and what of it is here; return the key."""
    key = sent(ledger, name, status, delay_ms=10, execution_ms=2000, worker_id="w1")
    what = Home(output={"said": name}, cost_usd=0.5)
    ledger.home(key, replace(what, **changes))  # type: ignore[arg-type] # its own
    return key


def line(name: str, key: str, **changes: object) -> RowResult:
    """Return what results.jsonl says of a row."""
    result = RowResult(
        line=int(name[1:]),
        name=name,
        key=key,
        job_id=f"{key}-u1",
        state=State.COMPLETED,
        is_success=True,
        delay_ms=10,
        execution_ms=2000,
        cost_usd=0.5,
        worker_id="w1",
        output={"said": name},
    )
    return replace(result, **changes)  # type: ignore[arg-type] # its own


def stock(
    batch: Batch, ledger: Ledger, *lines: RowResult, is_due: Callable[[Record], bool] = nothing
) -> tuple[Tally, list[RowResult]]:
    """Take stock with these lines in the file, and return the tally and the lines of after."""
    tally = Tally(9)
    with ResultsFile(batch.output_dir / RESULTS) as file:
        file.append(lines)
        take_stock(batch, file, ledger, tally, is_due)
        found = list(read_results(batch.output_dir / RESULTS))
    return tally, found


def test_nothing_has_begun(batch: Batch, ledger: Ledger) -> None:
    """So there is nothing."""
    tally, found = stock(batch, ledger)
    assert (tally.ended, tally.kept, tally.unknown, found) == (0, 0, [], [])


def test_file_and_ledger_agree(batch: Batch, ledger: Ledger) -> None:
    """Nothing changes, and everything is counted."""
    lines = [line("r1", home(ledger, "r1")), line("r2", home(ledger, "r2"))]
    tally, found = stock(batch, ledger, *lines)
    assert found == lines
    assert (tally.succeeded, tally.kept, tally.cost_usd, tally.left) == (2, 2, 1.0, 7)
    assert tally.statistics.successes == 2


@pytest.mark.parametrize("status", [JobStatus.IN_QUEUE, JobStatus.IN_PROGRESS])
def test_a_line_of_which_the_ledger_was_not_told(
    batch: Batch, ledger: Ledger, status: JobStatus
) -> None:
    """A kill came in between. The line is the proof; the ledger learns all that it says."""
    key = sent(ledger, "r1", status)
    path = batch.output_dir / "r1.png"
    said = line("r1", key, files=(KeptFile(path, 3, "ab", "image/png"),))
    tally, found = stock(batch, ledger, said)
    assert (found, tally.succeeded, tally.kept, tally.cost_usd) == ([said], 1, 1, 0.5)
    assert result_in(ledger, key) == said
    assert ledger.record(key).saved_at is not None


def test_a_line_of_a_failure_of_which_the_ledger_was_not_told(batch: Batch, ledger: Ledger) -> None:
    """It says that nothing is left to be fetched: it counts, and RunPod is not asked again."""
    key = sent(ledger, "r1")
    said = line("r1", key, state=State.FAILED, is_success=False, error="no")
    tally, found = stock(batch, ledger, said)
    assert ([each.error for each in found], tally.ended) == (["no"], 1)
    assert not ledger.record(key).waits


def test_a_result_that_is_not_whole_is_asked_for_again(batch: Batch, ledger: Ledger) -> None:
    """Its line goes, and what it has cost will be counted again."""
    key = home(ledger, "r1", is_whole=False, error="r1.png: the link has expired")
    error = "r1.png: the link has expired"
    said = line("r1", key, is_success=False, is_whole=False, error=error)
    tally, found = stock(batch, ledger, said, line("r2", home(ledger, "r2")))
    assert ([each.name for each in found], tally.ended, tally.cost_usd) == (["r2"], 1, 0.5)


def test_a_file_that_was_deleted(batch: Batch, ledger: Ledger) -> None:
    """All of it that is known is in the ledger."""
    file = KeptFile(batch.output_dir / "r1.png", 3, "ab", "image/png")
    first = home(ledger, "r1", files=(file,))
    second = home(ledger, "r2", JobStatus.FAILED, error="no")
    third = sent(ledger, "r3")
    ledger.expired(third)
    tally, found = stock(batch, ledger)
    expected = [
        line("r1", first, files=(file,)),
        line("r2", second, state=State.FAILED, is_success=False, error="no"),
        RowResult(
            line=3,
            name="r3",
            key=third,
            job_id=f"{third}-u1",
            state=State.EXPIRED,
            is_success=False,
            error="RunPod does not know the job any more: its result was not fetched in time",
        ),
    ]
    assert sorted(found, key=lambda each: each.line) == expected
    assert (tally.succeeded, tally.failed, tally.kept, tally.cost_usd) == (1, 2, 3, 1.0)


def test_a_job_that_was_cancelled_while_nobody_watched(batch: Batch, ledger: Ledger) -> None:
    """Nothing waits for it, and its line says what it is."""
    key = sent(ledger, "r1")
    ledger.asked(key, Job(f"{key}-u1", JobStatus.CANCELLED))
    tally, (said,) = stock(batch, ledger)
    assert (said.state, said.is_success, said.error) == (
        State.CANCELLED,
        False,
        "The job was cancelled",
    )
    assert tally.failed == 1


def test_what_is_due_has_no_result(batch: Batch, ledger: Ledger) -> None:
    """Its line goes before it is sent again; and stands there again if it is not."""
    key = home(ledger, "r1", JobStatus.FAILED, error="no")
    said = line("r1", key, state=State.FAILED, is_success=False, error="no")
    tally, found = stock(batch, ledger, said, is_due=failed)
    assert (found, tally.ended, tally.left) == ([], 0, 9)
    tally, found = stock(batch, ledger)
    assert (found, tally.failed) == ([said], 1)


def test_a_line_of_an_attempt_before(batch: Batch, ledger: Ledger) -> None:
    """The row was sent again since: it has no result yet."""
    first = home(ledger, "r1", JobStatus.FAILED, error="no")
    sent(ledger, "r1", parent=first)
    tally, found = stock(batch, ledger, line("r1", first, is_success=False, error="no"))
    assert (found, tally.ended) == ([], 0)


def test_two_lines_of_a_row(batch: Batch, ledger: Ledger) -> None:
    """The last one counts, once."""
    key = home(ledger, "r1")
    tally, found = stock(batch, ledger, line("r1", key, attempts=1), line("r1", key, attempts=2))
    assert ([each.attempts for each in found], tally.succeeded) == ([2], 1)


def test_a_line_of_a_row_that_the_ledger_does_not_know(batch: Batch, ledger: Ledger) -> None:
    """It is of another batch, or of a ledger that is gone: the row will run."""
    tally, found = stock(batch, ledger, line("r1", "another-key"))
    assert (found, tally.ended) == ([], 0)


def test_unknown_rows_are_listed(batch: Batch, ledger: Ledger) -> None:
    """They have no result, and are not done with."""
    intent = Intent(place=RUNPOD, endpoint_id=ENDPOINT, payload={}, batch_id="b7f3a2", row="r1")
    ledger.unknown(ledger.intend(replace(intent, line=1)), "nobody answered")
    tally, found = stock(batch, ledger)
    assert (tally.unknown, tally.ended, found) == (["r1"], 0, [])
    tally, _ = stock(batch, ledger, is_due=lambda record: record.state is State.UNKNOWN)
    assert tally.unknown == []


def test_what_is_in_flight_is_left_alone(batch: Batch, ledger: Ledger) -> None:
    """It will be followed."""
    sent(ledger, "r1")
    sent(ledger, "r2", JobStatus.IN_PROGRESS)
    tally, found = stock(batch, ledger)
    assert (tally.ended, tally.left, found) == (0, 9, [])


def test_attempts_of_before_cost_too(batch: Batch, ledger: Ledger) -> None:
    """What was spent is spent."""
    first = home(ledger, "r1", JobStatus.FAILED, error="no")
    second = sent(ledger, "r1", JobStatus.COMPLETED, parent=first)
    ledger.home(second, Home(cost_usd=0.25))
    tally, (said,) = stock(batch, ledger)
    assert (tally.cost_usd, said.attempts, said.key) == (0.75, 2, second)


def test_hundreds_of_lines_are_put_back_in_groups(batch: Batch, ledger: Ledger) -> None:
    """A disk takes as long for many as for one."""
    with ledger.together():
        for number in range(1, 602):
            home(ledger, f"r{number}")
    tally, found = stock(batch, ledger)
    assert (tally.succeeded, len({each.name for each in found}), len(found)) == (601, 601, 601)


def test_the_other_batchs_rows_are_not_ours(batch: Batch, ledger: Ledger) -> None:
    """Though they have the same names."""
    ledger.batches.add(replace(batch, batch_id="b000000"))
    home(ledger, "r1")
    with ResultsFile(batch.output_dir / RESULTS) as file:
        tally = Tally(3)
        take_stock(replace(batch, batch_id="b000000"), file, ledger, tally, nothing)
    assert (tally.ended, tally.cost_usd) == (0, 0.0)
