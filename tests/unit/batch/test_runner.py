"""Running a batch: each row has one result, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.api.types import JobStatus
from runpodctl_py.batch.row import BadRow, Row
from runpodctl_py.batch.working import Limits, Stop
from runpodctl_py.errors import LedgerError, NetworkError, NotFoundError, UnauthorizedError
from runpodctl_py.jobs.ledger import BatchState, Ledger, State
from tests.unit.batch.scene import (
    DIED,
    GONE,
    INVALID,
    TIMED_OUT,
    FarRunPod,
    Fate,
    Killed,
    Machine,
    Scene,
    failed,
    rows_of,
    script,
    unknown,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def runpod(**options: object) -> FarRunPod:
    """Return a RunPod at which something is special."""
    return FarRunPod(Machine(), **options)  # type: ignore[arg-type] # they are its own


def fates(*each: Fate) -> Callable[[str, int], Fate]:
    """Return what makes the first jobs of every row end so, and all others well."""
    return lambda _, before: each[before] if before < len(each) else Fate()


def first_of_r1_dies(row: str, before: int) -> Fate:
    """Have the first job of one row lose its worker."""
    return DIED if row == "r1" and not before else Fate()


def states(scene: Scene) -> dict[str, State]:
    """Return where the rows ended, by results.jsonl."""
    return {name: each.state for name, each in scene.results().items()}


def cancel(scene: Scene) -> None:
    """Cancel the batch, as `batch cancel` in another process does."""
    with Ledger(scene.ledger_path) as ledger:
        rows = list(ledger.batches.in_flight(scene.batch.batch_id))
        ledger.batches.move(scene.batch.batch_id, BatchState.CANCELLED)
        for record in rows:
            assert record.job_id is not None
            scene.runpod.cancel(record.job_id)
            job = scene.runpod.jobs[record.job_id].seen(scene.machine.now_s)
            ledger.asked(record.key, job)


# Which rows.


def test_every_row_has_one_result(tmp_path: Path) -> None:
    """It is told, stands in the file and in the ledger; and each job cost two requests."""
    scene = Scene(tmp_path, rows_of(20))
    outcome = scene.run()
    assert (outcome.stop, outcome.tally.succeeded, outcome.tally.left) == (Stop.DONE, 20, 0)
    assert (outcome.tally.sent, outcome.tally.requests, outcome.tally.in_flight) == (20, 40, 0)
    results = scene.results()
    assert list(results) == [each.name for each in scene.told]
    assert {name: each.output for name, each in results.items()} == {
        f"r{number}": {"said": {"row": f"r{number}"}} for number in range(1, 21)
    }
    assert len(scene.runpod.jobs) == 20
    assert scene.state() is BatchState.DONE


def test_a_batch_that_is_done_is_not_run_again(tmp_path: Path) -> None:
    """The same command again finds everything there."""
    scene = Scene(tmp_path, rows_of(3))
    scene.run()
    before = dict(scene.runpod.calls)
    outcome = scene.run()
    assert (outcome.stop, outcome.tally.kept, outcome.tally.sent) == (Stop.DONE, 3, 0)
    assert (scene.runpod.calls["run"], scene.runpod.calls["status-sync"]) == (
        before["run"],
        before["status-sync"],
    )


def test_an_empty_rest_is_done_at_once(tmp_path: Path) -> None:
    """Rows that cannot be sent are no rows."""
    scene = Scene(tmp_path, [BadRow(1, "no input")])
    outcome = scene.run()
    assert (outcome.stop, outcome.tally.left, scene.runpod.jobs) == (Stop.DONE, 0, {})


def test_rows_that_cannot_be_sent_are_passed_over(tmp_path: Path) -> None:
    """Also across the chunks in which the file is read."""
    rows = [BadRow(each.line, "bad") if each.line % 3 == 0 else each for each in rows_of(210)]
    scene = Scene(tmp_path, rows)
    outcome = scene.run()
    assert (outcome.stop, outcome.tally.succeeded, outcome.tally.left) == (Stop.DONE, 140, 0)
    assert sorted(scene.results()) == sorted(each.name for each in rows if isinstance(each, Row))


def test_more_jobs_than_questions(tmp_path: Path) -> None:
    """They take turns, and none is forgotten."""
    scene = Scene(tmp_path, rows_of(9), runpod(fate=lambda row, _: Fate(takes_s=int(row[1]) * 7)))
    scene.at_once = 2
    outcome = scene.run()
    assert (outcome.tally.succeeded, scene.runpod.most_held) == (9, 2)


def test_a_row_that_runpod_refuses(tmp_path: Path) -> None:
    """It alone fails; the same command tries it again, and its old line is gone then."""
    scene = Scene(tmp_path, rows_of(3), runpod(trouble=script(run=[None, "refused"])))
    outcome = scene.run()
    assert (outcome.tally.succeeded, outcome.tally.failed, outcome.tally.left) == (2, 1, 0)
    result = scene.results()["r2"]
    assert (result.state, result.error) == (State.NOT_SENT, "RunPod refused the request")
    (record,) = scene.attempts("r2")
    assert (result.key, result.job_id, result.attempts) == (record.key, None, 1)
    again = scene.run()
    assert (again.tally.kept, again.tally.sent, again.tally.succeeded) == (2, 1, 3)
    assert scene.results()["r2"].attempts == 1


def test_a_result_that_runpod_has_dropped(tmp_path: Path) -> None:
    """The row is no success, and says why; nothing waits for it."""
    scene = Scene(tmp_path, rows_of(2), runpod(fate=lambda row, _: GONE if row == "r1" else Fate()))
    outcome = scene.run(Limits(retries=3))
    assert (outcome.stop, outcome.tally.failed) == (Stop.DONE, 1)
    result = scene.results()["r1"]
    assert (result.state, result.error) == (
        State.EXPIRED,
        "RunPod does not know the job any more: its result was not fetched in time",
    )
    assert len(scene.runpod.of("r1")) == 1
    again = scene.run()
    assert (again.tally.kept, again.tally.ended, again.tally.requests) == (2, 2, 0)
    again = scene.run(repeats=failed)
    assert (again.tally.sent, again.tally.kept) == (1, 1)


# What ends it.


def test_a_kill_between_any_two_steps(tmp_path: Path) -> None:
    """Nothing is lost; only what was written down and did not arrive is unknown."""
    lives_for, ended, unknowns = 0, False, 0
    while not ended:
        folder = tmp_path / str(lives_for)
        folder.mkdir()
        scene = Scene(folder, rows_of(2), runpod(fate=first_of_r1_dies))
        outcome = scene.run(Limits(retries=1), lives_for=lives_for)
        ended = outcome.stop is Stop.DONE
        assert ended or isinstance(outcome.error, Killed)
        last = scene.run(Limits(retries=1))
        unknowns += len(last.tally.unknown)
        assert sorted([*scene.results(), *last.tally.unknown]) == ["r1", "r2"]
        if last.tally.unknown:
            last = scene.run(Limits(retries=2), repeats=unknown)
        assert (last.stop, last.tally.unknown, last.tally.left) == (Stop.DONE, [], 0)
        assert set(states(scene).values()) == {State.COMPLETED}
        assert (len(scene.runpod.of("r1")), len(scene.runpod.of("r2"))) == (2, 1)
        assert list(scene.complaints) == []
        lives_for += 1
    assert lives_for > 20
    assert unknowns > 0


@pytest.mark.parametrize("at_s", [0.0, 0.001, 0.0515, 0.08, 0.102, 0.12, 1.0, 2.16, 2.17])
def test_ctrl_c_at_any_time(tmp_path: Path, at_s: float) -> None:
    """The answers to what is on its way are waited for: nothing is unknown afterwards."""
    scene = Scene(tmp_path, rows_of(5), runpod(fate=fates(DIED)))
    outcome = scene.run(Limits(retries=1), interrupted_at_s=at_s)
    assert isinstance(outcome.error, asyncio.CancelledError)
    known = {record.state for row in scene.rows for record in scene.attempts(row.name)}
    assert not known & {State.SENDING, State.UNKNOWN}
    last = scene.run(Limits(retries=1))
    assert (last.stop, last.tally.unknown, last.tally.succeeded) == (Stop.DONE, [], 5)
    assert [len(scene.runpod.of(row.name)) for row in scene.rows] == [2] * 5
    assert list(scene.complaints) == []


def test_ctrl_c_does_not_wait_for_ever(tmp_path: Path) -> None:
    """A request that nobody answers is unknown after forty seconds, and found later."""
    far = runpod(latency_s=lambda: 25.0)
    scene = Scene(tmp_path, rows_of(1), far)
    outcome = scene.run(interrupted_at_s=1.0)
    assert isinstance(outcome.error, asyncio.CancelledError)
    assert scene.machine.now_s == pytest.approx(41, abs=0.1)
    assert [each.state for each in scene.attempts("r1")] == [State.UNKNOWN]
    far.latency_s = lambda: 0.05
    last = scene.run()
    assert (last.tally.succeeded, last.tally.sent, len(far.jobs)) == (1, 0, 1)


@pytest.mark.parametrize("error", ["401", "404"])
def test_what_concerns_all_rows_ends_it(tmp_path: Path, error: str) -> None:
    """It is raised as it is, not in a group; and what was not sent is sent another time."""
    far = runpod(trouble=script(run=[None, None, *[error] * 9]))
    scene = Scene(tmp_path, rows_of(9), far)
    outcome = scene.run()
    assert isinstance(outcome.error, UnauthorizedError if error == "401" else NotFoundError)
    assert outcome.tally.in_flight == 0
    far.trouble = script()
    last = scene.run()
    assert (last.stop, last.tally.succeeded, len(far.jobs)) == (Stop.DONE, 9, 9)


def test_a_ledger_that_is_lost_ends_it(tmp_path: Path) -> None:
    """Nothing is sent that is not written down."""

    def lose(scene: Scene) -> None:
        scene.ledger_path.unlink()

    scene = Scene(tmp_path, rows_of(20), runpod(fate=lambda *_: Fate(takes_s=0.5)))
    outcome = scene.run(beside=lose, beside_at_s=0.9, window=1)
    assert isinstance(outcome.error, LedgerError)
    assert len(scene.runpod.jobs) < 4
    assert list(scene.complaints) == []


def test_ctrl_c_and_an_error_at_once(tmp_path: Path) -> None:
    """Ctrl-C wins, and nobody complains of the other."""

    def lose(scene: Scene) -> None:
        scene.ledger_path.unlink()

    scene = Scene(tmp_path, rows_of(3))
    outcome = scene.run(beside=lose, beside_at_s=0.06, interrupted_at_s=0.06)
    assert isinstance(outcome.error, asyncio.CancelledError)
    assert list(scene.complaints) == []


# Outages and refusals.


@pytest.mark.parametrize("operation", ["run", "status-sync"])
def test_a_short_outage_is_waited_out(tmp_path: Path, operation: str) -> None:
    """Everything goes on where it was, and nothing is sent twice."""
    far = runpod()
    far.trouble = lambda of, _: "down" if of == operation and 1 < far.machine.now_s < 200 else None
    scene = Scene(tmp_path, rows_of(6), far)
    outcome = scene.run(window=2)
    assert (outcome.stop, outcome.tally.succeeded, len(far.jobs)) == (Stop.DONE, 6, 6)


@pytest.mark.parametrize("operation", ["run", "status-sync"])
def test_a_long_outage_ends_it(tmp_path: Path, operation: str) -> None:
    """After the patience it is told; the same command goes on with it."""
    far = runpod()
    far.trouble = lambda of, _: "down" if of == operation and far.machine.now_s > 1 else None
    scene = Scene(tmp_path, rows_of(6), far)
    outcome = scene.run(window=2)
    assert isinstance(outcome.error, NetworkError)
    assert 300 < scene.machine.now_s < 330
    far.trouble = lambda *_: None
    last = scene.run()
    assert (last.stop, last.tally.succeeded, len(far.jobs)) == (Stop.DONE, 6, 6)


def test_one_failure_after_a_long_silence_is_no_outage(tmp_path: Path) -> None:
    """While a question is held nobody answers anything: that is not counted as silence."""
    far = runpod(fate=lambda *_: Fate(takes_s=120), trouble=script(status_sync=[None, "down"]))
    scene = Scene(tmp_path, rows_of(1), far)
    scene.patience_s = 10.0
    assert scene.run().tally.succeeded == 1


def test_too_many_requests(tmp_path: Path) -> None:
    """They are sent later, and counted; the ledger knows one job a row."""
    far = runpod(trouble=script(run=["429"] * 3, status_sync=["429"] * 3))
    scene = Scene(tmp_path, rows_of(5), far)
    outcome = scene.run()
    assert (outcome.tally.succeeded, outcome.tally.limited, len(far.jobs)) == (5, 3, 5)
    assert {each.attempts for each in scene.results().values()} == {1}


def test_a_look_at_the_workers_that_fails(tmp_path: Path) -> None:
    """It only helps."""
    far = runpod(fate=lambda *_: Fate(takes_s=30), trouble=script(health=["down", None, "404"]))
    outcome = Scene(tmp_path, rows_of(2), far).run()
    assert outcome.tally.succeeded == 2


# Answers that are lost.


def test_a_lost_answer_whose_job_is_there(tmp_path: Path) -> None:
    """It is found in RunPod's list, followed, and not sent again."""
    scene = Scene(tmp_path, rows_of(3), runpod(trouble=script(run=[None, "lost"])))
    outcome = scene.run()
    assert (outcome.stop, outcome.tally.succeeded, outcome.tally.unknown) == (Stop.DONE, 3, [])
    assert len(scene.runpod.jobs) == 3


