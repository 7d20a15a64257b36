"""An endpoint on the local RunPod for a preset, made by itself when there is none.

Only the local RunPod: on the real one an endpoint costs money, and `setup` asks for it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from filelock import AsyncFileLock

from runpodctl_py import env_file, provision
from runpodctl_py.api import serverless
from runpodctl_py.api.provisioning import connect
from runpodctl_py.cli.deployments import note_setup
from runpodctl_py.cli.desired import Flags, desired_state
from runpodctl_py.cli.stand_ins import (
    how_to_have_the_real_one,
    remind,
    serving_endpoint,
    serving_image,
)
from runpodctl_py.emulator.daemon import data_folder
from runpodctl_py.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from runpodctl_py.cli.context import Context
    from runpodctl_py.cli.stand_ins import Serving
    from runpodctl_py.presets.model import Preset
    from runpodctl_py.settings import Settings


async def ready_endpoint(context: Context, preset: Preset, *, dry_run: bool) -> str:
    """Return the id of the preset's local endpoint; provision it if it does not exist.

    Says whose work the results will be, if they will not be the real worker's.
    """
    known_id = context.settings.get(preset.env_key)
    # Asked of the job API: loading what GraphQL needs takes as long as all the rest of a submit.
    if known_id and await _exists(context.settings, known_id):
        if not dry_run:
            remind(context, await serving_endpoint(context, known_id))
        return known_id
    # Two first commands at once would both create it, and names are unique.
    async with AsyncFileLock(data_folder(os.environ) / "provisioning.lock"):
        return await _provisioned(context, preset, dry_run=dry_run)


async def _exists(settings: Settings, endpoint_id: str) -> bool:
    async with serverless.connect(
        settings.endpoint_base_url, settings.api_key, endpoint_id
    ) as endpoint:
        try:
            await endpoint.health()
        except NotFoundError:
            return False
    return True


async def _provisioned(context: Context, preset: Preset, *, dry_run: bool) -> str:
    settings = context.settings
    async with connect(settings.api_base_url, settings.api_key) as provisioner:
        serving = await serving_image(context, preset.template.image)
        if serving.is_by_nobody:
            raise _not_by_itself(preset)
        known_id = settings.get(preset.env_key)
        plan = await provision.plan(provisioner, desired_state(preset, Flags()), known_id)
        if dry_run:
            return plan.endpoint.target.endpoint_id or "(new endpoint)"
        env_file.check_writable(settings.env_path)
        ids = {
            applied.kind: applied.resource_id
            async for applied in provision.apply(provisioner, plan)
        }
        endpoint_id = ids["endpoint"]
        note_setup(context, plan, preset.name, ids)
    env_file.set_values(settings.env_path, {preset.env_key: endpoint_id})
    context.output.note(
        f"Set up {preset.name} ({endpoint_id}); its id is in {settings.env_path.name}.", style="dim"
    )
    _introduce(context, serving, preset.endpoint.name)
    return endpoint_id


def _introduce(context: Context, serving: Serving, endpoint_name: str) -> None:
    """Say whose work the results will be, and how to have the real worker's."""
    if serving.sentence is not None and not context.output.is_quiet:
        context.output.warn(serving.sentence)
        for line in how_to_have_the_real_one(endpoint_name):
            context.output.note(f"  {line}", style="dim")


def _not_by_itself(preset: Preset) -> UsageError:
    return UsageError(
        f"The local RunPod does not run {preset.template.image} by itself, and has no stand-in "
        "for it",
        hint="With docker or podman:  runpodctl-py local up --detach --containers\n"
        f"and then:  runpodctl-py setup {preset.name} --local\n"
        "With its packages in an environment ENV:  runpodctl-py local up --detach,\n"
        f"the same setup, and  runpodctl-py local up --handler FILE --endpoint "
        f"{preset.endpoint.name} --python ENV/bin/python",
    )
