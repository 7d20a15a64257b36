"""`local record`: what clients ask the local RunPod, or RunPod, and what they get, in a file."""

from __future__ import annotations

import os
import secrets
import shlex
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from runpodctl_py import settings as settings_module
from runpodctl_py.cli import local_session, options
from runpodctl_py.cli.context import joined
from runpodctl_py.cli.local_exec import refuse_unknown
from runpodctl_py.cli.local_session import Ending
from runpodctl_py.cli.output import Output
from runpodctl_py.errors import RunpodctlError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from runpodctl_py.emulator.lab.forwarding import Hosts
    from runpodctl_py.emulator.lab.recording import Recording
    from runpodctl_py.emulator.lab.tap import Tap
    from runpodctl_py.emulator.lab.transcript import Exchange, TranscriptFile
    from runpodctl_py.settings import Settings


class Source(StrEnum):
    """Whose answers are recorded."""

    LOCAL = "local"
    RUNPOD = "runpod"


@dataclass
class _Session:
    """A recording that goes on.

    Args:
        file: What is written.
        variables: What points clients to what is recorded.
        hidden: What the command must not be given, and what it gets instead.
        failure: What broke the recording off.
        was_left: Whether the local RunPod stopped before the recording did.
    """

    file: TranscriptFile
    variables: Mapping[str, str]
    hidden: Mapping[str, str] = field(default_factory=dict)
    failure: RunpodctlError | None = None
    was_left: bool = False

    def closed_by(self, tap: Tap) -> None:
        """End what listens for us, and note how that went."""
        try:
            tap.close()
        except RunpodctlError as error:
            self.failure = error
        self.was_left = tap.was_left


def record(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the transcript goes.")],
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- COMMAND...]", help="What to run, with its arguments."),
    ] = None,
    source: Annotated[
        Source,
        typer.Option("--from", help="Whose answers: the local RunPod's, or those of the real one."),
    ] = Source.LOCAL,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    env_file: options.EnvFile = None,
    api_key_file: options.ApiKeyFile = None,
    as_json: options.Json = False,
) -> None:
    """Record requests and answers, without secrets, for `local replay`.

    With a command, until it ends: it gets the variables of `local env`, and its exit code is this
    one's. Without one, until Ctrl-C. The local RunPod that runs is listened to, or one is started.
    With --from runpod, requests go through a server of this command that has the real key.

    Examples:
      runpodctl-py local record day.jsonl -- pytest tests/
      runpodctl-py local record day.jsonl
      runpodctl-py local record day.jsonl --from runpod -- python my_client.py
    """
    from runpodctl_py.emulator.extra import require_local_extra
    from runpodctl_py.emulator.lab.transcript import already_there

    if command:
        refuse_unknown(command)
    if file.exists() and not force:
        raise already_there(file)
    require_local_extra()
    output, ending = Output(as_json=as_json), Ending()
    if source is Source.LOCAL:
        recorded = _from_local(file, ending, output, replace=force)
    else:
        settings = settings_module.load(
            os.environ, Path.cwd(), env_path=env_file, api_key_file=api_key_file
        )
        recorded = _from_runpod(file, ending, settings, replace=force)
    # The signals come last: entering asyncio, as starting a local RunPod does, resets them.
    with recorded as session, ending.told_by_signals() if not command else nullcontext():
        if not command:
            _say_begun(output, session, source)
        given = local_session.environment(session.variables, session.hidden)
        code = local_session.until_over(command, given, ending)
    _say_ended(output, session, source, code)
    _exit(output, session, code)


def _exit(output: Output, session: _Session, code: int) -> NoReturn:
    """End with the command's exit code, or with what broke the recording off."""
    failure = session.failure or session.file.broken
    if failure is not None and code == 0:
        raise failure
    if failure is not None:
        output.warn(failure.message)
    raise typer.Exit(code)


