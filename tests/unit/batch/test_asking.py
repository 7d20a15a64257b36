"""Asking for many jobs: few requests, everybody has a turn, and servers may be odd."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runpodctl_py.api.types import Job, JobRequest, JobStatus
from runpodctl_py.batch.asking import Asking
from runpodctl_py.batch.pace import Limit, Pace
from runpodctl_py.batch.patience import Patience
from runpodctl_py.batch.tally import Tally
from runpodctl_py.errors import NetworkError, NotFoundError, UnauthorizedError
from tests.unit.batch.scene import (
    GONE,
    FarRunPod,
    Fate,
    InstantLoop,
    LoopClock,
    script,
    serverless,
)

pytestmark = pytest.mark.anyio


class Kept:
    """Keeps what a job has yielded."""

    def __init__(self) -> None:
        self.pieces: list[Any] = []

    async def known(self) -> list[Any]:
        """Return all of it."""
        return self.pieces

    async def keep(self, pieces: Any) -> None:
        """Keep some more."""
        self.pieces += pieces


@pytest.fixture
def anyio_backend() -> Any:
    """A loop whose time costs none."""
    return ("asyncio", {"loop_factory": InstantLoop})


def far(takes_s: float = 20.0, **troubles: list[str | None]) -> FarRunPod:
    """Return a RunPod whose jobs take so long."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, InstantLoop)
    return FarRunPod(loop.machine, lambda *_: Fate(takes_s=takes_s), script(**troubles))


def asking(runpod: FarRunPod, at_once: int = 100, patience_s: float = 300.0) -> Asking:
    """Return what asks it."""
    clock = LoopClock()
    pace = Pace(Limit(200.0, 400), clock)
    return Asking(serverless(runpod), pace, at_once, Patience(clock, patience_s), Tally(9), clock)


async def sent(runpod: FarRunPod, count: int) -> list[str]:
    """Send some jobs, and return their ids."""
    requests = [JobRequest({"row": f"r{number}"}) for number in range(count)]
    return [(await runpod.run(each, tries=1)).job_id for each in requests]


async def ends(asked: Asking, ids: list[str]) -> list[Job]:
    """Wait for all of them."""
    return await asyncio.gather(*(asked.until_final(each, Kept()) for each in ids))


def requests(runpod: FarRunPod) -> tuple[int, int]:
    """Return how often it was asked: with questions that are held, and without."""
    return runpod.calls.get("status-sync", 0), runpod.calls.get("status", 0)


async def test_a_job_costs_one_question() -> None:
    """It is held until the job ends, and the answer is here a moment later."""
    runpod = far()
    ids = await sent(runpod, 10)
    jobs = await ends(asking(runpod), ids)
    assert [each.job_id for each in jobs] == ids
    assert {each.status for each in jobs} == {JobStatus.COMPLETED}
    assert requests(runpod) == (10, 0)
    assert LoopClock().now_s() < runpod.jobs[ids[-1]].ends_s + 0.1


async def test_a_long_job_costs_a_question_a_minute() -> None:
    """No question is held for longer."""
    runpod = far(takes_s=600)
    await ends(asking(runpod), await sent(runpod, 1))
    assert requests(runpod) == (12, 0)


async def test_more_jobs_than_questions() -> None:
    """They take turns: no more are held, and a long job does not keep the others waiting."""
    runpod = far(takes_s=3600)
    first = await sent(runpod, 5)
    runpod.fate = lambda *_: Fate(takes_s=1)
    rest = await sent(runpod, 20)
    asked = asking(runpod, at_once=2)
    slow = asyncio.gather(*(asked.until_final(each, Kept()) for each in first))
    await ends(asked, rest)
    assert LoopClock().now_s() < 60
    assert runpod.most_held == 2
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow


@pytest.mark.parametrize("word", ["404", "refused"])
async def test_a_server_that_holds_no_questions(word: str) -> None:
    """It is asked at a steady pace, the more rarely the longer a job takes."""
    runpod = far(takes_s=100, status_sync=[word] * 99)
    jobs = await ends(asking(runpod), await sent(runpod, 3))
    assert {each.status for each in jobs} == {JobStatus.COMPLETED}
    held, asked = requests(runpod)
    assert 3 <= held <= 9
    assert asked < 3 * 25
    assert LoopClock().now_s() < 120


async def test_a_server_that_answers_too_early() -> None:
    """After some such answers it is asked at a steady pace: it must not be flooded."""
    runpod = far(takes_s=100, status_sync=["early"] * 999)
    await ends(asking(runpod), await sent(runpod, 3))
    held, asked = requests(runpod)
    assert 20 < held <= 24
    assert asked < 3 * 25


async def test_one_early_answer_is_none_too_many() -> None:
    """It is held again."""
    runpod = far(status_sync=["early"] * 5)
    await ends(asking(runpod), await sent(runpod, 3))
    assert requests(runpod) == (8, 0)


async def test_a_job_that_is_gone() -> None:
    """It is told, and that says nothing of the route: the others are held on."""
    runpod = far()
    ids = await sent(runpod, 3)
    runpod.jobs[ids[1]].fate = GONE
    runpod.jobs[ids[1]].began_s -= 60
    asked = asking(runpod)
    jobs = await asyncio.gather(
        *(asked.until_final(each, Kept()) for each in ids), return_exceptions=True
    )
    assert [type(each) for each in jobs] == [Job, NotFoundError, Job]
    assert requests(runpod) == (3, 1)


async def test_too_many_requests() -> None:
    """The pace waits, and it is asked again."""
    runpod = far(status_sync=["429"] * 3)
    await ends(asking(runpod, patience_s=0.0), await sent(runpod, 3))
    assert requests(runpod) == (6, 0)


async def test_too_many_requests_where_nothing_is_held() -> None:
    """Its second question is refused: the pace hears of that, too."""
    runpod = far(status_sync=["404"] * 9, status=["429"] * 3)
    jobs = await ends(asking(runpod), await sent(runpod, 3))
    assert len(jobs) == 3


@pytest.mark.parametrize("word", ["down", "503"])
async def test_an_outage(word: str) -> None:
    """A short one is waited out, a long one is told."""
    runpod = far(status_sync=[word] * 5)
    await ends(asking(runpod), await sent(runpod, 1))
    assert requests(runpod) == (6, 0)
    runpod.trouble = lambda *_: word
    with pytest.raises(NetworkError):
        await asking(runpod).until_final("j0-u1", Kept())


async def test_a_key_that_is_not_accepted() -> None:
    """That does not get better."""
    runpod = far(status_sync=[None, "401"])
    ids = await sent(runpod, 2)
    came = await asyncio.gather(
        *(asking(runpod).until_final(each, Kept()) for each in ids), return_exceptions=True
    )
    assert [type(each) for each in came] == [Job, UnauthorizedError]


async def test_who_stops_waiting_gives_its_turn_back() -> None:
    """So the others are asked for."""
    runpod = far(takes_s=5)
    ids = await sent(runpod, 4)
    asked = asking(runpod, at_once=1)
    tasks = [asyncio.create_task(asked.until_final(each, Kept())) for each in ids]
    await asyncio.sleep(0.01)
    for task in tasks[:2]:
        task.cancel()
    jobs = await asyncio.gather(*tasks[2:])
    assert [each.job_id for each in jobs] == ids[2:]
    assert all(task.cancelled() for task in tasks[:2])
