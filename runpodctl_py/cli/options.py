"""Options that several commands share, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
        "--endpoint", "-e", metavar="ID", help="The endpoint. Default: RUNPOD_ENDPOINT_ID."
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
