"""From a command to a batch: its file judged, its endpoint found, begun or taken up again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runpodctl_py.api.types import JobRequest
from runpodctl_py.batch.opening import check_unchanged, digest_of, examine, new_id
from runpodctl_py.cli.batch_leaving import reading
from runpodctl_py.cli.batch_ordering import STDIN, Order, source_again
from runpodctl_py.cli.batch_running import Work, nothing_again
from runpodctl_py.cli.batch_words import counted, money_text
from runpodctl_py.cli.context import endpoint_id
from runpodctl_py.cli.durations import ago_text
from runpodctl_py.cli.prices import preset_price_usd
from runpodctl_py.errors import ConflictError, UsageError
from runpodctl_py.jobs.ledger import Batch, State
from runpodctl_py.jobs.save import check_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from runpodctl_py.batch.opening import Examined
    from runpodctl_py.batch.recipe import Recipe
    from runpodctl_py.batch.source import Source
    from runpodctl_py.cli.batch import Running
    from runpodctl_py.cli.context import Context
    from runpodctl_py.jobs.ledger import Record
    from runpodctl_py.presets.model import Preset


async def begin(
    context: Context, order: Order, source: Source, running: Running, *, is_new: bool, dry_run: bool
) -> None:
    """Run a file: a batch of its own, or the rest of the one that the same command began."""
    check_pace(order, running)
    preset = order.loaded_preset()
    recipe = order.recipe(preset)
    with reading():
        examined = _examined(context, source, recipe, order)
        digest = digest_of(source)
    where = await _find_endpoint(context, preset, order.endpoint, dry_run=dry_run)
    identity = order.identity(context.place.root, where, digest, source)
    before = None if is_new else context.ledger.batches.same(identity)
    if dry_run:
        _show_dry_run(context, where, examined, before, preset)
        return
    if before is None and not is_new:
        _check_not_changed(context, source, where)
    if before is not None:
        _introduce(context, before, running, f"begun {_ago(before)}")
        work = Work(context, before, order, source, running, nothing_again)
        await work.run()
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
        invalid=examined.invalid,
        options=order.options(source),
        output_dir=directory.absolute(),
    )
    check_folder(directory)
    _introduce(context, batch, running, "new")
    work = Work(context, batch, order, source, running, nothing_again, is_new=True)
    await work.run()


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
    check_pace(order, running)
    source = source_again(batch)
    with reading():
        check_unchanged(batch, source)
    _introduce(context, batch, running, f"begun {_ago(batch)}")
    await Work(context, batch, order, source, running, is_due).run()


def check_pace(order: Order, running: Running) -> None:
    """Refuse what has no meaning where RunPod decides how many jobs run at once.

    Raises:
        UsageError: --concurrency or --rate was given together with --native.
    """
    if order.is_native and (running.concurrency, running.rate) != (None, None):
        raise UsageError(
            "With --native, RunPod decides how many jobs run at once",
            hint="Leave out --concurrency and --rate, or --native.",
        )


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
            "\n".join(
                (f"{counted(examined.invalid, 'row')} of {source.name} cannot be sent", *problems)
            ),
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


def _check_not_changed(context: Context, source: Source, endpoint_id: str) -> None:
    """Refuse to begin anew with a file of which another batch is not done.

    Raises:
        ConflictError: All its rows would be sent once more, those that are done, too.
    """
    before = context.ledger.batches.unfinished(source.path.absolute(), endpoint_id)
    if before is None or source.name == STDIN or digest_of(source) == before.sha256:
        return
    raise ConflictError(
        f"{source.name} has changed since batch {before.batch_id} began, {_ago(before)}, which is "
        "not done",
        hint="To send all its rows as a new batch, those that are done too:  --new\n"
        f"Or restore it, and go on:  runpodctl-py batch resume {before.batch_id}",
    )


def _introduce(context: Context, batch: Batch, running: Running, since: str) -> None:
    """Say what is about to be run, where, and for how much."""
    valid = "all valid" if not batch.invalid else f"{counted(batch.invalid, 'row')} left out"
    where = f"{batch.preset} ({batch.endpoint_id})" if batch.preset else batch.endpoint_id
    parts = [
        f"{batch.options['name']}   {counted(batch.total, 'row')}, {valid}",
        f"endpoint {where}",
        f"batch {batch.batch_id}, {since}",
    ]
    if running.max_cost is not None:
        parts.append(f"at most {money_text(running.max_cost)}")
    context.output.note(" · ".join(parts))
    if context.output.draws:
        context.output.note()


def _ago(batch: Batch) -> str:
    return ago_text(batch.created_at, time.time())
