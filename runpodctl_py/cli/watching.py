"""`watch`: one job as it goes, or several together, a line per event."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING

from runpodctl_py.cli.context import Context, opened, run
from runpodctl_py.cli.located import Located, load_settings, open_ledger, placed
from runpodctl_py.errors import (
    ConflictError,
    InterruptedRunError,
    NotFoundError,
    RunpodctlError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runpodctl_py.cli.options import Common, Following, Target


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
                where = placed(record, common, settings)
            except ConflictError:
                continue
            if record.job_id is not None:
                found.append(Located(record.job_id, where, target, record))
    if not found:
        raise NotFoundError(
            "No job waits to be fetched", hint="See those you sent:  runpodctl-py jobs list"
        )
    return found


def watch_all(jobs: Sequence[Located], following: Following) -> None:
    """Follow jobs to their end and save their files.

    Raises:
        RunpodctlError: The first that was no success, in the order in which they were named.
    """
    with ExitStack() as opening:
        contexts = {
            common: opening.enter_context(opened(common, is_quiet=following.quiet))
            for common in dict.fromkeys(each.common for each in jobs)
        }
        if len(jobs) == 1:
            run(_watch(contexts[jobs[0].common], jobs[0], following))
        else:
            run(_watch_together(contexts, jobs, following))


async def _watch(
    context: Context, job: Located, following: Following, name: str | None = None
) -> None:
    from runpodctl_py.cli.following import Session, Wish

    wish = Wish.of(following, job.preset)
    async with Session(context, job.endpoint_id(context), wish, name) as session:
        await session.watch(job.job_id)


async def _watch_together(
    contexts: Mapping[Common, Context], jobs: Sequence[Located], following: Following
) -> None:
    from runpodctl_py.jobs.ledger import short_id

    watching = asyncio.gather(
        *(_watch(contexts[each.common], each, following, short_id(each.job_id)) for each in jobs),
        return_exceptions=True,
    )
    try:
        results = await watching
    except asyncio.CancelledError:
        what = "are cancelled" if following.cancel_on_interrupt else "go on"
        raise InterruptedRunError(
            f"Interrupted; the jobs that had not ended {what}.",
            hint="Watch them:  runpodctl-py watch --all",
        ) from None
    errors = [each for each in results if isinstance(each, RunpodctlError)]
    for each in results:
        if isinstance(each, BaseException) and not isinstance(each, RunpodctlError):
            raise each
    for error in errors[1:]:
        contexts[jobs[0].common].output.error(error)
    if errors:
        raise errors[0]