def test_a_lost_answer_whose_job_is_nowhere(tmp_path: Path) -> None:
    """It is listed, and sent again only if somebody says so."""
    scene = Scene(tmp_path, rows_of(3), runpod(trouble=script(run=[None, "lost-before"])))
    for sent in (2, 0):
        outcome = scene.run()
        assert (outcome.stop, outcome.tally.unknown, outcome.tally.sent) == (
            Stop.DONE,
            ["r2"],
            sent,
        )
        assert (outcome.tally.left, sorted(scene.results())) == (1, ["r1", "r3"])
        assert scene.state() is BatchState.OPEN
    last = scene.run(repeats=unknown)
    assert (last.tally.succeeded, last.tally.unknown) == (3, [])
    assert scene.results()["r2"].attempts == 2
    assert scene.state() is BatchState.DONE


def test_a_lost_answer_to_a_row_that_was_unknown(tmp_path: Path) -> None:
    """What is lost a second time is looked for as the first time."""
    far = runpod(trouble=script(run=["lost-before", "lost"]))
    scene = Scene(tmp_path, rows_of(1), far)
    assert scene.run().tally.unknown == ["r1"]
    outcome = scene.run(repeats=unknown)
    assert (outcome.tally.succeeded, outcome.tally.unknown, len(far.jobs)) == (1, [], 1)


