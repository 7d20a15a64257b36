from __future__ import annotations

import hashlib
import itertools
import json
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.api.types import Policy
from runpodctl_py.errors import LedgerError, NotFoundError, UsageError
from runpodctl_py.jobs.ledger import (
    FINAL,
    BucketPlace,
    Filter,
    Home,
    KeptFile,
    Ledger,
    Sighting,
    State,
    Waiting,
)
from runpodctl_py.jobs.ledger.record import FOLLOWED_BY
from tests.unit.jobs.ledger.samples import DEPLOYMENT, INTENT, KEY, LOCAL, RUNPOD, intent, job

if TYPE_CHECKING:
    from collections.abc import Callable

    from runpodctl_py.testing import FakeClock

STATUS = {
    State.QUEUED: "IN_QUEUE",
    State.RUNNING: "IN_PROGRESS",
    State.COMPLETED: "COMPLETED",
    State.FAILED: "FAILED",
    State.CANCELLED: "CANCELLED",
    State.TIMED_OUT: "TIMED_OUT",
}
LARGE = {"text": "word " * 20_000}
FILE = KeptFile(Path("/outputs/lake.png"), 4, "0" * 64, "image/png")


def move(ledger: Ledger, key: str, state: State, job_id: str = "8f3c2a54-u1") -> None:
    """Tell the ledger that a job has come to a state, in the way in which it is told that."""
    match state:
        case State.NOT_SENT:
            ledger.not_sent(key, "the endpoint is gone")
        case State.UNKNOWN:
            ledger.unknown(key, "the connection was cut")
        case State.EXPIRED:
            ledger.expired(key)
        case _ if ledger.record(key).job_id is None:
            ledger.sent(key, job(job_id, STATUS[state]))
        case _:
            ledger.seen(key, job(job_id, STATUS[state]))


def at(ledger: Ledger, state: State, job_id: str = "8f3c2a54-u1", **changes: Any) -> str:
    """Write a job down, lead it to a state, and return its key."""
    key = ledger.intend(intent(**changes))
    if state is State.EXPIRED:
        move(ledger, key, State.QUEUED, job_id)
    if state is not State.SENDING:
        move(ledger, key, state, job_id)
    return key


# What happens to a job.


def test_a_jobs_whole_life_is_there_to_read(ledger: Ledger, clock: FakeClock) -> None:
    """Every event, its time, and what RunPod said of it."""
    began = clock.now()
    asked = intent(
        preset="chatterbox",
        policy=Policy(60_000, None, low_priority=True),
        webhook="https://example.org/hook",
        is_sync=True,
        output_dir=Path("/outputs"),
        parent="0123456789ab",
        batch_id="b1",
        row="7",
    )
    key = ledger.intend(asked)
    clock.advance(1)
    ledger.sent(key, job())
    clock.advance(5)
    ledger.seen(key, job(status="IN_PROGRESS", delay_ms=4_000, worker_id="w1"))
    clock.advance(10)
    ledger.seen(key, job(status="COMPLETED", delay_ms=4_000, execution_ms=8_000, worker_id="w1"))
    clock.advance(1)
    ledger.home(key, Home((FILE,), {"image": {"saved": "/outputs/lake.png"}}, cost_usd=0.002))
    record = ledger.record(key)
    assert replace(record.intent, payload=asked.payload) == asked
    assert (record.state, record.job_id, record.worker_id) == (
        State.COMPLETED,
        "8f3c2a54-u1",
        "w1",
    )
    assert (record.created_at, record.seen_at, record.finished_at, record.saved_at) == (
        began,
        began + 16,
        began + 13,
        began + 17,
    )
    assert (record.delay_ms, record.execution_ms, record.cost_usd) == (4_000, 8_000, 0.002)
    assert (record.file_count, record.error, record.waits) == (1, None, False)
    assert ledger.sightings(key) == (
        Sighting(State.SENDING, began),
        Sighting(State.QUEUED, began + 1),
        Sighting(State.RUNNING, began + 6),
        Sighting(State.COMPLETED, began + 16),
    )
    assert ledger.files(key) == (FILE,)
    assert ledger.output(key) == {"image": {"saved": "/outputs/lake.png"}}
    assert ledger.payload(key) == asked.payload


@pytest.mark.parametrize("state", State, ids=str)
def test_each_state_is_seen_once(ledger: Ledger, state: State) -> None:
    """Hearing the same again is no new sighting."""
    key = at(ledger, state)
    if state is not State.SENDING:
        move(ledger, key, state)
    seen = [each.state for each in ledger.sightings(key)]
    assert (seen[-1], len(seen)) == (state, len(set(seen)))
    assert ledger.record(key).state is state


