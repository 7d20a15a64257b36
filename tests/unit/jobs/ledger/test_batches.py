"""Batches in the ledger: whose they are, how their rows stand, and what may be forgotten."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.errors import NotFoundError, UsageError
from runpodctl_py.jobs.ledger import Batch, BatchState, Counts, Home, Ledger, State
from tests.unit.jobs.ledger.samples import LOCAL, RUNPOD, intent, job

if TYPE_CHECKING:
    from runpodctl_py.testing import FakeClock

BATCH = Batch(
    batch_id="b7f3a2",
    identity="same",
    place=RUNPOD,
    endpoint_id="i02xupws21hp6i",
    preset="chatterbox",
    source=Path("/data/rows.csv"),
    sha256="0" * 64,
    total=3,
    options={"format": "csv", "set": {"voice": "ada"}},
    output_dir=Path("/outputs/rows"),
)


def attempt(ledger: Ledger, row: str, status: str | None = "IN_QUEUE", **changes: object) -> str:
    """Write down that a row was sent, and what came of it, and return the key."""
    line = int("".join(filter(str.isdigit, row)))
    key = ledger.intend(intent(batch_id="b7f3a2", row=row, line=line, **changes))
    if status is not None:
        ledger.sent(key, job(f"{key}-u1", status))
    return key


def done(ledger: Ledger, row: str, status: str = "COMPLETED", **what: object) -> str:
    """Write down that a row has ended and is here, and return the key."""
    key = attempt(ledger, row, status)
    ledger.home(key, Home(**what))  # type: ignore[arg-type] # its own
    return key


# Which batches.


def test_a_batch_comes_back_as_it_was(ledger: Ledger, clock: FakeClock) -> None:
    """All that is needed to go on with it."""
    ledger.batches.add(BATCH)
    found = ledger.batches.find("b7f3a2")
    assert replace(found, owner=None) == replace(BATCH, created_at=clock.now())
    assert found.owner is not None


def test_a_path_that_is_no_text(ledger: Ledger) -> None:
    """Linux has such names."""
    odd = replace(BATCH, source=Path("/data/\udcff.csv"), output_dir=Path("/out/\udcff"))
    ledger.batches.add(odd)
    found = ledger.batches.find("b7f3a2")
    assert (found.source, found.output_dir) == (odd.source, odd.output_dir)


def test_the_beginning_of_an_id_is_enough(ledger: Ledger) -> None:
    """As long as it means one only; the whole id always does."""
    for batch_id in ("b7f3a2", "b7f3", "b1"):
        ledger.batches.add(replace(BATCH, batch_id=batch_id))
    assert ledger.batches.find("b7f3a").batch_id == "b7f3a2"
    assert ledger.batches.find("b7f3").batch_id == "b7f3"
    with pytest.raises(UsageError, match="Several batches begin with b7: b7f3, b7f3a2"):
        ledger.batches.find("b7")


@pytest.mark.parametrize("text", ["", "b9", "%", "B7F3A2", "b7f3a2x"])
def test_a_batch_that_is_not_there(ledger: Ledger, text: str) -> None:
    """Nothing is as good as another."""
    ledger.batches.add(BATCH)
    with pytest.raises(NotFoundError, match="The ledger knows no batch"):
        ledger.batches.find(text)


def test_the_newest_come_first(ledger: Ledger) -> None:
    """Whatever their ids."""
    for batch_id in ("b2", "b1", "b3"):
        ledger.batches.add(replace(BATCH, batch_id=batch_id))
    assert [each.batch_id for each in ledger.batches.all()] == ["b3", "b1", "b2"]


def test_the_same_command_again(ledger: Ledger) -> None:
    """Means the last batch that it made, done, cancelled or neither."""
    for batch_id in ("b1", "b2", "b3"):
        ledger.batches.add(replace(BATCH, batch_id=batch_id))
    ledger.batches.add(replace(BATCH, batch_id="b4", identity="another"))
    ledger.batches.move("b3", BatchState.CANCELLED)
    ledger.batches.move("b2", BatchState.DONE)
    same = ledger.batches.same("same")
    assert (same and same.batch_id, ledger.batches.same("none")) == ("b3", None)


def test_where_a_batch_stands(ledger: Ledger, clock: FakeClock) -> None:
    """And since when it is over; taken up again, it is not."""
    ledger.batches.add(BATCH)
    clock.advance(60)
    ledger.batches.move("b7f3a2", BatchState.DONE)
    found = ledger.batches.find("b7f3a2")
    assert (found.state, found.ended_at) == (BatchState.DONE, clock.now())
    ledger.batches.move("b7f3a2", BatchState.OPEN)
    found = ledger.batches.find("b7f3a2")
    assert (found.state, found.ended_at) == (BatchState.OPEN, None)


# Who is at work on it.


def test_one_process_at_a_time(ledger: Ledger) -> None:
    """Another one gets it when the first has let go of it."""
    ledger.batches.add(BATCH)
    with Ledger(ledger.path) as other:
        assert other.batches.is_running(other.batches.find("b7f3a2"))
        assert not other.batches.claim("b7f3a2")
        other.batches.let_go("b7f3a2")
        assert ledger.batches.claim("b7f3a2")
        ledger.batches.let_go("b7f3a2")
        assert not other.batches.is_running(other.batches.find("b7f3a2"))
        assert other.batches.claim("b7f3a2")
        assert not ledger.batches.claim("b7f3a2")


def test_who_is_gone_has_let_go(ledger: Ledger) -> None:
    """A kill needs no word."""
    with Ledger(ledger.path) as other:
        other.batches.add(BATCH)
    assert not ledger.batches.is_running(ledger.batches.find("b7f3a2"))
    assert ledger.batches.claim("b7f3a2")


# Rows.


def test_the_last_attempt_counts(ledger: Ledger) -> None:
    """Those never tried are missing; other batches' rows are others."""
    first = done(ledger, "r1", "FAILED", error="no")
    second = attempt(ledger, "r1", parent=first)
    third = attempt(ledger, "r2", None)
    ledger.intend(intent(batch_id="b1", row="r3", line=3))
    ledger.intend(intent(row="r1"))
    found = ledger.batches.attempts("b7f3a2", ["r1", "r2", "r3"])
    assert {name: each.key for name, each in found.items()} == {"r1": second, "r2": third}
    assert [each.key for each in ledger.batches.rows("b7f3a2")] == [second, third]


