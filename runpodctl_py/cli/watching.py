"""`watch`: one job as it goes, or several together, a line per event."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING

from runpodctl_py.cli.context import Context, opened, run
from runpodctl_py.cli.located import Located, gone, load_settings, open_ledger, placed
from runpodctl_py.errors import (
    ConflictError,
    InterruptedRunError,
    NotFoundError,
    RunpodctlError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runpodctl_py.cli.options import Common, Following, Target

_AT_ONCE = 24
"""Each holds a long poll; one HTTP client carries 32 connections."""


def unsettled(target: Target, common: Common) -> list[Located]:
    """Return the jobs of the ledger that have not been fetched yet, the oldest first.

    Raises:
        NotFoundError: There are none.
    """
    from runpodctl_py.jobs.ledger import Filter

    settings = load_settings(common)
    found: list[Located] = []
    with open_ledger(common) as ledger:
        ledger.settle()
        for record in reversed(ledger.jobs(Filter(unsettled=True))):
            try:
                where = placed(record.intent.place, f"Job {record.short_id}", common, settings)
            except ConflictError:
                continue
            if record.job_id is not None:
                found.append(Located(record.job_id, where, target, record))
    if not found:
        raise NotFoundError(
            "No job waits to be fetched", hint="See those you sent:  runpodctl-py jobs list"
        )
    return found


def watch_all(jobs: Sequence[Located], following: Following, *, hears: bool = False) -> None:
    """Follow jobs to their end and save their files.

    Args:
        jobs: Which.
        following: What is wanted of them.
        hears: Whether what a single one streams is told as it arrives.

    Raises:
        RunpodctlError: The first that was no success, in the order in which they were named.
    """
    with ExitStack() as opening:
        contexts = {
            common: opening.enter_context(opened(common, is_quiet=following.quiet))
            for common in dict.fromkeys(each.common for each in jobs)
        }
        if len(jobs) == 1:
            run(_watch(contexts[jobs[0].common], jobs[0], following, hears=hears))
        else:
            run(_watch_together(contexts, jobs, following))


async def _watch(
    context: Context,
    job: Located,
    following: Following,
    name: str | None = None,
    *,
    hears: bool = False,
) -> None:
    from runpodctl_py.cli.following import Session
    from runpodctl_py.cli.wish import Wish

    wish, record = Wish.of(following, job.preset, hears=hears), job.record
    if record is not None:
        wish = wish.as_recorded(record.intent)
    async with Session(context, job.endpoint_id(context), wish, name) as session:
        try:
            await session.watch(job.job_id)
        except NotFoundError as exc:
            if record is None:
                raise
            context.ledger.expired(record.key)
            raise gone(record) from exc


async def _watch_together(
    contexts: Mapping[Common, Context], jobs: Sequence[Located], following: Following
) -> None:
    from runpodctl_py.jobs.ledger import short_id

    room = asyncio.Semaphore(_AT_ONCE)

    async def watch(job: Located) -> None:
        async with room:
            await _watch(contexts[job.common], job, following, short_id(job.job_id))

    tasks = [asyncio.create_task(watch(each)) for each in jobs]
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        raise await _interrupted(tasks, following) from None
    results = [each.exception() for each in tasks]
    errors = [each for each in results if isinstance(each, RunpodctlError)]
    for each in results:
        if each is not None and not isinstance(each, RunpodctlError):
            raise each
    for error in errors[1:]:
        contexts[jobs[0].common].output.error(error)
    if errors:
        raise errors[0]


async def _interrupted(
    tasks: Sequence[asyncio.Task[None]], following: Following
) -> InterruptedRunError:
    """End what is followed, and return what is to be said of it."""
    for each in tasks:
        each.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    told = [each for each in ended if isinstance(each, RunpodctlError)]
    failed = [each for each in told if not isinstance(each, InterruptedRunError)]
    not_cancelled = [each for each in told if each not in failed and each.__cause__ is not None]
    what = "go on"
    if following.cancel_on_interrupt:
        what = "are cancelled, but not all" if not_cancelled else "are cancelled"
    words = [f"{each.job_id or 'a job'}: {each.message}" for each in (*failed, *not_cancelled)]
    return InterruptedRunError(
        "\n".join((f"Interrupted; the jobs that had not ended {what}.", *words)),
        hint="Watch them:  runpodctl-py watch --all",
    )
