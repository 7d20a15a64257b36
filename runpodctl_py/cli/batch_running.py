"""Running a batch from the command line: judged, opened or taken up again, run, summed up.

Owns the order in which these happen and what is said in between. The batch itself is
`batch/runner.py`'s; how it looks while it runs is `batch_view.py`'s.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from runpodctl_py.api.serverless import Serverless
from runpodctl_py.api.transport import Transport, download_client
from runpodctl_py.api.types import JobRequest
from runpodctl_py.batch.asking import Asking
from runpodctl_py.batch.homecoming import Homecoming
from runpodctl_py.batch.lines import document_of
from runpodctl_py.batch.opening import check_unchanged, digest_of, examine, new_id
from runpodctl_py.batch.pace import RUN, STATUS, Limit, Pace
from runpodctl_py.batch.patience import LOCAL_PATIENCE_S, PATIENCE_S, Patience
from runpodctl_py.batch.reader import rows
from runpodctl_py.batch.results import ResultsFile
from runpodctl_py.batch.runner import Limits, Runner, Stop, Tools
from runpodctl_py.batch.saving import Saving
from runpodctl_py.batch.sending import Sending
from runpodctl_py.batch.spreadsheet import write_csv
from runpodctl_py.batch.stock import RESULTS, take_stock
from runpodctl_py.batch.tally import Tally
from runpodctl_py.batch.window import Window
from runpodctl_py.cli.batch_ordering import STDIN, Order, source_again
from runpodctl_py.cli.batch_summary import show_summary, summary_document
from runpodctl_py.cli.batch_view import batch_view
from runpodctl_py.cli.context import endpoint_id
from runpodctl_py.cli.durations import ago_text
from runpodctl_py.cli.prices import pool_price_usd, preset_price_usd
from runpodctl_py.clock import SystemClock
from runpodctl_py.errors import (
    BatchFailedError,
    ConflictError,
    InterruptedRunError,
    JobCancelledError,
    RunpodctlError,
    UsageError,
)
from runpodctl_py.in_groups import InGroups
from runpodctl_py.jobs.download import Downloader
from runpodctl_py.jobs.ledger import Batch, BatchState, Scribe, State
from runpodctl_py.jobs.lost import LostJobs
from runpodctl_py.jobs.save import check_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runpodctl_py.batch.opening import Examined
    from runpodctl_py.batch.recipe import Recipe
    from runpodctl_py.batch.row import RowResult
    from runpodctl_py.batch.source import Source
    from runpodctl_py.cli.batch import Running
    from runpodctl_py.cli.context import Context
    from runpodctl_py.jobs.ledger import Ledger, Record
    from runpodctl_py.presets.model import Preset
    from runpodctl_py.settings import Settings

FOR_OTHERS = 20
"""Of the questions that RunPod lets be open at once, so many are left to other commands."""


async def begin(
    context: Context, order: Order, source: Source, running: Running, *, is_new: bool, dry_run: bool
) -> None:
    """Run a file: a batch of its own, or the rest of the one that the same command began."""
    preset = order.loaded_preset()
    recipe = order.recipe(preset)
    examined = _examined(context, source, recipe, order)
    where = await _find_endpoint(context, preset, order.endpoint, dry_run=dry_run)
    digest = digest_of(source)
    identity = order.identity(context.place.root, where, digest, source)
    before = None if is_new else context.ledger.batches.same(identity)
    if dry_run:
        _show_dry_run(context, where, examined, before, preset)
        return
    if before is not None:
        context.output.note(f"Going on with batch {before.batch_id}, begun {_ago(before)}.")
        work = Work(context, before, order, source, running, nothing_again)
        await work.run(examined.invalid)
        return
    batch_id = new_id()
    stem = source.path.stem if source.name != STDIN else STDIN
    directory = order.output_dir or context.settings.output_folder / f"{stem}-{batch_id}"
    batch = Batch(
        batch_id=batch_id,
        identity=identity,
        place=context.place,
        endpoint_id=where,
        preset=preset.name if preset else None,
        source=source.path.absolute(),
        sha256=digest,
        total=examined.total,
        options=order.options(source),
        output_dir=directory.absolute(),
    )
    check_folder(directory)
    work = Work(context, batch, order, source, running, nothing_again, is_new=True)
    await work.run(examined.invalid)


async def go_on(
    context: Context, batch: Batch, running: Running, is_due: Callable[[Record], bool]
) -> None:
    """Take a batch up again.

    Args:
        context: The command's surroundings.
        batch: Which one.
        running: How much, how fast.
        is_due: Which of the rows that are done with are sent once more.
    """
    order = Order.of(batch)
    source = source_again(batch)
    check_unchanged(batch, source)
    examined = examine(source, order.recipe(order.loaded_preset()))
    await Work(context, batch, order, source, running, is_due).run(examined.invalid)


def nothing_again(record: Record) -> bool:
    """Tell that no row that is done with is sent once more."""
    del record
    return False


def repeats(*, is_failed: bool, is_unknown: bool) -> Callable[[Record], bool]:
    """Return what tells which rows are sent once more."""

    def is_due(record: Record) -> bool:
        if record.state is State.UNKNOWN:
            return is_unknown
        if record.saved_at is None and record.state is not State.EXPIRED:
            # It is still to be fetched.
            return False
        return is_failed and (record.state is not State.COMPLETED or record.error is not None)

    return is_due


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

    async def run(self, invalid: int) -> None:
        """Run it, and say what came of it.

        Args:
            invalid: How many of its rows cannot be sent.

        Raises:
            RunpodctlError: What the exit code should tell.
        """
        began_s = time.monotonic()
        tally = Tally(self.batch.total, invalid)
        path = self.batch.output_dir / RESULTS
        with self._in_hand(), ResultsFile(path) as file:
            if self.is_new and not file.is_empty:
                raise ConflictError(
                    f"{path} holds the results of another batch",
                    hint="Choose another folder with --output-dir, or go on with that batch:  "
                    "runpodctl-py batch list",
                )
            self._ledger.settle()
            take_stock(self.batch, file, self._ledger, tally, self._is_due)
            try:
                stop = await self._run(tally, file)
            except asyncio.CancelledError:
                raise self._interrupted(tally) from None
            write_csv(self.batch.output_dir / "results.csv", file.in_input_order())
            if stop is Stop.DONE and not tally.left:
                self._ledger.batches.move(self.batch.batch_id, BatchState.DONE)
        self._tell(tally, stop, time.monotonic() - began_s)

    @property
    def _ledger(self) -> Ledger:
        return self.context.ledger

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
        async with AsyncExitStack() as stack:
            tools = await self._tools(stack, file, tally)
            with batch_view(
                output,
                self.batch.batch_id,
                tally,
                clock=tools.clock,
                max_cost_usd=running.max_cost,
                limit=running.limit,
            ) as view:
                beat = asyncio.create_task(view.keep())
                stack.callback(beat.cancel)
                runner = Runner(
                    self.batch,
                    lambda: rows(self.source, self._recipe),
                    tools,
                    Limits(running.max_cost, running.limit, running.retries),
                    tally,
                    is_begun=not self.is_new,
                    repeats=self.repeats,
                )
                return await runner.run()

    @property
    def _recipe(self) -> Recipe:
        return self.order.recipe(self.order.loaded_preset())

    async def _tools(self, stack: AsyncExitStack, file: ResultsFile, tally: Tally) -> Tools:
        settings, clock = self.context.settings, SystemClock()
        limits = await self._pace_limits()
        most = limits[0].at_once + limits[1].at_once
        transport = await stack.enter_async_context(
            Transport(settings.endpoint_base_url, settings.api_key, connections=most)
        )
        client = await stack.enter_async_context(download_client())
        endpoint = Serverless(transport, self.batch.endpoint_id)
        patience = Patience(clock, LOCAL_PATIENCE_S if settings.is_local else PATIENCE_S)
        saving = Saving(
            self.batch.output_dir,
            self.batch.batch_id,
            partial(Downloader, client),
            await self._price_usd(),
        )
        saving.prepare()
        asking = Asking(
            endpoint, Pace(limits[1], clock), limits[1].at_once - FOR_OTHERS, patience, clock
        )
        scribe = await stack.enter_async_context(Scribe(settings.ledger_path))
        lines = await stack.enter_async_context(InGroups(partial(_appended, file)))
        return Tools(
            endpoint=endpoint,
            scribe=scribe,
            sending=Sending(self.batch, endpoint, scribe, Pace(limits[0], clock), patience, tally),
            asking=asking,
            homecoming=Homecoming(saving, lines, scribe, tally, self._tell_row),
            lost=lambda: LostJobs(self._ledger, endpoint),
            patience=patience,
            window=self._window(),
            clock=clock,
        )

    def _window(self) -> Window:
        most = self.running.concurrency
        return Window() if most is None else Window(ceiling=most)

    async def _pace_limits(self) -> tuple[Limit, Limit]:
        """Return how often jobs may be sent and asked for: a local RunPod may have no limits."""
        rate = self.running.rate
        run = RUN if rate is None else Limit(rate, RUN.at_once)
        settings = self.context.settings
        if not settings.is_local or await has_rate_limits(settings):
            return run, STATUS
        return Limit(rate, RUN.at_once), Limit(None, STATUS.at_once)

    async def _price_usd(self) -> float | None:
        """Return what a second costs; on the local RunPod only if a cap is to be tried out."""
        settings = self.context.settings
        if settings.is_local and self.running.max_cost is None:
            return 0.0
        try:
            price = await pool_price_usd(settings, self.batch.endpoint_id)
        except RunpodctlError:
            price = preset_price_usd(self.batch.preset)
        if price is None and self.running.max_cost is not None:
            raise UsageError(
                f"What endpoint {self.batch.endpoint_id} costs is not known, so --max-cost "
                "cannot be kept",
                hint="Leave it out, or use an API key that may read the account.",
            )
        return price

    def _tell_row(self, result: RowResult) -> None:
        if self.context.output.as_json:
            self.context.output.event(
                {"event": "row", **document_of(result, self.batch.output_dir)}
            )

    def _interrupted(self, tally: Tally) -> InterruptedRunError:
        batch_id, flags = self.batch.batch_id, self.context.file_flags
        going = f" {tally.in_flight} of its jobs go on." if tally.in_flight else ""
        return InterruptedRunError(
            f"Interrupted: {tally.ended} of {tally.total} rows are done.{going}",
            hint=f"Go on:   runpodctl-py batch resume {batch_id}{flags}\n"
            f"Cancel:  runpodctl-py batch cancel {batch_id}{flags}",
        )

    def _tell(self, tally: Tally, stop: Stop, elapsed_s: float) -> None:
        """Say what came of it.

        Raises:
            BatchFailedError: Rows failed, or are not done.
            JobCancelledError: It was cancelled.
        """
        output, batch_id = self.context.output, self.batch.batch_id
        if output.as_json:
            document = summary_document(batch_id, tally, elapsed_s, stop)
            output.event({**document, "output_dir": str(self.batch.output_dir)})
        else:
            show_summary(
                output,
                batch_id,
                tally,
                elapsed_s,
                stop=stop,
                directory=self.batch.output_dir,
                max_cost_usd=self.running.max_cost,
                flags=self.context.file_flags,
            )
        if stop is Stop.CANCELLED:
            raise JobCancelledError(f"Batch {batch_id} was cancelled", hint=self._again("resume"))
        if tally.failed:
            raise BatchFailedError(
                f"{_rows(tally.failed)} of {tally.total} failed",
                hint=self._again("retry", "--failed"),
            )
        if tally.unknown:
            raise BatchFailedError(
                f"{_rows(len(tally.unknown))}: nobody knows whether RunPod took them",
                hint=self._again("retry", "--unknown"),
            )
        if stop is Stop.COST:
            raise BatchFailedError(
                f"{_rows(tally.left)} were not sent: what it may cost is spent",
                hint=self._again("resume", "--max-cost USD"),
            )

    def _again(self, command: str, *options: str) -> str:
        words = " ".join((f"runpodctl-py batch {command} {self.batch.batch_id}", *options))
        return f"Go on:  {words}{self.context.file_flags}"


async def has_rate_limits(settings: Settings) -> bool:
    """Tell whether the local RunPod refuses too many requests."""
    async with Transport(settings.api_base_url, settings.api_key) as transport:
        return bool((await transport.get("/_local/status")).body.get("rateLimits"))


async def _find_endpoint(
    context: Context, preset: Preset | None, given: str | None, *, dry_run: bool
) -> str:
    if context.settings.is_local and preset is not None and not given:
        from runpodctl_py.cli.local_endpoint import ready_endpoint

        return await ready_endpoint(context, preset, dry_run=dry_run)
    return endpoint_id(context.settings, given, preset)


def _examined(context: Context, source: Source, recipe: Recipe, order: Order) -> Examined:
    """Judge the whole file before anything is sent.

    Raises:
        UsageError: A row cannot be sent, and it was not said that such rows are to be left out.
    """
    examined = examine(source, recipe)
    problems = [f"line {each.line}: {each.problem}" for each in examined.problems]
    if more := examined.invalid - len(problems):
        problems.append(f"and {more} more")
    if examined.invalid == examined.total:
        raise UsageError("\n".join((f"No row of {source.name} can be sent", *problems)))
    if problems and not order.skips_invalid:
        raise UsageError(
            "\n".join((f"{_rows(examined.invalid)} of {source.name} cannot be sent", *problems)),
            hint="Nothing was sent. Mend them, or leave them out with --skip-invalid.",
        )
    for each in problems:
        context.output.warn(f"left out: {each}")
    return examined


def _show_dry_run(
    context: Context,
    where: str,
    examined: Examined,
    before: Batch | None,
    preset: Preset | None,
) -> None:
    """Print how many rows would be sent, and the first request; send nothing."""
    price = None
    if context.settings.is_local:
        price = 0.0
    elif preset is not None:
        price = preset_price_usd(preset.name)
    first = examined.first
    context.output.document(
        {
            "dry_run": True,
            "rows": examined.total,
            "invalid": examined.invalid,
            "resumes": None if before is None else before.batch_id,
            "request": {
                "method": "POST",
                "url": f"{context.settings.endpoint_base_url}/{where}/run",
                "body": None
                if first is None
                else JobRequest(first.payload, policy=first.policy).as_json(),
            },
            "price_per_hour_usd": None if price is None else round(price * 3600, 6),
        }
    )
    context.output.note("Nothing was sent.")


def _appended(file: ResultsFile, results: Sequence[RowResult]) -> list[None]:
    file.append(results)
    return [None] * len(results)


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _ago(batch: Batch) -> str:
    return ago_text(batch.created_at, time.time())
