"""`submit`: send a job, follow it, save its files."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from runpodctl_py.cli import options
from runpodctl_py.cli.context import opened, run
from runpodctl_py.cli.house_style import App
from runpodctl_py.cli.payload import read_payload, read_settings, read_text
from runpodctl_py.errors import UsageError

if TYPE_CHECKING:
    from runpodctl_py.jsontypes import JsonObject
    from runpodctl_py.presets.model import Preset

app = App()


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
    stream: Annotated[
        bool, typer.Option("--stream", help="Print what the worker yields as it arrives.")
    ] = False,
    sending: options.Sending,
    bucket: options.Bucket,
    following: options.Following,
    common: options.Common,
) -> None:
    """Send a job, follow it with live progress, and save every file the worker returns.

    Examples:
      runpodctl-py submit --task text_processing --input-file report.txt
      runpodctl-py submit --preset chatterbox --set text="Hello there"
      runpodctl-py submit --endpoint i02xupws21hp6i --payload input.json --json
      cat numbers.csv | runpodctl-py submit --task data_analysis - --local
      runpodctl-py submit --preset vllm --set prompt="Why is the sky blue?" --stream

    Without --task or --preset, the input goes to --endpoint or RUNPOD_ENDPOINT_ID as it is.
    """
    ways = {"--detach": sending.detach, "--sync": sync, "--stream": stream}
    options.check_one_at_most(ways)
    task_input = _task_input(task, stdin, text, input_file, duration, output_format)
    chosen = _preset(task, target.preset)
    job_input = _job_input(chosen, task_input, payload, setting or [])
    # Not before: a usage error should not have to wait for the HTTP client to be loaded.
    from runpodctl_py.api.types import Policy
    from runpodctl_py.cli.sending import Order, send
    from runpodctl_py.cli.wish import Wish

    order = Order(
        payload=job_input,
        preset=chosen,
        endpoint=target.endpoint,
        wish=Wish.of(following, chosen.name if chosen else None, hears=stream),
        sending=sending,
        bucket=bucket,
        is_sync=sync,
        webhook=webhook,
        policy=Policy(
            None if execution_timeout is None else execution_timeout * 1000,
            None if ttl is None else ttl * 1000,
            low_priority,
        ),
    )
    with opened(common, is_quiet=following.quiet) as context:
        run(send(context, order))


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
    sources = {"-": stdin, "--input": text, "--input-file": input_file}
    options.check_one_at_most({name: value is not None for name, value in sources.items()})
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