REACHED = tuple(set(State) - {State.SENDING})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (before, after)
        for before, after in itertools.product(State, REACHED)
        if after is not before and after not in FOLLOWED_BY[before]
    ],
    ids=str,
)
def test_old_news_change_nothing(ledger: Ledger, before: State, after: State) -> None:
    """An answer that overtook another, or one that cannot be, leaves the row as it is."""
    key = at(ledger, before)
    row, seen = ledger.record(key), ledger.sightings(key)
    move(ledger, key, after)
    assert (ledger.record(key), ledger.sightings(key)) == (row, seen)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (before, after)
        for before in State
        for after in sorted(FOLLOWED_BY[before])
        # Nothing of it is lost.
        if (before, after) != (State.CANCELLED, State.EXPIRED)
    ],
    ids=str,
)
def test_news_are_written_down(ledger: Ledger, before: State, after: State) -> None:
    """What may follow does, and is the last that was seen."""
    key = at(ledger, before)
    move(ledger, key, after)
    assert ledger.record(key).state is after
    assert ledger.sightings(key)[-1].state is after


def test_final_states_stay() -> None:
    """What RunPod said in the end is not taken back, except that it has dropped the result."""
    assert {state: FOLLOWED_BY[state] for state in FINAL} == dict.fromkeys(
        FINAL, frozenset({State.EXPIRED})
    )


def test_the_end_is_when_it_was_first_heard_of(ledger: Ledger, clock: FakeClock) -> None:
    """Asking again does not move the moment from which RunPod counts its half hour."""
    key = at(ledger, State.COMPLETED)
    ledger.seen(key, job(status="COMPLETED"))
    first = ledger.record(key).finished_at
    clock.advance(600)
    ledger.seen(key, job(status="COMPLETED"))
    assert ledger.record(key).finished_at == first == clock.now() - 600


@pytest.mark.parametrize(("is_sync", "kept_s"), [(False, 1800), (True, 60)])
def test_a_result_is_kept_for_half_an_hour_or_a_minute(
    ledger: Ledger, clock: FakeClock, *, is_sync: bool, kept_s: int
) -> None:
    """Counted from the end as far as its times tell, even if we hear of it late."""
    key = at(ledger, State.QUEUED, is_sync=is_sync)
    assert ledger.record(key).kept_until is None
    began = clock.now()
    clock.advance(1000)
    ledger.seen(key, job(status="COMPLETED", delay_ms=2_000, execution_ms=8_000))
    assert ledger.record(key).kept_until == began + 10 + kept_s


@pytest.mark.parametrize(
    ("times", "expected"),
    [({}, 50.0), ({"execution_ms": 99_000_000}, 50.0), ({"execution_ms": 1_000}, 1.0)],
)
def test_a_job_has_not_ended_in_the_future(
    ledger: Ledger, clock: FakeClock, times: dict[str, int], expected: float
) -> None:
    """Its end is now at the latest, and now if RunPod tells no times."""
    key, began = at(ledger, State.QUEUED), clock.now()
    clock.advance(50)
    ledger.seen(key, job(status="COMPLETED", **times))
    finished_at = ledger.record(key).finished_at
    assert finished_at is not None
    assert finished_at - began == expected


def test_the_end_of_a_second_run_is_counted_from_its_own_beginning(
    ledger: Ledger, clock: FakeClock
) -> None:
    """Not from when the job was first sent: it would seem to have been dropped long ago."""
    key = at(ledger, State.FAILED)
    clock.advance(1000)
    ledger.begun_anew(key)
    clock.advance(500)
    ledger.seen(key, job(status="COMPLETED", delay_ms=2_000, execution_ms=8_000))
    assert ledger.record(key).finished_at == clock.now() - 500 + 10


def test_a_job_that_went_back_to_the_queue_ends_later(ledger: Ledger, clock: FakeClock) -> None:
    """Its worker was lost: its times are those of the last run."""
    key = at(ledger, State.RUNNING)
    clock.advance(100)
    ledger.seen(key, job())
    clock.advance(500)
    ledger.seen(key, job(status="COMPLETED", execution_ms=8_000))
    assert ledger.record(key).finished_at == clock.now() - 500 + 8


def test_a_cancelled_job_returns_nothing(ledger: Ledger, clock: FakeClock) -> None:
    """So nothing of it waits, and nothing of it can be lost."""
    key = at(ledger, State.CANCELLED)
    record, cancelled_at = ledger.record(key), clock.now()
    assert (record.saved_at, record.waits) == (cancelled_at, False)
    assert ledger.jobs(Filter(unsettled=True)) == []
    clock.advance(60)
    ledger.seen(key, job(status="CANCELLED"))
    ledger.expired(key)
    record = ledger.record(key)
    assert (record.state, record.saved_at) == (State.CANCELLED, cancelled_at)


# What is home.


def test_home_is_written_in_one_piece(ledger: Ledger) -> None:
    """If one part cannot be written, none is: files, output and the mark stay as they were."""
    key = at(ledger, State.COMPLETED)
    before = ledger.record(key)
    broken = Home((FILE, replace(FILE, size_bytes=None)), {"fine": True})  # type: ignore[arg-type]
    with pytest.raises(LedgerError):
        ledger.home(key, broken)
    assert (ledger.record(key), ledger.files(key), ledger.output(key)) == (before, (), None)


