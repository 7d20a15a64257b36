"""The root command: loads the others when they are called, and turns errors into exit codes.

Owns the list of commands, the one place where exceptions become words, and the exit. A command's
module is imported when it is called: `--help`, `--version` and a usage error stay fast.
"""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from runpodctl_py import __version__
from runpodctl_py.cli.house_style import App, help_text
from runpodctl_py.cli.output import Output
from runpodctl_py.errors import InterruptedRunError, RunpodctlError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_RUN = "Run jobs"
_DEPLOY = "Deploy"
_LOCAL = "On this machine"
_ABOUT = "Look things up"


@dataclass(frozen=True)
class _Entry:
    """A command: the module that has it, and what the root's help says of it."""

    module: str
    help: str
    panel: str


COMMANDS = {
    "speak": _Entry("speak", "Speak a text: Chatterbox, into a sound file.", _RUN),
    "layers": _Entry("layers", "Take a picture apart into transparent layers.", _RUN),
    "submit": _Entry("submit", "Send a job, follow it, and save every file it returns.", _RUN),
    "status": _Entry("jobs", "Show a job as it is now.", _RUN),
    "watch": _Entry("jobs", "Follow jobs that were sent before, and save their files.", _RUN),
    "chat": _Entry("chat", "Ask a language model on a vLLM endpoint, or talk with it.", _RUN),
    "stream": _Entry("jobs", "Print what a job yields as it arrives.", _RUN),
    "cancel": _Entry("jobs", "Cancel jobs.", _RUN),
    "comfy": _Entry("comfy", "Run ComfyUI workflows, and see what can be set in them.", _RUN),
    "batch": _Entry("batch", "Thousands of jobs from a CSV or JSONL file.", _RUN),
    "jobs": _Entry("ledger", "The jobs you have sent: list, show, sync, retry, export.", _RUN),
    "health": _Entry("jobs", "Show an endpoint's jobs and workers.", _RUN),
    "setup": _Entry("setup", "Create or update an endpoint from any preset.", _DEPLOY),
    "setup-test": _Entry("setup", "Set up the test worker: text, image and data tasks.", _DEPLOY),
    "setup-chatterbox": _Entry("setup", "Set up Chatterbox, text to speech.", _DEPLOY),
    "setup-qwen": _Entry("setup", "Set up Qwen-Image-Layered, an image into layers.", _DEPLOY),
    "setup-comfyui": _Entry("setup", "Set up ComfyUI with FLUX.1 dev, for any workflow.", _DEPLOY),
    "setup-vllm": _Entry("setup", "Set up vLLM with a language model from Hugging Face.", _DEPLOY),
    "teardown": _Entry("teardown", "Delete an endpoint and its template.", _DEPLOY),
    "endpoints": _Entry("endpoints", "List endpoints, or show one.", _DEPLOY),
    "templates": _Entry("templates", "List templates, or show one.", _DEPLOY),
    "local": _Entry("local", "The local RunPod: start it, stop it, read its logs.", _LOCAL),
    "gpus": _Entry("gpus", "List the GPU pools: cards, memory, prices.", _ABOUT),
    "config": _Entry("config", "Show every setting and where it came from.", _ABOUT),
    "help": _Entry("help", "Explain exit codes, presets' inputs and settings.", _ABOUT),
}


_REMINDING = frozenset(name for name, each in COMMANDS.items() if each.panel in (_RUN, _DEPLOY))
"""The commands that end with a word on results to be fetched; the others need no ledger."""


