"""Writing down what was set up and taken down, so that a job can be shown with what it ran on.

Trouble with the ledger is told, and never stops a setup: what it is about exists all the same.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from runpodctl_py.errors import LedgerError
from runpodctl_py.gpus import GpuSelection, price_per_s_usd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runpodctl_py.api.types import Endpoint
    from runpodctl_py.cli.context import Context
    from runpodctl_py.provision import Plan

    Kind = Literal["template", "endpoint"]


def note_setup(
    context: Context, plan: Plan, preset: str, ids: Mapping[Kind, str] | None = None
) -> None:
    """Note that an endpoint is now as a plan said; one that was so before, if it is not known.

    Args:
        context: The command's surroundings.
        plan: What was to be.
        preset: The preset's name.
        ids: What RunPod calls the template and the endpoint, if something was written.
    """
    from runpodctl_py.jobs.ledger import Deployment

    ledger, place, now = context.ledger, context.place, time.time()
    template, endpoint = plan.template.target, plan.endpoint.target
    known = {"template": template.template_id, "endpoint": endpoint.endpoint_id, **(ids or {})}
    endpoint_id = known["endpoint"] or ""
    try:
        if plan.is_empty and ledger.deployment(place, endpoint_id, now) is not None:
            return
        ledger.deployed(
            Deployment(
                at=now,
                place=place,
                action=plan.endpoint.action if plan.endpoint.action == "create" else "update",
                endpoint_id=endpoint_id,
                template_id=known["template"],
                preset=preset,
                name=endpoint.name,
                image=template.image,
                gpu_ids=endpoint.gpu_ids,
                gpu_count=endpoint.gpu_count,
                price_per_s_usd=_price(endpoint),
            )
        )
    except LedgerError as exc:
        _tell(context, exc)


def note_teardown(context: Context, endpoint: Endpoint) -> None:
    """Note that an endpoint is gone."""
    from runpodctl_py.jobs.ledger import Deployment

    try:
        context.ledger.deployed(
            Deployment(
                at=time.time(),
                place=context.place,
                action="delete",
                endpoint_id=endpoint.endpoint_id or "",
                template_id=endpoint.template_id,
                name=endpoint.name,
            )
        )
    except LedgerError as exc:
        _tell(context, exc)


def _price(endpoint: Endpoint) -> float | None:
    return price_per_s_usd(GpuSelection.from_gpu_ids(endpoint.gpu_ids), endpoint.gpu_count)


def _tell(context: Context, error: LedgerError) -> None:
    context.output.warn(f"{error.message}. What was done is not written down.")
