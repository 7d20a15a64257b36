"""`setup PRESET`, `setup-test`, `setup-comfyui` and so on: a preset into a live endpoint.

Owns the flags and the order of reading, showing, saving and writing the endpoint's id. How a plan
looks is `setup_view.py`'s; comparing and saving is `provision.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from runpodctl_py import env_file as env_files
from runpodctl_py import gpus
from runpodctl_py import settings as settings_module
from runpodctl_py.cli import asking, options, setup_view
from runpodctl_py.cli.context import Context, opened, run
from runpodctl_py.cli.deployments import note_setup
from runpodctl_py.cli.desired import Flags, desired_state
from runpodctl_py.cli.house_style import App
from runpodctl_py.cli.output import Column, Output
from runpodctl_py.cli.stand_ins import serving_image
from runpodctl_py.errors import RunpodctlError, UsageError
from runpodctl_py.presets import loading
from runpodctl_py.workloads import llm

if TYPE_CHECKING:
    from collections.abc import Callable

    from runpodctl_py.api.provisioning import Provisioner
    from runpodctl_py.jsontypes import JsonObject
    from runpodctl_py.presets.model import Preset
    from runpodctl_py.provision import Desired, Plan

    Judge = Callable[[Context, Desired, Plan], None]

app = App()

_VLLM = "vllm"

PresetArgument = Annotated[
    str | None,
    typer.Argument(metavar="PRESET", help="A preset's name, or the path of your own TOML file."),
]
ListPresets = Annotated[bool, typer.Option("--list", help="List the presets.")]


def _register(preset_name: str) -> None:
    def command(*, flags: Flags, common: options.Common) -> None:
        set_up(preset_name, flags, common)

    preset = loading.load(preset_name)
    command.__doc__ = f"""Create or update the {preset.title} endpoint, and save its id to .env.

    Running it twice changes nothing the second time.

    Examples:
      runpodctl-py setup-{preset_name} --dry-run
      runpodctl-py setup-{preset_name} --gpu {preset.endpoint.gpu.to_gpu_ids()} --workers-max 5
      runpodctl-py setup-{preset_name} --local
    """
    app.command(f"setup-{preset_name}")(command)


for _name in ("test", "chatterbox", "qwen", "comfyui"):
    _register(_name)


@app.command("setup-vllm")
def setup_vllm(
    *,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="ORG/NAME",
            help="A model on Hugging Face. An endpoint that has one keeps it without this.",
        ),
    ] = None,
    max_model_len: Annotated[
        int | None,
        typer.Option(
            "--max-model-len",
            metavar="TOKENS",
            min=1,
            help="The longest conversation; a shorter one takes less memory.",
        ),
    ] = None,
    flags: Flags,
    common: options.Common,
) -> None:
    """Create or update the vLLM endpoint, and save its id to .env.

    A gated model needs a token of yours that may read it: put HF_TOKEN=… into a file, and name that
    with --env @FILE. Running it twice changes nothing the second time.

    Examples:
      runpodctl-py setup-vllm --model Qwen/Qwen3-8B --max-model-len 16384
      runpodctl-py setup-vllm --model Qwen/Qwen3-32B --gpu AMPERE_80 --dry-run
      runpodctl-py setup-vllm --model meta-llama/Llama-3.1-8B-Instruct --env @hf.env
      runpodctl-py setup-vllm --local
    """
    variables = []
    if model is not None:
        variables.append(f"{llm.MODEL_NAME}={llm.check_model_name(model)}")
    if max_model_len is not None:
        variables.append(f"{llm.MAX_MODEL_LEN}={max_model_len}")
    flags = replace(flags, env=[*(flags.env or []), *variables])
    set_up(_VLLM, flags, common, _judge_model)


@app.command()
def setup(
    preset: PresetArgument = None,
    *,
    list_presets: ListPresets = False,
    flags: Flags,
    common: options.Common,
) -> None:
    """Create or update an endpoint from a preset, and save its id to .env.

    A preset says what is deployed and what its jobs take. `setup --list` shows those that come
    with this tool; a TOML file of your own works, too.

    Examples:
      runpodctl-py setup --list
      runpodctl-py setup chatterbox --gpu AMPERE_16,AMPERE_24
      runpodctl-py setup ./mypreset.toml --dry-run
    """
    if list_presets:
        _list_presets(Output(as_json=common.as_json))
    elif preset is None:
        raise UsageError(
            "Which preset?", hint="See them:  runpodctl-py setup --list\nOr name a TOML file."
        )
    else:
        # By its own command or by this one, it is the same preset, and needs a model.
        set_up(preset, flags, common, _judge_model if preset == _VLLM else None)


def set_up(source: str, flags: Flags, common: options.Common, judge: Judge | None = None) -> None:
    """Bring an endpoint into the state that a preset and the flags describe.

    Args:
        source: The preset, as the person named it.
        flags: What they said about it.
        common: Where to set it up, and how to tell of it.
        judge: What has more to say of a plan than we know, and may refuse it.
    """
    preset = loading.load(source)
    desired = desired_state(preset, flags)
    with opened(common) as context:
        run(_connected(context, Setup(context, source, preset, desired, flags, judge)))


async def _connected(context: Context, setup: Setup) -> None:
    from runpodctl_py.api.provisioning import connect

    settings = context.settings
    async with connect(settings.api_base_url, settings.api_key) as provisioner:
        await setup.run(provisioner)


@dataclass(frozen=True)
class Setup:
    """One setup: plan, show, ask where something may be somebody else's, apply, write the id."""

    context: Context
    source: str
    preset: Preset
    desired: Desired
    flags: Flags
    judge: Judge | None = None

    async def run(self, provisioner: Provisioner) -> None:
        """Do it, or with --dry-run only show it."""
        from runpodctl_py import provision

        context, preset = self.context, self.preset
        known_id = context.settings.get(preset.env_key)
        plan = await provision.plan(provisioner, self.desired, known_id)
        if self.judge is not None:
            self.judge(context, self.desired, plan)
        keys = _env_keys(context, preset, plan)
        serving = await serving_image(context, plan.template.target.image)
        view = setup_view.SetupView(
            context, preset, self.desired, plan, keys, source=self.source, serving=serving
        )
        if self.flags.dry_run:
            view.show_dry_run(_requests(provisioner, plan))
            return
        if plan.is_empty and not keys:
            note_setup(context, plan, preset.name)
            view.show_unchanged()
            return
        # Before anything is created: an id that cannot be written down is easily lost.
        env_files.check_writable(context.settings.env_path)
        view.show_plan()
        if plan.adopts and not (self.flags.yes or context.settings.is_local):
            name = plan.endpoint.target.name
            asking.confirm(
                f"{name} was found by its name only. Is it yours to change?",
                f"{name} was found by its name only, may not be yours, and was not changed",
                hint="If it is yours, say so with --yes. Else take another name with --name.",
            )
        ids: dict[Literal["template", "endpoint"], str] = {}
        async for applied in provision.apply(provisioner, plan):
            view.show_applied(applied)
            ids[applied.kind] = applied.resource_id
        endpoint_id = ids["endpoint"]
        note_setup(context, plan, preset.name, ids)
        written = dict.fromkeys(_env_keys(context, preset, plan, endpoint_id), endpoint_id)
        if written:
            _write_down(context, written)
        view.show_done(endpoint_id, tuple(written))


