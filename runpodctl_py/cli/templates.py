"""`templates list|get`: the container templates of the account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from runpodctl_py.cli import options
from runpodctl_py.cli.context import opened, run
from runpodctl_py.cli.house_style import App
from runpodctl_py.cli.output import Column
from runpodctl_py.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runpodctl_py.api.types import Template
    from runpodctl_py.jsontypes import JsonObject
    from runpodctl_py.settings import Settings

app = App(no_args_is_help=True)


@app.callback()
def templates() -> None:
    """List templates, or show one."""


@app.command("list")
def list_templates(
    *,
    common: options.Common,
) -> None:
    """List the account's templates: a table on a terminal, JSON in a pipe.

    Example:
      runpodctl-py templates list
    """
    with opened(common) as context:
        found = run(_read(context.settings))
    context.output.table(
        [Column("id"), Column("name"), Column("disk", is_number=True), Column("image")],
        [(str(t.template_id), t.name, f"{t.container_disk_gb} GB", t.image) for t in found],
        [template_document(t) for t in found],
    )
    if not found:
        context.output.note(
            "No templates yet. `runpodctl-py setup-test` makes one with its endpoint."
        )


@app.command()
def get(
    template_id: Annotated[str, typer.Argument(metavar="TEMPLATE_ID|NAME")],
    *,
    common: options.Common,
) -> None:
    """Show one template, every field; of its variables only the names, their values may be secret.

    Example:
      runpodctl-py templates get chatterbox-tts
    """
    with opened(common) as context:
        found = run(_read(context.settings))
    template = next((t for t in found if template_id in (t.template_id, t.name)), None)
    if template is None:
        raise NotFoundError(
            f"There is no template {template_id}", hint="See yours:  runpodctl-py templates list"
        )
    context.output.record(template_document(template))


async def _read(settings: Settings) -> Sequence[Template]:
    from runpodctl_py.api.provisioning import connect

    async with connect(settings.api_base_url, settings.api_key) as provisioner:
        return await provisioner.templates()


def template_document(template: Template) -> JsonObject:
    """Return a template as a JSON document; its keys are a promise to scripts."""
    return {
        "id": template.template_id,
        "name": template.name,
        "image": template.image,
        "start_command": template.start_command,
        "container_disk_gb": template.container_disk_gb,
        "is_serverless": template.is_serverless,
        "registry_auth_id": template.registry_auth_id,
        "env": list(template.env),
    }
