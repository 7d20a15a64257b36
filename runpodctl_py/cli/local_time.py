"""`local time` and `local reset`: half an hour in an instant, and an empty local RunPod."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runpodctl_py.cli import asking, options
from runpodctl_py.cli.context import run
from runpodctl_py.cli.durations import parsed_duration
from runpodctl_py.cli.house_style import App
from runpodctl_py.cli.local_running import found_running, get, post
from runpodctl_py.cli.output import Column, Output, seconds_text

if TYPE_CHECKING:
    from runpodctl_py.emulator.daemon import Announcement
    from runpodctl_py.jsontypes import JsonObject

app = App(invoke_without_command=True)

_HOLD_S = 600.0
"""How long something may take that waits for workers to go, or for receivers of webhooks."""


@app.callback()
def virtual_time(context: typer.Context, *, as_json: options.Json = False) -> None:
    """Time as you need it: freeze it, let half an hour pass at once. Alone, it shows it."""
    if context.invoked_subcommand is None:
        show(as_json=as_json)


@app.command()
def show(*, as_json: options.Json = False) -> None:
    """Show what time it is there, whether it stands still, and how far ahead of this machine.

    Example:
      runpodctl-py local time show --json
    """
    reading = run(get(found_running(), "time"))
    rows = [
        ("now", _clock_text(reading)),
        ("frozen", "yes" if reading["frozen"] else "no"),
        ("ahead", _ahead_text(reading)),
    ]
    Output(as_json=as_json).table([Column("field"), Column("value")], rows, {**reading})


@app.command()
def freeze(*, as_json: options.Json = False) -> None:
    """Have time stand still: nothing expires, times out, is scaled down or retried.

    Worker processes go on, and so do their jobs; how long these take is not seen.

    Example:
      runpodctl-py local time freeze
    """
    reading = _moved({"action": "freeze"})
    _say(Output(as_json=as_json), reading, f"Time stands still at {_clock_text(reading)}")


@app.command()
def advance(
    duration: Annotated[
        str, typer.Argument(metavar="DURATION", help="Such as 500ms, 90s, 31m, 1h30m or 7d.")
    ],
    *,
    as_json: options.Json = False,
) -> None:
    """Let time pass at once; what is due by then has been done when this ends.

    Examples:
      runpodctl-py local time advance 31m
      runpodctl-py local time advance 7d
    """
    seconds = parsed_duration(duration)
    reading = _moved({"action": "advance", "seconds": seconds})
    text = f"{seconds_text(seconds)} passed: it is {_clock_text(reading)}"
    _say(Output(as_json=as_json), reading, text)


@app.command("run")
def go_on(*, as_json: options.Json = False) -> None:
    """Have time go on from where it is.

    Example:
      runpodctl-py local time run
    """
    reading = _moved({"action": "run"})
    _say(Output(as_json=as_json), reading, f"Time goes on from {_clock_text(reading)}")


def reset(*, yes: options.Yes = False, as_json: options.Json = False) -> None:
    """Empty the local RunPod: endpoints, jobs, workers, templates, account, bills, faults, time.

    It goes on running, with the same address, key and options.

    Example:
      runpodctl-py local reset --yes
    """
    running, output = found_running(), Output(as_json=as_json)
    if not yes:
        asking.confirm(f"Delete {run(_contents(running))}?", "Nothing was deleted")
    document: Any = run(post(running, "reset", {}, _HOLD_S))
    if as_json:
        output.document(document)
    else:
        output.done("The local RunPod is empty")


async def remark(running: Announcement) -> str | None:
    """Return what explains why little or much happens there, if time is not this machine's."""
    reading = await get(running, "time")
    if not reading["frozen"] and abs(reading["ahead"]) < 1:
        return None
    what = "Time stands still" if reading["frozen"] else "Time runs"
    on = "      Go on:  runpodctl-py local time run" if reading["frozen"] else ""
    return f"{what}, {_ahead_text(reading)}{on}"


async def _contents(running: Announcement) -> str:
    """Return what there is to be lost."""
    endpoints = (await get(running, "status"))["endpoints"]
    if not endpoints:
        return "everything on the local RunPod"
    named = (
        f"endpoint {endpoints[0]['name']}" if len(endpoints) == 1 else f"{len(endpoints)} endpoints"
    )
    return f"{named} with all jobs, and everything else on the local RunPod"


def _moved(body: JsonObject) -> dict[str, Any]:
    return run(post(found_running(), "time", body, _HOLD_S))


def _say(output: Output, reading: dict[str, Any], text: str) -> None:
    if output.as_json:
        output.document(reading)
        return
    output.done(text)
    output.note(f"  {_ahead_text(reading)}{', standing still' if reading['frozen'] else ''}")


def _clock_text(reading: dict[str, Any]) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(reading["now"]))


def _ahead_text(reading: dict[str, Any]) -> str:
    ahead_s = reading["ahead"]
    where = "ahead of" if ahead_s >= 0 else "behind"
    return f"{seconds_text(abs(ahead_s))} {where} this machine"
