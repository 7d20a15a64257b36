"""`local faults`: what goes wrong on purpose on the local RunPod that runs."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runpodctl_py.cli import options
from runpodctl_py.cli.context import run
from runpodctl_py.cli.house_style import App
from runpodctl_py.cli.local_running import found_running, get
from runpodctl_py.cli.output import Column, Output
from runpodctl_py.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from runpodctl_py.api.transport import Transport
    from runpodctl_py.emulator.daemon import Announcement

    Listed = list[Any]

app = App(invoke_without_command=True)

_PATH = "/_local/faults"


@app.callback()
def faults(context: typer.Context, *, as_json: options.Json = False) -> None:
    """Faults on purpose: HTTP errors, lost connections, crashes. Alone: which are set."""
    if context.invoked_subcommand is None:
        list_faults(as_json=as_json)


@app.command("list")
def list_faults(*, as_json: options.Json = False) -> None:
    """List the faults that are set: how often each could have struck, and how often it did.

    Example:
      runpodctl-py local faults list
    """
    output = Output(as_json=as_json)
    listed = run(_list())
    rows = [(each["fault"], str(each["seen"]), str(each["struck"])) for each in listed]
    columns = [Column("fault"), Column("came by", is_number=True), Column("struck", is_number=True)]
    output.table(columns, rows, {"faults": listed})
    if not listed:
        output.note("No faults are set. Set one:  runpodctl-py local faults set 'run:429*3'")


@app.command("set")
def set_faults(
    given: Annotated[
        list[str],
        typer.Argument(metavar="FAULT...", help="WHERE:WHAT[:ARG], and *N or @X for how often."),
    ],
    *,
    add: Annotated[bool, typer.Option("--add", help="Keep those that are set.")] = False,
    as_json: options.Json = False,
) -> None:
    """Set faults in the place of those that are set; they are gone when the local RunPod stops.

    WHERE is an operation (run, status, job-done, graphql.saveEndpoint ...), worker or coldstart;
    WHAT an HTTP status, drop, drop-after, delay:3s and others: see docs/laboratory.md.

    Examples:
      runpodctl-py local faults set 'run:429:2s*3' 'status:drop@0.1'
      runpodctl-py local faults set --add 'job-done:500*1' 'worker:crash@2' 'coldstart:30s'
    """
    found_running()
    from runpodctl_py.emulator.lab.faults import parse_fault

    for each in given:
        parse_fault(each)
    output = Output(as_json=as_json)
    listed = run(_set(given, add=add))
    if as_json:
        output.document({"faults": listed})
        return
    output.done(f"{_count(listed)} {'added' if add else 'set'}")
    output.note("  What they did:  runpodctl-py local faults")


@app.command("clear")
def clear_faults(
    given: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FAULT...]", help="As they were written, or their ids."),
    ] = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Clear all faults, or some; workers that were throttled by them start.

    Examples:
      runpodctl-py local faults clear
      runpodctl-py local faults clear 'run:429*3'
    """
    output = Output(as_json=as_json)
    cleared, left = run(_clear(given or ()))
    if as_json:
        output.document({"cleared": cleared, "faults": left})
    else:
        output.done(f"{_count(cleared)} cleared" + (f", {len(left)} left" if left else ""))


async def remark(running: Announcement) -> str | None:
    """Return what explains why things go wrong there, if some do on purpose."""
    faults = _faults_of(await get(running, "faults"))
    if not faults:
        return None
    return f"{_count(faults)} set on purpose      See them:  runpodctl-py local faults"


async def _list() -> Listed:
    async with _local_runpod() as transport:
        return _faults_of((await transport.get(_PATH)).body)


async def _set(texts: Sequence[str], *, add: bool) -> Listed:
    async with _local_runpod() as transport:
        send = transport.post if add else transport.put
        return _faults_of((await send(_PATH, {"faults": list(texts)})).body)


async def _clear(names: Sequence[str]) -> tuple[Listed, Listed]:
    """Clear faults, and return those that were and those that are left."""
    async with _local_runpod() as transport:
        before = _faults_of((await transport.get(_PATH)).body)
        for name in names:
            if name not in {known for each in before for known in (each["id"], each["fault"])}:
                raise NotFoundError(
                    f"No fault {name} is set", hint="See which are:  runpodctl-py local faults"
                )
        given = [each["id"] for each in before if {each["id"], each["fault"]} & set(names)]
        left: Listed = before
        for path in [f"{_PATH}/{each}" for each in given] or [_PATH]:
            left = _faults_of((await transport.delete(path)).body)
        kept = {each["id"] for each in left}
        return [each for each in before if each["id"] not in kept], left


@asynccontextmanager
async def _local_runpod() -> AsyncIterator[Transport]:
    """Open the API of the local RunPod that runs.

    Raises:
        NotFoundError: None runs.
    """
    from runpodctl_py.api.transport import Transport

    running = found_running()
    async with Transport(running.url, running.token) as transport:
        yield transport


def _faults_of(body: Any) -> Listed:
    listed: Listed = body["faults"]
    return listed


def _count(faults: Sequence[object]) -> str:
    return "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
