from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.jobs.ledger import Batch, State
from runpodctl_py.jobs.ledger.native_batches import NativeRecord, NativeState
from runpodctl_py.jobs.ledger.store import Home
from tests.unit.jobs.ledger.samples import RUNPOD, intent, job

if TYPE_CHECKING:
    from runpodctl_py.jobs.ledger import Ledger
    from runpodctl_py.jobs.ledger.native_batches import NativeRecords

DIGEST = "e3b0c442"


@pytest.fixture
def natives(ledger: Ledger) -> NativeRecords:
    """RunPod's batches in a ledger that knows one batch of ours."""
    ledger.batches.add(
        Batch(
            batch_id="b1",
            identity="same",
            place=RUNPOD,
            endpoint_id="i02xupws21hp6i",
            preset=None,
            source=Path("/rows.csv"),
            sha256=DIGEST,
            total=2,
            output_dir=Path("/out"),
        )
    )
    return ledger.native_batches


def ready(ledger: Ledger, natives: NativeRecords, *job_ids: str) -> tuple[int, list[str]]:
    """Write down a draft that is about to be finalized; return its number and its jobs' keys."""
    number = natives.begin("b1", DIGEST)
    natives.created(number, "batch_1")
    keys = []
    for line, job_id in enumerate(job_ids):
        key = ledger.intend(intent(batch_id="b1", row=job_id, line=line))
        ledger.sent(key, job(job_id))
        keys.append(key)
    natives.ready(number, keys)
    return number, keys


def test_a_draft_is_unfinished_from_before_it_is_made(natives: NativeRecords) -> None:
    """A kill while RunPod makes it leaves what is needed to find it."""
    number = natives.begin("b1", DIGEST)
    assert natives.unfinished("b1") == [NativeRecord(number, None, NativeState.CREATING, DIGEST)]

    natives.created(number, "batch_1")
    assert natives.unfinished("b1") == [NativeRecord(number, "batch_1", NativeState.DRAFT, DIGEST)]

    natives.drop(number)
    assert natives.unfinished("b1") == []


def test_a_batch_is_unfinished_until_the_last_result_is_here(
    ledger: Ledger, natives: NativeRecords
) -> None:
    """Or is known to be lost."""
    number, (first, second) = ready(ledger, natives, "a-u1", "b-u1")
    natives.move(number, NativeState.FINALIZED)
    assert [each.state for each in natives.unfinished("b1")] == [NativeState.FINALIZED]
    assert natives.job_ids(number) == ["a-u1", "b-u1"]

    ledger.seen(first, job("a-u1", "COMPLETED"))
    ledger.home(first, Home())
    assert natives.job_ids(number) == ["b-u1"]

    ledger.expired(second)
    assert natives.unfinished("b1") == []


def test_a_draft_that_is_given_up_leaves_rows_that_were_not_sent(
    ledger: Ledger, natives: NativeRecords
) -> None:
    """There are no such jobs, so nobody looks for them, and another one may have their ids."""
    number, (key,) = ready(ledger, natives, "a-u1")

    natives.drop(number)

    record = ledger.record(key)
    assert (record.state, record.job_id) == (State.NOT_SENT, None)
    assert record.error == "RunPod was told to drop it before it began"
    assert [each.state for each in ledger.sightings(key)][-1] is State.NOT_SENT
    assert ledger.batches.attempt_count("b1", "a-u1") == 0


def test_a_job_that_was_withdrawn_does_not_take_others_with_it(
    ledger: Ledger, natives: NativeRecords
) -> None:
    """What has run stays as it is."""
    number, (first, second) = ready(ledger, natives, "a-u1", "b-u1")
    ledger.seen(first, job("a-u1", "COMPLETED"))
    ledger.home(first, Home())

    natives.withdraw(second)
    natives.withdraw_all(number)

    assert ledger.record(first).state is State.COMPLETED
    assert ledger.record(second).state is State.NOT_SENT


def test_other_batches_have_their_own(natives: NativeRecords) -> None:
    """What is unfinished of one is no concern of another."""
    natives.begin("b1", DIGEST)

    assert natives.unfinished("b2") == []
