"""What should exist: a preset, with every flag that was given on top.

Owns the flags of setup and what they mean. Compares and saves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runpodctl_py import env_file as env_files
from runpodctl_py.cli import options
from runpodctl_py.errors import UsageError
from runpodctl_py.gpus import GpuSelection
from runpodctl_py.presets import loading

if TYPE_CHECKING:
    from runpodctl_py.presets.model import Preset
    from runpodctl_py.provision import Desired


class ScalerName(StrEnum):
    """What starts another worker."""

    QUEUE_DELAY = "queue-delay"
    REQUEST_COUNT = "request-count"


@dataclass(frozen=True, kw_only=True)
class Flags:
    """What every setup command takes; None leaves it to the preset."""

    name: Annotated[
        str | None, typer.Option("--name", help="Of the endpoint and its template.")
    ] = None
    image: Annotated[str | None, typer.Option("--image", help="The container image.")] = None
    gpu: Annotated[
        str | None,
        typer.Option(
            "--gpu",
            metavar="POOL[,POOL][,-CARD]",
            help="GPU pools in order of priority, and cards to leave out:  runpodctl-py gpus",
        ),
    ] = None
    gpu_count: Annotated[
        int | None, typer.Option("--gpu-count", min=1, help="GPUs per worker.")
    ] = None
    workers_min: Annotated[
        int | None,
        typer.Option("--workers-min", min=0, help="Always running, and always billed."),
    ] = None
    workers_max: Annotated[
        int | None, typer.Option("--workers-max", min=0, help="At most this many at once.")
    ] = None
    idle_timeout: Annotated[
        int | None,
        typer.Option(
            "--idle-timeout",
            metavar="SECONDS",
            min=1,
            max=3600,
            help="How long a worker stays up without work, 1 to 3600.",
        ),
    ] = None
    execution_timeout: Annotated[
        int | None,
        typer.Option(
            "--execution-timeout",
            metavar="SECONDS",
            min=0,
            help="Longest run of a job; 0: no limit.",
        ),
    ] = None
    scaler: Annotated[
        ScalerName | None, typer.Option("--scaler", help="What starts another worker.")
    ] = None
    scaler_value: Annotated[
        int | None,
        typer.Option("--scaler-value", min=1, help="Seconds in the queue, or requests per worker."),
    ] = None
    flashboot: Annotated[
        bool | None, typer.Option("--flashboot/--no-flashboot", help="Faster cold starts.")
    ] = None
    container_disk: Annotated[
        int | None, typer.Option("--container-disk", metavar="GB", min=1, help="Disk per worker.")
    ] = None
    env: Annotated[
        list[str] | None,
        typer.Option(
            "--env",
            metavar="KEY=VALUE|@FILE",
            help="A variable of the worker's, or a dotenv file of them. Repeatable.",
        ),
    ] = None
    network_volume: Annotated[
        str | None,
        typer.Option("--network-volume", metavar="ID", help="Mounted by every worker."),
    ] = None
    data_center: Annotated[
        list[str] | None,
        typer.Option("--data-center", metavar="ID", help="Where workers may run. Repeatable."),
    ] = None
    registry_auth: Annotated[
        str | None, typer.Option("--registry-auth", metavar="ID", help="For a private image.")
    ] = None
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", "-y", help="Change an endpoint that was found by its name only; do not ask."
        ),
    ] = False
    dry_run: options.DryRun = False


def desired_state(preset: Preset, flags: Flags) -> Desired:
    """Return what should exist: the preset, with every flag that was given on top.

    Raises:
        UsageError: A flag's value cannot be meant.
    """
    from runpodctl_py.api.types import Scaler
    from runpodctl_py.provision import Desired

    for option, value in (("--name", flags.name), ("--image", flags.image)):
        if value is not None and not value.strip():
            raise UsageError(f"{option} is empty")
    template, endpoint = preset.template, preset.endpoint
    scaler = flags.scaler or endpoint.scaler
    desired = Desired(
        name=flags.name or endpoint.name,
        renames=flags.name is not None,
        image=_given(flags.image, template.image),
        # Ours are defaults that nobody has published; a person's own preset means what it says.
        keeps_image=flags.image is None and _is_bundled(preset),
        container_disk_gb=_given(flags.container_disk, template.container_disk_gb),
        start_command=template.start_command,
        env={**template.env, **_variables(flags.env or [])},
        registry_auth_id=flags.registry_auth,
        gpu=endpoint.gpu if flags.gpu is None else GpuSelection.parse(flags.gpu),
        gpu_count=_given(flags.gpu_count, endpoint.gpu_count),
        workers_min=_given(flags.workers_min, endpoint.workers_min),
        workers_max=_given(flags.workers_max, endpoint.workers_max),
        idle_timeout_s=_given(flags.idle_timeout, endpoint.idle_timeout_s),
        execution_timeout_s=_given(flags.execution_timeout, endpoint.execution_timeout_s),
        scaler=Scaler(scaler.upper().replace("-", "_")),
        scaler_value=_given(flags.scaler_value, endpoint.scaler_value),
        flashboot=_given(flags.flashboot, endpoint.flashboot),
        network_volume_id=_given(flags.network_volume, endpoint.network_volume),
        data_centers=tuple(flags.data_center or endpoint.data_centers) or None,
        allowed_cuda_versions=endpoint.allowed_cuda_versions or None,
    )
    return _checked(desired, flags)


def _is_bundled(preset: Preset) -> bool:
    return preset.name in loading.names() and loading.load(preset.name) == preset


def _given(value: Any, otherwise: Any) -> Any:
    """Return the flag's value if there is one: 0 and False are values, too."""
    return otherwise if value is None else value


def _checked(desired: Desired, flags: Flags) -> Desired:
    if desired.workers_min <= desired.workers_max:
        return desired
    if flags.workers_max is None:
        return replace(desired, workers_max=desired.workers_min)
    raise UsageError(
        f"--workers-min {desired.workers_min} is more than --workers-max {desired.workers_max}"
    )


def _variables(given: list[str]) -> dict[str, str]:
    variables: dict[str, str] = {}
    for item in given:
        if item.startswith("@"):
            path = Path(item[1:])
            if not path.is_file():
                raise UsageError(f"--env {item}: there is no file {path}")
            variables |= env_files.read(path)
            continue
        name, equals, value = item.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--env takes KEY=VALUE or @FILE, not {name or item}")
        variables[name] = value
    return variables
