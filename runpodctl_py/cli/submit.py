"""`submit`: send a job, follow it, save its files."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from runpodctl_py.cli import options
from runpodctl_py.cli.context import Context, endpoint_id, opened, run
from runpodctl_py.cli.house_style import App
from runpodctl_py.cli.payload import read_payload, read_settings, read_text
from runpodctl_py.errors import UsageError
from runpodctl_py.gpus import price_per_s_usd

if TYPE_CHECKING:
    from runpodctl_py.api.types import JobRequest
    from runpodctl_py.cli.following import Wish
    from runpodctl_py.jsontypes import JsonObject
    from runpodctl_py.presets.model import Preset

app = App()

#: How long `/runsync` holds at first; an unfinished job is followed from there. RunPod's own 90 s
#: would show neither a state nor progress meanwhile.
_SYNC_WAIT_MS = 10_000


class Task(StrEnum):
    """What the test worker can do."""

    TEXT_PROCESSING = "text_processing"
    IMAGE_GENERATION = "image_generation"
    DATA_ANALYSIS = "data_analysis"


class OutputFormat(StrEnum):
    """How the test worker returns its file."""

    BASE64 = "base64"
    URL = "url"


@app.command()
def submit(
    stdin: Annotated[
        str | None, typer.Argument(metavar="[-]", help="With -: the task's text, from stdin.")
    ] = None,
    *,
    task: Annotated[
        Task | None, typer.Option("--task", "-t", help="A task of the test worker.")
    ] = None,
    text: Annotated[str | None, typer.Option("--input", "-i", help="The task's text.")] = None,
    input_file: Annotated[
        str | None, typer.Option("--input-file", metavar="FILE", help="A file with the text.")
    ] = None,
    duration: Annotated[
        int | None,
        typer.Option(
            "--duration", metavar="SECONDS", min=5, max=45, help="How long the task takes, 5-45."
        ),
    ] = None,
    output_format: Annotated[
        OutputFormat | None,
        typer.Option("--output-format", help="How the task returns its file."),
    ] = None,
    target: options.Target,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "-s",
            metavar="KEY=VALUE",
            help="An input field: key=value, key=@file, key:=json. Repeatable.",
        ),
    ] = None,
    payload: Annotated[
        str | None,
        typer.Option("--payload", metavar="FILE|-", help="A JSON file with the whole input."),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Print the job's id and do not wait.")
    ] = False,
    sync: Annotated[
        bool, typer.Option("--sync", help="Use /runsync: up to 20 MB, kept for a minute only.")
    ] = False,
    webhook: Annotated[
        str | None, typer.Option("--webhook", metavar="URL", help="RunPod posts the result there.")
    ] = None,
    execution_timeout: Annotated[
        int | None,
        typer.Option(
            "--execution-timeout",
            metavar="SECONDS",
            min=5,
            max=604_800,
            help="Longest run of this job.",
        ),
    ] = None,
    ttl: Annotated[
        int | None,
        typer.Option(
            "--ttl",
            metavar="SECONDS",
            min=10,
            max=604_800,
            help="Drop the job after this time, whatever its state.",
        ),
    ] = None,
    low_priority: Annotated[
        bool, typer.Option("--low-priority", help="Do not start a worker for this job.")
    ] = False,
    dry_run: options.DryRun = False,
    following: options.Following,
    common: options.Common,
) -> None:
    """Send a job, follow it with live progress, and save every file the worker returns.

    Examples:
      runpodctl-py submit --task text_processing --input-file report.txt
      runpodctl-py submit --preset chatterbox --set text="Hello there"
      runpodctl-py submit --endpoint i02xupws21hp6i --payload input.json --json
      cat numbers.csv | runpodctl-py submit --task data_analysis - --local

    Without --task or --preset, the input goes to --endpoint or RUNPOD_ENDPOINT_ID as it is.
    """
    how = _How(target.endpoint, detach=detach, sync=sync, dry_run=dry_run)
    task_input = _task_input(task, stdin, text, input_file, duration, output_format)
    chosen = _preset(task, target.preset)
    job_input = _job_input(chosen, task_input, payload, setting or [])
    # Not before: a usage error should not have to wait for the HTTP client to be loaded.
    from runpodctl_py.api.types import JobRequest, Policy
    from runpodctl_py.cli.following import Wish

    request = JobRequest(
        job_input,
        webhook=webhook,
        policy=Policy(
            None if execution_timeout is None else execution_timeout * 1000,
            None if ttl is None else ttl * 1000,
            low_priority,
        ),
    )
    wish = Wish.of(following, chosen.name if chosen else None)
    with opened(common, is_quiet=following.quiet) as context:
        run(how.send(context, chosen, request, wish))


class _How:
    """How a request is sent."""

    def __init__(self, endpoint: str | None, *, detach: bool, sync: bool, dry_run: bool) -> None:
        if detach and sync:
            raise UsageError("--detach and --sync exclude each other")
        self._endpoint = endpoint
        self._detach = detach
        self._sync = sync
        self._dry_run = dry_run

    async def send(
        self, context: Context, preset: Preset | None, request: JobRequest, wish: Wish
    ) -> None:
        """Find the endpoint, send the job, and do with it what was asked for."""
        from runpodctl_py.api.serverless import RUN_LIMIT_BYTES, RUNSYNC_LIMIT_BYTES, check_size
        from runpodctl_py.cli.following import Session

        operation = "/runsync" if self._sync else "/run"
        limit = RUNSYNC_LIMIT_BYTES if self._sync else RUN_LIMIT_BYTES
        check_size(request.as_json(), limit, operation)
        if self._detach and context.stops_local:
            raise UsageError(
                "The local RunPod would stop with this command, and the job with it",
                hint="Start one that stays:  runpodctl-py local up --detach",
            )
        where = await self._find_endpoint(context, preset)
        if self._dry_run:
            _show_dry_run(context, where, operation, request, preset)
            return
        async with Session(context, where, wish) as session:
            if self._detach:
                await session.send_and_leave(request)
            else:
                wait_ms = _SYNC_WAIT_MS if self._sync else None
                await session.send_and_follow(request, sync_wait_ms=wait_ms)

    async def _find_endpoint(self, context: Context, preset: Preset | None) -> str:
        if context.settings.is_local and preset is not None and not self._endpoint:
            from runpodctl_py.cli.local_endpoint import ready_endpoint

            return await ready_endpoint(context, preset, dry_run=self._dry_run)
        return endpoint_id(context.settings, self._endpoint, preset)


def _show_dry_run(
    context: Context,
    endpoint_id: str,
    operation: str,
    request: JobRequest,
    preset: Preset | None,
) -> None:
    """Print the exact request and what a worker costs per hour; send nothing."""
    settings = context.settings
    price = (
        None if preset is None else price_per_s_usd(preset.endpoint.gpu, preset.endpoint.gpu_count)
    )
    if settings.is_local:
        price = 0.0
    context.output.document(
        {
            "dry_run": True,
            "request": {
                "method": "POST",
                "url": f"{settings.endpoint_base_url}/{endpoint_id}{operation}",
                "body": request.as_json(),
            },
            "price_per_hour_usd": None if price is None else round(price * 3600, 6),
        }
    )
    context.output.note("Nothing was sent.")


def _preset(task: Task | None, name: str | None) -> Preset | None:
    if task is None and name is None:
        return None
    from runpodctl_py.presets import loading

    preset = loading.load(name or "test")
    if task is not None and "task_type" not in preset.input:
        raise UsageError(f"--task is for the test worker; {preset.name} takes --set key=value")
    return preset


def _task_input(  # noqa: PLR0917 # one for each option of the test worker
    task: Task | None,
    stdin: str | None,
    text: str | None,
    input_file: str | None,
    duration: int | None,
    output_format: OutputFormat | None,
) -> JsonObject:
    """Return the test worker's input (workers reference E), with only what was given."""
    if stdin not in (None, "-"):
        raise UsageError(
            f"Unexpected argument {stdin!r}",
            hint="The task's text goes with --input, or - for stdin.",
        )
    sources = [("-", stdin), ("--input", text), ("--input-file", input_file)]
    given = [name for name, value in sources if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other")
    fields: JsonObject = {} if task is None else {"task_type": task.value}
    if duration is not None:
        fields["duration"] = duration
    if text is not None:
        fields["user_input"] = text
    elif source := stdin or input_file:
        fields["user_input"] = read_text(source)
    if output_format is not None:
        fields["output_format"] = output_format.value
    return fields


def _job_input(
    preset: Preset | None, task_input: JsonObject, payload: str | None, settings: list[str]
) -> JsonObject:
    """Put the parts together, checked against the preset; later ones win."""
    if task_input and preset is None:
        raise UsageError(
            "--input, --input-file, --duration and --output-format belong to a --task",
            hint="Fields of any other worker go with --set key=value.",
        )
    fields = {
        **(read_payload(payload) if payload else {}),
        **task_input,
        **read_settings(settings, preset),
    }
    if not fields:
        raise UsageError(
            "There is nothing to send",
            hint="Name a --task, or fields with --set key=value, or a JSON file with --payload.\n"
            "RunPod drops jobs with an empty input.",
        )
    if preset is not None:
        preset.check_input(fields)
    return fields
