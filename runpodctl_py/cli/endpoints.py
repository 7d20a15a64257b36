"""`endpoints list|get`: what is deployed."""

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

    from runpodctl_py.api.types import Endpoint
    from runpodctl_py.jsontypes import JsonObject
    from runpodctl_py.settings import Settings

app = App(no_args_is_help=True)


@app.callback()
def endpoints() -> None:
    """List endpoints, or show one."""


@app.command("list")
def list_endpoints(
    *,
    common: options.Common,
) -> None:
    """List the account's endpoints: a table on a terminal, JSON in a pipe.

    Examples:
      runpodctl-py endpoints list
      runpodctl-py endpoints list --json | jq -r '.[].id'
    """
    with opened(common) as context:
        found = run(_read(context.settings))
    context.output.table(
        [
            Column("id"),
            Column("name"),
            Column("workers", is_number=True),
            Column("idle", is_number=True),
            Column("gpu"),
        ],
        [
            (
                str(e.endpoint_id),
                e.name,
                f"{e.workers_min}-{e.workers_max}",
                f"{e.idle_timeout_s} s",
                e.gpu_ids or "-",
            )
            for e in found
        ],
        [endpoint_document(e) for e in found],
    )
    if not found:
        context.output.note("No endpoints yet. Create one:  runpodctl-py setup-test")


@app.command()
def get(
    endpoint_id: Annotated[str, typer.Argument(metavar="ENDPOINT_ID")],
    *,
    common: options.Common,
) -> None:
    """Show one endpoint, every field.

    Example:
      runpodctl-py endpoints get i02xupws21hp6i
    """
    with opened(common) as context:
        found = run(_read(context.settings))
    endpoint = next((e for e in found if e.endpoint_id == endpoint_id), None)
    if endpoint is None:
        raise NotFoundError(
            f"There is no endpoint {endpoint_id}", hint="See yours:  runpodctl-py endpoints list"
        )
    context.output.record(endpoint_document(endpoint))


async def _read(settings: Settings) -> Sequence[Endpoint]:
    from runpodctl_py.api.provisioning import connect

    async with connect(settings.api_base_url, settings.api_key) as provisioner:
        return await provisioner.endpoints()


def endpoint_document(endpoint: Endpoint) -> JsonObject:
    """Return an endpoint as a JSON document; its keys are a promise to scripts."""
    return {
        "id": endpoint.endpoint_id,
        "name": endpoint.name,
        "template_id": endpoint.template_id,
        "gpu": endpoint.gpu_ids,
        "gpu_count": endpoint.gpu_count,
        "workers_min": endpoint.workers_min,
        "workers_max": endpoint.workers_max,
        "idle_timeout_s": endpoint.idle_timeout_s,
        "execution_timeout_ms": endpoint.execution_timeout_ms,
        "scaler": str(endpoint.scaler),
        "scaler_value": endpoint.scaler_value,
        "flashboot": endpoint.flashboot,
        "network_volume_id": endpoint.network_volume_id,
        "data_centers": endpoint.locations,
        "allowed_cuda_versions": endpoint.allowed_cuda_versions,
    }
