"""`help exit-codes|errors|inputs`: what the options' help is too short for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from runpodctl_py import errors
from runpodctl_py.cli import options
from runpodctl_py.cli.house_style import App
from runpodctl_py.cli.output import Column, Output
from runpodctl_py.presets import loading

if TYPE_CHECKING:
    from collections.abc import Iterator

app = App(no_args_is_help=True)

#: What each exit code means; the tests hold it against the error tree.
EXIT_CODES = {
    0: "done",
    1: "unexpected error, or RunPod refused",
    2: "wrong usage, or something existing stands in the way",
    3: "not found",
    4: "not authorised: no API key, or a wrong one",
    5: "confirmation needed",
    6: "network, rate limit or server error, after retries",
    8: "still running: the wait timed out, the job goes on",
    10: "the job FAILED",
    11: "the job was CANCELLED",
    12: "the job TIMED_OUT",
    13: "a batch finished with failed jobs",
    14: "the job completed, but a file could not be saved",
    130: "interrupted",
}


@app.callback()
def explain() -> None:
    """Explain exit codes, error codes, and presets' inputs."""


@app.command("exit-codes")
def exit_codes(*, as_json: options.Json = False) -> None:
    """List the exit codes, one per meaning.

    Example:
      runpodctl-py help exit-codes
    """
    Output(as_json=as_json).table(
        [Column("code", is_number=True), Column("meaning")],
        [(str(code), meaning) for code, meaning in EXIT_CODES.items()],
        [{"code": code, "meaning": meaning} for code, meaning in EXIT_CODES.items()],
    )


@app.command("errors")
def error_codes(*, as_json: options.Json = False) -> None:
    """List the error codes of --json, with their exit codes.

    Example:
      runpodctl-py help errors --json
    """
    found = sorted({(kind.code, kind.exit_code) for kind in error_classes()})
    Output(as_json=as_json).table(
        [Column("error"), Column("exit code", is_number=True)],
        [(code, str(exit_code)) for code, exit_code in found],
        [{"error": code, "exit_code": exit_code} for code, exit_code in found],
    )


@app.command()
def inputs(
    preset: Annotated[str, typer.Argument(metavar="PRESET")], *, as_json: options.Json = False
) -> None:
    """List what a preset's jobs take: fields, limits, defaults.

    Example:
      runpodctl-py help inputs chatterbox
    """
    fields = loading.load(preset).input
    Output(as_json=as_json).table(
        [Column("field"), Column("takes"), Column("default"), Column("meaning")],
        [
            (
                f"{name} (required)" if field.required else name,
                field.expectation,
                "-" if field.default is None else str(field.default),
                field.help or "",
            )
            for name, field in fields.items()
        ],
        [
            {
                "name": name,
                "type": field.type,
                "required": field.required,
                "takes": field.expectation,
                "default": field.default,
                "help": field.help,
            }
            for name, field in fields.items()
        ],
    )


def error_classes() -> Iterator[type[errors.RunpodctlError]]:
    """Yield every class of the error tree."""
    waiting: list[type[errors.RunpodctlError]] = [errors.RunpodctlError]
    while waiting:
        kind = waiting.pop()
        yield kind
        waiting.extend(kind.__subclasses__())