def test_home_twice_is_as_once(ledger: Ledger) -> None:
    """The second time stands; no file is listed twice."""
    key = at(ledger, State.COMPLETED)
    ledger.home(key, Home((FILE,), "part", is_whole=False))
    assert (ledger.record(key).saved_at, ledger.record(key).waits) == (None, True)
    other = replace(FILE, path=Path("/elsewhere/lake.png"))
    ledger.home(key, Home((FILE, other), "whole"))
    assert (ledger.files(key), ledger.output(key)) == ((FILE, other), "whole")
    assert (ledger.record(key).file_count, ledger.record(key).waits) == (2, False)


def test_what_is_home_is_not_taken_back(ledger: Ledger, clock: FakeClock) -> None:
    """A second look that brings less, for a link has expired, changes nothing."""
    key = at(ledger, State.COMPLETED)
    ledger.home(key, Home((FILE,), {"image": "here"}, 0.5))
    before = ledger.record(key)
    clock.advance(60)
    ledger.home(key, Home((), None, 0.7, "the link has expired", is_whole=False))
    assert (ledger.record(key), ledger.files(key)) == (before, (FILE,))
    assert ledger.output(key) == {"image": "here"}


def test_a_second_look_may_bring_less_files(ledger: Ledger) -> None:
    """If it brought all there is, it stands: somebody wanted no files, say."""
    key = at(ledger, State.COMPLETED)
    ledger.home(key, Home((FILE,), "first"))
    ledger.home(key, Home((), "second"))
    assert (ledger.files(key), ledger.output(key)) == ((), "second")


def test_what_a_worker_said_is_kept(ledger: Ledger) -> None:
    """The person's words and the worker's, apart."""
    key = at(ledger, State.FAILED)
    said = {"error_type": "ValueError", "error_message": "no prompt"}
    ledger.home(key, Home(error="ValueError: no prompt", worker_error=said))
    assert (ledger.record(key).error, ledger.worker_error(key)) == ("ValueError: no prompt", said)
    assert ledger.output(key) is None


def test_what_is_home_does_not_expire(ledger: Ledger) -> None:
    """RunPod drops it in the end; we have it."""
    key = at(ledger, State.COMPLETED)
    ledger.home(key, Home((FILE,)))
    ledger.expired(key)
    assert ledger.record(key).state is State.COMPLETED


def test_a_job_that_runs_once_more_begins_anew(ledger: Ledger, clock: FakeClock) -> None:
    """The same job, in the queue again, with nothing of the first run but what was seen."""
    key = at(ledger, State.FAILED)
    ledger.home(key, Home((FILE,), "half", 0.1, "it broke", "broken"))
    clock.advance(60)
    ledger.begun_anew(key)
    record = ledger.record(key)
    assert (record.state, record.waits, record.job_id) == (State.QUEUED, True, "8f3c2a54-u1")
    assert (record.error, record.cost_usd, record.finished_at) == (None, None, None)
    assert (ledger.output(key), ledger.worker_error(key)) == (None, None)
    assert [each.state for each in ledger.sightings(key)] == [
        State.SENDING,
        State.FAILED,
        State.QUEUED,
    ]
    ledger.seen(key, job(status="COMPLETED"))
    assert ledger.record(key).state is State.COMPLETED


def test_a_job_that_may_be_repeated_has_to_be_looked_after(
    ledger: Ledger, clock: FakeClock
) -> None:
    """From before RunPod is asked to repeat it, until it is known that it was not."""
    key = at(ledger, State.FAILED)
    ledger.home(key, Home((FILE,), "half", error="it broke"))
    before = ledger.record(key)
    clock.advance(60)
    ledger.repeating(key)
    assert (ledger.record(key).state, ledger.record(key).waits) == (State.FAILED, True)
    assert [each.key for each in ledger.jobs(Filter(unsettled=True))] == [key]
    ledger.not_repeated(before)
    assert (ledger.record(key), ledger.files(key)) == (before, (FILE,))


@pytest.mark.parametrize("before", [State.FAILED, State.TIMED_OUT])
@pytest.mark.parametrize("after", set(STATUS) - {State.CANCELLED})
def test_runpod_may_have_repeated_a_job_meanwhile(
    ledger: Ledger, before: State, after: State
) -> None:
    """Whoever has just asked believes it; the first run's files and words are not the second's."""
    key = at(ledger, before)
    ledger.home(key, Home((FILE,), "half", error="it broke"))
    ledger.asked(key, job(status=STATUS[after]))
    record, seen = ledger.record(key), [each.state for each in ledger.sightings(key)]
    assert record.state is after
    if after is before:
        assert (record.waits, ledger.files(key)) == (False, (FILE,))
        return
    assert (record.waits, record.error, ledger.files(key), ledger.output(key)) == (
        True,
        None,
        (),
        None,
    )
    assert seen[1:3] == [before, State.QUEUED]


