"""A batch on RunPod's own batch API: whatever happens, each row runs once and has one result."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import respx
from hypothesis import given, settings
from hypothesis import strategies as st

from runpodctl_py.api.batches import BODY_LIMIT_BYTES, NativeBatches
from runpodctl_py.api.transport import Transport
from runpodctl_py.batch.native_calls import fingerprint
from runpodctl_py.batch.native_cancelling import cancel_native
from runpodctl_py.batch.native_upload import Due, chunks
from runpodctl_py.batch.native_waves import Waves
from runpodctl_py.batch.row import Row
from runpodctl_py.batch.tally import Tally
from runpodctl_py.batch.walk import Walk
from runpodctl_py.batch.working import Limits, Stop
from runpodctl_py.errors import NotFoundError, RefusedError
from runpodctl_py.jobs.ledger import BatchState, Scribe
from tests.unit.batch.native_scene import (
    ENDPOINT,
    ROOT,
    FakeRunPod,
    KilledError,
    Scene,
    completed,
    rows_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def runpod() -> Iterator[FakeRunPod]:
    """RunPod's batch API, with nothing on it."""
    fake = FakeRunPod()
    with respx.mock(assert_all_called=False) as router:
        router.route(url__startswith=ROOT).mock(side_effect=fake.answer)
        yield fake


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A batch of five rows."""
    return Scene(tmp_path, rows_of(5))


async def test_all_rows_go_into_one_batch_and_come_home(runpod: FakeRunPod, scene: Scene) -> None:
    """With the calls of RunPod's page in its order, and results that belong to their rows."""
    assert await scene.run() is Stop.DONE

    assert runpod.calls[:6] == [
        "POST batch",
        "POST batch/ID/requests",
        "GET batch/ID",
        "GET batch/ID/requests",
        "POST batch/ID/finalize",
        "GET batch/ID",
    ]
    found = {each.name: (each.output, each.execution_ms, each.cost_usd) for each in scene.results}
    assert found == {f"r{n}": ({"row": f"r{n}"}, 2000, 1.0) for n in range(1, 6)}
    assert (scene.tally.sent, scene.tally.in_flight, scene.tally.left) == (5, 0, 0)


def runs_once(runpod: FakeRunPod, scene: Scene) -> bool:
    """Tell whether each row has run once and has one result."""
    names = {row.name for row in scene.rows}
    return runpod.runs == Counter(names) and scene.named() == dict.fromkeys(names, "completed")


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_kill_at_any_call_loses_and_repeats_nothing(
    runpod: FakeRunPod, tmp_path: Path, moment: str
) -> None:
    """Whether the call took effect or not: the next run goes on, and each row runs once."""
    deaths = 0
    while True:
        runpod.batches.clear()
        runpod.runs.clear()
        runpod.calls.clear()
        scene = Scene(tmp_path / f"{deaths}", rows_of(3))
        setattr(runpod, moment, killer(deaths))
        if not await is_killed(scene):
            break
        setattr(runpod, moment, lambda *_: None)
        assert await scene.run() is Stop.DONE
        assert runs_once(runpod, scene), f"killed {moment} call {deaths}"
        assert (scene.tally.unknown, scene.tally.left) == ([], 0)
        statuses = [each.status for each in runpod.batches.values()]
        assert statuses.count("DRAFT") == 0, f"killed {moment} call {deaths}"
        deaths += 1
    assert deaths >= 7


def killer(at: int) -> Any:
    """Return what ends the process at a call, for good."""

    def kill(number: int, _: str) -> None:
        if number >= at:
            raise KilledError

    return kill