def test_what_was_unknown_before_is_looked_for_at_once(tmp_path: Path) -> None:
    """RunPod lists the latest jobs only, and drops results: it cannot wait until the end."""
    far = runpod(fate=lambda row, _: Fate(takes_s=1 if row == "r1" else 600))
    far.trouble = script(run=["lost"], requests=["404"] * 9)
    scene = Scene(tmp_path, rows_of(2), far)
    scene.run(interrupted_at_s=1.0)
    assert [each.state for each in scene.attempts("r1")] == [State.UNKNOWN]
    far.trouble = script()
    scene.run()
    assert [each.name for each in scene.told] == ["r1", "r2"]


def test_an_unknown_row_that_waits_to_be_sent_again_is_not_looked_for(tmp_path: Path) -> None:
    """While another one is: it would have two results."""
    far = runpod(trouble=script(run=["lost-before", "lost"], requests=["404"] * 9))
    scene = Scene(tmp_path, rows_of(2), far)
    assert scene.run().tally.unknown == ["r1", "r2"]
    far.calls.clear()
    far.trouble = script(run=["lost", "429"])
    outcome = scene.run(repeats=unknown, window=1)
    assert (outcome.error, outcome.tally.succeeded, outcome.tally.unknown) == (None, 2, [])
    assert (len(far.of("r1")), len(far.of("r2"))) == (1, 2)
    assert {name: each.attempts for name, each in scene.results().items()} == {"r1": 2, "r2": 2}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_answers_lost_at_the_very_end(tmp_path: Path, count: int) -> None:
    """Who looks soon after the loss, and who looks at the end, do not get in each other's way."""
    scene = Scene(tmp_path, rows_of(count), runpod(trouble=script(run=["lost"] * count)))
    outcome = scene.run()
    assert (outcome.error, outcome.tally.succeeded, outcome.tally.unknown) == (None, count, [])
    assert len(scene.runpod.jobs) == count
    assert sorted(each.name for each in scene.told) == [f"r{n}" for n in range(1, count + 1)]


