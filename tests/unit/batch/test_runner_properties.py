"""Whatever goes wrong, in whatever order, however often: each row is done once, or known not to."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runpodctl_py.batch.working import Limits, Stop
from runpodctl_py.errors import NetworkError
from runpodctl_py.jobs.ledger import BatchState, Ledger, Record, State
from tests.unit.batch.scene import (
    DIED,
    GONE,
    INVALID,
    TIMED_OUT,
    FarRunPod,
    Fate,
    Killed,
    Machine,
    Outcome,
    Scene,
    failed,
    nothing,
    rows_of,
    unknown,
)

if TYPE_CHECKING:
    import random

    from runpodctl_py.batch.row import RowResult

TROUBLES = {
    "run": ("429", "down", "503", "lost", "lost-before", "refused"),
    "status": ("429", "down", "503"),
    "status-sync": ("429", "down", "503", "early", "404"),
    "requests": ("429", "down", "503", "404"),
    "health": ("down",),
}
REPEATED = frozenset({State.FAILED, State.TIMED_OUT, State.CANCELLED, State.EXPIRED, State.UNKNOWN})


class Weather:
    """What happens to jobs and requests, by chance; at the end it is calm."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._rate = chance.choice((0.0, 0.1, 0.3))
        self.is_calm = False

    def fate(self, row: str, before: int) -> Fate:
        """Return what becomes of a job."""
        del before
        takes_s = self._chance.choice((0.01, 0.5, 2.0, 20.0, 70.0))
        if self.is_calm or self._chance.random() < 0.5:
            is_picture = self._chance.random() < 0.5
            return Fate(takes_s=takes_s, output=picture(row) if is_picture else None)
        return replace(self._chance.choice((DIED, TIMED_OUT, INVALID, GONE)), takes_s=takes_s)

    def trouble(self, operation: str, before: int) -> str | None:
        """Return what goes wrong with a request."""
        del before
        if self.is_calm or self._chance.random() >= self._rate:
            return None
        return self._chance.choice(TROUBLES[operation])

    def latency_s(self) -> float:
        """Return how long something is on its way; so answers overtake each other."""
        return self._chance.choice((0.001, 0.05, 0.3))


def content_of(row: str) -> bytes:
    """Return a picture that is a row's own."""
    return b"\x89PNG\r\n\x1a\n" + row.encode()


def picture(row: str) -> dict[str, Any]:
    """Return an output with a file in it."""
    encoded = base64.b64encode(content_of(row)).decode()
    return {"image": f"data:image/png;base64,{encoded}"}


def cancel(scene: Scene) -> None:
    """Cancel the batch, as another process does."""
    with Ledger(scene.ledger_path) as ledger:
        ledger.batches.move(scene.batch.batch_id, BatchState.CANCELLED)
        for record in ledger.batches.in_flight(scene.batch.batch_id):
            job = scene.runpod.jobs[record.job_id or ""]
            if job.ends_s > scene.machine.now_s:
                scene.runpod.cancel(job.job_id)
                ledger.asked(record.key, job.seen(scene.machine.now_s))


def some_process(scene: Scene, chance: random.Random, retries: int) -> None:
    """Let a process work on the batch for a while, and end in one way or the other."""
    ways: dict[str, Any] = chance.choice(
        (
            {},
            {"lives_for": chance.randint(0, 40)},
            {"lives_for": chance.randint(0, 40)},
            {"interrupted_at_s": chance.uniform(0, 30)},
            {"beside": cancel, "beside_at_s": chance.uniform(0, 10)},
        )
    )
    outcome = scene.run(
        Limits(rows=chance.choice((None, None, 1)), retries=retries),
        repeats=chance.choice((nothing, nothing, failed, unknown)),
        window=chance.choice((None, 1, 2)),
        **ways,
    )
    expected = (Killed, asyncio.CancelledError, NetworkError)
    assert outcome.error is None or isinstance(outcome.error, expected), repr(outcome.error)
    # Now and then the results are deleted, or RunPod is left alone for a while.
    if chance.random() < 0.1:
        scene.results_path.unlink(missing_ok=True)
    scene.machine.now_s += chance.choice((0, 0, 100))


def check_attempts(row: str, attempts: list[Record], scene: Scene) -> None:
    """Nothing was sent twice but what had failed, or what nobody knew."""
    tried = [each for each in attempts if each.state is not State.NOT_SENT]
    with_id = [each for each in tried if each.job_id is not None]
    unknowns = [each for each in tried if each.state is State.UNKNOWN]
    assert len(with_id) <= len(scene.runpod.of(row)) <= len(with_id) + len(unknowns)
    assert {each.state for each in tried[:-1]} <= REPEATED
    assert all(each.saved_at is not None or not each.waits for each in attempts[:-1])


def check_result(result: RowResult, attempts: list[Record]) -> None:
    """It is the last attempt's, the ledger says the same, and its files are whole."""
    last = attempts[-1]
    assert (result.key, result.state, result.job_id) == (last.key, last.state, last.job_id)
    assert result.is_success == (last.state is State.COMPLETED)
    assert result.is_success or result.error
    assert last.saved_at is not None or last.state in {State.NOT_SENT, State.EXPIRED}
    if last.state is not State.NOT_SENT:
        assert result.attempts == sum(each.state is not State.NOT_SENT for each in attempts)
    assert all(each.path.read_bytes() == content_of(result.name) for each in result.files)


def check_end(scene: Scene, last: Outcome) -> None:
    """Each row has one result, or is listed as unknown; and all that is said is true."""
    results, tally = scene.results(), last.tally
    assert (last.stop, last.error, list(scene.complaints)) == (Stop.DONE, None, [])
    names = sorted(each.name for each in rows_of(len(scene.rows)))
    assert sorted([*results, *tally.unknown]) == names
    assert (tally.ended, tally.left) == (len(results), len(tally.unknown))
    assert tally.succeeded == sum(each.is_success for each in results.values())
    for name in names:
        attempts = scene.attempts(name)
        check_attempts(name, attempts, scene)
        if name in results:
            check_result(results[name], attempts)
        else:
            assert attempts[-1].state is State.UNKNOWN
    assert scene.state() is (BatchState.OPEN if tally.unknown else BatchState.DONE)
    assert [each.name for each in scene.batch.output_dir.glob(".*")] == []


@given(chance=st.randoms(use_true_random=True))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_each_row_is_done_once_or_unknown(chance: random.Random) -> None:
    """Through lost answers, refusals, outages, dead workers, kills, Ctrl-C and cancels."""
    with TemporaryDirectory() as folder:
        weather = Weather(chance)
        runpod = FarRunPod(Machine(), weather.fate, weather.trouble, weather.latency_s)
        scene = Scene(Path(folder), rows_of(chance.randint(1, 6)), runpod)
        scene.at_once = chance.choice((1, 2, 100))
        scene.patience_s = chance.choice((10.0, 300.0))
        retries = chance.randint(0, 2)
        for _ in range(chance.randint(0, 4)):
            some_process(scene, chance, retries)
        weather.is_calm = True
        check_end(scene, scene.run(Limits(retries=retries)))
