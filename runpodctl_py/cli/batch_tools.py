"""What a batch is run with: connections, paces, a scribe, and who saves what comes back.

Owns what is looked up for that: the endpoint's terms, and whether a local RunPod has rate limits.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from runpodctl_py.api.batches import NativeBatches
from runpodctl_py.api.serverless import Serverless
from runpodctl_py.api.transport import Transport, download_client
from runpodctl_py.batch.asking import Asking
from runpodctl_py.batch.homecoming import Homecoming
from runpodctl_py.batch.pace import RUN, STATUS, Limit, Pace
from runpodctl_py.batch.patience import LOCAL_PATIENCE_S, PATIENCE_S, Patience
from runpodctl_py.batch.saving import Saving
from runpodctl_py.batch.sending import Sending
from runpodctl_py.batch.window import Window
from runpodctl_py.batch.working import Tools
from runpodctl_py.cli.buckets import bucket_at, link_fetcher
from runpodctl_py.cli.prices import Terms, preset_price_usd, terms_of
from runpodctl_py.clock import SystemClock
from runpodctl_py.errors import RunpodctlError, UsageError
from runpodctl_py.in_groups import InGroups
from runpodctl_py.jobs.ledger import Scribe
from runpodctl_py.jobs.lost import LostJobs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AsyncExitStack

    from runpodctl_py.batch.results import ResultsFile
    from runpodctl_py.batch.row import RowResult
    from runpodctl_py.batch.tally import Tally
    from runpodctl_py.cli.batch import Running
    from runpodctl_py.cli.batch_ordering import Order
    from runpodctl_py.cli.context import Context
    from runpodctl_py.jobs.ledger import Batch
    from runpodctl_py.settings import Settings

_OPEN_FILES = 2048
_FOR_OTHERS = 20
"""Of the questions that RunPod lets be open at once, so many are left to other commands."""


@dataclass(frozen=True, slots=True)
class _Conditions:
    """What the endpoint allows, and costs.

    Args:
        run: How often, and how often at once, jobs may be sent.
        status: How often, and how often at once, they may be asked for.
        workers_max: The most workers, if that is known.
        price_per_s_usd: What a second of one costs, if that is known.
    """

    run: Limit
    status: Limit
    workers_max: int | None
    price_per_s_usd: float | None


async def opened_tools(  # noqa: PLR0917 - one of each.
    stack: AsyncExitStack,
    context: Context,
    batch: Batch,
    running: Running,
    file: ResultsFile,
    tally: Tally,
    tell: Callable[[RowResult], None],
    order: Order,
) -> Tools:
    """Return what a batch is run with; it is closed with the stack.

    Raises:
        UsageError: A cap on its cost cannot be kept, because nobody knows its price; or the keys
            of its bucket are not set.
        SaveError: Its folder cannot be used.
    """
    settings, clock = context.settings, SystemClock()
    bucket, preset = order.bucket, order.loaded_preset()
    returns_object = preset is not None and preset.returns_object
    target = None if bucket is None else bucket_at(bucket, settings)
    s3_config = None if target is None else target.s3_config()
    allowed = await _conditions(settings, batch, running)
    _allow_many_files()
    connections = allowed.run.at_once + allowed.status.at_once
    transport = await stack.enter_async_context(
        Transport(settings.endpoint_base_url, settings.api_key, connections=connections)
    )
    client = await stack.enter_async_context(download_client())
    scribe = await stack.enter_async_context(Scribe(settings.ledger_path))
    lines = await stack.enter_async_context(InGroups(partial(_appended, file)))
    endpoint = Serverless(transport, batch.endpoint_id)
    patience = Patience(clock, LOCAL_PATIENCE_S if settings.is_local else PATIENCE_S)
    fetcher = partial(
        link_fetcher, client, settings, None if bucket is None else bucket.endpoint_url
    )
    pace = Pace(allowed.run, clock)
    price = allowed.price_per_s_usd
    saving = Saving(batch.output_dir, batch.batch_id, fetcher, price, returns_object=returns_object)
    saving.prepare()
    held = allowed.status.at_once - _FOR_OTHERS
    return Tools(
        endpoint=endpoint,
        batches=NativeBatches(transport, batch.endpoint_id),
        scribe=scribe,
        sending=Sending(
            batch, endpoint, scribe, pace, patience, tally, s3_config, returns_object=returns_object
        ),
        asking=Asking(endpoint, Pace(allowed.status, clock), held, patience, tally, clock),
        homecoming=Homecoming(saving, lines, scribe, tally, tell),
        lost=lambda: LostJobs(context.ledger, endpoint),
        patience=patience,
        window=_window(running.concurrency, allowed.workers_max),
        clock=clock,
    )


def _allow_many_files() -> None:
    """Raise the limit of open files, which is 256 on some systems: connections are files, too."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _window(most: int | None, workers_max: int | None) -> Window:
    window = Window() if most is None else Window(ceiling=most)
    if workers_max is not None:
        window.workers(workers_max)
    return window


async def _conditions(settings: Settings, batch: Batch, running: Running) -> _Conditions:
    run = RUN if running.rate is None else Limit(running.rate, RUN.at_once)
    if not settings.is_local:
        terms = await _terms(settings, batch)
        price = preset_price_usd(batch.preset) if terms is None else terms.price_per_s_usd
        _check_price(batch, running, price)
        return _Conditions(run, STATUS, terms.workers_max if terms else None, price)
    has_limits, workers_max = await _local_conditions(settings, batch.endpoint_id)
    # What it would cost is counted only to try out a cap.
    price = 0.0
    if running.max_cost is not None:
        terms = await _terms(settings, batch)
        price = _check_price(batch, running, terms.price_per_s_usd if terms else None)
    if has_limits:
        return _Conditions(run, STATUS, workers_max, price)
    unlimited = Limit(running.rate, RUN.at_once), Limit(None, STATUS.at_once)
    return _Conditions(*unlimited, workers_max, price)


async def _terms(settings: Settings, batch: Batch) -> Terms | None:
    try:
        return await terms_of(settings, batch.endpoint_id)
    except RunpodctlError:
        # Some API keys may use an endpoint and not read the account.
        return None


def _check_price(batch: Batch, running: Running, price: float | None) -> float:
    if price is None and running.max_cost is not None:
        raise UsageError(
            f"What endpoint {batch.endpoint_id} costs is not known, so --max-cost cannot be kept",
            hint="Leave it out, or use an API key that may read the account.",
        )
    return price or 0.0


async def _local_conditions(settings: Settings, endpoint_id: str) -> tuple[bool, int | None]:
    """Return whether the local RunPod has rate limits, and the endpoint's most workers."""
    async with Transport(settings.api_base_url, settings.api_key) as transport:
        told = (await transport.get("/_local/status")).body
    endpoints = told.get("endpoints")
    for each in endpoints if isinstance(endpoints, list) else []:
        if isinstance(each, dict) and each.get("id") == endpoint_id:
            workers_max = each.get("workersMax")
            return bool(told.get("rateLimits")), workers_max if isinstance(
                workers_max, int
            ) else None
    return bool(told.get("rateLimits")), None


def _appended(file: ResultsFile, results: Sequence[RowResult]) -> list[None]:
    file.append(results)
    return [None] * len(results)