def test_a_list_that_cannot_be_had(tmp_path: Path) -> None:
    """What is lost stays unknown; an outage is waited out first."""
    far = runpod(trouble=script(run=["lost"], requests=["down", "down", *["404"] * 9]))
    outcome = Scene(tmp_path, rows_of(2), far).run()
    assert (outcome.stop, outcome.tally.unknown, outcome.tally.succeeded) == (
        Stop.DONE,
        ["r1"],
        1,
    )


# Failures that may be chance.


@pytest.mark.parametrize("fate", [DIED, TIMED_OUT], ids=["worker died", "timed out"])
def test_a_failure_that_may_be_chance(tmp_path: Path, fate: Fate) -> None:
    """The row is sent again, as often as was said."""
    scene = Scene(tmp_path, rows_of(1), runpod(fate=fates(fate, fate)))
    outcome = scene.run(Limits(retries=2))
    assert (outcome.tally.succeeded, outcome.tally.sent, outcome.tally.repeated) == (1, 3, 2)
    first, second, third = scene.attempts("r1")
    assert (first.intent.parent, second.intent.parent, third.intent.parent) == (
        None,
        first.key,
        second.key,
    )
    assert (scene.results()["r1"].attempts, scene.results()["r1"].key) == (3, third.key)
    assert first.saved_at is not None