@contextmanager
def _from_local(file: Path, ending: Ending, output: Output, *, replace: bool) -> Iterator[_Session]:
    """Record what the local RunPod is asked that runs, or is started for this."""
    from runpodctl_py.emulator import daemon
    from runpodctl_py.emulator.client_variables import client_variables
    from runpodctl_py.emulator.lab.tap import Tap
    from runpodctl_py.emulator.lab.transcript import TranscriptFile

    quiet = Output(as_json=output.as_json, is_quiet=not output.draws)
    with joined(quiet, daemon.data_folder(os.environ)) as running:
        tap = Tap(running.port, running.token, ending.tell)
        with closing(tap):
            tap.open()
            # Only now: a file that is replaced shall not be lost for nothing.
            with closing(TranscriptFile(file, replace=replace)) as written:
                tap.begin(written)
                session = _Session(written, client_variables(running.url, running.token))
                try:
                    yield session
                finally:
                    session.closed_by(tap)


@contextmanager
def _from_runpod(
    file: Path, ending: Ending, settings: Settings, *, replace: bool
) -> Iterator[_Session]:
    """Record what a server of this process is asked that passes everything on to RunPod."""
    from runpodctl_py.emulator.client_variables import client_variables
    from runpodctl_py.emulator.lab.forwarding import Hosts
    from runpodctl_py.emulator.lab.recording import Recording
    from runpodctl_py.emulator.lab.transcript import TranscriptFile
    from runpodctl_py.emulator.threaded import Threaded

    key, token = settings.api_key, f"rpa_recording_{secrets.token_hex(20)}"
    hosts = Hosts(settings.api_base_url, settings.rest_base_url, settings.endpoint_base_url)
    recording = Recording((key, token), hosts.placeholders)
    server = Threaded("forwarding", lambda _: _passing_on(hosts, key, token, recording))
    with ExitStack() as last:
        url = server.open()
        try:
            # Only now: a file that is replaced shall not be lost for nothing.
            written = last.enter_context(closing(TranscriptFile(file, replace=replace)))
            recording.listeners.append(_writer(written, ending))
            yield _Session(written, client_variables(url, token), {key: token})
        finally:
            server.close()


@asynccontextmanager
async def _passing_on(
    hosts: Hosts, key: str, token: str, recording: Recording
) -> AsyncIterator[str]:
    """Serve what passes on to RunPod, and tells of it."""
    from runpodctl_py.emulator.lab.forwarding import forwarding
    from runpodctl_py.emulator.serving import serving

    async with (
        forwarding(hosts, key, token) as app,
        serving(recording.around(app)) as url,
    ):
        yield url


def _writer(file: TranscriptFile, ending: Ending) -> Callable[[Exchange], None]:
    """Return what writes exchanges; a file that is full ends the recording."""

    def write(exchange: Exchange) -> None:
        file.add(exchange)
        if file.failure is not None:
            ending.tell()

    return write


def _say_begun(output: Output, session: _Session, source: Source) -> None:
    path = session.file.path
    if output.as_json:
        output.event({"file": str(path), "variables": {**session.variables}})
        return
    if source is Source.RUNPOD:
        output.done(f"Recording what RunPod is asked through these to {path}        Ctrl-C ends it")
        local_session.print_exports(session.variables)
    else:
        output.done(f"Recording what the local RunPod is asked to {path}        Ctrl-C ends it")


def _say_ended(output: Output, session: _Session, source: Source, code: int) -> None:
    file = session.file
    if session.was_left:
        output.warn("The local RunPod has stopped; the recording ends there.")
    failure = session.failure or file.broken
    if output.as_json:
        output.event(
            {
                "file": str(file.path),
                "exchanges": file.exchanges,
                "complete": failure is None and not session.was_left,
                "exit_code": code or (failure.exit_code if failure else 0),
            }
        )
        return
    if failure is not None:
        return
    if file.exchanges:
        what = (
            "1 request and its answer is"
            if file.exchanges == 1
            else f"{file.exchanges} requests and their answers are"
        )
        output.done(f"{what} in {file.path}")
        output.note(
            f"  Play it:   runpodctl-py local replay {shlex.quote(str(file.path))} -- COMMAND"
        )
        return
    asked = "RunPod through this command" if source is Source.RUNPOD else "the local RunPod"
    output.warn(
        f"Nothing was recorded: nobody asked {asked}. Clients find it by the variables of "
        "`local env`; some have to be told, such as RunPod's Python client its key. "
        "The pytest fixtures of this package start a RunPod of their own: use its `record`."
    )
