"""`local up|down|status|logs|env`: the local RunPod as a process of this machine."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runpodctl_py import env_file
from runpodctl_py.cli import local_faults, local_record, local_replay, local_time, options
from runpodctl_py.cli.context import local_up_command, run
from runpodctl_py.cli.house_style import App
from runpodctl_py.cli.local_console import console
from runpodctl_py.cli.local_exec import execute
from runpodctl_py.cli.local_running import found_running, get
from runpodctl_py.cli.local_up import Manner, OwnHandler, Served, serve
from runpodctl_py.cli.log_view import LogView, Wanted
from runpodctl_py.cli.output import Column, Output
from runpodctl_py.emulator.client_variables import client_variables
from runpodctl_py.errors import NotFoundError, RunpodctlError, UsageError

if TYPE_CHECKING:
    from types import ModuleType

    from runpodctl_py.emulator.config import EmulatorConfig
    from runpodctl_py.emulator.daemon import Announcement
    from runpodctl_py.emulator.workers.handlers import Handler
    from runpodctl_py.jsontypes import JsonObject

app = App(no_args_is_help=True)
app.add_typer(local_time.app, name="time")
app.add_typer(local_faults.app, name="faults")
app.command("reset")(local_time.reset)
app.command("console")(console)
app.command("record")(local_record.record)
app.command("replay")(local_replay.replay)
app.command("exec", context_settings={"allow_interspersed_args": False})(execute)

_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 30.0
_LOOK_INTERVAL_S = 0.2


@app.callback()
def local() -> None:
    """The local RunPod: the same API on this machine, with real workers of the official SDK."""


@app.command()
def up(
    *,
    manner: Manner,
    own: OwnHandler,
    args: Annotated[
        list[str] | None, typer.Argument(metavar="[-- ARGS]", help="The handler's own arguments.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Start it in the background.")
    ] = False,
    until_unused: Annotated[
        bool, typer.Option("--until-unused", hidden=True, help="Stop when no command uses it.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Start the local RunPod, on 127.0.0.1 only; Ctrl-C stops it.

    Endpoints, templates and finished jobs outlive a restart. Any command with --local uses it.
    A handler of yours is served by a local RunPod that runs already, if one does.

    Examples:
      runpodctl-py local up
      runpodctl-py local up --detach --port 9000
      runpodctl-py local up --handler my/handler.py --reload
      runpodctl-py local up --handler my/handler.py --python .venv/bin/python -- --model small
    """
    daemon, output = _daemon(), Output(as_json=as_json)
    folder = daemon.data_folder(os.environ)
    handler = own.parsed(args or [])
    if handler is not None and manner.simulate is not None:
        raise UsageError("--handler and --simulate: simulated workers run nothing")
    if handler is not None and (running := daemon.find_running(folder)) is not None:
        manner.refuse_for(running)
        _say_served(output, run(serve(running, handler, is_watched=own.reload)))
        return
    config = manner.config(folder)
    if detach:
        command = local_up_command(*manner.options())
        running = daemon.start_detached(folder, command, _START_LIMIT_S)
        _say_up(output, running, is_detached=True)
        if text := run(local_time.remark(running)):
            output.warn(text)
        if handler is not None:
            _serve_or_stop(output, running, handler, is_watched=own.reload)
        return
    # What happens inside: a handler that changed, a webhook that nobody takes.
    logging.basicConfig(format="%(message)s")
    logging.getLogger("runpodctl_py").setLevel(logging.INFO)
    run(_run_here(output, config, handler, is_watched=own.reload, until_unused=until_unused))
    output.note("The local RunPod has stopped.")


async def _run_here(
    output: Output,
    config: EmulatorConfig,
    handler: Handler | None,
    *,
    is_watched: bool,
    until_unused: bool,
) -> None:
    """Run a local RunPod until it is stopped; one whose handler cannot be served stops."""
    from runpodctl_py.emulator.own_log import is_our_output

    daemon = _daemon()
    ready: asyncio.Future[Announcement] = asyncio.get_running_loop().create_future()

    def say_ready(running: Announcement) -> None:
        _say_up(output, running, is_detached=is_our_output(config.data_folder))
        ready.set_result(running)

    running = asyncio.create_task(
        daemon.run_until_stopped(
            config,
            until_unused=until_unused,
            on_ready=say_ready,
            on_stopping=lambda: output.note("Stopping; Ctrl-C again leaves at once."),
        )
    )
    try:
        await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
        if ready.done() and (text := await local_time.remark(ready.result())):
            output.warn(text)
        if handler is not None and ready.done():
            _say_served(output, await serve(ready.result(), handler, is_watched=is_watched))
        await running
    finally:
        running.cancel()
        await asyncio.wait({running})