@pytest.mark.parametrize("before", [State.COMPLETED, State.CANCELLED])
@pytest.mark.parametrize("after", ["IN_QUEUE", "IN_PROGRESS", "FAILED"])
def test_what_runpod_does_not_repeat_stays(ledger: Ledger, before: State, after: str) -> None:
    """Only failed jobs and those that timed out can begin anew."""
    key = at(ledger, before)
    ledger.asked(key, job(status=after))
    assert ledger.record(key).state is before


@pytest.mark.parametrize("state", [State.UNKNOWN, State.QUEUED, State.NOT_SENT])
def test_nobody_looks_for_what_was_sent_once_more(ledger: Ledger, state: State) -> None:
    """An unknown job is settled by the one that repeats it; others are not."""
    parent = at(ledger, state)
    assert at(ledger, State.SENDING, parent=parent) != parent
    assert ledger.record(parent).state is state
    assert (ledger.record(parent).saved_at is not None) == (state is State.UNKNOWN)


def test_a_forgotten_job_is_no_trouble(ledger: Ledger) -> None:
    """Another command may have pruned it while it was followed."""
    key = at(ledger, State.NOT_SENT)
    ledger.forget(float("inf"))
    for write in (ledger.sent, ledger.seen, ledger.asked, ledger.found):
        write(key, job(status="COMPLETED"))
    for end in (ledger.expired, ledger.repeating, ledger.begun_anew, ledger.let_go):
        end(key)
    ledger.home(key, Home((FILE,), "out"))
    assert (ledger.claim(key), ledger.jobs()) == (False, [])


# Jobs of others.


def test_a_job_of_somebody_elses_is_taken_up_once(ledger: Ledger) -> None:
    """A second time finds the first; its input is nobody's to know."""
    key = ledger.adopt(RUNPOD, "e1", job("sync-77aa0000-u1", "IN_PROGRESS"), preset="qwen")
    assert ledger.adopt(RUNPOD, "e1", job("sync-77aa0000-u1", "COMPLETED")) == key
    record = ledger.record(key)
    assert (record.state, record.intent.preset, record.intent.is_sync) == (
        State.RUNNING,
        "qwen",
        True,
    )
    assert (ledger.payload(key), record.is_payload_whole) == (None, False)
    assert len(ledger.jobs()) == 1


def test_a_job_of_ours_stays_ours(ledger: Ledger) -> None:
    """Its input, its preset and its time are kept when somebody watches it."""
    key = at(ledger, State.QUEUED, preset="test")
    before = ledger.record(key)
    assert ledger.adopt(RUNPOD, INTENT.endpoint_id, job(), preset="qwen") == key
    assert (ledger.record(key), ledger.payload(key)) == (before, INTENT.payload)


def test_one_id_at_two_runpods_is_two_jobs(ledger: Ledger) -> None:
    """A local RunPod may well give an id that RunPod gave."""
    keys = {ledger.adopt(place, "e1", job()) for place in (RUNPOD, LOCAL)}
    assert len(keys) == len(ledger.jobs()) == 2


def test_an_id_that_a_local_runpod_gives_again_is_the_new_jobs(ledger: Ledger) -> None:
    """After a reset the same seed makes the same ids: the job that had it before is gone."""
    old = at(ledger, State.COMPLETED, place=LOCAL)
    new = at(ledger, State.QUEUED, place=LOCAL)
    assert (ledger.record(old).state, ledger.record(new).state) == (State.EXPIRED, State.QUEUED)
    assert ledger.find("8f3c2a54-u1").key == new


# Looking.


def test_a_job_is_found_by_the_beginning_of_its_id(ledger: Ledger) -> None:
    """Or of its key, or without the `sync-` that nobody types."""
    key = at(ledger, State.QUEUED, "sync-8f3c2a54-11-u1")
    for text in ("8f3c", "8F3C2A54", "sync-8f3c", "sync-8f3c2a54-11-u1", key, key[:4]):
        assert ledger.find(text).key == key


@pytest.mark.parametrize(
    "text", ["8f3", "", "sync-", "9999", "%%%%", "____", "8f%c2", "8f_c2", "8f\\3c", "8f%"]
)
def test_a_text_that_is_no_beginning_finds_nothing(ledger: Ledger, text: str) -> None:
    """Too short, another's, or one that SQL would take for any text."""
    at(ledger, State.QUEUED)
    with pytest.raises(NotFoundError, match="The ledger knows no job"):
        ledger.find(text)


def test_a_beginning_that_several_share_is_not_enough(ledger: Ledger) -> None:
    """The whole id is, even if another one begins with it."""
    for number in ("1", "11", "12"):
        at(ledger, State.QUEUED, f"8f3c2a54-{number}")
    with pytest.raises(UsageError, match=r"8f3c2a54-12, 8f3c2a54-11, 8f3c2a54-1") as caught:
        ledger.find("8f3c")
    assert caught.value.hint == "Type more of the id."
    assert ledger.find("8f3c2a54-1").job_id == "8f3c2a54-1"