def test_a_failure_that_goes_on(tmp_path: Path) -> None:
    """After the last try it is the row's result; nobody tries it again by itself."""
    scene = Scene(tmp_path, rows_of(1), runpod(fate=lambda *_: DIED))
    assert scene.run(Limits(retries=2)).tally.failed == 1
    result = scene.results()["r1"]
    assert (result.attempts, result.state, result.is_success) == (3, State.FAILED, False)
    assert scene.run(Limits(retries=2)).tally.sent == 0
    assert scene.run(Limits(), repeats=failed).tally.sent == 1
    assert scene.results()["r1"].attempts == 4


def test_a_failure_that_is_the_rows_own(tmp_path: Path) -> None:
    """It would fail again."""
    scene = Scene(tmp_path, rows_of(1), runpod(fate=lambda *_: INVALID))
    outcome = scene.run(Limits(retries=9))
    assert (outcome.tally.sent, outcome.tally.failed, outcome.tally.repeated) == (1, 1, 0)


def test_a_row_of_before_is_sent_again_from_the_ledger(tmp_path: Path) -> None:
    """Whoever followed it is gone; its input is known."""
    slow = replace(DIED, takes_s=60.0)
    scene = Scene(tmp_path, rows_of(1), runpod(fate=fates(slow)))
    scene.run(interrupted_at_s=1.0)
    outcome = scene.run(Limits(retries=1))
    assert (outcome.tally.succeeded, outcome.tally.sent, outcome.tally.repeated) == (1, 1, 1)
    assert [each.payload for each in scene.runpod.jobs.values()] == [{"row": "r1"}] * 2


