"""`jobs sync`: everything that finished while nobody watched, fetched and saved.

Owns which jobs are asked for where, and what is said of them. What an answer means is
`jobs/sync.py`'s business.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runpodctl_py.cli import options
from runpodctl_py.cli.context import Context, opened, run
from runpodctl_py.cli.located import (
    JobIds,
    anew,
    load_settings,
    open_ledger,
    placed,
    without_id,
)
from runpodctl_py.cli.output import Output, bytes_text
from runpodctl_py.errors import (
    ConflictError,
    InterruptedRunError,
    NetworkError,
    RefusedError,
    ResultExpiredError,
    RunpodctlError,
    SaveError,
    ServerError,
    UnauthorizedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runpodctl_py.cli.options import Common
    from runpodctl_py.jobs.ledger import Ledger, Record
    from runpodctl_py.jobs.sync import Result
    from runpodctl_py.settings import Settings

_AT_ONCE = 8


def sync(
    jobs: JobIds = None,
    *,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            "--output-dir",
            "-o",
            metavar="DIR",
            help="Where files go. Default: where they were to go when the job was sent.",
        ),
    ] = None,
    common: options.Common,
) -> None:
    """Fetch and save everything that finished while nobody watched.

    Says which results RunPod had dropped already (exit code 3), looks for jobs whose answer was
    lost, and leaves alone what another command is following. With --local, asks the local RunPod
    only; without, also the local RunPod, if it runs.

    Examples:
      runpodctl-py jobs sync
      runpodctl-py jobs sync 8f3c2a54 --output-dir results
    """
    report = Report(Output(as_json=common.as_json))
    with open_ledger(common) as ledger:
        ledger.settle()
        wanted = _wanted(ledger, jobs)
    for where, records in _by_place(wanted, common, report).items():
        try:
            with opened(where) as context:
                run(_bring(context, records, output_dir, report))
        except InterruptedRunError:
            raise
        except RunpodctlError as exc:
            # The jobs on another RunPod may be had all the same.
            report.failed_all(records, exc)
    report.end()


def _wanted(ledger: Ledger, named: Sequence[str] | None) -> list[Record]:
    """Return the jobs to be asked for, the oldest first: its result is dropped first."""
    from runpodctl_py.jobs.ledger import Filter, State

    if named:
        found = [ledger.find(each) for each in named]
        for record in found:
            if record.state is State.NOT_SENT:
                raise without_id(record)
        return list({each.key: each for each in found}.values())
    return ledger.jobs(Filter(unsettled=True))[::-1]


def _by_place(
    records: Iterable[Record], common: Common, report: Report
) -> Mapping[Common, list[Record]]:
    """Sort jobs by the options that lead to their RunPod; those that nothing leads to are told."""
    from runpodctl_py.emulator import daemon

    settings: Settings = load_settings(common)
    found: dict[Common, list[Record]] = {}
    runs: bool | None = True if common.local else None
    for record in records:
        place = record.intent.place
        if common.local and not place.is_local:
            continue
        try:
            where = placed(place, f"Job {record.short_id}", common, settings)
        except ConflictError as exc:
            report.left(record, exc.message)
            continue
        if place.is_local and runs is None:
            runs = daemon.find_running(Path(place.root)) is not None
        if place.is_local and not runs:
            report.left(record, "the local RunPod does not run:  runpodctl-py jobs sync --local")
        else:
            found.setdefault(where, []).append(record)
    return found


async def _bring(
    context: Context, records: Sequence[Record], output_dir: Path | None, report: Report
) -> None:
    """Ask one RunPod for some jobs, several at once, and save what they returned."""
    from runpodctl_py.api.serverless import Serverless
    from runpodctl_py.api.transport import Transport, download_client
    from runpodctl_py.cli.buckets import link_fetcher
    from runpodctl_py.jobs.sync import Syncing

    settings, ledger = context.settings, context.ledger
    room = asyncio.Semaphore(_AT_ONCE)
    async with (
        Transport(settings.endpoint_base_url, settings.api_key) as transport,
        download_client() as client,
    ):
        endpoints = {
            (each, server): Syncing(
                ledger,
                Serverless(transport, each),
                output_dir or settings.output_folder,
                partial(link_fetcher, client, settings, server),
                is_directory_meant=output_dir is not None,
            )
            for each, server in set(map(_where, records))
        }

        async def bring(record: Record) -> None:
            if not ledger.claim(record.key):
                report.followed(record)
                return
            try:
                # It may have been in other hands until now.
                current = ledger.record(record.key)
                report.came(await endpoints[_where(record)].bring(current))
            finally:
                ledger.let_go(record.key)

        troubles: list[RunpodctlError] = []

        async def attempt(record: Record) -> None:
            async with room:
                if any(map(_concerns_all, troubles)):
                    report.left(record, "RunPod could not be asked")
                    return
                try:
                    await bring(record)
                except RunpodctlError as exc:
                    # The others may be had all the same.
                    troubles.append(exc)
                    report.failed(record, exc)
                except Exception as exc:  # noqa: BLE001 # one odd job must not cost the others
                    name = type(exc).__name__
                    report.failed(record, RunpodctlError(f"something unexpected ({name})"))

        async with asyncio.TaskGroup() as tasks:
            for record in records:
                tasks.create_task(attempt(record))


def _where(record: Record) -> tuple[str, str | None]:
    """Return the endpoint that a job ran on, and the server of its bucket if it named one."""
    bucket = record.intent.bucket
    return record.intent.endpoint_id, None if bucket is None else bucket.endpoint_url


def _concerns_all(error: RunpodctlError) -> bool:
    """Whether asking for another job would end the same way."""
    is_reach = isinstance(error, NetworkError | UnauthorizedError)
    return is_reach and not isinstance(error, ServerError)


@dataclass
class Report:
    """Tells what became of each job, and in the end of all of them."""

    output: Output
    counts: dict[str, int] = field(default_factory=dict)
    errors: list[RunpodctlError] = field(default_factory=list)
    told: set[str] = field(default_factory=set)

    def failed(self, record: Record, error: RunpodctlError) -> None:
        """Say that a job could not be asked for."""
        self.errors.append(error)
        self.left(record, error.message)

    def failed_all(self, records: Iterable[Record], error: RunpodctlError) -> None:
        """Say that a whole RunPod could not be asked."""
        for record in records:
            if record.key not in self.told:
                self.failed(record, error)

    def left(self, record: Record, why: str) -> None:
        """Say that a job was not asked for."""
        self._count("left")
        self._say_left(record, why)

    def followed(self, record: Record) -> None:
        """Say that a job is in good hands."""
        self._count("followed")
        self._say_left(record, "another command is following it")

    def _say_left(self, record: Record, why: str) -> None:
        self.told.add(record.key)
        if self.output.as_json:
            self.output.event({"event": "left", **_names(record), "why": why})
        else:
            self.output.note(f"{'left':<10} {record.short_id}: {why}")

    def came(self, result: Result) -> None:
        """Say what became of a job."""
        from runpodctl_py.cli.result_view import finished_event
        from runpodctl_py.jobs.sync import Came

        record, summary = result.record, result.summary
        self._count(result.came)
        self.told.add(record.key)
        if self.output.as_json:
            if summary is None:
                self.output.event({"event": result.came.value, **_names(record)})
            else:
                self.output.event(finished_event(summary, record.intent.endpoint_id))
            return
        match result.came:
            case Came.HOME if summary is None:
                self.output.note(f"{record.state.value:<10} {record.short_id}: fetched already")
            case Came.RUNNING:
                self.output.note(f"{record.state.value:<10} {record.short_id}")
            case Came.EXPIRED:
                self.output.warn(f"{record.short_id}: RunPod does not know it any more")
            case Came.UNKNOWN:
                self.output.warn(
                    f"{record.key}: nobody knows whether it was queued. "
                    f"Send it again:  {anew(record)}"
                )
            case _ if summary is not None:
                for file in summary.files:
                    self.output.result(str(file.path))
                files = ", ".join(f"{f.path} ({bytes_text(f.size_bytes)})" for f in summary.files)
                troubles = summary.error.message.splitlines() if summary.error else []
                said = files or (troubles.pop(0) if troubles else "no files")
                self.output.note(f"{record.state.value:<10} {record.short_id}: {said}")
                for warning in (*troubles, *summary.warnings):
                    self.output.warn(warning)

    def end(self) -> None:
        """Say what came of all of them.

        Raises:
            RunpodctlError: A job could not be asked for, or found.
            SaveError: Something could not be saved.
            ResultExpiredError: Results were gone.
        """
        from runpodctl_py.jobs.sync import Came

        if not self.counts:
            self.output.note("Nothing is waiting to be fetched.")
        if self.errors:
            raise self.errors[0]
        if count := self.counts.get(Came.IN_PART):
            raise SaveError(
                f"Of {_jobs(count)} not everything could be saved",
                hint="Mend what was said above, and run it again while RunPod has it:  "
                "runpodctl-py jobs sync",
            )
        if count := self.counts.get(Came.EXPIRED):
            raise ResultExpiredError(
                f"{_jobs(count)} could not be fetched: RunPod does not know "
                f"{'it' if count == 1 else 'them'} any more. It keeps a result for 30 minutes "
                "after the job ends (a minute after --sync), and none of an endpoint that is "
                "deleted",
                hint="Which:  runpodctl-py jobs list --state expired\n"
                "Send one again:  runpodctl-py jobs retry JOB",
            )
        if count := self.counts.get(Came.UNKNOWN, 0) + self.counts.get("left", 0):
            raise RefusedError(f"{_jobs(count)} could not be fetched; why is said above")

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


def _names(record: Record) -> dict[str, str | None]:
    return {
        "id": record.job_id,
        "key": record.key,
        "endpoint_id": record.intent.endpoint_id,
        "state": record.state.value,
    }


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"