def _judge_model(context: Context, desired: Desired, plan: Plan) -> None:
    """Say which model it will be, and whether that can be.

    Raises:
        UsageError: None was named, neither now nor before: the worker would take one that nobody
            wants.
    """
    output, model = context.output, plan.template.target.env.get(llm.MODEL_NAME)
    if not model:
        if context.settings.is_local:
            return
        raise UsageError(
            "Which model?",
            hint="Name one on Hugging Face:  runpodctl-py setup-vllm --model Qwen/Qwen3-8B",
        )
    if plan.is_empty:
        return
    output.note(f"Model: {model}")
    pools = [found for each in desired.gpu.pools if (found := gpus.pool(each))]
    memory_gb = min((each.vram_gb for each in pools), default=0) * desired.gpu_count
    if memory_gb and (remark := llm.too_large(model, memory_gb)):
        output.warn(remark)


def _requests(provisioner: Provisioner, plan: Plan) -> list[JsonObject]:
    """Return the requests that `apply` would send."""
    template, endpoint = plan.template, plan.endpoint.target
    requests = [] if template.action == "unchanged" else [provisioner.describe(template.target)]
    if template.action == "create":
        endpoint = replace(endpoint, template_id="(the id that saveTemplate returns)")
    if plan.endpoint.action != "unchanged":
        requests.append(provisioner.describe(endpoint))
    return requests


def _write_down(context: Context, values: dict[str, str]) -> None:
    path = context.settings.env_path
    try:
        env_files.set_values(path, values)
    except RunpodctlError as exc:
        lines = "\n".join(f"  {key}={value}" for key, value in values.items())
        exc.hint = f"The endpoint exists. Put this into {path.name} yourself:\n{lines}"
        raise


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
