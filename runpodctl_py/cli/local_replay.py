"""`local replay`: a transcript as a fixed server, without any RunPod and without a key."""

from __future__ import annotations

import shlex
import tempfile
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runpodctl_py.cli import local_session, options
from runpodctl_py.cli.local_exec import refuse_unknown
from runpodctl_py.cli.local_session import Ending
from runpodctl_py.cli.output import Output
from runpodctl_py.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runpodctl_py.emulator.lab.replaying import Missed, Replay
    from runpodctl_py.emulator.lab.transcript import Exchange

_MOST_LISTED = 5


def replay(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A transcript of `local record`.")],
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- COMMAND...]", help="What to run, with its arguments."),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Default: any free one.")
    ] = None,
    as_recorded: Annotated[
        bool, typer.Option("--as-recorded", help="Let each answer take as long as it took.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Answer requests from a transcript: the same to each as when it was recorded.

    With a command, until it ends: it gets the variables of `local env`, commands of ours with
    --local find it, too, and its exit code is this one's. Without one, until Ctrl-C. A request
    that is not in the transcript is answered with 404; the exit code is 3 then, if it was 0.

    Examples:
      runpodctl-py local replay day.jsonl -- pytest tests/
      runpodctl-py local replay day.jsonl --port 8765
    """
    from runpodctl_py.emulator.extra import require_local_extra
    from runpodctl_py.emulator.lab.replaying import Replay

    if command:
        refuse_unknown(command)
    require_local_extra()
    output, ending = Output(as_json=as_json), Ending()

    def say_missed(missed: Missed) -> None:
        if not command and not as_json:
            output.note(_text_of(missed))

    replayed = Replay(_exchanges(file, output), as_recorded=as_recorded, on_missed=say_missed)
    with (
        _served(replayed, port) as variables,
        ending.told_by_signals() if not command else nullcontext(),
    ):
        if not command:
            _say_begun(output, file, variables)
        given = local_session.environment(variables, {})
        code = local_session.until_over(command, given, ending)
    _say_ended(output, file, replayed, code)
    if replayed.missed and code == 0:
        raise _incomplete(file, replayed.missed)
    raise typer.Exit(code)


def _exchanges(file: Path, output: Output) -> tuple[Exchange, ...]:
    """Return what a transcript holds."""
    from runpodctl_py.emulator.lab.transcript import read

    transcript = read(file)
    if transcript.is_torn:
        output.warn(f"The last line of {file} was not written to its end; it is left out.")
    return transcript.exchanges


@contextmanager
def _served(replayed: Replay, port: int | None) -> Iterator[Mapping[str, str]]:
    """Serve a transcript, and have commands with --local find it; yield what leads to it."""
    from runpodctl_py.emulator import daemon
    from runpodctl_py.emulator.client_variables import REPLAY_TOKEN, client_variables
    from runpodctl_py.emulator.data_folder import FOLDER_VARIABLE
    from runpodctl_py.emulator.serving import serving
    from runpodctl_py.emulator.threaded import Threaded

    server = Threaded("replay", lambda _: serving(replayed, port or 0))
    url = server.open()
    try:
        # A folder of its own: the local RunPod of this machine goes on undisturbed.
        with (
            tempfile.TemporaryDirectory(prefix="runpodctl-py-replay-") as folder,
            daemon.announced(Path(folder), url, REPLAY_TOKEN),
        ):
            yield {**client_variables(url, REPLAY_TOKEN), FOLDER_VARIABLE: folder}
    finally:
        server.close()


def _say_begun(output: Output, file: Path, variables: Mapping[str, str]) -> None:
    if output.as_json:
        output.event({"file": str(file), "variables": {**variables}})
        return
    output.done(f"Replaying {file} on {variables['RUNPOD_API_BASE_URL']}        Ctrl-C ends it")
    local_session.print_exports(variables)


def _say_ended(output: Output, file: Path, replayed: Replay, code: int) -> None:
    if output.as_json:
        output.event(
            {
                "file": str(file),
                "answered": replayed.answered,
                "missed": [
                    {"method": each.method, "path": each.path, "reason": each.reason}
                    for each in replayed.missed
                ],
                "exit_code": code or (NotFoundError.exit_code if replayed.missed else 0),
            }
        )
        return
    requests = "1 request was" if replayed.answered == 1 else f"{replayed.answered} requests were"
    text = f"{requests} answered from {file}"
    if not replayed.missed and not replayed.answered:
        output.warn(
            f"Nobody asked for anything in {file}. The pytest fixtures of this package start a "
            "RunPod of their own: use `ReplayServer`."
        )
        return
    if not replayed.missed:
        output.done(text)
        return
    output.warn(f"{text}, {len(replayed.missed)} could not be:")
    for each in replayed.missed[:_MOST_LISTED]:
        output.note(f"  {_text_of(each)}")
    if (more := len(replayed.missed) - _MOST_LISTED) > 0:
        output.note(f"  … and {more} more")


def _text_of(missed: Missed) -> str:
    return f"{missed.method} {missed.path} {missed.reason}"


def _incomplete(file: Path, missed: list[Missed]) -> NotFoundError:
    what = "1 request was" if len(missed) == 1 else f"{len(missed)} requests were"
    path = shlex.quote(str(file))
    return NotFoundError(
        f"{what} not in the transcript",
        hint=f"Record what is asked now:  runpodctl-py local record {path} --force -- COMMAND",
    )