def test_how_often_a_row_was_sent(ledger: Ledger) -> None:
    """What RunPod did not take does not count."""
    for row in ("r1", "r1", "r2"):
        attempt(ledger, row)
    ledger.not_sent(attempt(ledger, "r1", None), "too many requests")
    counts = [ledger.batches.attempt_count("b7f3a2", row) for row in ("r1", "r2", "r3")]
    assert counts == [2, 1, 0]


def test_rows_come_in_the_files_order(ledger: Ledger) -> None:
    """Also when there are more than are read at once, and wherever they were sent."""
    with ledger.together():
        for number in reversed(range(1, 1002)):
            attempt(ledger, f"r{number}")
    lines = [each.intent.line for each in ledger.batches.rows("b7f3a2")]
    assert lines == [*range(1, 1002)]


def test_what_was_sent_again_is_not_unknown(ledger: Ledger) -> None:
    """The last attempt tells."""
    unknown = attempt(ledger, "r1", None)
    ledger.unknown(unknown, "nobody answered")
    other = attempt(ledger, "r2", None)
    ledger.unknown(other, "nobody answered")
    attempt(ledger, "r1", None, parent=unknown)
    assert [each.key for each in ledger.batches.unknown("b7f3a2")] == [other]


def test_which_rows_runpod_has(ledger: Ledger) -> None:
    """In flight is what has not ended; unsaved is also what has, until it is here or lost."""
    queued = attempt(ledger, "r1")
    running = attempt(ledger, "r2", "IN_PROGRESS")
    ended = attempt(ledger, "r3", "COMPLETED")
    partly = done(ledger, "r4", is_whole=False)
    done(ledger, "r5")
    ledger.expired(attempt(ledger, "r6"))
    ledger.not_sent(attempt(ledger, "r7", None), "no")
    ledger.unknown(attempt(ledger, "r8", None), "nobody answered")
    attempt(ledger, "r9", None)
    ledger.intend(intent(batch_id="b1", row="r1", line=1))
    in_flight = [each.key for each in ledger.batches.in_flight("b7f3a2")]
    unsaved = [each.key for each in ledger.batches.unsaved("b7f3a2")]
    assert (in_flight, unsaved) == ([queued, running], [queued, running, ended, partly])


@pytest.mark.parametrize("name", ["", "ä", "'; --", "%", "r\n1", "🜂" * 200])
def test_any_name_of_a_row(ledger: Ledger, name: str) -> None:
    """It comes back as it was, and means that row only."""
    key = ledger.intend(intent(batch_id="b7f3a2", row=name, line=1))
    ledger.intend(intent(batch_id="b7f3a2", row="r", line=2))
    (record,) = ledger.batches.attempts("b7f3a2", [name]).values()
    assert (record.key, record.intent.row) == (key, name)
    assert ledger.batches.attempt_count("b7f3a2", name) == 1


