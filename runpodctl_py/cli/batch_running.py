"""One command's work on a batch: in hand, taken stock of, run, summed up.

Owns the order in which these happen. What it is run with is `batch_tools.py`'s, how it looks
`batch_view.py`'s, and what makes a command a batch `batch_beginning.py`'s.
"""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from runpodctl_py.batch.lines import document_of
from runpodctl_py.batch.native import NativeRunner
from runpodctl_py.batch.reader import rows
from runpodctl_py.batch.results import ResultsFile
from runpodctl_py.batch.runner import Runner
from runpodctl_py.batch.spreadsheet import write_csv
from runpodctl_py.batch.stock import RESULTS, take_stock
from runpodctl_py.batch.tally import Tally
from runpodctl_py.batch.working import Given, Limits, Stop
from runpodctl_py.cli.batch_leaving import leaving, reading
from runpodctl_py.cli.batch_summary import show_summary, summary_document
from runpodctl_py.cli.batch_tools import opened_tools
from runpodctl_py.cli.batch_view import batch_view
from runpodctl_py.errors import (
    BatchFailedError,
    ConflictError,
    InterruptedRunError,
    JobCancelledError,
    NotFoundError,
    RunpodctlError,
)
from runpodctl_py.jobs.ledger import Batch, BatchState, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runpodctl_py.batch.recipe import Recipe
    from runpodctl_py.batch.row import RowResult
    from runpodctl_py.batch.source import Source
    from runpodctl_py.cli.batch import Running
    from runpodctl_py.cli.batch_ordering import Order
    from runpodctl_py.cli.context import Context
    from runpodctl_py.jobs.ledger import Ledger, Record


_COLLECTED_AFTER = 50_000


def nothing_again(record: Record) -> bool:
    """Tell that no row that is done with is sent once more."""
    del record
    return False


