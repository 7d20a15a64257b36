"""`teardown PRESET|ENDPOINT_ID`: delete an endpoint, its template, and its line in `.env`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from runpodctl_py import env_file as env_files
from runpodctl_py import settings as settings_module
from runpodctl_py.cli import asking, options
from runpodctl_py.cli.context import Context, opened, run
from runpodctl_py.cli.deployments import note_teardown
from runpodctl_py.cli.house_style import App
from runpodctl_py.cli.output import Output
from runpodctl_py.errors import NotFoundError, RunpodctlError
from runpodctl_py.presets import loading

if TYPE_CHECKING:
    from runpodctl_py.api.provisioning import Provisioner
    from runpodctl_py.jsontypes import JsonObject
    from runpodctl_py.teardown import Teardown, TeardownStep

app = App()


@app.command()
def teardown(
    target: Annotated[str, typer.Argument(metavar="PRESET|ENDPOINT_ID")],
    *,
    yes: options.Yes = False,
    dry_run: options.DryRun = False,
    common: options.Common,
) -> None:
    """Stop an endpoint's workers, delete it and its template, and remove its id from .env.

    Examples:
      runpodctl-py teardown test
      runpodctl-py teardown i02xupws21hp6i --yes
    """
    with opened(common) as context:
        run(_tear_down(context, _aim(context, target), yes=yes, dry_run=dry_run))


@dataclass(frozen=True)
class _Aim:
    """What the person named: an endpoint's id, and the template that may be left of it."""

    endpoint_id: str
    leftover: str | None = None
    unset: str | None = None


def _aim(context: Context, target: str) -> _Aim:
    if target not in loading.names() and not target.endswith(".toml"):
        return _Aim(target)
    preset = loading.load(target)
    if known := context.settings.get(preset.env_key):
        return _Aim(known, preset.template.name)
    return _Aim("", preset.template.name, unset=preset.env_key)


async def _tear_down(context: Context, aim: _Aim, *, yes: bool, dry_run: bool) -> None:
    from runpodctl_py import teardown as tearing
    from runpodctl_py.api.provisioning import connect

    settings, output = context.settings, context.output
    keys = _keys_of(context, aim.endpoint_id)
    async with connect(settings.api_base_url, settings.api_key) as provisioner:
        try:
            found = await tearing.find_teardown(provisioner, aim.endpoint_id, aim.leftover)
        except NotFoundError as exc:
            if aim.unset:
                exc.message = f"{aim.unset} is not set, so there is no endpoint to delete"
            if not keys or dry_run:
                raise
            # It is gone, whoever deleted it; what still names it is all that is left.
            found = tearing.Teardown(None, None)
        _say_what(context, found, keys)
        if dry_run:
            output.document(_document(aim, found, keys, is_dry_run=True))
            return
        if not yes:
            _confirm(found, await _unfinished_jobs(context, aim.endpoint_id))
        await _delete(context, provisioner, found, keys)
    if output.as_json:
        output.document(_document(aim, found, keys, is_dry_run=False))


async def _delete(
    context: Context, provisioner: Provisioner, found: Teardown, keys: list[str]
) -> None:
    from runpodctl_py import teardown as tearing
    from runpodctl_py.clock import SystemClock

    if found.endpoint is None:
        _forget(context, keys)
    async for step in tearing.tear_down(provisioner, found, SystemClock()):
        _say_step(context.output, step)
        if step.kind == "endpoint" and found.endpoint is not None:
            # Now, and not after the template: that can take minutes, or be interrupted.
            note_teardown(context, found.endpoint)
            _forget(context, keys)


def _forget(context: Context, keys: list[str]) -> None:
    if keys:
        env_files.remove_values(context.settings.env_path, keys)
        context.output.done(f"{', '.join(keys)} removed from {context.settings.env_path.name}")


def _keys_of(context: Context, endpoint_id: str) -> list[str]:
    """Return the keys of `.env` that hold the id, whoever wrote them."""
    stored = env_files.read(context.settings.env_path)
    return [
        key
        for key, value in stored.items()
        if value == endpoint_id
        and (key == settings_module.ENDPOINT_ID or key.endswith("_ENDPOINT_ID"))
    ]


async def _unfinished_jobs(context: Context, endpoint_id: str) -> int:
    from runpodctl_py.api.serverless import connect

    settings = context.settings
    try:
        async with connect(settings.endpoint_base_url, settings.api_key, endpoint_id) as asked:
            health = await asked.health()
    except RunpodctlError:
        # Not knowing is no reason not to delete: the person is asked either way.
        return 0
    return health.jobs.in_queue + health.jobs.in_progress


def _confirm(found: Teardown, jobs: int) -> None:
    name = _name_of(found)
    otherwise = f"{name} was not deleted"
    if jobs:
        lost = "1 job is" if jobs == 1 else f"{jobs} jobs are"
        question = f"{lost} queued or running and will be lost. Type {name} to delete it"
        asking.confirm_by_name(question, name, otherwise)
    else:
        asking.confirm(f"Delete {name}?", otherwise)


def _name_of(found: Teardown) -> str:
    resource = found.endpoint or found.template
    return resource.name if resource else "what is left"


def _say_what(context: Context, found: Teardown, keys: list[str]) -> None:
    output = context.output
    if found.endpoint is None:
        output.note("  endpoint   gone already")
    else:
        output.note(f"  endpoint   {found.endpoint.name} ({found.endpoint.endpoint_id})   delete")
    if found.template is not None:
        output.note(f"  template   {found.template.name} ({found.template.template_id})   delete")
    for key in keys:
        output.note(f"  {context.settings.env_path.name:<10} {key}   remove")
    output.note()


def _say_step(output: Output, step: TeardownStep) -> None:
    if not step.is_done:
        waiting = f"  template still in use, trying again, {step.remaining_s:.0f} s left"
        if output.draws:
            print(f"\r\x1b[K{waiting}", end="", file=sys.stderr, flush=True)
        else:
            output.note(waiting)
        return
    if output.draws and step.kind == "template":
        print("\r\x1b[K", end="", file=sys.stderr)
    done = {"workers": "workers stopped", "endpoint": "endpoint deleted"}
    output.done(done.get(step.kind, "template deleted"))


def _document(aim: _Aim, found: Teardown, keys: list[str], *, is_dry_run: bool) -> JsonObject:
    document: JsonObject = {
        "endpoint_id": aim.endpoint_id or None,
        "template": found.template.name if found.template else None,
        "env_keys": [*keys],
    }
    return {"dry_run": True, **document} if is_dry_run else document
