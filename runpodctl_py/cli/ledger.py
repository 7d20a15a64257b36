"""`jobs list|show|export|prune`: what the ledger knows.

What also asks RunPod is in `syncing.py`, `repeating.py` and `jobs.py`.
"""

from __future__ import annotations

import csv
import io
import time
from contextlib import suppress
from enum import StrEnum
from typing import Annotated

import typer

from runpodctl_py.cli import asking, options, record_view
from runpodctl_py.cli.durations import parsed_duration, parsed_moment
from runpodctl_py.cli.house_style import App
from runpodctl_py.cli.jobs import cancel
from runpodctl_py.cli.located import JobId, open_ledger
from runpodctl_py.cli.output import Output
from runpodctl_py.cli.repeating import retry
from runpodctl_py.cli.syncing import sync
from runpodctl_py.errors import NotFoundError, UsageError
from runpodctl_py.jobs.ledger import Filter, Ledger, State

app = App(no_args_is_help=True)
app.command("sync")(sync)
app.command("retry")(retry)
app.command("cancel")(cancel)

States = Annotated[
    list[State] | None, typer.Option("--state", help="Only those in this state. Repeatable.")
]
Endpoint = Annotated[
    str | None, typer.Option("--endpoint", "-e", metavar="ID", help="Only those of this endpoint.")
]
Preset = Annotated[
    str | None, typer.Option("--preset", "-p", metavar="NAME", help="Only those of this preset.")
]
Batch = Annotated[
    str | None, typer.Option("--batch", metavar="ID", help="Only those of this batch.")
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="WHEN", help="Only those since then: 2d, 30m, 2026-11-21."),
]


class Form(StrEnum):
    """What an export looks like."""

    CSV = "csv"
    JSONL = "jsonl"


@app.callback()
def jobs() -> None:
    """The jobs you have sent, what came back, and what is still to be fetched."""


@app.command("list")
def list_jobs(
    *,
    state: States = None,
    endpoint: Endpoint = None,
    preset: Preset = None,
    batch: Batch = None,
    since: Since = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="N", min=1, help="How many at most.")
    ] = 50,
    as_json: options.Json = False,
) -> None:
    """List jobs, the newest first.

    Examples:
      runpodctl-py jobs list
      runpodctl-py jobs list --state failed --since 2d --json
    """
    output = Output(as_json=as_json)
    with open_ledger() as ledger:
        ledger.settle()
        found = ledger.jobs(_filter(state, endpoint, preset, _whole(ledger, batch), since), limit)
    record_view.show_list(output, found)
    if not found:
        output.note("No jobs. Send one:  runpodctl-py submit --task text_processing --local")


@app.command()
def show(job: JobId, *, verbose: options.Verbose = False, as_json: options.Json = False) -> None:
    """Show all that is known of a job: what it was sent, when it was in which state, its files.

    Example:
      runpodctl-py jobs show 8f3c2a54
    """
    output = Output(as_json=as_json)
    with open_ledger() as ledger:
        ledger.settle()
        record = ledger.find(job)
        document = record_view.whole_document(ledger, record)
    record_view.show_page(output, document, record)
    if verbose and not as_json:
        from runpodctl_py.jobs.words import worker_error

        said = worker_error(document["worker_error"], document["output"])
        if said.traceback:
            output.note(said.traceback.rstrip(), style="dim")


@app.command()
def export(
    *,
    as_csv: Annotated[bool, typer.Option("--csv", help="A table: a line a job.")] = False,
    as_jsonl: Annotated[
        bool, typer.Option("--jsonl", help="A JSON object a line, with input and output.")
    ] = False,
    state: States = None,
    endpoint: Endpoint = None,
    preset: Preset = None,
    batch: Batch = None,
    since: Since = None,
) -> None:
    """Print all jobs for other programs, the newest first.

    Examples:
      runpodctl-py jobs export --csv --since 30d > jobs.csv
      runpodctl-py jobs export --jsonl --state failed
    """
    if as_csv == as_jsonl:
        raise UsageError("Which form?", hint="Say --csv or --jsonl.")
    wanted = _filter(state, endpoint, preset, batch, since)
    output = Output()
    with open_ledger() as ledger:
        ledger.settle()
        if as_csv:
            output.result(_csv_line([*record_view.COLUMN_NAMES]))
        for record in ledger.each(wanted):
            if as_jsonl:
                output.event(record_view.whole_document(ledger, record))
            else:
                document = record_view.record_document(record)
                output.result(_csv_line([_csv_cell(each) for each in document.values()]))


@app.command()
def prune(
    *,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="AGE", help="Such as 90d; the jobs' age.")
    ],
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Forget old jobs that are done with; their files stay, and so do jobs not fetched yet.

    Example:
      runpodctl-py jobs prune --older-than 90d
    """
    before = time.time() - parsed_duration(older_than)
    output = Output(as_json=as_json)
    with open_ledger() as ledger:
        if (count := ledger.forgettable(before)) and not yes:
            what = f"{_count(count)} older than {older_than} that {'is' if count == 1 else 'are'}"
            asking.confirm(f"Forget {what} done with?", "Nothing was forgotten")
        count = ledger.forget(before)
    if as_json:
        output.document({"forgotten": count})
    else:
        output.done(f"{_count(count)} forgotten")


def _whole(ledger: Ledger, batch: str | None) -> str | None:
    """Return the id of a batch of which a person typed the beginning."""
    with suppress(NotFoundError):
        return batch and ledger.batches.find(batch).batch_id
    return batch


def _filter(
    states: list[State] | None,
    endpoint: str | None,
    preset: str | None,
    batch: str | None,
    since: str | None,
) -> Filter:
    return Filter(
        states=tuple(states or ()),
        endpoint_id=endpoint,
        preset=preset,
        batch_id=batch,
        since=None if since is None else parsed_moment(since, time.time()),
    )


def _count(number: int) -> str:
    return "1 job" if number == 1 else f"{number} jobs"


def _csv_line(cells: list[str]) -> str:
    line = io.StringIO()
    # What ends a line is what gets quoted in a cell.
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().removesuffix("\r\n")


def _csv_cell(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
