"""`status`, `watch`, `cancel` for one job, and `health` for its endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from runpodctl_py.cli import options
from runpodctl_py.cli.context import Context, endpoint_id, opened, run
from runpodctl_py.cli.house_style import App
from runpodctl_py.cli.output import Column, Output, seconds_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runpodctl_py.api.serverless import Serverless
    from runpodctl_py.api.types import Health, Job
    from runpodctl_py.jsontypes import JsonObject
    from runpodctl_py.presets.model import Preset

app = App()

_Answer = TypeVar("_Answer")

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id, as submit prints it.")]


@app.command()
def status(
    job_id: JobId,
    *,
    target: options.Target,
    verbose: options.Verbose = False,
    common: options.Common,
) -> None:
    """Show a job as it is now. The exit code is the job's: 10 failed, 11 cancelled, 12 timed out.

    Example:
      runpodctl-py status 8f3c2a54-…-u1 --endpoint i02xupws21hp6i
    """
    with opened(common) as context:
        job = run(_ask(context, _where(context, target), lambda asked: asked.status(job_id)))
    _show_job(context.output, job)
    _raise_for(context.output, job, is_verbose=verbose)


@app.command()
def watch(
    job_id: JobId,
    *,
    target: options.Target,
    following: options.Following,
    common: options.Common,
) -> None:
    """Follow a job that was sent before, and save its files.

    Example:
      runpodctl-py watch 8f3c2a54-…-u1 --endpoint i02xupws21hp6i
    """
    from runpodctl_py.cli.following import Session, Wish

    wish = Wish.of(following, target.preset)

    async def follow(context: Context, where: str) -> None:
        async with Session(context, where, wish) as session:
            await session.watch(job_id)

    with opened(common, is_quiet=following.quiet) as context:
        run(follow(context, _where(context, target)))


@app.command()
def cancel(
    job_id: JobId,
    *,
    target: options.Target,
    common: options.Common,
) -> None:
    """Cancel a job, queued or running.

    Example:
      runpodctl-py cancel 8f3c2a54-…-u1 --endpoint i02xupws21hp6i
    """
    with opened(common) as context:
        job = run(_ask(context, _where(context, target), lambda asked: asked.cancel(job_id)))
    output = context.output
    if output.as_json:
        output.document(job_document(job))
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
        found = run(_ask(context, where, lambda asked: asked.health()))
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
    context: Context, where: str, question: Callable[[Serverless], Awaitable[_Answer]]
) -> _Answer:
    """Ask one endpoint one thing."""
    from runpodctl_py.api.serverless import connect

    settings = context.settings
    async with connect(settings.endpoint_base_url, settings.api_key, where) as endpoint:
        return await question(endpoint)


def _where(context: Context, target: options.Target) -> str:
    return endpoint_id(context.settings, target.endpoint, _preset(target.preset))


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


def _raise_for(output: Output, job: Job, *, is_verbose: bool) -> None:
    from runpodctl_py.errors import JobFailedError
    from runpodctl_py.jobs.collect import judge

    error = judge(job) if job.status.is_final else None
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
