"""Options that several commands share, each written once, and groups of them.

A command that has a parameter of a group's type has all its options (`house_style.py`). Options
that cannot be given together are refused here, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runpodctl_py.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = Annotated[
    bool, typer.Option("--json", help="Print JSON: one document, or one object a line.")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print the result only: no progress, no notes.")
]
Local = Annotated[
    bool,
    typer.Option("--local", help="Use the local RunPod on this machine instead of the real one."),
]
EnvFile = Annotated[
    Path | None,
    typer.Option(
        "--env-file",
        metavar="FILE",
        help="The dotenv file to read and to write endpoint ids to. "
        "Default: the nearest .env, searched upwards.",
    ),
]
ApiKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--api-key-file", metavar="FILE", help="A file that holds the API key and nothing else."
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be sent and what it costs; send nothing.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
EndpointId = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        "-e",
        metavar="ID",
        help="The endpoint. Default: the preset's own, as setup wrote it, else RUNPOD_ENDPOINT_ID.",
    ),
]
PresetName = Annotated[
    str | None,
    typer.Option(
        "--preset", "-p", metavar="NAME|FILE", help="A preset:  runpodctl-py setup --list"
    ),
]
OutputDir = Annotated[
    Path | None,
    typer.Option(
        "--output-dir",
        "-o",
        metavar="DIR",
        help="Where files go. Default: RUNPODCTL_OUTPUT_DIR, else ./outputs",
    ),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show a failed job's traceback, too.")
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout", metavar="SECONDS", min=0, help="Stop waiting after this time; the job goes on."
    ),
]


@dataclass(frozen=True, kw_only=True)
class Common:
    """What every command takes that asks RunPod: how to print, where to go, and as whom."""

    local: Local = False
    as_json: Json = False
    env_file: EnvFile = None
    api_key_file: ApiKeyFile = None


@dataclass(frozen=True, kw_only=True)
class Target:
    """Which endpoint is meant: by its id, by a preset, or neither."""

    endpoint: EndpointId = None
    preset: PresetName = None


@dataclass(frozen=True, kw_only=True)
class Sending:
    """What becomes of a job's request besides following it."""

    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Print the job's id and do not wait.")
    ] = False
    dry_run: DryRun = False


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Which bucket of the person's a worker is to put its results into."""

    bucket: Annotated[
        str | None,
        typer.Option(
            "--bucket",
            metavar="NAME",
            help="Have the worker put its files into this S3 bucket of yours.",
        ),
    ] = None
    bucket_endpoint: Annotated[
        str | None,
        typer.Option(
            "--bucket-endpoint",
            metavar="URL",
            help="Where the bucket is. Default: BUCKET_ENDPOINT_URL.",
        ),
    ] = None
    bucket_path: Annotated[
        str | None,
        typer.Option(
            "--bucket-path", metavar="PREFIX", help="What the names in the bucket begin with."
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What a person wants while a job is followed."""

    timeout: Timeout = None
    cancel_on_interrupt: Annotated[
        bool, typer.Option("--cancel-on-interrupt", help="Ctrl-C cancels instead of detaching.")
    ] = False
    verbose: Verbose = False
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class Following(Waiting):
    """What a person wants of a job that is followed, and of its files."""

    output_dir: OutputDir = None
    no_save: Annotated[
        bool, typer.Option("--no-save", help="Print the output only; write no file.")
    ] = False


def check_one_at_most(given: Mapping[str, bool]) -> None:
    """Refuse options that exclude each other.

    Args:
        given: Which of them were given, by their names.

    Raises:
        UsageError: More than one.
    """
    if len(names := [name for name, is_given in given.items() if is_given]) > 1:
        raise UsageError(f"{' and '.join(names)} exclude each other")
