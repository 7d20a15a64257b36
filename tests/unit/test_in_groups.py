"""What is to be done at once is done in groups, in order, and everybody learns what came of it."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.in_groups import InGroups

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.anyio


@dataclass
class Desk:
    """Doubles numbers, group by group, as soon as the door is open."""

    door: threading.Event = field(default_factory=threading.Event)
    groups: list[list[int]] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    ended: list[int] = field(default_factory=list)

    def work(self, numbers: Sequence[int]) -> list[int]:
        """Do a group; nobody can do a negative number."""
        assert self.door.wait(30)
        self.groups.append([*numbers])
        self.threads.add(threading.get_ident())
        if min(numbers) < 0:
            raise ValueError("negative")
        return [2 * each for each in numbers]

    def end(self) -> None:
        """Note that it is over, and in which thread."""
        self.ended.append(threading.get_ident())


@pytest.fixture
def desk() -> Desk:
    """One whose door is open."""
    desk = Desk()
    desk.door.set()
    return desk


async def begun(desk: Desk, groups: InGroups[int, int], number: int) -> asyncio.Task[int]:
    """Have the first group begin, which holds this number only, and waits at the door."""
    desk.door.clear()
    task = asyncio.create_task(groups.add(number))
    for _ in range(3):
        await asyncio.sleep(0)
    assert groups._waiting == []
    return task


async def test_each_learns_its_own_result(desk: Desk) -> None:
    """However many there are."""
    async with InGroups(desk.work) as groups:
        assert await asyncio.gather(*map(groups.add, range(2_000))) == [
            2 * each for each in range(2_000)
        ]
    assert [each for group in desk.groups for each in group] == [*range(2_000)]
    assert max(map(len, desk.groups)) == 500


async def test_what_comes_meanwhile_is_the_next_group(desk: Desk) -> None:
    """In the order in which it came."""
    async with InGroups(desk.work) as groups:
        first = await begun(desk, groups, 1)
        rest = [asyncio.create_task(groups.add(each)) for each in (4, 2, 3)]
        await asyncio.sleep(0)
        desk.door.set()
        assert await asyncio.gather(first, *rest) == [2, 8, 4, 6]
    assert desk.groups == [[1], [4, 2, 3]]


async def test_nobody_waits_for_company(desk: Desk) -> None:
    """One by one, each is a group."""
    async with InGroups(desk.work) as groups:
        assert [await groups.add(each) for each in (1, 2, 3)] == [2, 4, 6]
    assert desk.groups == [[1], [2], [3]]


async def test_a_group_that_fails(desk: Desk) -> None:
    """Each of it is told, and the next one is done."""
    async with InGroups(desk.work) as groups:
        first = await begun(desk, groups, 1)
        rest = [asyncio.create_task(groups.add(each)) for each in (5, -1)]
        await asyncio.sleep(0)
        desk.door.set()
        came = await asyncio.gather(first, *rest, return_exceptions=True)
        assert [repr(each) for each in came] == [
            "2",
            "ValueError('negative')",
            "ValueError('negative')",
        ]
        assert await groups.add(7) == 14


async def test_who_is_cancelled_while_it_waits(desk: Desk) -> None:
    """Does not learn it; it is done all the same, and the others learn theirs."""
    async with InGroups(desk.work) as groups:
        first = await begun(desk, groups, 1)
        second, third = (asyncio.create_task(groups.add(each)) for each in (2, 3))
        await asyncio.sleep(0)
        first.cancel()
        second.cancel()
        await asyncio.wait([first, second])
        desk.door.set()
        assert await third == 6
    assert (first.cancelled(), second.cancelled(), desk.groups) == (True, True, [[1], [2, 3]])


async def test_who_is_cancelled_does_not_hear_of_a_failure(desk: Desk) -> None:
    """And nobody complains that it did not."""
    complaints: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    async with InGroups(desk.work) as groups:
        task = await begun(desk, groups, -1)
        task.cancel()
        await asyncio.wait([task])
        desk.door.set()
        assert await groups.add(2) == 4
    assert complaints == []


async def test_what_still_waits_is_done_before_the_end(desk: Desk) -> None:
    """Whoever waited for it is gone."""
    async with InGroups(desk.work, desk.end) as groups:
        first = await begun(desk, groups, 1)
        second = asyncio.create_task(groups.add(2))
        await asyncio.sleep(0)
        first.cancel()
        second.cancel()
        desk.door.set()
    assert desk.groups == [[1], [2]]


async def test_all_of_it_is_in_one_thread(desk: Desk) -> None:
    """Which is not the event loop's, the end included."""
    async with InGroups(desk.work, desk.end) as groups:
        for each in range(3):
            await groups.add(each)
    assert desk.threads == {*desk.ended}
    assert len(desk.ended) == 1
    assert threading.get_ident() not in desk.threads
    assert not any(each.ident in desk.threads for each in threading.enumerate())


async def test_it_ends_though_nothing_was_done(desk: Desk) -> None:
    """As when the first step of all fails."""
    with pytest.raises(RuntimeError, match="elsewhere"):
        async with InGroups(desk.work, desk.end):
            raise RuntimeError("elsewhere")
    assert (desk.groups, len(desk.ended)) == ([], 1)