def _serve_or_stop(
    output: Output, running: Announcement, handler: Handler, *, is_watched: bool
) -> None:
    """Have the local RunPod that was just started serve a handler; if it cannot, it stops."""
    try:
        _say_served(output, run(serve(running, handler, is_watched=is_watched)))
    except RunpodctlError:
        daemon = _daemon()
        daemon.stop_running(daemon.data_folder(os.environ), _STOP_LIMIT_S)
        raise


@app.command()
def down(*, as_json: options.Json = False) -> None:
    """Stop the local RunPod and its workers; a running job begins anew at the next start.

    Example:
      runpodctl-py local down
    """
    daemon = _daemon()
    output = Output(as_json=as_json)
    was_running = daemon.stop_running(daemon.data_folder(os.environ), _STOP_LIMIT_S)
    if output.as_json:
        output.document({"was_running": was_running})
    else:
        output.note("The local RunPod has stopped." if was_running else "No local RunPod runs.")


@app.command()
def status(*, as_json: options.Json = False) -> None:
    """Show the local RunPod's endpoints, workers and jobs; exit code 3 if none runs.

    Example:
      runpodctl-py local status
    """
    running = found_running()
    document = run(get(running, "status"))
    endpoints = document["endpoints"]
    rows = [
        (
            str(e["id"]),
            str(e["name"]),
            _workers_text(e),
            str(e["jobs"]["inQueue"]),
            str(e["jobs"]["inProgress"]),
            str(e["jobs"]["completed"]),
            str(e["jobs"]["failed"]),
        )
        for e in endpoints
    ]
    output = Output(as_json=as_json)
    output.note(f"Local RunPod {running.version} on {running.url}, process {running.pid}")
    for remark in (local_time.remark, local_faults.remark):
        if text := run(remark(running)):
            output.note(text)
    output.note()
    numbers = [Column(name, is_number=True) for name in ("queued", "running", "done", "failed")]
    output.table(
        [Column("endpoint"), Column("name"), Column("workers"), *numbers],
        rows,
        {"url": running.url, "pid": running.pid, **document},
    )
    if not endpoints:
        output.note("No endpoints yet. Make one:  runpodctl-py setup-test --local")


def _workers_text(endpoint: dict[str, Any]) -> str:
    if not endpoint["workersMax"]:
        # Also what became of one that was idle for a week.
        return "none, for workersMax is 0"
    return ", ".join(f"{n} {state}" for state, n in endpoint["workers"].items()) or "none"


