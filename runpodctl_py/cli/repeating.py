"""`jobs retry`: a job once more, by RunPod itself while it can, else sent anew."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from runpodctl_py.cli import options
from runpodctl_py.cli.context import Context, opened, run
from runpodctl_py.cli.located import JobId, load_settings, open_ledger, placed
from runpodctl_py.errors import ConfirmationNeededError, RefusedError

if TYPE_CHECKING:
    from runpodctl_py.api.types import JobRequest
    from runpodctl_py.cli.wish import Wish
    from runpodctl_py.jobs.ledger import Record
    from runpodctl_py.settings import Settings

_ONCE_MORE = "Send it once more all the same (it costs again):  runpodctl-py jobs retry {} --force"


def retry(
    job: JobId,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Also one that may run, or that went well.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Print the job's id and do not wait.")
    ] = False,
    following: options.Following,
    common: options.Common,
) -> None:
    """Run a job once more, and save its files: under its id where RunPod can, else as a new job.

    RunPod repeats jobs that failed or timed out, for as long as it knows them. A new job remembers
    which one it repeats.

    Examples:
      runpodctl-py jobs retry 8f3c2a54
      runpodctl-py jobs retry 55de0a17 --force --detach
    """
    from runpodctl_py.cli.sending import check_can_leave
    from runpodctl_py.cli.wish import Wish

    with open_ledger(common) as ledger:
        ledger.settle()
        record = ledger.find(job)
        payload = ledger.payload(record.key)
    _refuse_without(force, record)
    what = f"Job {record.short_id}"
    where = placed(record.intent.place, what, common, load_settings(common))
    wish = Wish.of(following, record.intent.preset).as_recorded(record.intent)
    with opened(where, is_quiet=following.quiet) as context:
        if detach:
            check_can_leave(context)
        request = _request(record, payload, context.settings)
        run(_repeat(context, record, request, wish, detach=detach))


def _refuse_without(force: bool, record: Record) -> None:  # noqa: FBT001 # the flag as it was given
    """Refuse to spend money on what may not be wanted.

    Raises:
        ConfirmationNeededError: It has to be said with --force.
    """
    from runpodctl_py.jobs.ledger import State

    why = {
        State.UNKNOWN: "may have been queued, and may run: sent again, it may run twice",
        State.SENDING: "is being sent",
        State.QUEUED: "waits, as far as we know",
        State.RUNNING: "runs, as far as we know",
        State.COMPLETED: "went well",
    }.get(record.state)
    if why and not force:
        raise ConfirmationNeededError(
            f"Job {record.short_id} {why}", hint=_ONCE_MORE.format(record.short_id)
        )


def _request(record: Record, payload: object, settings: Settings) -> JobRequest | None:
    """Return what is to be sent anew; None if we do not have all of it.

    Raises:
        UsageError: Its files are to go into a bucket whose keys are not set (any more).
    """
    from runpodctl_py.api.types import JobRequest
    from runpodctl_py.cli.buckets import bucket_at

    if not record.is_payload_whole or not isinstance(payload, dict):
        return None
    intent, s3_config = record.intent, None
    if intent.bucket is not None:
        bucket = bucket_at(intent.bucket, settings)
        s3_config = None if bucket is None else bucket.s3_config()
    return JobRequest(payload, intent.webhook, intent.policy, s3_config)


async def _repeat(
    context: Context, record: Record, request: JobRequest | None, wish: Wish, *, detach: bool
) -> None:
    from runpodctl_py.cli.following import Session

    async with Session(context, record.intent.endpoint_id, wish) as session:
        if await session.retried(record):
            if detach:
                session.leave(str(record.job_id))
            else:
                await session.watch(str(record.job_id))
            return
    if request is None:
        is_known = context.ledger.payload(record.key) is not None
        raise _cannot_be_sent(record, is_known=is_known)
    async with Session(context, record.intent.endpoint_id, replace(wish, parent=record.key)) as new:
        if detach:
            await new.send_and_leave(request)
        else:
            await new.send_and_follow(request, sync_wait_ms=None)


def _cannot_be_sent(record: Record, *, is_known: bool) -> RefusedError:
    from runpodctl_py.jobs.ledger import State

    before = "RunPod cannot repeat it, and " if record.state is not State.UNKNOWN else ""
    why = "its secrets are not written down" if is_known else "what it was sent is not known"
    return RefusedError(
        f"Job {record.short_id} cannot be sent again from the ledger: {before}{why}",
        hint="Send it again with submit.",
    )
