"""`batch run|resume|status|list|cancel|retry`: thousands of jobs from a file.

Owns the command line's words. Putting a batch together and running it is `batch_running.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from runpodctl_py.cli import options
from runpodctl_py.cli.context import opened, run
from runpodctl_py.cli.house_style import App
from runpodctl_py.cli.located import load_settings, open_ledger, placed
from runpodctl_py.cli.output import Output
from runpodctl_py.cli.submit import Task
from runpodctl_py.errors import RunpodctlError, UsageError

if TYPE_CHECKING:
    from runpodctl_py.batch.source import FileFormat
    from runpodctl_py.jobs.ledger import Batch

app = App(no_args_is_help=True)


def _ids(incomplete: str) -> list[str]:
    """Return the ids that a shell may complete; nothing is made or said."""
    try:
        if not load_settings(options.Common()).ledger_path.exists():
            return []
        with open_ledger() as ledger:
            ids = [each.batch_id for each in ledger.batches.all()]
    except RunpodctlError:
        return []
    return [each for each in ids if each.startswith(incomplete)]


BatchId = Annotated[
    str,
    typer.Argument(
        metavar="BATCH", help="The batch's id; its beginning will do.", autocompletion=_ids
    ),
]
Maps = Annotated[
    list[str] | None,
    typer.Option(
        "--map", "-m", metavar="FIELD=COLUMN", help="Take a field from a column. Repeatable."
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="KEY=VALUE",
        help="The same for all rows: key=value, key=@file, key:=json; {column} is the row's. "
        "Repeatable.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Running:
    """How much, how fast and how often."""

    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency",
            "-c",
            metavar="N",
            min=1,
            help="The most jobs in flight. Default: what keeps the workers busy, at most 1000.",
        ),
    ] = None
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate",
            metavar="PER_SECOND",
            min=0.1,
            help="The most submissions a second. Default: what RunPod documents, 100.",
        ),
    ] = None
    max_cost: Annotated[
        float | None,
        typer.Option(
            "--max-cost", metavar="USD", min=0, help="Send nothing more when that much is spent."
        ),
    ] = None
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-n", metavar="N", min=1, help="Send only the next N rows."),
    ] = None
    retries: Annotated[
        int,
        typer.Option(
            "--retries",
            metavar="N",
            min=0,
            help="Send a row again whose worker died or that timed out, N times.",
        ),
    ] = 0
    quiet: options.Quiet = False


@app.callback()
def batch() -> None:
    """Thousands of jobs from a CSV or JSONL file; what is interrupted goes on where it was."""


@app.command("run")
def run_file(
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="CSV or JSONL, a row a job; - for stdin.")
    ],
    *,
    task: Annotated[
        Task | None, typer.Option("--task", "-t", help="A task of the test worker.")
    ] = None,
    target: options.Target,
    mapping: Maps = None,
    setting: Settings = None,
    file_format: Annotated[
        str | None,
        typer.Option("--format", metavar="csv|jsonl", help="Default: by the file's name or start."),
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option("--delimiter", metavar="CHAR", help="Of a CSV file; `tab` for tabs."),
    ] = None,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Leave out rows that cannot be sent.")
    ] = False,
    new: Annotated[
        bool, typer.Option("--new", help="All rows once more, although this file was run before.")
    ] = False,
    native: Annotated[
        bool, typer.Option("--native", help="Hand the rows to RunPod's own batch API.")
    ] = False,
    output_dir: options.OutputDir = None,
    bucket: options.Bucket,
    dry_run: options.DryRun = False,
    running: Running,
    common: options.Common,
) -> None:
    """Send a job for each row of a file, and save what they return, whatever happens meanwhile.

    The columns of a CSV file, or the keys of a JSON line, are the fields of the input. A column
    `id` (or `custom_id`) names the row and its files; otherwise the line number does. The whole
    file is judged before the first job is sent. The same command again goes on where it stopped.

    Examples:
      runpodctl-py batch run prompts.csv --task image_generation --max-cost 2
      runpodctl-py batch run rows.jsonl --preset chatterbox --set exaggeration=0.7
      runpodctl-py batch run animals.csv -m voice=speaker --set text="Say {animal}." -p chatterbox
      cat rows.jsonl | runpodctl-py batch run - --task text_processing --local
    """
    from runpodctl_py.cli.batch_ordering import Order, source_of
    from runpodctl_py.cli.buckets import bucket_of
    from runpodctl_py.jobs.buckets import place_in

    if native and bucket != options.Bucket():
        raise UsageError(
            "--native and --bucket exclude each other",
            hint="RunPod's own batch API takes inputs only.",
        )
    wanted = Order(
        task=None if task is None else task.value,
        endpoint=target.endpoint,
        preset=target.preset,
        maps=tuple(mapping or ()),
        settings=tuple(setting or ()),
        skips_invalid=skip_invalid,
        is_native=native,
        output_dir=output_dir,
    )
    with opened(common, is_quiet=running.quiet) as context:
        from runpodctl_py.cli.batch_beginning import begin

        if (target_bucket := bucket_of(bucket, context.settings)) is not None:
            wanted = replace(wanted, bucket=place_in(target_bucket.s3_config()))
        source = source_of(context, file, _format(file_format), delimiter)
        run(begin(context, wanted, source, running, is_new=new, dry_run=dry_run))


@app.command()
def resume(batch: BatchId, *, running: Running, common: options.Common) -> None:
    """Go on with a batch where it stopped: after Ctrl-C, a crash or a reboot.

    Example:
      runpodctl-py batch resume b7f3a2 --max-cost 5
    """
    from runpodctl_py.cli.batch_beginning import go_on
    from runpodctl_py.cli.batch_running import nothing_again

    found, where = _found(batch, common)
    with opened(where, is_quiet=running.quiet) as context:
        run(go_on(context, found, running, nothing_again))


@app.command()
def retry(
    batch: BatchId,
    *,
    failed: Annotated[
        bool, typer.Option("--failed", help="The rows that ended without success.")
    ] = False,
    unknown: Annotated[
        bool,
        typer.Option("--unknown", help="The rows of which nobody knows whether they were queued."),
    ] = False,
    running: Running,
    common: options.Common,
) -> None:
    """Send rows of a batch once more; it costs again.

    Example:
      runpodctl-py batch retry b7f3a2 --failed
    """
    from runpodctl_py.cli.batch_beginning import go_on, repeats

    if not (failed or unknown):
        raise UsageError("Which rows?", hint="Say --failed or --unknown, or both.")
    found, where = _found(batch, common)
    with opened(where, is_quiet=running.quiet) as context:
        run(go_on(context, found, running, repeats(is_failed=failed, is_unknown=unknown)))


@app.command()
def status(batch: BatchId, *, as_json: options.Json = False) -> None:
    """Show how a batch stands: its rows by state, what it cost, where its results are.

    Example:
      runpodctl-py batch status b7f3a2
    """
    from runpodctl_py.cli.batch_record import show

    output = Output(as_json=as_json)
    with open_ledger() as ledger:
        ledger.settle()
        show(output, ledger, ledger.batches.find(batch))


@app.command("list")
def list_batches(*, as_json: options.Json = False) -> None:
    """List the batches, the newest first.

    Example:
      runpodctl-py batch list
    """
    from runpodctl_py.cli.batch_record import show_list

    output = Output(as_json=as_json)
    with open_ledger() as ledger:
        ledger.settle()
        batches = ledger.batches.all()
        show_list(output, ledger, batches)
    if not batches:
        output.note("No batches. Run one:  runpodctl-py batch run FILE --task text_processing")


@app.command()
def cancel(batch: BatchId, *, yes: options.Yes = False, common: options.Common) -> None:
    """Cancel a batch: what was not sent stays unsent, what waits or runs is cancelled.

    Example:
      runpodctl-py batch cancel b7f3a2
    """
    from runpodctl_py.cli.batch_cancelling import cancel_batch

    found, where = _found(batch, common)
    with opened(where) as context:
        run(cancel_batch(context, found, is_sure=yes))


def _found(text: str, common: options.Common) -> tuple[Batch, options.Common]:
    """Return the batch that a text means, and the options that lead to its RunPod."""
    with open_ledger(common) as ledger:
        ledger.settle()
        found = ledger.batches.find(text)
    what = f"Batch {found.batch_id}"
    return found, placed(found.place, what, common, load_settings(common))


def _format(text: str | None) -> FileFormat | None:
    from runpodctl_py.batch.source import FileFormat

    if text is None:
        return None
    try:
        return FileFormat(text)
    except ValueError as exc:
        raise UsageError(f"--format is csv or jsonl, not {text!r}") from exc