async def is_killed(scene: Scene, limits: Limits | None = None) -> bool:
    """Run a batch, and tell whether it was killed meanwhile."""
    kills: list[BaseException] = []
    try:
        await scene.run(limits)
    except* KilledError as group:
        kills += group.exceptions
    return bool(kills)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_lost_answers_are_found_out(runpod: FakeRunPod, tmp_path: Path, moment: str) -> None:
    """Whichever it is, with or without an effect: each row runs once, none is unknown."""
    total = 0
    while total <= len(runpod.calls):
        runpod.batches.clear()
        runpod.runs.clear()
        runpod.calls.clear()
        scene = Scene(tmp_path / f"{total}", rows_of(3))
        setattr(runpod, moment, loser(total))
        assert await scene.run() is Stop.DONE
        assert runs_once(runpod, scene), f"lost {moment} call {total}"
        total += 1
    assert total > 6


def loser(at: int) -> Any:
    """Return what has one answer lost."""

    def lose(number: int, name: str) -> None:
        if number == at:
            raise httpx.ReadTimeout(name)

    return lose


# What goes into a batch of RunPod's.


async def test_a_wave_has_no_more_rows_than_a_batch_takes(tmp_path: Path) -> None:
    """5 000 requests; the rest goes into the next one."""
    scene = Scene(tmp_path, rows_of(5_003))
    async with Scribe(tmp_path / "ledger.sqlite3") as scribe:
        walk = Walk(
            scene.batch, lambda: iter(scene.rows), scribe, is_begun=False, repeats=lambda _: False
        )
        waves = Waves(walk, Limits(), Tally(5_003))

        assert [len(await waves.next()) for _ in range(3)] == [5_000, 3, 0]
        assert waves.end is Stop.DONE


async def test_a_body_stays_below_what_runpod_takes(runpod: FakeRunPod, tmp_path: Path) -> None:
    """Rows of 3 MB go in chunks of three, and what no body holds fails by itself."""
    runpod.result = lambda given, _: completed(given["row"])
    scene = Scene(tmp_path, [*rows_of(5, text="é" * 500_000), *too_large()])

    assert await scene.run() is Stop.DONE

    assert max(map(len, runpod.bodies)) <= BODY_LIMIT_BYTES
    assert len(runpod.bodies) == 3
    assert scene.named().pop("large") == "not_sent"
    assert sum(runpod.runs.values()) == 5


def too_large() -> list[Row]:
    """Return a row that is larger than any body."""
    return [Row(99, "large", {"row": "large", "text": "é" * (BODY_LIMIT_BYTES // 6)})]


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 120), max_size=30),
    limit=st.integers(170, 400),
)
def test_chunks_hold_what_a_body_takes_exactly(sizes: list[int], limit: int) -> None:
    """Measured in the bytes that are sent; all rows are there, in order, in as few as can be."""
    dues = [Due.of(Row(n, f"{n}", {"x": "y" * size}), None, 1) for n, size in enumerate(sizes)]

    found = list(chunks(dues, limit))

    assert [each for chunk in found for each in chunk] == dues
    bodies = [len(json.dumps({"requests": [{"input": d.row.payload} for d in c]})) for c in found]
    assert all(size <= limit for size in bodies)
    for (size, before), chunk in zip(zip(bodies, found, strict=True), found[1:], strict=False):
        assert before
        assert size + len(", ") + chunk[0].size_bytes > limit


async def test_a_row_that_runpod_refuses_takes_no_other_with_it(
    runpod: FakeRunPod, tmp_path: Path
) -> None:
    """A chunk is refused as a whole; what is wrong with it is found by halves, also if first."""
    rows = [Row(1, "a", {"row": "a", "bad": 1}), *rows_of(5), Row(9, "z", {"row": "z", "bad": 1})]
    scene = Scene(tmp_path, rows)

    assert await scene.run() is Stop.DONE

    assert scene.named() == {
        **dict.fromkeys(("a", "z"), "not_sent"),
        **{f"r{n}": "completed" for n in range(1, 6)},
    }
    assert "request 0: bad" in str(scene.results)
    assert sum(runpod.runs.values()) == 5


async def test_rows_that_ask_for_the_same_have_a_result_each(
    runpod: FakeRunPod, tmp_path: Path
) -> None:
    """Which of them gets which id does not matter, as long as each gets one."""
    scene = Scene(tmp_path, [Row(n, f"n{n}", {"row": "same"}) for n in range(1, 4)])

    assert await scene.run() is Stop.DONE

    assert runpod.runs == {"same": 3}
    assert scene.named() == dict.fromkeys(("n1", "n2", "n3"), "completed")
    assert len({each.job_id for each in scene.results}) == 3


async def test_nothing_runs_whose_results_could_not_be_told_apart(
    runpod: FakeRunPod, scene: Scene
) -> None:
    """If a draft does not show its inputs, nothing says which id is whose."""
    runpod.shows_inputs = False

    with pytest.raises(RefusedError, match="results could not be told apart"):
        await scene.run()

    assert not runpod.runs
    assert [each.status for each in runpod.batches.values()] == ["CANCELLED"]


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ({"a": 1, "b": [2.0]}, {"b": [2], "a": 1.0}, True),
        ({"seed": 2**60}, {"seed": float(2**60)}, True),
        ({"n": 10**400}, {"n": 10**400}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": "\ud800"}, {"a": "\ud800"}, True),
    ],
)
def test_inputs_are_the_same_if_json_says_so(one: Any, other: Any, is_same: bool) -> None:  # noqa: FBT001 - a parameter.
    """Whatever order an object's keys and whatever kind of number somebody kept for us."""
    assert (fingerprint(one) == fingerprint(other)) == is_same