class RootGroup(TyperGroup):
    """A group that knows its commands by name, and imports one when it is run."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        for name, entry in COMMANDS.items():
            self.add_command(
                TyperCommand(name, callback=None, help=entry.help, rich_markup_mode=None)
            )

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 # Click's signature
        """List the commands by what they are for."""
        width = max(map(len, COMMANDS))
        for panel in dict.fromkeys(entry.panel for entry in COMMANDS.values()):
            with formatter.section(panel):
                formatter.write_dl(
                    [(f"{n:<{width}}", e.help) for n, e in COMMANDS.items() if e.panel == panel]
                )

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Replace the name's placeholder by the command itself."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, load_command(str(name)), rest


def load_command(name: str) -> Any:
    """Import a command's module and return its Click command."""
    module = importlib.import_module(f"runpodctl_py.cli.{COMMANDS[name].module}")
    command = typer.main.get_command(module.app)
    # A module with several root commands (`jobs`, `setup`) has them in one group.
    command = getattr(command, "commands", {}).get(name, command)
    command.name = name
    return command


app = App(
    cls=RootGroup,
    no_args_is_help=True,
    add_completion=True,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _show_version(asked: bool) -> None:  # noqa: FBT001 # Typer calls it with the flag's value
    if asked:
        print(f"runpodctl-py {__version__}")
        raise typer.Exit


def root(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """From an image to a file on your disk, on RunPod Serverless or on your own machine.

    Example, without an account:
      runpodctl-py submit --task text_processing --local

    Example on RunPod, with RUNPOD_API_KEY in .env:
      runpodctl-py setup-test
      runpodctl-py submit --task text_processing --input-file report.txt
    """


app.callback(help=help_text(root.__doc__ or ""))(root)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    # httpx brings a command line of its own, with click and rich: 0.1 s of every start.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type] # as Python documents it
    # Python has no stream where the shell closed one (`2>&-`).
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 # for the whole process
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal that has no ✓ gets an escape instead of an error.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_exit_code(args))


def _exit_code(args: list[str]) -> int:
    # Typer's own copy of Click has no public name for these.
    from typer._click.exceptions import NoArgsIsHelpError

    try:
        code = typer.main.get_command(app).main(
            args, prog_name="runpodctl-py", standalone_mode=False
        )
    except NoArgsIsHelpError as exc:
        exc.show()
        return UsageError.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return RunpodctlError.exit_code
    except (Exception, KeyboardInterrupt) as exc:  # noqa: BLE001 # the last one to see it
        error = _described(exc)
        if not error.was_told:
            Output(as_json="--json" in args).error(error)
        return error.exit_code
    # After an error, its own words are what should be read last.
    _say_what_waits(args)
    return code if isinstance(code, int) else 0


def _say_what_waits(args: list[str]) -> None:
    """Remind a person of results that are still to be fetched, unless they are at it."""
    is_asked = not {"--help", "-h", "--version", "--json", "--quiet", "-q"} & set(args)
    if args and args[0] in _REMINDING and args[:2] != ["jobs", "sync"] and is_asked:
        from runpodctl_py.cli.notice import notice

        if text := notice():
            Output().warn(text)


def _described(exc: BaseException) -> RunpodctlError:
    """Return any exception as an error of ours, in words."""
    from typer._click.exceptions import ClickException

    if isinstance(exc, RunpodctlError):
        return exc
    if isinstance(exc, ClickException):
        return _usage_error(exc)
    if isinstance(exc, KeyboardInterrupt | typer.Abort):
        return InterruptedRunError("Interrupted")
    if os.environ.get("RUNPODCTL_TRACEBACK"):
        raise exc
    return _unexpected(exc)


def _usage_error(exc: Any) -> UsageError:
    context = getattr(exc, "ctx", None)
    path = context.command_path if context else "runpodctl-py"
    return UsageError(exc.format_message(), hint=f"Help:  {path} --help")


def _unexpected(exc: BaseException) -> RunpodctlError:
    """Describe a defect of ours. Its text is left out: it could hold anything, a key included."""
    return RunpodctlError(
        f"Something unexpected happened ({type(exc).__name__}); this is a defect of runpodctl-py",
        hint="RUNPODCTL_TRACEBACK=1 shows where. Please report it.",
    )