def test_a_row_with_a_secret_is_not_sent_again_from_the_ledger(tmp_path: Path) -> None:
    """There it is masked; its failure is its result."""
    secret = {"row": "r1", "api_key": "rpa_MARKERMARKERMARKER0123456789abcdef"}
    slow = replace(DIED, takes_s=60.0)
    scene = Scene(tmp_path, [Row(1, "r1", secret)], runpod(fate=fates(slow)))
    scene.run(interrupted_at_s=1.0)
    outcome = scene.run(Limits(retries=1))
    assert (outcome.tally.failed, outcome.tally.sent, len(scene.runpod.jobs)) == (1, 0, 1)


# Files.


def test_a_file_that_cannot_be_had_is_asked_for_again(tmp_path: Path) -> None:
    """The next time its line is replaced, nothing runs again, and its cost counts once."""
    output = {
        "video": "https://cdn.example.org/video.mp4",
        "sound": "https://cdn.example.org/a.wav",
    }
    scene = Scene(
        tmp_path, rows_of(2), runpod(fate=lambda *_: Fate(output=output)), price_per_s_usd=0.5
    )
    scene.links.broken.add(output["video"])
    first = scene.run()
    assert (first.tally.failed, first.tally.cost_usd) == (2, 2.0)
    assert [len(each.files) for each in scene.results().values()] == [1, 1]
    scene.links.broken.clear()
    again = scene.run()
    assert (again.tally.kept, again.tally.sent, again.tally.succeeded) == (0, 0, 2)
    assert again.tally.cost_usd == 2.0
    assert [len(each.files) for each in scene.results().values()] == [2, 2]


def test_a_file_that_cannot_be_had_any_more(tmp_path: Path) -> None:
    """RunPod has dropped the job meanwhile: what is here stays the row's result."""
    output = {
        "video": "https://cdn.example.org/video.mp4",
        "sound": "https://cdn.example.org/a.wav",
    }
    scene = Scene(tmp_path, rows_of(1), runpod(fate=lambda *_: Fate(output=output)))
    scene.links.broken.add(output["video"])
    scene.run()
    before = scene.results()["r1"]
    scene.runpod.jobs.clear()
    again = scene.run()
    after = scene.results()["r1"]
    assert (again.tally.failed, again.tally.left, after.state) == (1, 0, State.EXPIRED)
    assert (after.files, after.error, after.execution_ms) == (before.files, before.error, 2000)
    assert before.error is not None
    assert "the link has expired" in before.error


# What is allowed.


def test_a_limit_of_rows(tmp_path: Path) -> None:
    """No more are sent, and the same command goes on after them."""
    scene = Scene(tmp_path, rows_of(5))
    stops = [scene.run(Limits(rows=2)).stop for _ in range(3)]
    assert stops == [Stop.LIMIT, Stop.LIMIT, Stop.DONE]
    assert sorted(scene.results()) == ["r1", "r2", "r3", "r4", "r5"]


def test_a_limit_that_is_just_enough(tmp_path: Path) -> None:
    """Nothing is left, so the batch is done."""
    scene = Scene(tmp_path, rows_of(2))
    assert scene.run(Limits(rows=2)).stop is Stop.DONE
    assert scene.state() is BatchState.DONE


def test_a_cap_on_the_cost(tmp_path: Path) -> None:
    """Nothing more is sent when it is reached; what runs ends; a higher one goes on."""
    scene = Scene(tmp_path, rows_of(20), price_per_s_usd=0.5)
    outcome = scene.run(Limits(max_cost_usd=10.0), window=2)
    assert (outcome.stop, outcome.tally.cost_usd, outcome.tally.left) == (Stop.COST, 10.0, 10)
    again = scene.run(Limits(max_cost_usd=10.0), window=2)
    assert (again.stop, again.tally.sent) == (Stop.COST, 0)
    last = scene.run(Limits(max_cost_usd=25.0), window=2)
    assert (last.stop, last.tally.cost_usd, last.tally.succeeded) == (Stop.DONE, 20.0, 20)


def test_what_is_in_flight_counts_for_the_cap(tmp_path: Path) -> None:
    """As if it cost what the others did: a wide window does not overshoot."""
    scene = Scene(tmp_path, rows_of(100), price_per_s_usd=0.5)
    outcome = scene.run(Limits(max_cost_usd=30.0))
    assert (outcome.stop, outcome.tally.cost_usd) == (Stop.COST, 30.0)