async def test_rows_wait_while_the_endpoint_has_all_the_batches_it_may_have(
    runpod: FakeRunPod, scene: Scene
) -> None:
    """Another's batch has to end first; until then RunPod says 429."""
    runpod.most_active = 0

    def make_room(number: int, _: str) -> None:
        runpod.most_active = int(number >= 3)

    runpod.before = make_room
    assert await scene.run() is Stop.DONE
    assert scene.tally.limited == 3
    assert runs_once(runpod, scene)


async def test_a_draft_that_somebody_cancels_is_made_anew(runpod: FakeRunPod, scene: Scene) -> None:
    """Nothing of it has run, so its rows go into another one; three times is no accident."""
    lost: list[str] = []

    def cancel(_: int, name: str) -> None:
        if name == "POST batch/ID/requests" and len(lost) < 2:
            lost.append(name)
            list(runpod.batches.values())[-1].status = "CANCELLED"

    runpod.before = cancel
    assert await scene.run() is Stop.DONE
    assert runs_once(runpod, scene)
    assert len(runpod.batches) == 3


async def test_an_endpoint_that_takes_no_batches_is_told_at_once(
    runpod: FakeRunPod, scene: Scene
) -> None:
    """RunPod answers 404; every row is still to be sent."""
    runpod.has_batches = False

    with pytest.raises(NotFoundError, match="or it takes no batches"):
        await scene.run()

    assert runpod.calls == ["POST batch"]

    assert scene.results == []


async def test_a_draft_whose_id_was_lost_may_stay(runpod: FakeRunPod, scene: Scene) -> None:
    """If RunPod does not list its batches: it never runs, and the rows go into another one."""
    runpod.after = killer(0)
    assert await is_killed(scene)
    runpod.after = lambda *_: None

    def lose(_: int, name: str) -> None:
        if name == "GET batch":
            raise httpx.ReadTimeout(name)

    runpod.before = lose
    assert await scene.run() is Stop.DONE

    assert runs_once(runpod, scene)
    assert [each.status for each in runpod.batches.values()] == ["DRAFT", "FINALIZED"]


# What comes back.


async def test_results_come_home_while_the_batch_runs(runpod: FakeRunPod, tmp_path: Path) -> None:
    """RunPod drops them half an hour after their jobs, which a long batch outlasts."""
    runpod.per_look = 40
    scene = Scene(tmp_path, rows_of(200))
    seen = []
    runpod.before = lambda *_: seen.append(scene.tally.ended)

    assert await scene.run() is Stop.DONE

    assert len(set(seen)) >= 4
    assert runs_once(runpod, scene)


