"""`local up|down|status|logs|env`: the local RunPod as a process of this machine."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runpodctl_py.cli import options
from runpodctl_py.cli.context import local_up_command, run
from runpodctl_py.cli.house_style import App
from runpodctl_py.cli.log_view import LogView
from runpodctl_py.cli.output import Column, Output
from runpodctl_py.errors import NotFoundError

if TYPE_CHECKING:
    from types import ModuleType

    from runpodctl_py.emulator.daemon import Announcement
    from runpodctl_py.jsontypes import JsonObject

app = App(no_args_is_help=True)

_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 30.0
_LOOK_INTERVAL_S = 0.2


@app.callback()
def local() -> None:
    """The local RunPod: the same API on this machine, with real workers of the official SDK."""


@app.command()
def up(
    *,
    port: Annotated[
        int | None,
        typer.Option("--port", min=1, max=65535, help="Default: 8765, or any other free one."),
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

    Examples:
      runpodctl-py local up
      runpodctl-py local up --detach --port 9000
    """
    daemon = _daemon()
    output = Output(as_json=as_json)
    folder = daemon.data_folder(os.environ)
    if detach:
        command = local_up_command(*([] if port is None else ["--port", str(port)]))
        _say_up(output, daemon.start_detached(folder, command, _START_LIMIT_S), is_detached=True)
        return
    from runpodctl_py.emulator.config import EmulatorConfig

    config = EmulatorConfig(folder, port=port)
    run(
        daemon.run_until_stopped(
            config,
            until_unused=until_unused,
            on_ready=lambda running: _say_up(output, running, is_detached=False),
        )
    )
    output.note("The local RunPod has stopped.")


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
    running = _running()
    document = run(_get(running, "status"))
    endpoints = document["endpoints"]
    rows = [
        (
            str(e["id"]),
            str(e["name"]),
            ", ".join(f"{n} {state}" for state, n in e["workers"].items()) or "none",
            str(e["jobs"]["inQueue"]),
            str(e["jobs"]["inProgress"]),
            str(e["jobs"]["completed"]),
            str(e["jobs"]["failed"]),
        )
        for e in endpoints
    ]
    output = Output(as_json=as_json)
    output.note(f"Local RunPod {running.version} on {running.url}, process {running.pid}")
    output.note()
    numbers = [Column(name, is_number=True) for name in ("queued", "running", "done", "failed")]
    output.table(
        [Column("endpoint"), Column("name"), Column("workers"), *numbers],
        rows,
        {"url": running.url, "pid": running.pid, **document},
    )
    if not endpoints:
        output.note("No endpoints yet. Make one:  runpodctl-py setup-test --local")


@app.command()
def logs(
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on printing what is added.")
    ] = False,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", "-e", metavar="ID", help="Only its workers.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Print what the local RunPod and its workers have written.

    Example:
      runpodctl-py local logs -f
    """
    view = LogView(Output(as_json=as_json), _daemon().data_folder(os.environ), endpoint)
    if not view.paths() and not follow:
        raise NotFoundError(
            "There are no logs yet", hint="Start one:  runpodctl-py local up --detach"
        )
    view.print_new(is_last=not follow)
    while follow:
        # Files have no event that a portable program could wait for.
        time.sleep(_LOOK_INTERVAL_S)
        view.print_new(is_last=False)


@app.command()
def env(*, as_json: options.Json = False) -> None:
    """Print the variables that point RunPod's official clients here.

    RunPod's Python client takes its URLs from them, but no key: give it one with
    `runpod.api_key = os.environ["RUNPOD_API_KEY"]`.

    Example:
      eval "$(runpodctl-py local env)" && python my_client.py
    """
    running = _running()
    variables = client_variables(running.url, running.token)
    if as_json:
        Output(as_json=True).document({**variables})
        return
    for name, value in variables.items():
        print(f"export {name}={value}")


def client_variables(url: str, token: str) -> dict[str, str]:
    """Return what the official clients read to find a RunPod (API reference 6)."""
    return {
        "RUNPOD_API_KEY": token,
        "RUNPOD_API_BASE_URL": url,
        "RUNPOD_ENDPOINT_BASE_URL": f"{url}/v2",
        "RUNPOD_GRAPHQL_URL": f"{url}/graphql",
        "RUNPOD_INVOKE_URL": f"{url}/v2",
        "RUNPOD_SERVERLESS_API_URL": f"{url}/v2",
    }


def _daemon() -> ModuleType:
    from runpodctl_py.emulator import daemon

    return daemon


def _running() -> Announcement:
    daemon = _daemon()
    running: Announcement | None = daemon.find_running(daemon.data_folder(os.environ))
    if running is None:
        raise NotFoundError(
            "No local RunPod runs", hint="Start one:  runpodctl-py local up --detach"
        )
    return running


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


async def _get(running: Announcement, operation: str) -> dict[str, Any]:
    from runpodctl_py.api.transport import Transport

    async with Transport(running.url, running.token) as transport:
        answer = await transport.get(f"/_local/{operation}")
    return answer.body