@app.command()
def logs(
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on printing what is added.")
    ] = False,
    endpoint: Annotated[
        str | None,
        typer.Option(
            "--endpoint", "-e", metavar="ID", help="Only its workers; while it runs, by name, too."
        ),
    ] = None,
    worker: Annotated[
        str | None, typer.Option("--worker", metavar="ID", help="Only this worker.")
    ] = None,
    job: Annotated[
        str | None, typer.Option("--job", metavar="ID", help="Only what belongs to this job.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Print what the local RunPod and its workers have written.

    Examples:
      runpodctl-py local logs -f
      runpodctl-py local logs -e my-model
      runpodctl-py local logs --job 34cd776e-dcbd-4cb6-941c-a7fe789890d2-u1
    """
    wanted = Wanted(_endpoint_id(endpoint), worker, job)
    view = LogView(Output(as_json=as_json), _daemon().data_folder(os.environ), wanted)
    view.print_new(is_last=not follow)
    if not view.has_printed and not follow:
        raise _no_logs(wanted)
    while follow:
        # Files have no event that a portable program could wait for.
        time.sleep(_LOOK_INTERVAL_S)
        view.print_new(is_last=False)


@app.command()
def env(
    *,
    shell: Annotated[
        bool, typer.Option("--shell", help="Print lines for a shell's eval. The default.")
    ] = False,
    dotenv: Annotated[bool, typer.Option("--dotenv", help="Print a dotenv file.")] = False,
    as_json: options.Json = False,
) -> None:
    """Print the variables that point RunPod's official clients here.

    RunPod's Python client takes its URLs from them, but no key: give it one with
    `runpod.api_key = os.environ["RUNPOD_API_KEY"]`.

    Examples:
      eval "$(runpodctl-py local env)" && python my_client.py
      runpodctl-py local env --dotenv > local.env
    """
    if shell + dotenv + as_json > 1:
        raise UsageError("--shell, --dotenv and --json: name one form")
    running = found_running()
    variables = client_variables(running.url, running.token)
    output = Output(as_json=as_json)
    if as_json:
        output.document({**variables})
    elif dotenv:
        output.result(env_file.text_of(variables).rstrip("\n"))
    else:
        for name, value in variables.items():
            output.result(f"export {name}={shlex.quote(value)}")


def _daemon() -> ModuleType:
    from runpodctl_py.emulator import daemon

    return daemon


def _endpoint_id(given: str | None) -> str | None:
    """Return the id of an endpoint that is given by id or name; names are known while it runs.

    Raises:
        UsageError: Several endpoints have this name.
    """
    if given is None:
        return None
    daemon = _daemon()
    running: Announcement | None = daemon.find_running(daemon.data_folder(os.environ))
    if running is None:
        return given
    endpoints = run(get(running, "status"))["endpoints"]
    named = [str(each["id"]) for each in endpoints if each["name"] == given]
    if not named or given in {each["id"] for each in endpoints}:
        return given
    if len(named) > 1:
        raise UsageError(
            f"{len(named)} endpoints are called {given}: {', '.join(named)}",
            hint=f"Name one by its id:  runpodctl-py local logs --endpoint {named[0]}",
        )
    return named[0]


def _no_logs(wanted: Wanted) -> NotFoundError:
    if wanted == Wanted():
        return NotFoundError(
            "There are no logs yet", hint="Start one:  runpodctl-py local up --detach"
        )
    of = {
        "endpoint": wanted.endpoint_id,
        "worker": wanted.worker_id,
        "job": wanted.job_id,
    }
    named = " and ".join(f"{noun} {each}" for noun, each in of.items() if each)
    folder = _daemon().data_folder(os.environ) / "logs"
    ids = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
    return NotFoundError(
        f"There are no logs of {named}",
        hint=f"There are those of the endpoints {', '.join(ids) or '(none yet)'}; "
        "by name they are found while the local RunPod runs",
    )


def _say_up(output: Output, running: Announcement, *, is_detached: bool) -> None:
    if output.as_json:
        document: JsonObject = {"url": running.url, "port": running.port, "pid": running.pid}
        output.event(document)
        return
    stop = "runpodctl-py local down" if is_detached else "Ctrl-C"
    output.done(f"Local RunPod on {running.url}        {stop} stops it")
    output.note()
    output.note("  Try it:             runpodctl-py submit --task text_processing --local")
    output.note('  Official clients:   eval "$(runpodctl-py local env)"')
    output.note("  Console:            runpodctl-py local console")


def _say_served(output: Output, served: Served) -> None:
    submit = f"runpodctl-py submit --endpoint {served.endpoint_id} --set key=value --local"
    if output.as_json:
        output.event(
            {
                "endpoint_id": served.endpoint_id,
                "endpoint": served.name,
                "worker_id": served.worker_id,
                "worker_state": served.worker_state.lower(),
                "submit": submit,
            }
        )
        return
    logs = f"runpodctl-py local logs --endpoint {served.endpoint_id}"
    output.done(f"Endpoint {served.name} ({served.endpoint_id}) serves your handler")
    output.note()
    output.note(f"  Send it a job:      {submit}")
    output.note(f"  What it prints:     {logs} -f")
    if served.worker_state == "UNHEALTHY":
        output.warn(f"It ended before it could take a job. Why:  {logs}")
    elif served.worker_state not in {"IDLE", "RUNNING"}:
        output.note(f"  Its worker is {served.worker_state.lower()} yet; jobs wait for it.")