async def test_a_result_that_the_page_leaves_out_is_asked_for(
    runpod: FakeRunPod, scene: Scene
) -> None:
    """By the job's id; a page that names no output is not taken for an empty one."""
    runpod.result = lambda *_: {"status": "COMPLETED"}

    assert await scene.run() is Stop.DONE

    assert {(each.state.value, each.execution_ms) for each in scene.results} == {
        ("completed", 2000)
    }


async def test_what_runpod_has_dropped_is_expired(runpod: FakeRunPod, scene: Scene) -> None:
    """The request is listed, its result is not, and its job is not known any more."""
    runpod.result = lambda given, _: {"status": "EXPIRED"} if given["row"] == "r2" else completed(0)
    runpod.is_forgetful = True

    assert await scene.run() is Stop.DONE

    assert scene.named() == {**{f"r{n}": "completed" for n in (1, 3, 4, 5)}, "r2": "expired"}


async def test_failures_of_chance_go_again_together(runpod: FakeRunPod, tmp_path: Path) -> None:
    """As often as was asked for, in a batch of their own; what the worker said is final."""
    runpod.result = fails_twice
    scene = Scene(tmp_path, [*rows_of(4, hf_token="hf_x"), Row(9, "bad", {"row": "bad"})])

    assert await scene.run(Limits(retries=1)) is Stop.DONE

    assert scene.named() == {
        "r1": "failed",
        "r2": "completed",
        "r3": "completed",
        "r4": "completed",
        "bad": "failed",
    }
    assert runpod.runs == {"r1": 2, "r2": 2, "r3": 1, "r4": 1, "bad": 1}
    assert {each.name: each.attempts for each in scene.results}["r2"] == 2
    assert scene.tally.repeated == 2
    first, again = runpod.batches.values()
    # The ledger leaves secrets out, RunPod must get them.
    assert [each for each in first.inputs.values() if each["row"] in {"r1", "r2"}] == sorted(
        again.inputs.values(), key=lambda each: each["row"]
    )


def fails_twice(given: Any, attempt: int) -> dict[str, Any]:
    """Have the first row's worker die always, the second one's once, and one row be invalid."""
    died = {"status": "FAILED", "error": "job timed out after 1 retries"}
    match given["row"], attempt:
        case ("r1", _) | ("r2", 1):
            return died
        case "bad", _:
            return {"status": "FAILED", "error": "ValueError: no prompt"}
    return completed(given)


async def test_a_kill_before_a_row_went_again_leaves_it_to_the_next_run(
    runpod: FakeRunPod, scene: Scene
) -> None:
    """It is taken up from the batch that it failed in, and still has its other attempt."""
    runpod.result = fails_twice

    def kill(_: int, name: str) -> None:
        if name == "POST batch" and runpod.runs:
            raise KilledError

    runpod.before = kill
    assert await is_killed(scene, Limits(retries=1))
    runpod.before = lambda *_: None
    assert await scene.run(Limits(retries=1)) is Stop.DONE
    assert runpod.runs["r2"] == 2
    assert scene.named()["r2"] == "completed"


# When it ends early.


async def test_a_limit_sends_so_many_rows(runpod: FakeRunPod, scene: Scene) -> None:
    """The next run goes on behind them."""
    assert await scene.run(Limits(rows=2)) is Stop.LIMIT
    assert set(scene.named()) == {"r1", "r2"}
    assert await scene.run() is Stop.DONE
    assert runs_once(runpod, scene)


async def test_a_cap_makes_waves_small_and_is_kept(runpod: FakeRunPod, tmp_path: Path) -> None:
    """Twenty rows first; what one costs is known then, and the next go by what there is room for.

    A row costs a dollar here.
    """
    scene = Scene(tmp_path, rows_of(200))

    assert await scene.run(Limits(max_cost_usd=100.0)) is Stop.COST

    sizes = [len(each.inputs) for each in runpod.batches.values()]
    assert (sizes[0], sum(sizes)) == (20, 100)
    assert scene.tally.cost_usd == 100.0
    assert scene.tally.left == 100
    assert await scene.run(Limits(max_cost_usd=300.0)) is Stop.DONE
    assert runs_once(runpod, scene)


