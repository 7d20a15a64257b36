"""Work on a batch, whoever does it: what it is given, what stops it, and what it waits for then.

It is stopped by its end, by an error that concerns all rows, or by a person. However that is, what
has begun to be sent is not broken off. Which rows are sent, and how, is `runner.py`'s and
`native.py`'s.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from runpodctl_py.batch.walk import Walk
from runpodctl_py.errors import RunpodctlError
from runpodctl_py.jobs.ledger import BatchState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from runpodctl_py.api.batches import NativeBatches
    from runpodctl_py.api.serverless import Serverless
    from runpodctl_py.batch.asking import Asking
    from runpodctl_py.batch.homecoming import Homecoming
    from runpodctl_py.batch.patience import Patience
    from runpodctl_py.batch.row import BadRow, Row
    from runpodctl_py.batch.sending import Sending
    from runpodctl_py.batch.tally import Tally
    from runpodctl_py.batch.window import Window
    from runpodctl_py.clock import Clock
    from runpodctl_py.jobs.ledger import Batch, Record, Scribe
    from runpodctl_py.jobs.lost import LostJobs


class Stop(Enum):
    """Why a batch sends nothing more."""

    DONE = auto()
    """Every row was sent."""
    COST = auto()
    """What it may cost is reached."""
    LIMIT = auto()
    """As many rows as were asked for have been sent."""
    CANCELLED = auto()
    """`batch cancel` was called."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a person allows a batch.

    Args:
        max_cost_usd: Nothing is sent any more when it has cost that much.
        rows: The most rows to send.
        retries: How often a row is sent again whose failure may be chance.
    """

    max_cost_usd: float | None = None
    rows: int | None = None
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a batch is run with.

    Args:
        endpoint: Where its jobs run.
        batches: RunPod's own batches there.
        scribe: Where everything is written down.
        sending: Sends rows.
        asking: Asks for jobs until they have ended.
        homecoming: Brings home what they returned.
        lost: Makes what looks for jobs whose answers were lost.
        patience: How long an outage is waited out.
        window: How many jobs may be in flight.
        clock: For waiting.
    """

    endpoint: Serverless
    batches: NativeBatches
    scribe: Scribe
    sending: Sending
    asking: Asking
    homecoming: Homecoming
    lost: Callable[[], LostJobs]
    patience: Patience
    window: Window
    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What is to be done: one batch, or the rest of it.

    Args:
        batch: The batch, in our hands.
        rows: Reads its file.
        tools: What it is run with.
        limits: What is allowed.
        tally: Kept up to date while it runs; it counts what was done before already.
        is_begun: Whether some of its rows may have been sent before.
        repeats: Which rows that have ended are sent once more.
    """

    batch: Batch
    rows: Callable[[], Iterator[Row | BadRow]]
    tools: Tools
    limits: Limits
    tally: Tally
    is_begun: bool
    repeats: Callable[[Record], bool]


class Working(ABC):
    """Work on one batch, which ends as a whole.

    Args:
        given: What is to be done.
    """

    def __init__(self, given: Given) -> None:
        self._batch = given.batch
        self._tools = given.tools
        self._limits = given.limits
        self._tally = given.tally
        self._walk = Walk(
            given.batch,
            given.rows,
            given.tools.scribe,
            is_begun=given.is_begun,
            repeats=given.repeats,
        )
        self._stop: Stop | None = None

    async def run(self) -> Stop:
        """Send what is to be sent, and follow it to its end.

        On a cancellation nothing more is sent, and the answers to what is being sent are waited
        for: a job of which nobody knows whether it exists is the worst thing to leave behind.

        Raises:
            RunpodctlError: Something that concerns all rows.
        """
        work = asyncio.create_task(self._work())
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            work.cancel()
            await _until_ended(work)
            raise

    @abstractmethod
    async def _work(self) -> Stop:
        """Do it; what is done beside is a task of `_tasks`."""

    @abstractmethod
    async def _last_answers(self) -> None:
        """Wait for the answers to what is being sent, though not for long."""

    @asynccontextmanager
    async def _tasks(self) -> AsyncIterator[asyncio.TaskGroup]:
        """Have tasks that end together, whatever ends them; the last answers come after them."""
        try:
            async with asyncio.TaskGroup() as tasks:
                yield tasks
        except* RunpodctlError as group:
            raise _first_of(group) from None
        finally:
            await self._last_answers()

    async def _is_cancelled(self) -> bool:
        """Tell whether somebody has cancelled the batch."""
        batch = await self._tools.scribe.write(
            lambda ledger: ledger.batches.find(self._batch.batch_id)
        )
        return batch.state is BatchState.CANCELLED


async def _until_ended(work: asyncio.Task[Stop]) -> None:
    """Wait for work that was cancelled, however often we are cancelled ourselves meanwhile."""
    while not work.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([work])


def _first_of(group: BaseExceptionGroup[RunpodctlError]) -> RunpodctlError:
    """Return an error of several that ended a batch: they have one cause, or one is as good."""
    first = group.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first