def test_a_shell_completes_the_newest_first(ledger: Ledger) -> None:
    """Only ids, as many as asked for; what was never answered has none."""
    for number in range(4):
        at(ledger, State.QUEUED, f"8f3c-{number}")
    at(ledger, State.UNKNOWN)
    assert ledger.ids("8f", 3) == ["8f3c-3", "8f3c-2", "8f3c-1"]
    assert (ledger.ids("8_", 3), ledger.ids("%", 3)) == ([], [])


def test_the_ledger_knows_what_is_in_it(ledger: Ledger) -> None:
    """By RunPod's whole id."""
    at(ledger, State.QUEUED)
    assert (ledger.knows("8f3c2a54-u1"), ledger.knows("8f3c2a54")) == (True, False)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(), "edcba"),
        (Filter(states=(State.QUEUED,)), "dba"),
        (Filter(states=(State.QUEUED, State.FAILED)), "dcba"),
        (Filter(endpoint_id="e2"), "b"),
        (Filter(preset="qwen"), "c"),
        (Filter(batch_id="b1"), "ed"),
        (Filter(since=1_790_000_002.0), "edc"),
        (Filter(unsettled=True), "dba"),
        (Filter(states=(State.QUEUED,), batch_id="b1", unsettled=True), "d"),
    ],
)
def test_jobs_are_listed_as_asked(
    ledger: Ledger, clock: FakeClock, wanted: Filter, expected: str
) -> None:
    """The newest first, and only those that all conditions allow."""
    for name, state, changes in (
        ("a", State.QUEUED, {}),
        ("b", State.QUEUED, {"endpoint_id": "e2"}),
        ("c", State.FAILED, {"preset": "qwen"}),
        ("d", State.QUEUED, {"batch_id": "b1"}),
        ("e", State.EXPIRED, {"batch_id": "b1"}),
    ):
        key = at(ledger, state, name, **changes)
        if state is State.FAILED:
            ledger.home(key, Home())
        clock.advance(1)
    assert "".join(each.job_id or "" for each in ledger.jobs(wanted)) == expected
    assert [each.key for each in ledger.each(wanted)] == [each.key for each in ledger.jobs(wanted)]
    assert [each.job_id for each in ledger.jobs(wanted, limit=1)] == [expected[0]]


def test_many_jobs_come_page_by_page(ledger: Ledger) -> None:
    """Each once, whatever is added meanwhile, at any number around a page's."""
    keys = [ledger.intend(intent(batch_id="b1")) for _ in range(501)]
    reading = ledger.each(Filter(batch_id="b1"))
    first = next(reading).key
    ledger.intend(intent(batch_id="b1"))
    assert [first, *(each.key for each in reading)] == keys[::-1]
    assert len(list(ledger.each(Filter(since=0)))) == 502
    assert list(ledger.each(Filter(batch_id="b2"))) == []


# Inputs, and what must not be in them.


@pytest.mark.parametrize(
    ("changes", "expected", "is_whole"),
    [
        ({"payload": {"text": "\ud800 é"}}, {"text": "\ud800 é"}, True),
        ({"payload": {"hf_token": "hf_x", "n": 1}}, {"hf_token": "***", "n": 1}, False),
        ({"payload": {"text": f"my key is {KEY}"}}, {"text": "my key is ***"}, False),
        ({"webhook": "https://e.org/h?sig=s3cret"}, INTENT.payload, False),
        ({"webhook": "https://e.org/h"}, INTENT.payload, True),
    ],
)
def test_no_secret_is_written_down(
    ledger: Ledger, changes: dict[str, Any], expected: object, *, is_whole: bool
) -> None:
    """And it is known whether anything is missing."""
    key = ledger.intend(intent(**changes))
    assert (ledger.payload(key), ledger.record(key).is_payload_whole) == (expected, is_whole)
    for path in ledger.path.parent.rglob("*"):
        if path.is_file():
            assert not {b for b in (b"hf_x", KEY.encode(), b"s3cret") if b in path.read_bytes()}


def test_a_reason_without_its_secret(ledger: Ledger) -> None:
    """RunPod may say a key back to whom it refuses."""
    key = at(ledger, State.SENDING)
    ledger.not_sent(key, f"refused {KEY}, see https://me:s3cret@e.org/a?sig=s3cret")
    assert ledger.record(key).error == "refused ***, see https://***@e.org/a?***"