@dataclass(slots=True)
class Work:
    """One command's work on a batch.

    Args:
        context: The command's surroundings.
        batch: Which one.
        order: What was asked for.
        source: Its file.
        running: How much, how fast.
        repeats: Which of the rows that are done with are sent once more.
        is_new: Whether it begins now.
    """

    context: Context
    batch: Batch
    order: Order
    source: Source
    running: Running
    repeats: Callable[[Record], bool]
    is_new: bool = False

    async def run(self) -> None:
        """Run it, and say what came of it.

        Raises:
            RunpodctlError: What the exit code should tell.
        """
        began_s = time.monotonic()
        tally = Tally(self.batch.total, self.batch.invalid)
        path = self.batch.output_dir / RESULTS
        if self.is_new:
            # Before it is written down: the same command again would take it for its own.
            _check_free(path)
        with self._in_hand(), ResultsFile(path) as file:
            with reading():
                self._ledger.settle()
                take_stock(self.batch, file, self._ledger, tally, self._is_due)
            # It is of the last time, until it is written anew.
            (self.batch.output_dir / "results.csv").unlink(missing_ok=True)
            try:
                stop = await self._run(tally, file)
            except asyncio.CancelledError:
                # Nobody here follows it any more, and it goes on.
                tally.in_flight = self._in_flight
                error = self._told(tally, None, time.monotonic() - began_s)
                raise error or InterruptedRunError("Interrupted") from None
            except NotFoundError:
                raise
            except RunpodctlError as exc:
                exc.hint = "\n".join(filter(None, (exc.hint, self._again("resume"))))
                raise
            write_csv(self.batch.output_dir / "results.csv", file.in_input_order())
            if self._is_cancelled:
                stop = Stop.CANCELLED
            elif stop is Stop.DONE and not tally.left:
                self._ledger.batches.move(self.batch.batch_id, BatchState.DONE)
        error = self._told(tally, stop, time.monotonic() - began_s)
        if error is not None:
            raise error

    @property
    def _ledger(self) -> Ledger:
        return self.context.ledger

    @property
    def _is_cancelled(self) -> bool:
        batch = self._ledger.batches.find(self.batch.batch_id)
        return batch.state is BatchState.CANCELLED

    @property
    def _in_flight(self) -> int:
        states = self._ledger.batches.counts(self.batch.batch_id).states
        return states.get(State.QUEUED, 0) + states.get(State.RUNNING, 0)

    def _is_due(self, record: Record) -> bool:
        return record.state is State.NOT_SENT or self.repeats(record)

    @contextmanager
    def _in_hand(self) -> Iterator[None]:
        """Have the batch for ourselves.

        Raises:
            ConflictError: Another command is at work on it.
        """
        batches, batch_id = self._ledger.batches, self.batch.batch_id
        if self.is_new:
            batches.add(self.batch)
        elif not batches.claim(batch_id):
            raise ConflictError(
                f"Another command is at work on batch {batch_id}",
                hint=f"See how it stands:  runpodctl-py batch status {batch_id}",
            )
        elif self.batch.state is not BatchState.OPEN:
            batches.move(batch_id, BatchState.OPEN)
        try:
            yield
        finally:
            batches.let_go(batch_id)

    async def _run(self, tally: Tally, file: ResultsFile) -> Stop:
        output, running = self.context.output, self.running
        # A seventh of the processor time went into looking at what is alive (benchmarks/batch.py).
        gc.freeze()
        gc.set_threshold(_COLLECTED_AFTER)
        async with AsyncExitStack() as stack:
            drawn = ExitStack()
            stack.enter_context(leaving(partial(self._say_last, drawn)))
            tools = await opened_tools(
                stack,
                self.context,
                self.batch,
                running,
                file,
                tally,
                self._tell_row,
                self.order,
            )
            with drawn:
                view = drawn.enter_context(
                    batch_view(
                        output,
                        self.batch.batch_id,
                        tally,
                        clock=tools.clock,
                        max_cost_usd=running.max_cost,
                        limit=running.limit,
                    )
                )
                beat = asyncio.create_task(view.keep())
                stack.push_async_callback(_ended, beat)
                kind = NativeRunner if self.order.is_native else Runner
                given = Given(
                    batch=self.batch,
                    rows=lambda: rows(self.source, self._recipe),
                    tools=tools,
                    limits=Limits(running.max_cost, running.limit, running.retries),
                    tally=tally,
                    is_begun=not self.is_new,
                    repeats=self.repeats,
                )
                return await kind(given).run()

    @property
    def _recipe(self) -> Recipe:
        return self.order.recipe(self.order.loaded_preset())

    def _say_last(self, drawn: ExitStack) -> None:
        drawn.close()
        self.context.output.error(InterruptedRunError("Interrupted", hint=self._again("resume")))

    def _tell_row(self, result: RowResult) -> None:
        if self.context.output.as_json:
            self.context.output.event(
                {"event": "row", **document_of(result, self.batch.output_dir)}
            )

    def _told(self, tally: Tally, stop: Stop | None, elapsed_s: float) -> RunpodctlError | None:
        """Say what came of it, and return what the exit code should tell, if it is no success."""
        output, batch_id, directory = (
            self.context.output,
            self.batch.batch_id,
            self.batch.output_dir,
        )
        if output.as_json:
            document = summary_document(batch_id, tally, elapsed_s, stop)
            output.event({**document, "output_dir": str(directory)})
        else:
            show_summary(
                output,
                batch_id,
                tally,
                elapsed_s,
                stop=stop,
                directory=directory,
                max_cost_usd=self.running.max_cost,
                flags=self.context.file_flags,
            )
        error = self._error(tally, stop)
        if error is not None:
            error.was_told = not (output.as_json or output.is_quiet)
        return error

    def _error(self, tally: Tally, stop: Stop | None) -> RunpodctlError | None:
        batch_id = self.batch.batch_id
        error: RunpodctlError | None = None
        match stop:
            case None:
                error = InterruptedRunError(
                    f"Interrupted; {_rows(tally.ended)} of {tally.total} are done",
                    hint=self._again("resume"),
                )
            case Stop.CANCELLED:
                error = JobCancelledError(
                    f"Batch {batch_id} was cancelled", hint=self._again("resume")
                )
            case _ if tally.failed:
                error = BatchFailedError(
                    f"{_rows(tally.failed)} of {tally.total} failed",
                    hint=self._again("retry", "--failed"),
                )
            case _ if tally.unknown:
                error = BatchFailedError(
                    f"{_rows(len(tally.unknown))}: nobody knows whether RunPod took them",
                    hint=self._again("retry", "--unknown"),
                )
            case Stop.LIMIT if tally.left and self.repeats is not nothing_again:
                error = BatchFailedError(
                    f"{_rows(tally.left)} that failed were not sent again yet",
                    hint=self._again("retry", "--failed"),
                )
            case Stop.COST:
                error = BatchFailedError(
                    f"{_rows(tally.left)} were not sent: what it may cost is spent",
                    hint=self._again("resume", "--max-cost USD"),
                )
        return error

    def _again(self, command: str, *options: str) -> str:
        if not self.batch.options["is_whole"]:
            return "Go on with the same `batch run` command: its secrets are not written down."
        kept = [
            f"{option} {value:g}"
            for option, value in (
                ("--max-cost", self.running.max_cost),
                ("--rate", self.running.rate),
                ("--concurrency", self.running.concurrency),
                ("--retries", self.running.retries or None),
            )
            if value is not None and not any(each.startswith(option) for each in options)
        ]
        words = " ".join((f"runpodctl-py batch {command} {self.batch.batch_id}", *options, *kept))
        return f"Go on:  {words}{self.context.file_flags}"


def _check_free(path: Path) -> None:
    """Make sure that a file of results is no other batch's.

    Raises:
        ConflictError: It is, or it is something else.
    """
    with ResultsFile(path) as file:
        if not file.is_empty:
            raise ConflictError(
                f"{path} holds the results of another batch",
                hint="Choose another folder with --output-dir, or go on with that batch:  "
                "runpodctl-py batch list",
            )


async def _ended(task: asyncio.Task[None]) -> None:
    """End a task; if it had trouble, that is not the batch's."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"
