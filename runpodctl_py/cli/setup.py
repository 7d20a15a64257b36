"""`setup PRESET`, `setup-test`, `setup-chatterbox`, `setup-qwen`: a preset into a live endpoint.

Owns the flags and the order of reading, showing, saving and writing the endpoint's id. How a plan
looks is `setup_view.py`'s; comparing and saving is `provision.py`'s.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from runpodctl_py import env_file as env_files
from runpodctl_py import settings as settings_module
from runpodctl_py.cli import options, setup_view
from runpodctl_py.cli.context import Context, opened, run
from runpodctl_py.cli.house_style import App
from runpodctl_py.cli.output import Column, Output
from runpodctl_py.errors import UsageError
from runpodctl_py.gpus import GpuSelection
from runpodctl_py.presets import loading

if TYPE_CHECKING:
    from collections.abc import Callable

    from runpodctl_py.api.provisioning import Provisioner
    from runpodctl_py.presets.model import Preset
    from runpodctl_py.provision import Desired, Plan

app = App()


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
    env_file: options.EnvFile = None
    api_key_file: options.ApiKeyFile = None
    local: options.Local = False
    dry_run: options.DryRun = False
    as_json: options.Json = False


PresetArgument = Annotated[
    str | None,
    typer.Argument(metavar="PRESET", help="A preset's name, or the path of your own TOML file."),
]
ListPresets = Annotated[bool, typer.Option("--list", help="List the presets.")]


def _setup_command(preset_name: str) -> Callable[..., None]:
    def command(**flags: Any) -> None:
        set_up(loading.load(preset_name), Flags(**flags))

    preset = loading.load(preset_name)
    command.__doc__ = f"""Create or update the {preset.title} endpoint, and save its id to .env.

    Running it twice changes nothing the second time.

    Examples:
      runpodctl-py setup-{preset_name} --dry-run
      runpodctl-py setup-{preset_name} --gpu {preset.endpoint.gpu.to_gpu_ids()} --workers-max 5
      runpodctl-py setup-{preset_name} --local
    """
    return _with_parameters(command, _flag_parameters())


def _setup_any(preset: str | None, *, list_presets: bool, **flags: Any) -> None:
    """Create or update an endpoint from a preset, and save its id to .env.

    A preset says what is deployed and what its jobs take. `setup --list` shows those that come
    with this tool; a TOML file of your own works, too.

    Examples:
      runpodctl-py setup --list
      runpodctl-py setup chatterbox --gpu AMPERE_16,AMPERE_24
      runpodctl-py setup ./mypreset.toml --dry-run
    """
    if list_presets:
        _list_presets(Output(as_json=flags["as_json"]))
    elif preset is None:
        raise UsageError(
            "Which preset?", hint="See them:  runpodctl-py setup --list\nOr name a TOML file."
        )
    else:
        set_up(loading.load(preset), Flags(**flags))


def _flag_parameters() -> list[inspect.Parameter]:
    hints = get_type_hints(Flags, include_extras=True)
    return [
        inspect.Parameter(
            f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name]
        )
        for f in fields(Flags)
    ]


def _with_parameters(
    command: Callable[..., None], parameters: list[inspect.Parameter]
) -> Callable[..., None]:
    """Give a function the parameters that Typer makes options of."""
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # as inspect documents
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _register() -> None:
    for name in ("test", "chatterbox", "qwen"):
        app.command(f"setup-{name}")(_setup_command(name))
    keyword = inspect.Parameter.KEYWORD_ONLY
    preset = inspect.Parameter("preset", keyword, default=None, annotation=PresetArgument)
    listing = inspect.Parameter("list_presets", keyword, default=False, annotation=ListPresets)
    app.command("setup")(_with_parameters(_setup_any, [preset, listing, *_flag_parameters()]))


_register()


def set_up(preset: Preset, flags: Flags) -> None:
    """Bring an endpoint into the state that a preset and the flags describe."""
    desired = desired_state(preset, flags)
    output = Output(as_json=flags.as_json)
    with opened(
        output, local=flags.local, env_file=flags.env_file, api_key_file=flags.api_key_file
    ) as context:
        run(_set_up(context, preset, desired, dry_run=flags.dry_run))


async def _set_up(context: Context, preset: Preset, desired: Desired, *, dry_run: bool) -> None:
    from runpodctl_py.api.provisioning import connect

    settings = context.settings
    async with connect(settings.api_base_url, settings.api_key) as provisioner:
        await provision_preset(context, provisioner, preset, desired, dry_run=dry_run)


async def provision_preset(
    context: Context,
    provisioner: Provisioner,
    preset: Preset,
    desired: Desired,
    *,
    dry_run: bool = False,
) -> str:
    """Plan, show, apply, and write the endpoint's id; return the id ("" for a dry run)."""
    from runpodctl_py import provision

    known_id = context.settings.get(preset.env_key)
    plan = await provision.plan(provisioner, desired, known_id)
    keys = _env_keys(context, preset, plan)
    view = setup_view.SetupView(context, preset, desired, plan, keys)
    if dry_run:
        view.show_dry_run()
        return ""
    if plan.is_empty and not keys:
        view.show_unchanged()
        return plan.endpoint.target.endpoint_id or ""
    view.show_plan()
    endpoint_id = ""
    async for applied in provision.apply(provisioner, plan):
        view.show_applied(applied)
        endpoint_id = applied.resource_id
    written = dict.fromkeys(_env_keys(context, preset, plan, endpoint_id), endpoint_id)
    if written:
        env_files.set_values(context.settings.env_path, written)
    view.show_done(endpoint_id, tuple(written))
    return endpoint_id


def _env_keys(
    context: Context, preset: Preset, plan: Plan, endpoint_id: str | None = None
) -> tuple[str, ...]:
    """Return the keys of `.env` that have to be written: the preset's, and the general one once."""
    target_id = endpoint_id or plan.endpoint.target.endpoint_id
    stored = env_files.read(context.settings.env_path)
    keys = [] if target_id and stored.get(preset.env_key) == target_id else [preset.env_key]
    general = context.settings.get(settings_module.ENDPOINT_ID)
    if general is None or general == plan.gone_id:
        keys.append(settings_module.ENDPOINT_ID)
    return tuple(keys)


def desired_state(preset: Preset, flags: Flags) -> Desired:
    """Return what should exist: the preset, with every flag that was given on top.

    Raises:
        UsageError: A flag's value cannot be meant.
    """
    from runpodctl_py.api.types import Scaler
    from runpodctl_py.provision import Desired

    template, endpoint = preset.template, preset.endpoint
    scaler = flags.scaler or endpoint.scaler
    desired = Desired(
        name=flags.name or endpoint.name,
        renames=flags.name is not None,
        image=_given(flags.image, template.image),
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


def _list_presets(output: Output) -> None:
    presets = [loading.load(name) for name in loading.names()]
    output.table(
        [Column("preset"), Column("title"), Column("gpu"), Column("what it does")],
        [(p.name, p.title, p.endpoint.gpu.to_gpu_ids(), p.description) for p in presets],
        [
            {
                "name": p.name,
                "title": p.title,
                "description": p.description,
                "env_key": p.env_key,
                "image": p.template.image,
                "gpu": p.endpoint.gpu.to_gpu_ids(),
            }
            for p in presets
        ],
    )