@pytest.mark.parametrize("text", ["\ud800", "half \udfff a character", "é…𝄞", "\0"])
def test_texts_that_are_no_utf_8(ledger: Ledger, text: str) -> None:
    """A worker may say anything; nothing of it is worth losing the job for."""
    key = ledger.intend(
        intent(payload={text: text}, preset=text, webhook=text, batch_id=text, row=text)
    )
    ledger.sent(key, job(worker_id=text))
    ledger.seen(key, job(status="FAILED", worker_id=text))
    ledger.home(key, Home((), {text: [text]}, error=text, worker_error={text: text}))
    lost = ledger.intend(INTENT)
    ledger.unknown(lost, text)
    kept, record = text.encode(errors="backslashreplace").decode(), ledger.record(key)
    assert (record.worker_id, record.error, ledger.record(lost).error) == (kept, kept, kept)
    assert (record.intent.batch_id, record.intent.row) == (kept, kept)
    assert (ledger.payload(key), ledger.output(key)) == ({text: text}, {text: [text]})
    assert ledger.worker_error(key) == {text: text}
    ledger.deployed(replace(DEPLOYMENT, name=text))
    assert [each.name for each in [ledger.deployment(RUNPOD, DEPLOYMENT.endpoint_id, 0.0)] if each]


@pytest.mark.parametrize("number", [2**63, 2**70, -(2**70), 1e308, 0.1])
def test_numbers_of_any_size(ledger: Ledger, number: float) -> None:
    """In what was sent and in what came back, as JSON has them."""
    key = at(ledger, State.COMPLETED, payload={"seed": number})
    ledger.home(key, Home((), {"seed": number}))
    assert (ledger.payload(key), ledger.output(key)) == ({"seed": number}, {"seed": number})


def test_a_number_that_no_disk_takes(ledger: Ledger) -> None:
    """It is said, and the job stays as it was."""
    key = at(ledger, State.RUNNING)
    with pytest.raises(LedgerError, match="cannot keep this"):
        ledger.seen(key, job(status="COMPLETED", delay_ms=2**70))
    assert ledger.record(key).state is State.RUNNING
    ledger.seen(key, job(status="COMPLETED"))
    assert ledger.record(key).state is State.COMPLETED


@pytest.mark.skipif(sys.platform == "darwin", reason="its file names are always text")
def test_a_folder_whose_name_is_no_text(ledger: Ledger) -> None:
    """Linux has such names; the job's files are still found there."""
    folder = Path(os.fsdecode(b"/outputs/caf\xe9"))
    key = at(ledger, State.COMPLETED, output_dir=folder)
    file = replace(FILE, path=folder / os.fsdecode(b"\xff.png"))
    ledger.home(key, Home((file,), {"image": {"saved": str(file.path)}}))
    assert ledger.record(key).intent.output_dir == folder
    assert ledger.files(key) == (file,)
    assert ledger.output(key) == {"image": {"saved": str(file.path)}}


def test_secrets_that_come_back_are_not_written_down(ledger: Ledger) -> None:
    """In an output, in an error, in what nobody answered."""
    key = at(ledger, State.FAILED)
    ledger.home(
        key, Home((), {"api_key": "s3cret"}, None, f"refused {KEY}", {"password": "s3cret"})
    )
    lost = ledger.intend(INTENT)
    ledger.unknown(lost, f"no answer to {KEY}")
    assert ledger.output(key) == {"api_key": "***"}
    assert ledger.worker_error(key) == {"password": "***"}
    assert (ledger.record(key).error, ledger.record(lost).error) == (
        "refused ***",
        "no answer to ***",
    )


def side_files(ledger: Ledger) -> list[Path]:
    """Return what stands beside the ledger for inputs that are large."""
    return sorted(ledger.path.with_name(f"{ledger.path.name}.inputs").glob("*"))


def test_a_large_input_stands_aside(ledger: Ledger) -> None:
    """Once, however often it is sent, and only this user can read it."""
    keys = [ledger.intend(intent(payload=LARGE)) for _ in range(2)]
    (path,) = side_files(ledger)
    body = json.dumps(LARGE).encode()
    assert (path.stem, path.read_bytes()) == (hashlib.sha256(body).hexdigest(), body)
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent)] == [0o600, 0o700]
    assert [ledger.payload(key) for key in keys] == [LARGE, LARGE]
    path.unlink()
    assert [ledger.payload(key) for key in keys] == [None, None]
    assert ledger.record(keys[0]).is_payload_whole


@pytest.mark.parametrize("size_bytes", [64 * 1024, 64 * 1024 + 1])
def test_what_is_large(ledger: Ledger, size_bytes: int) -> None:
    """More than 64 KiB of JSON."""
    key = ledger.intend(intent(payload="x" * (size_bytes - 2)))
    assert len(side_files(ledger)) == int(size_bytes > 64 * 1024)
    assert ledger.payload(key) == "x" * (size_bytes - 2)


def test_only_this_user_can_read_the_ledger(ledger: Ledger) -> None:
    """What was sent may be private."""
    ledger.intend(INTENT)
    files = [each for each in ledger.path.parent.rglob("*") if each.is_file()]
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
    assert stat.S_IMODE(ledger.path.parent.stat().st_mode) == 0o700


# Forgetting.


