"""What a command stands on: its settings, its output, and the local RunPod if it asked for it.

Owns opening these and entering asyncio. Decides nothing about jobs or endpoints.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shlex
import signal
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from runpodctl_py import settings as settings_module
from runpodctl_py.cli.output import Output
from runpodctl_py.errors import (
    InterruptedRunError,
    NetworkError,
    NotFoundError,
    RunpodctlError,
    UnauthorizedError,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from runpodctl_py.cli.options import Common
    from runpodctl_py.emulator.daemon import Announcement
    from runpodctl_py.jobs.ledger import Ledger, Place
    from runpodctl_py.presets.model import Preset
    from runpodctl_py.settings import Settings

_Result = TypeVar("_Result")
_WITHOUT_LOCAL = "local |help |gpus|config |batch (?:status|list)|jobs (?:list|show)"
"""What commands without --local begin with."""

#: Starting it takes about a second; a machine under load takes longer.
LOCAL_START_LIMIT_S = 60.0


@dataclass(frozen=True)
class Context:
    """One command's surroundings.

    Args:
        settings: Where to go, and as whom.
        output: Where to say what.
        stops_local: Whether the local RunPod stops when no command uses it any more.
        files: The flags that named files of settings, with the files.
    """

    settings: Settings
    output: Output
    stops_local: bool = False
    files: tuple[tuple[str, Path | None], ...] = ()

    @property
    def file_flags(self) -> str:
        """What to add to a command that is suggested, so that it has the same settings."""
        return "".join(f" {flag} {shlex.quote(str(path))}" for flag, path in self.files if path)

    @property
    def flags(self) -> str:
        """What to add to a command that is suggested, so that it means the same place."""
        return f"{self.file_flags} --local" if self.settings.is_local else self.file_flags

    @property
    def place(self) -> Place:
        """Which RunPod this is."""
        from runpodctl_py.jobs.ledger import Place

        if not self.settings.is_local:
            return Place(self.settings.endpoint_base_url)
        from runpodctl_py.emulator.data_folder import data_folder

        return Place(str(data_folder(os.environ)), is_local=True)

    @cached_property
    def ledger(self) -> Ledger:
        """Where it is written down which jobs were sent."""
        from runpodctl_py.jobs.ledger import Ledger

        return Ledger(self.settings.ledger_path)

    def close(self) -> None:
        """Let go of what was opened on the way."""
        if "ledger" in self.__dict__:
            self.ledger.close()


@contextlib.contextmanager
def opened(common: Common, *, is_quiet: bool = False) -> Iterator[Context]:
    """Read the settings, and hold the local RunPod for as long as the command runs."""
    output = Output(as_json=common.as_json, is_quiet=is_quiet)
    settings = settings_module.load(
        os.environ, Path.cwd(), env_path=common.env_file, api_key_file=common.api_key_file
    )
    files = (("--env-file", common.env_file), ("--api-key-file", common.api_key_file))
    if not common.local:
        with contextlib.closing(Context(settings, output, files=files)) as context:
            yield context
        return
    from runpodctl_py.emulator import daemon

    folder = daemon.data_folder(os.environ)
    with joined(output, folder) as running:
        local_settings = settings.for_local(running.url, running.token)
        local = Context(local_settings, output, running.until_unused, files)
        try:
            with contextlib.closing(local) as context:
                yield context
        except RunpodctlError as exc:
            if isinstance(exc, NetworkError) and daemon.find_running(folder) is None:
                exc.message = "The local RunPod has ended"
                # A job that was sent is there when it runs again.
                again = exc.hint if exc.job_id else "The same command starts it again."
                exc.hint = f"Why:  runpodctl-py local logs\n{again or ''}".rstrip()
            exc.hint = _same_place(exc.hint)
            raise


@contextlib.contextmanager
def joined(output: Output, folder: Path) -> Iterator[Announcement]:
    """Hold the local RunPod that runs, or one that is started for it and stops when unused."""
    from runpodctl_py.cli.local_time import remark
    from runpodctl_py.emulator import daemon

    is_new = daemon.find_running(folder) is None
    if is_new:
        output.note("Starting the local RunPod …", style="dim")
    command = local_up_command("--until-unused")
    with daemon.joined(folder, command, LOCAL_START_LIMIT_S) as running:
        # Whoever moved its clock may have done so long ago, and not be the one who waits now.
        if is_new and (text := run(remark(running))):
            output.warn(text)
        yield running


def _same_place(hint: str | None) -> str | None:
    """Add --local to the commands that a hint names, so that they mean the local RunPod."""
    if hint is None:
        return None
    return re.sub(
        rf"(runpodctl-py (?!{_WITHOUT_LOCAL})(?!.* --local)[^\n`]*[^\s`])",
        r"\1 --local",
        hint,
    )


def local_up_command(*options: str) -> list[str]:
    """Return the command that runs a local RunPod in a process of its own."""
    # -P: a `secrets.py` in the person's folder must not stand in for Python's.
    return [sys.executable, "-P", "-m", "runpodctl_py", "local", "up", *options]


def run(main: Coroutine[object, object, _Result]) -> _Result:
    """Run a command's network part. Ctrl-C cancels it, a second one leaves at once.

    Raises:
        InterruptedRunError: It was cancelled and had nothing better to say about that.
    """
    # Libraries that log retries would otherwise print them over the person's screen.
    logging.getLogger().addHandler(logging.NullHandler())
    import stamina.instrumentation

    stamina.instrumentation.set_on_retry_hooks([])

    async def interruptible() -> _Result:
        task = asyncio.current_task()
        with contextlib.suppress(NotImplementedError):  # Windows has no such handlers.
            if task is not None:
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await main

    try:
        return asyncio.run(interruptible())
    except (KeyboardInterrupt, asyncio.CancelledError):
        # Typer would turn the one into a silent exit, and SIGTERM's other into a traceback.
        raise InterruptedRunError("Interrupted") from None


def endpoint_id(settings: Settings, given: str | None, preset: Preset | None) -> str:
    """Return the endpoint to use: a flag's, the preset's, or RUNPOD_ENDPOINT_ID.

    Raises:
        UnauthorizedError: There is neither an endpoint nor an API key.
        NotFoundError: There is no endpoint.
    """
    if given:
        return given
    if preset and (known := settings.get(preset.env_key)):
        return known
    fallback = settings.get(settings_module.ENDPOINT_ID)
    if fallback and not (preset and _belongs_to_another(settings, fallback, preset)):
        return fallback
    raise _no_endpoint(settings, preset)


def _belongs_to_another(settings: Settings, endpoint_id: str, preset: Preset) -> bool:
    """Whether RUNPOD_ENDPOINT_ID is what `setup` wrote for another preset."""
    from runpodctl_py.presets import loading

    others = (loading.load(name).env_key for name in loading.names() if name != preset.name)
    return any(settings.get(key) == endpoint_id for key in others)


def _no_endpoint(settings: Settings, preset: Preset | None) -> NotFoundError | UnauthorizedError:
    setup = f"setup {preset.name}" if preset else "setup test"
    named = f"{preset.env_key} or RUNPOD_ENDPOINT_ID" if preset else "RUNPOD_ENDPOINT_ID"
    if settings.get(settings_module.API_KEY) is None:
        return UnauthorizedError(
            "No endpoint and no API key.",
            hint=(
                f"Looked for {named} and RUNPOD_API_KEY in the environment, in .env in this "
                "folder and above, and in the user file.\n"
                "Put RUNPOD_API_KEY=… into .env (create a key in RunPod's settings), then:  "
                f"runpodctl-py {setup}\n"
                "Or try without an account: the same command with --local"
            ),
        )
    if preset and settings.get(settings_module.ENDPOINT_ID):
        named = f"{preset.env_key} is not set, and RUNPOD_ENDPOINT_ID belongs to another preset"
    else:
        named = f"{named} is not set"
    return NotFoundError(
        f"No endpoint: {named}",
        hint=f"Create one:  runpodctl-py {setup}\nOr name yours.",
    )