def test_how_the_rows_stand(ledger: Ledger) -> None:
    """Of each row its last attempt; of the money all of them."""
    first = done(ledger, "r1", "FAILED", cost_usd=0.5, error="no")
    second = attempt(ledger, "r1", "COMPLETED", parent=first)
    ledger.home(second, Home(cost_usd=0.25))
    done(ledger, "r2", error="r2.png: the link has expired", is_whole=False, cost_usd=0.25)
    done(ledger, "r3", error="The job completed, but says: no")
    done(ledger, "r4", "TIMED_OUT", error="it took too long")
    attempt(ledger, "r5", "IN_PROGRESS")
    ledger.not_sent(attempt(ledger, "r6", None), "refused")
    ledger.unknown(attempt(ledger, "r7", None), "nobody answered")
    ledger.expired(attempt(ledger, "r8"))
    ledger.seen(key := attempt(ledger, "r9"), job(f"{key}-u1", "CANCELLED"))
    counts = ledger.batches.counts("b7f3a2")
    assert counts == Counts(
        {
            State.CANCELLED: 1,
            State.COMPLETED: 3,
            State.EXPIRED: 1,
            State.NOT_SENT: 1,
            State.RUNNING: 1,
            State.TIMED_OUT: 1,
            State.UNKNOWN: 1,
        },
        saved=4,
        succeeded=1,
        cost_usd=1.0,
    )
    assert counts.failed == 5


def test_a_batch_of_which_nothing_was_sent(ledger: Ledger) -> None:
    """Its counts are nothing."""
    ledger.batches.add(BATCH)
    counts = ledger.batches.counts("b7f3a2")
    assert (counts, counts.failed) == (Counts({}), 0)


# What one attempt says of another.


def test_nobody_waits_for_an_attempt_that_was_repeated(ledger: Ledger) -> None:
    """Its end is not the row's end; a job by itself that is repeated still has a result."""
    first = attempt(ledger, "r1", "FAILED")
    ledger.home(first, Home(error="no", is_whole=False))
    assert ledger.record(first).waits
    attempt(ledger, "r1", parent=first)
    assert not ledger.record(first).waits
    alone = ledger.intend(intent())
    ledger.sent(alone, job("alone-u1", "COMPLETED"))
    ledger.intend(intent(parent=alone))
    assert ledger.record(alone).waits


def test_an_attempt_keeps_when_its_result_was_saved(ledger: Ledger, clock: FakeClock) -> None:
    """The next one does not change that."""
    first = done(ledger, "r1", "FAILED", error="no")
    saved_at = ledger.record(first).saved_at
    clock.advance(60)
    attempt(ledger, "r1", parent=first)
    assert ledger.record(first).saved_at == saved_at


# In one piece.


def test_steps_that_are_taken_together(ledger: Ledger) -> None:
    """All of them are written down, or none."""

    def fail() -> None:
        with ledger.together():
            attempt(ledger, "r1")
            ledger.batches.add(BATCH)
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fail()
    assert (ledger.jobs(), ledger.batches.all()) == ([], [])
    with ledger.together():
        attempt(ledger, "r1")
        ledger.batches.add(BATCH)
    assert (len(ledger.jobs()), len(ledger.batches.all())) == (1, 1)


def test_others_see_nothing_of_what_is_not_whole(ledger: Ledger) -> None:
    """Not even its beginning."""
    with Ledger(ledger.path) as other:
        with ledger.together():
            attempt(ledger, "r1")
            assert other.jobs() == []
        assert len(other.jobs()) == 1


# What is forgotten.


@pytest.mark.parametrize("state", BatchState, ids=str)
def test_a_batch_that_may_go_on_is_remembered(
    ledger: Ledger, clock: FakeClock, state: BatchState
) -> None:
    """Forgotten rows would be sent once more; when it is over, all of it goes."""
    ledger.batches.add(BATCH)
    ledger.batches.move("b7f3a2", state)
    done(ledger, "r1")
    clock.advance(100 * 24 * 60 * 60)
    count = 0 if state is BatchState.OPEN else 1
    assert ledger.forgettable(clock.now()) == count
    assert ledger.forget(clock.now()) == count
    assert (len(ledger.jobs()), len(ledger.batches.all())) == (1 - count, 1 - count)


def test_a_batch_is_remembered_as_long_as_any_row(ledger: Ledger, clock: FakeClock) -> None:
    """Who goes on with it, or retries what failed, would send again what was forgotten."""
    ledger.batches.add(BATCH)
    ledger.batches.move("b7f3a2", BatchState.CANCELLED)
    done(ledger, "r1")
    clock.advance(60)
    since = clock.now()
    key = attempt(ledger, "r2", "COMPLETED")
    assert (ledger.forgettable(since), ledger.forget(since)) == (0, 0)
    clock.advance(60)
    assert ledger.forget(clock.now()) == 0
    ledger.home(key, Home())
    assert ledger.forget(clock.now()) == 2
    assert ledger.batches.all() == []


def test_a_new_batch_is_remembered(ledger: Ledger, clock: FakeClock) -> None:
    """Though nothing of it was sent. A job of a batch that nobody knows is like any other."""
    ledger.batches.add(replace(BATCH, place=LOCAL))
    ledger.batches.move("b7f3a2", BatchState.DONE)
    ledger.intend(intent(batch_id="gone", row="r1", line=1))
    since = clock.now()
    clock.advance(100 * 24 * 60 * 60)
    assert ledger.forget(since) == 0
    assert len(ledger.batches.all()) == 1
    assert ledger.forget(clock.now()) == 1
    assert ledger.batches.all() == []