async def test_what_has_not_begun_when_the_cap_is_reached_is_sent_another_time(
    runpod: FakeRunPod, tmp_path: Path
) -> None:
    """RunPod drops it, which costs nothing, and the ledger says that it was not sent."""
    runpod.per_look = 5
    scene = Scene(tmp_path, rows_of(20))

    assert await scene.run(Limits(max_cost_usd=10.0)) is Stop.COST

    assert (len(scene.results), scene.tally.left) == (10, 10)
    with scene.ledger() as ledger:
        states = [row.state.value for row in ledger.batches.rows("b1")]
    assert Counter(states) == {"completed": 10, "not_sent": 10}
    assert await scene.run() is Stop.DONE
    assert runs_once(runpod, scene)


async def test_a_cap_that_is_reached_with_the_last_row_leaves_nothing(
    runpod: FakeRunPod, scene: Scene
) -> None:
    """So the batch is done."""
    assert await scene.run(Limits(max_cost_usd=5.0)) is Stop.DONE
    assert runs_once(runpod, scene)


async def test_rows_that_a_dead_run_withdrew_are_sent_by_the_next(
    runpod: FakeRunPod, tmp_path: Path
) -> None:
    """It was killed as it told RunPod to drop them; with a higher cap they go in the same run."""
    runpod.per_look = 5
    scene = Scene(tmp_path, rows_of(20))

    def kill(_: int, name: str) -> None:
        if name == "POST batch/ID/cancel":
            raise KilledError

    runpod.before = kill
    assert await is_killed(scene, Limits(max_cost_usd=5.0))
    runpod.before = lambda *_: None

    assert await scene.run(Limits(max_cost_usd=100.0)) is Stop.DONE

    assert runs_once(runpod, scene)
    assert [each.status for each in runpod.batches.values()] == ["CANCELLED", "FINALIZED"]


async def test_a_draft_that_was_cancelled_while_nobody_looked_is_sent_anew(
    runpod: FakeRunPod, scene: Scene
) -> None:
    """Its rows were written down already, but it was never finalized."""

    def kill(_: int, name: str) -> None:
        if name == "POST batch/ID/finalize":
            raise KilledError

    runpod.before = kill
    assert await is_killed(scene)
    runpod.before = lambda *_: None
    next(iter(runpod.batches.values())).status = "CANCELLED"

    assert await scene.run() is Stop.DONE

    assert runs_once(runpod, scene)


async def test_drafts_that_are_always_cancelled_are_an_error(
    runpod: FakeRunPod, scene: Scene
) -> None:
    """Somebody does not want them; every row is still to be sent."""

    def cancel(_: int, name: str) -> None:
        if name == "POST batch/ID/finalize":
            list(runpod.batches.values())[-1].status = "CANCELLED"

    runpod.before = cancel
    with pytest.raises(RefusedError, match="cancelled before it began, and so were those before"):
        await scene.run()
    assert (len(runpod.batches), scene.results) == (3, [])
    runpod.before = lambda *_: None
    assert await scene.run() is Stop.DONE
    assert runs_once(runpod, scene)


async def test_requests_that_are_never_listed_as_ended_are_asked_for(
    runpod: FakeRunPod, scene: Scene
) -> None:
    """The summary counts them as ended; their page says what nobody knows."""
    runpod.result = lambda *_: {"status": "ARCHIVED"}
    runpod.is_forgetful = True

    assert await scene.run() is Stop.DONE

    assert set(scene.named().values()) == {"expired"}