def test_only_what_is_done_with_is_forgotten(ledger: Ledger, clock: FakeClock) -> None:
    """RunPod may still have the others' results; newer ones are not old."""
    for state in State:
        at(ledger, state, f"{state}-u1")
    ledger.home(at(ledger, State.COMPLETED, "saved-u1"), Home((FILE,), "out"))
    clock.advance(100)
    ledger.home(at(ledger, State.COMPLETED, "new-u1"), Home())
    assert ledger.forgettable(clock.now()) == ledger.forget(clock.now()) == 4
    left = {(each.state, each.job_id) for each in ledger.jobs()}
    gone = {State.NOT_SENT, State.EXPIRED, State.CANCELLED}
    nameless = {State.SENDING, State.UNKNOWN}
    expected = {(s, None if s in nameless else f"{s}-u1") for s in set(State) - gone}
    assert left == {*expected, (State.COMPLETED, "new-u1")}
    rows = ledger._database.rows(
        "SELECT (SELECT count(*) FROM file) + (SELECT count(*) FROM output)"
    )
    assert rows[0][0] == 1  # the newer one's output


DAY_S = 24 * 60 * 60


@pytest.mark.parametrize(("age_s", "count"), [(8 * DAY_S - 1, 0), (8 * DAY_S + 1, 7)])
def test_what_runpod_cannot_know_any_more_is_forgotten_too(
    ledger: Ledger, clock: FakeClock, age_s: float, count: int
) -> None:
    """Whatever its state: no job lives for longer than eight days."""
    waiting = {State.SENDING, State.UNKNOWN, *STATUS} - {State.CANCELLED}
    for state in waiting:
        at(ledger, state, f"{state}-u1")
    clock.advance(age_s)
    assert ledger.forgettable(clock.now()) == count
    assert (ledger.forget(clock.now()), len(ledger.jobs())) == (count, len(waiting) - count)


def test_who_wants_to_keep_more_keeps_more(ledger: Ledger, clock: FakeClock) -> None:
    """Old as they are: only those that are older than what was said are forgotten."""
    at(ledger, State.UNKNOWN)
    clock.advance(30 * DAY_S)
    assert ledger.forget(clock.now() - 90 * DAY_S) == 0
    assert ledger.forget(clock.now() - 29 * DAY_S) == 1


def test_inputs_that_nobody_needs_go_too(ledger: Ledger, clock: FakeClock) -> None:
    """One that another job was sent as well stays, and no other file is touched."""
    other = {"text": "another " * 20_000}
    clock.advance(100)
    keep = ledger.intend(intent(payload=LARGE))
    for payload in (LARGE, other):
        ledger.not_sent(ledger.intend(intent(payload=payload)), "no")
    assert len(side_files(ledger)) == 2
    assert ledger.forget(float("inf")) == 2
    assert (len(side_files(ledger)), ledger.payload(keep)) == (1, LARGE)


# What waits.


def test_what_waits_is_counted(ledger: Ledger, clock: FakeClock) -> None:
    """Of those that nobody works on; the notice at a command's end is made of it."""
    for number, state in enumerate((State.QUEUED, State.COMPLETED, State.FAILED, State.UNKNOWN)):
        ledger.let_go(at(ledger, state, f"{number}-u1"))
        clock.advance(1)
    at(ledger, State.COMPLETED, "in-hand-u1")
    ledger.seen(ledger.find("1-u1").key, job("1-u1", "COMPLETED", execution_ms=0))
    waiting = ledger.waiting(clock.now())
    assert waiting == Waiting(
        ended=2, running=1, unknown=1, first_drop_at=clock.now() - 3 + 30 * 60, others=4
    )
    assert ledger.waiting(0.0).running == 0


# Deployments.


def test_a_job_ran_on_what_stood_there_then(ledger: Ledger) -> None:
    """The last that was set up until that moment, at this RunPod."""
    first = replace(DEPLOYMENT, at=100.0, image="one", gpu_ids="AMPERE_16", price_per_s_usd=0.1)
    second = replace(DEPLOYMENT, at=200.0, action="update", image="two", gpu_count=2)
    for each in (second, first, replace(DEPLOYMENT, at=150.0, place=LOCAL, image="local")):
        ledger.deployed(each)
    found = [ledger.deployment(RUNPOD, "i02xupws21hp6i", at) for at in (99.0, 100.0, 199.9, 200.0)]
    assert found == [None, first, first, second]
    assert ledger.deployment(RUNPOD, "another", 300.0) is None


def test_of_two_at_one_moment_the_later_written_counts(ledger: Ledger) -> None:
    """A clock may stand still for as long as two commands take."""
    for image in ("one", "two"):
        ledger.deployed(replace(DEPLOYMENT, image=image))
    found = ledger.deployment(RUNPOD, "i02xupws21hp6i", 0.0)
    assert found is not None
    assert found.image == "two"


# Alike.


def test_jobs_that_were_sent_the_same_are_counted(ledger: Ledger) -> None:
    """In one state, at one endpoint of one RunPod; whether large or small, masked or not."""
    for payload in (INTENT.payload, LARGE, {"api_key": "one"}):
        given: dict[str, Any] = {"payload": payload}
        record = ledger.record(at(ledger, State.UNKNOWN, **given))
        assert (ledger.twins(record, State.UNKNOWN), ledger.twins(record, State.SENDING)) == (1, 0)
        at(ledger, State.UNKNOWN, **given)
        at(ledger, State.SENDING, **given)
        at(ledger, State.UNKNOWN, **given, endpoint_id="another")
        at(ledger, State.UNKNOWN, **given, place=LOCAL)
        assert (ledger.twins(record, State.UNKNOWN), ledger.twins(record, State.SENDING)) == (2, 1)


