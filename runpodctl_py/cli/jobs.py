"""`status`, `watch`, `cancel` for one job, and `health` for its endpoint."""

from __future__ import annotations

from contextlib import suppress
from operator import methodcaller
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from runpodctl_py.cli import options
from runpodctl_py.cli.context import Context, endpoint_id, opened, run
from runpodctl_py.cli.house_style import App
from runpodctl_py.cli.located import JOBS, JobId, JobIds, Located, gone, locate
from runpodctl_py.cli.output import Column, Output, seconds_text
from runpodctl_py.errors import LedgerError, NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runpodctl_py.api.serverless import Serverless
    from runpodctl_py.api.types import Health, Job
    from runpodctl_py.jsontypes import JsonObject
    from runpodctl_py.presets.model import Preset

app = App()

_Answer = TypeVar("_Answer")


@app.command()
def status(
    job: JobId,
    *,
    target: options.Target,
    verbose: options.Verbose = False,
    common: options.Common,
) -> None:
    """Show a job as it is now. The exit code is the job's: 10 failed, 11 cancelled, 12 timed out.

    Examples:
      runpodctl-py status 8f3c2a54
      runpodctl-py status 8f3c2a54-…-u1 --endpoint i02xupws21hp6i
    """
    located = locate(job, target, common)
    with opened(located.common) as context:
        found = run(_ask(context, located, lambda asked: asked.status(located.job_id)))
        _note(context, located, found)
    _show_job(context.output, found)
    _raise_for(context.output, found, located, is_verbose=verbose)


@app.command()
def watch(
    jobs: JobIds = None,
    *,
    every: Annotated[
        bool, typer.Option("--all", help="All jobs of yours that have not been fetched yet.")
    ] = False,
    target: options.Target,
    following: options.Following,
    common: options.Common,
) -> None:
    """Follow jobs that were sent before, and save their files.

    Of several, the exit code is that of the first one that was no success.

    Examples:
      runpodctl-py watch 8f3c2a54
      runpodctl-py watch 8f3c2a54-…-u1 --endpoint i02xupws21hp6i
      runpodctl-py watch --all
    """
    from runpodctl_py.cli.watching import unsettled, watch_all

    if bool(jobs) == every:
        raise UsageError("Which jobs?", hint="Name them, or say --all.")
    located = [locate(each, target, common) for each in jobs or ()] or unsettled(target, common)
    watch_all(located, following)


@app.command()
def stream(
    job: JobId,
    *,
    target: options.Target,
    following: options.Following,
    common: options.Common,
) -> None:
    """Print what a job yields as it arrives, and save its files when it has ended.

    Text is printed as text; pieces of sound become one file. RunPod hands out each piece once:
    what was printed before, here or elsewhere, does not come again. Workers whose handlers yield
    nothing are followed as with watch.

    Examples:
      runpodctl-py stream 8f3c2a54
      runpodctl-py stream 8f3c2a54 --json | jq -c 'select(.event == "piece").output'
    """
    from runpodctl_py.cli.watching import watch_all

    watch_all([locate(job, target, common)], following, hears=True)


@app.command()
def cancel(
    jobs: Annotated[list[str], JOBS],
    *,
    target: options.Target,
    common: options.Common,
) -> None:
    """Cancel jobs, queued or running. `jobs cancel` is the same.

    Examples:
      runpodctl-py cancel 8f3c2a54
      runpodctl-py jobs cancel 8f3c2a54 55de0a17
      runpodctl-py cancel 8f3c2a54-…-u1 --endpoint i02xupws21hp6i
    """
    # All of them first: a wrong name should not come after the first one is gone.
    for located in [locate(each, target, common) for each in jobs]:
        with opened(located.common) as context:
            found = run(_ask(context, located, methodcaller("cancel", located.job_id)))
            _note(context, located, found)
        _tell_cancelled(context.output, found, is_alone=len(jobs) == 1)


def _tell_cancelled(output: Output, job: Job, *, is_alone: bool) -> None:
    if output.as_json and is_alone:
        output.document(job_document(job))
    elif output.as_json:
        output.event(job_document(job))
    elif job.status.value == "CANCELLED":
        output.done(f"{job.job_id} is cancelled")
    else:
        output.note(f"{job.job_id} was {job.status.value} already; nothing to cancel")