def test_a_cap_of_nothing(tmp_path: Path) -> None:
    """Not even the first row."""
    outcome = Scene(tmp_path, rows_of(2), price_per_s_usd=0.5).run(Limits(max_cost_usd=0.0))
    assert (outcome.stop, outcome.tally.sent) == (Stop.COST, 0)


def test_a_retry_is_not_above_the_cap(tmp_path: Path) -> None:
    """What failed when the money was spent, has failed."""
    scene = Scene(tmp_path, rows_of(4), runpod(fate=lambda *_: DIED), price_per_s_usd=0.5)
    outcome = scene.run(Limits(max_cost_usd=4.0, retries=9), window=1)
    assert outcome.tally.cost_usd == 4.0
    assert sum(map(len, (scene.attempts(row.name) for row in scene.rows))) == 4


def test_a_batch_that_is_cancelled_elsewhere(tmp_path: Path) -> None:
    """Nothing more is sent; what was cancelled has a result, and the batch stays cancelled."""
    scene = Scene(tmp_path, rows_of(30), runpod(fate=lambda *_: Fate(takes_s=5)))
    outcome = scene.run(beside=cancel, beside_at_s=1.0, window=4)
    assert (outcome.stop, outcome.tally.sent, outcome.tally.left) == (Stop.CANCELLED, 4, 26)
    assert set(states(scene).values()) == {State.CANCELLED}
    assert scene.state() is BatchState.CANCELLED
    last = scene.run(repeats=failed)
    assert (last.stop, last.tally.succeeded, len(scene.runpod.jobs)) == (Stop.DONE, 30, 34)


def test_a_batch_that_is_cancelled_when_everything_is_sent(tmp_path: Path) -> None:
    """It is cancelled, not done."""
    scene = Scene(tmp_path, rows_of(2), runpod(fate=lambda *_: Fate(takes_s=30)))
    outcome = scene.run(beside=cancel, beside_at_s=1.0)
    assert (outcome.stop, outcome.tally.failed) == (Stop.CANCELLED, 2)
    assert scene.state() is BatchState.CANCELLED


def test_what_waits_for_its_turn_when_the_batch_is_cancelled(tmp_path: Path) -> None:
    """It is not sent: nobody would cancel it."""
    far = runpod(fate=lambda *_: Fate(takes_s=1), trouble=script(run=["429"]))
    scene = Scene(tmp_path, rows_of(350), far)
    outcome = scene.run(beside=cancel, beside_at_s=0.5, window=350)
    assert (outcome.stop, outcome.tally.in_flight) == (Stop.CANCELLED, 0)
    # After three seconds it is seen: about seventy a second were sent until then.
    assert len(far.jobs) < 250
    assert outcome.tally.left == 350 - len(far.jobs)


def test_a_failure_after_a_cancel_is_not_sent_again(tmp_path: Path) -> None:
    """Whoever cancelled wants no more jobs."""
    scene = Scene(tmp_path, rows_of(1), runpod(fate=lambda *_: replace(DIED, takes_s=10)))

    def give_up(scene: Scene) -> None:
        with Ledger(scene.ledger_path) as ledger:
            ledger.batches.move(scene.batch.batch_id, BatchState.CANCELLED)

    outcome = scene.run(Limits(retries=5), beside=give_up)
    assert (outcome.stop, outcome.tally.failed, len(scene.runpod.jobs)) == (Stop.CANCELLED, 1, 1)


def test_a_job_that_is_cancelled_at_runpod(tmp_path: Path) -> None:
    """In the console, say: the row is no success, and the others go on."""
    scene = Scene(tmp_path, rows_of(2), runpod(fate=lambda *_: Fate(takes_s=30)))
    outcome = scene.run(beside=lambda scene: scene.runpod.cancel("j0-u1"))
    assert (outcome.stop, outcome.tally.succeeded, outcome.tally.failed) == (Stop.DONE, 1, 1)
    assert scene.results()["r1"].state is State.of(JobStatus.CANCELLED)