def test_a_job_that_is_anothers_is_not_found(ledger: Ledger) -> None:
    """Somebody else was faster; nothing changes."""
    at(ledger, State.QUEUED)
    key = at(ledger, State.UNKNOWN)
    before = ledger.record(key)
    assert (ledger.found(key, job()), ledger.record(key)) == (False, before)
    assert ledger.found(key, job("another-u1"))
    assert (ledger.record(key).state, ledger.record(key).job_id) == (State.QUEUED, "another-u1")


# In whose hands.


@pytest.fixture
def other(ledger: Ledger) -> Ledger:
    """The same ledger as another command has it open."""
    return Ledger(ledger.path)


def test_a_job_is_in_one_pair_of_hands(ledger: Ledger, other: Ledger) -> None:
    """Until they let go, or are gone."""
    key = at(ledger, State.QUEUED)
    with other:
        assert (other.claim(key), ledger.claim(key)) == (False, True)
        ledger.let_go(key)
        assert (other.claim(key), ledger.claim(key)) == (True, False)
    assert ledger.claim(key)


def test_nobody_lets_go_of_anothers(ledger: Ledger, other: Ledger) -> None:
    """Neither by saying so, nor by writing down that it is home."""
    key = at(ledger, State.COMPLETED)
    with other:
        other.let_go(key)
        other.home(key, Home())
        assert not other.claim(key)
    ledger.home(key, Home())
    with Ledger(ledger.path) as third:
        assert not third.claim(key)


def test_who_was_ended_while_sending_does_not_know(ledger: Ledger, other: Ledger) -> None:
    """Its job is unknown as soon as somebody looks, and not before it is gone."""
    key = ledger.intend(INTENT)
    with other:
        other.settle()
        assert other.record(key).state is State.SENDING
        ledger.close()
        other.settle()
        assert (other.record(key).state, other.record(key).error) == (
            State.UNKNOWN,
            "the command that sent it was ended before it was answered",
        )


def test_nothing_is_made_before_it_is_needed(ledger: Ledger) -> None:
    """Neither file nor folder."""
    ledger.close()
    assert not ledger.path.parent.exists()


@pytest.mark.parametrize(
    "write",
    [
        lambda ledger, key: ledger.not_sent(key, "no"),
        lambda ledger, key: ledger.unknown(key, "no"),
        lambda ledger, key: ledger.let_go(key),
    ],
    ids=["not sent", "unknown", "let go"],
)
def test_whoever_is_done_lets_go(ledger: Ledger, write: Callable[[Ledger, str], None]) -> None:
    """Then another command may take the job in hand."""
    key = at(ledger, State.SENDING)
    write(ledger, key)
    with Ledger(ledger.path) as other:
        assert other.claim(key)


SAID = [{"token": "Hello "}, "https://b.test/a.png?X-Amz-Signature=abc", "x" * 70_000]


def test_pieces_are_kept_as_they_came(ledger: Ledger) -> None:
    """They are to be saved: what looks like a secret is a part of them."""
    key = ledger.intend(INTENT)
    ledger.heard(key, SAID[:1])
    ledger.heard(key, SAID[1:])
    assert ledger.pieces(key) == tuple(SAID)
    assert ledger.pieces(ledger.intend(INTENT)) == ()


@pytest.mark.parametrize(("home", "left"), [(Home(), 0), (Home(keeps_pieces=True), 1)])
def test_pieces_go_when_they_are_saved(ledger: Ledger, home: Home, left: int) -> None:
    """And not before: nobody else has them."""
    key = ledger.intend(INTENT)
    move(ledger, key, State.COMPLETED)
    ledger.heard(key, ["a"])
    ledger.home(key, home)
    assert len(ledger.pieces(key)) == left


def test_a_job_that_runs_once_more_says_it_anew(ledger: Ledger) -> None:
    """What its first run has said is no part of that."""
    key = ledger.intend(INTENT)
    move(ledger, key, State.FAILED)
    ledger.heard(key, ["a"])
    ledger.begun_anew(key)
    assert ledger.pieces(key) == ()


def test_what_is_to_be_called_and_where_it_goes_is_kept(ledger: Ledger) -> None:
    """Of a bucket, all but its keys."""
    wanted = replace(
        INTENT,
        output_name="hello",
        bucket=BucketPlace("files", "https://s3.test", "today"),
        returns_object=True,
    )
    kept = ledger.record(ledger.intend(wanted)).intent
    assert (kept.output_name, kept.bucket, kept.returns_object) == (
        "hello",
        wanted.bucket,
        True,
    )
