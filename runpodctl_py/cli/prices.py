"""What a second of an endpoint's worker costs, and how many it may have, as far as we can know."""

from __future__ import annotations

import asyncio
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runpodctl_py.api.provisioning import connect
from runpodctl_py.errors import UsageError
from runpodctl_py.gpus import GpuSelection, price_per_s_usd

if TYPE_CHECKING:
    from runpodctl_py.settings import Settings


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms an endpoint works.

    Args:
        price_per_s_usd: What a second of one worker costs, if its pools have a price.
        workers_max: The most workers it may have.
    """

    price_per_s_usd: float | None
    workers_max: int


async def endpoint_price_usd(settings: Settings, endpoint_id: str) -> float | None:
    """Return what a second of this endpoint's worker costs; the local RunPod is free.

    Raises:
        RunpodctlError: The account cannot be asked; some API keys may only use an endpoint.
    """
    if settings.is_local:
        return 0.0
    terms = await terms_of(settings, endpoint_id)
    return None if terms is None else terms.price_per_s_usd


async def terms_of(settings: Settings, endpoint_id: str) -> Terms | None:
    """Return an endpoint's terms; of a local one, as if it were RunPod's. None if it is not there.

    Raises:
        RunpodctlError: The account cannot be asked; some API keys may only use an endpoint.
    """
    # A seventh of a second that must not hold up the job.
    await asyncio.to_thread(importlib.import_module, "runpodctl_py.api.graphql")
    async with connect(settings.api_base_url, settings.api_key) as control:
        for endpoint in await control.endpoints():
            if endpoint.endpoint_id == endpoint_id:
                gpus = GpuSelection.from_gpu_ids(endpoint.gpu_ids)
                price = price_per_s_usd(gpus, endpoint.gpu_count)
                return Terms(price, endpoint.workers_max)
    return None


def preset_price_usd(name: str | None) -> float | None:
    """Return what the preset's own pools cost, the best guess without asking."""
    if name is None:
        return None
    from runpodctl_py.presets import loading

    try:
        endpoint = loading.load(name).endpoint
    except UsageError:
        return None
    return price_per_s_usd(endpoint.gpu, endpoint.gpu_count)