@app.command()
def health(
    endpoint: Annotated[
        str | None, typer.Argument(metavar="[ENDPOINT]", help="Default: RUNPOD_ENDPOINT_ID.")
    ] = None,
    *,
    preset: options.PresetName = None,
    common: options.Common,
) -> None:
    """Show how many jobs and workers an endpoint has, by state.

    Examples:
      runpodctl-py health i02xupws21hp6i
      runpodctl-py health --preset test --local
    """
    with opened(common) as context:
        where = endpoint_id(context.settings, endpoint, _preset(preset))
        found = run(_ask_at(context, where, lambda asked: asked.health()))
    document = health_document(where, found)
    rows = [
        (kind, state.replace("_", " "), str(count))
        for kind in ("jobs", "workers")
        for state, count in sorted(vars(getattr(found, kind)).items())
    ]
    context.output.table(
        [Column("of"), Column("state"), Column("count", is_number=True)], rows, document
    )


async def _ask(
    context: Context, located: Located, question: Callable[[Serverless], Awaitable[_Answer]]
) -> _Answer:
    """Ask a job's endpoint one thing.

    Raises:
        NotFoundError: RunPod does not know it; if it is one of ours, that is written down.
    """
    try:
        return await _ask_at(context, located.endpoint_id(context), question)
    except NotFoundError as exc:
        if located.record is None:
            raise
        context.ledger.expired(located.record.key)
        raise gone(located.record) from exc


async def _ask_at(
    context: Context, where: str, question: Callable[[Serverless], Awaitable[_Answer]]
) -> _Answer:
    """Ask one endpoint one thing."""
    from runpodctl_py.api.serverless import connect

    settings = context.settings
    async with connect(settings.endpoint_base_url, settings.api_key, where) as endpoint:
        return await question(endpoint)


def _note(context: Context, located: Located, job: Job) -> None:
    """Write down how a job of ours stands; if that fails, the answer is still one."""
    if located.record is not None:
        with suppress(LedgerError):
            context.ledger.asked(located.record.key, job)


def _preset(name: str | None) -> Preset | None:
    if name is None:
        return None
    from runpodctl_py.presets import loading

    return loading.load(name)


def _show_job(output: Output, job: Job) -> None:
    document = job_document(job)
    rows = [("job", job.job_id), ("status", job.status.value)]
    if job.delay_ms is not None:
        rows.append(("queued", seconds_text(job.delay_ms / 1000)))
    if job.execution_ms is not None:
        rows.append(("ran", seconds_text(job.execution_ms / 1000)))
    if job.worker_id:
        rows.append(("worker", job.worker_id))
    output.table([Column("field"), Column("value")], rows, document)


def _raise_for(output: Output, job: Job, located: Located, *, is_verbose: bool) -> None:
    from runpodctl_py.errors import JobFailedError
    from runpodctl_py.jobs.collect import judge

    record = located.record
    returns_object = record is not None and record.intent.returns_object
    error = judge(job, returns_object=returns_object) if job.status.is_final else None
    if error is None:
        return
    if isinstance(error, JobFailedError) and error.traceback:
        if is_verbose:
            output.note(error.traceback.rstrip(), style="dim")
        else:
            error.hint = "--verbose shows the worker's traceback."
    raise error


def job_document(job: Job) -> JsonObject:
    """Return a job as a JSON document; its keys are a promise to scripts."""
    return {
        "id": job.job_id,
        "status": job.status.value,
        "delay_ms": job.delay_ms,
        "execution_ms": job.execution_ms,
        "worker_id": job.worker_id,
        "output": job.output,
        "error": job.error,
    }


def health_document(endpoint_id: str, health: Health) -> JsonObject:
    """Return an endpoint's health as a JSON document; its keys are a promise to scripts."""
    return {
        "endpoint_id": endpoint_id,
        "jobs": vars(health.jobs),
        "workers": vars(health.workers),
    }