async def test_several_batches_are_taken_up_at_once(runpod: FakeRunPod, tmp_path: Path) -> None:
    """Each with its own rows; what is in none any more is asked for."""
    runpod.per_look = 1
    scene = Scene(tmp_path, rows_of(60))
    runpod.after = killer(30)
    # Waves of twenty, each as soon as the one before has cost something.
    assert await is_killed(scene, Limits(max_cost_usd=1_000.0))
    assert len(runpod.batches) > 1
    runpod.after = lambda *_: None
    runpod.per_look = 1000

    assert await scene.run() is Stop.DONE

    assert runs_once(runpod, scene)


async def test_a_cancellation_gives_up_a_draft(runpod: FakeRunPod, scene: Scene) -> None:
    """Nothing of it has run; the next run sends its rows."""
    await cancelled_at(runpod, scene, "GET batch/ID/requests")

    assert not runpod.runs
    assert [each.status for each in runpod.batches.values()] == ["CANCELLED"]
    assert await scene.run() is Stop.DONE
    assert runs_once(runpod, scene)


async def test_a_cancellation_waits_for_what_is_being_finalized(
    runpod: FakeRunPod, scene: Scene
) -> None:
    """Its rows are in flight afterwards, and the ledger knows their jobs."""
    await cancelled_at(runpod, scene, "POST batch/ID/finalize")

    assert [each.status for each in runpod.batches.values()] == ["FINALIZED"]
    with scene.ledger() as ledger:
        rows = list(ledger.batches.rows("b1"))
    assert {row.state.value for row in rows} == {"queued"}
    assert len({row.job_id for row in rows}) == 5
    assert await scene.run() is Stop.DONE
    assert runs_once(runpod, scene)


async def cancelled_at(runpod: FakeRunPod, scene: Scene, call: str) -> None:
    """Run a batch and have it cancelled when RunPod gets a call for the first time."""
    running = asyncio.create_task(scene.run())

    async def cancel(name: str) -> None:
        if name == call:
            runpod.held = None
            running.cancel()
            # The answer takes its time.
            await asyncio.sleep(0.01)

    runpod.held = cancel
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_batch_cancel_stops_a_run_before_it_finalizes(
    runpod: FakeRunPod, scene: Scene
) -> None:
    """Whoever cancels says so in the ledger first, so nothing begins after that."""

    def cancel(_: int, name: str) -> None:
        if name == "GET batch/ID/requests":
            with scene.ledger() as ledger:
                ledger.batches.move("b1", BatchState.CANCELLED)

    runpod.before = cancel
    assert await scene.run() is Stop.CANCELLED
    assert not runpod.runs
    assert [each.status for each in runpod.batches.values()] == ["CANCELLED"]
    assert scene.results == []


async def test_batch_cancel_cancels_what_a_dead_run_left(runpod: FakeRunPod, scene: Scene) -> None:
    """What waits is dropped; what has ended is there for whoever goes on."""
    runpod.per_look = 0
    runpod.after = killer(7)
    assert await is_killed(scene)
    runpod.after = lambda *_: None
    (batch,) = runpod.batches.values()
    batch.ended = {next(iter(batch.inputs)): completed("done")}

    async with Transport(ROOT, "rpa_key") as transport:
        with scene.ledger() as ledger:
            ledger.batches.move("b1", BatchState.CANCELLED)
            count = await cancel_native(ledger, NativeBatches(transport, ENDPOINT), "b1")
            states = Counter(row.state.value for row in ledger.batches.rows("b1"))

    assert (batch.status, count) == ("CANCELLED", 4)
    assert states == {"cancelled": 4, "queued": 1}


async def test_a_batch_that_runpod_does_not_know_any_more_was_lost(
    runpod: FakeRunPod, scene: Scene
) -> None:
    """Its rows did run, and what they returned is gone."""
    runpod.per_look = 0
    runpod.after = killer(7)
    assert await is_killed(scene)
    runpod.after = lambda *_: None
    runpod.batches.clear()

    assert await scene.run() is Stop.DONE

    assert scene.named() == {f"r{n}": "expired" for n in range(1, 6)}
