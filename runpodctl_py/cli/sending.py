"""From an order on the command line to its job: the endpoint found, the request shown or sent.

Owns what all commands that send something to an endpoint have in common. What a worker takes is the
caller's; how a job is followed is `following.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from runpodctl_py.api.serverless import RUN_LIMIT_BYTES, RUNSYNC_LIMIT_BYTES, check_size
from runpodctl_py.api.types import JobRequest, Policy
from runpodctl_py.cli import options
from runpodctl_py.cli.buckets import bucket_of
from runpodctl_py.cli.context import endpoint_id
from runpodctl_py.cli.following import Session
from runpodctl_py.cli.wish import Wish
from runpodctl_py.errors import UsageError
from runpodctl_py.gpus import price_per_s_usd
from runpodctl_py.jobs.masking import masked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runpodctl_py.cli.context import Context
    from runpodctl_py.jobs.collect import Summary
    from runpodctl_py.jsontypes import JsonObject, JsonValue
    from runpodctl_py.presets.model import Preset

#: How long `/runsync` holds at first; an unfinished job is followed from there. RunPod's own 90 s
#: would show neither a state nor progress meanwhile.
_SYNC_WAIT_MS = 10_000


@dataclass(frozen=True, kw_only=True)
class Order:
    """A job as somebody ordered it.

    Args:
        payload: The worker's input, judged.
        preset: What kind of worker it is for, if we know.
        endpoint: The endpoint that was named, if one was.
        wish: What is wanted of it.
        sending: Whether it is left alone, or not sent at all.
        bucket: The bucket that its files are to be put into.
        is_sync: Whether it goes to `/runsync`.
        webhook: Where RunPod posts the result.
        policy: What is asked of RunPod besides.
    """

    payload: Mapping[str, JsonValue]
    preset: Preset | None = None
    endpoint: str | None = None
    wish: Wish = field(default_factory=Wish)
    sending: options.Sending = field(default_factory=options.Sending)
    bucket: options.Bucket = field(default_factory=options.Bucket)
    is_sync: bool = False
    webhook: str | None = None
    policy: Policy = field(default_factory=Policy)

    @property
    def operation(self) -> str:
        """The job API's operation that it is sent to."""
        return "/runsync" if self.is_sync else "/run"


async def send(context: Context, order: Order) -> Summary | None:
    """Find the endpoint, send the job, and do with it what was asked for.

    Returns:
        What came of it; None if it was not waited for.

    Raises:
        RunpodctlError: What the exit code should tell.
    """
    bucket = bucket_of(order.bucket, context.settings)
    request = JobRequest(
        order.payload,
        webhook=order.webhook,
        policy=order.policy,
        s3_config=None if bucket is None else bucket.s3_config(),
    )
    limit = RUNSYNC_LIMIT_BYTES if order.is_sync else RUN_LIMIT_BYTES
    check_size(request.as_json(), limit, order.operation)
    leaves, is_dry_run = order.sending.detach, order.sending.dry_run
    if leaves:
        check_can_leave(context)
    where = await find_endpoint(context, order.preset, order.endpoint, is_dry_run=is_dry_run)
    if is_dry_run:
        show_dry_run(context, f"/{where}{order.operation}", request.as_json(), order.preset)
        return None
    returns_object = order.preset is not None and order.preset.returns_object
    wish = replace(order.wish, returns_object=returns_object)
    async with Session(context, where, wish) as session:
        if leaves:
            await session.send_and_leave(request)
            return None
        wait_ms = _SYNC_WAIT_MS if order.is_sync else None
        return await session.send_and_follow(request, sync_wait_ms=wait_ms)


def check_can_leave(context: Context) -> None:
    """Check that a job goes on when the command that sent it ends.

    Raises:
        UsageError: It is on a local RunPod that ends with the command.
    """
    if context.stops_local:
        raise UsageError(
            "The local RunPod would stop with this command, and the job with it",
            hint="Start one that stays:  runpodctl-py local up --detach",
        )


async def find_endpoint(
    context: Context, preset: Preset | None, given: str | None, *, is_dry_run: bool
) -> str:
    """Return the endpoint to use; on the local RunPod, a preset's is made when there is none.

    Args:
        context: The command's surroundings.
        preset: What kind of worker is meant, if we know.
        given: The endpoint that was named, if one was.
        is_dry_run: Whether nothing may be made.

    Raises:
        UnauthorizedError, NotFoundError: There is none.
    """
    if context.settings.is_local and preset is not None and not given:
        from runpodctl_py.cli.local_endpoint import ready_endpoint

        return await ready_endpoint(context, preset, dry_run=is_dry_run)
    return endpoint_id(context.settings, given, preset)


def show_dry_run(context: Context, path: str, body: JsonObject, preset: Preset | None) -> None:
    """Print the exact request and what a worker costs per hour; send nothing.

    Args:
        context: Where to print it.
        path: Where it would be posted to, below the job API's root.
        body: What would be posted.
        preset: What kind of worker it is for, if we know.
    """
    settings = context.settings
    price = (
        None if preset is None else price_per_s_usd(preset.endpoint.gpu, preset.endpoint.gpu_count)
    )
    if settings.is_local:
        price = 0.0
    if "s3Config" in body:
        # The one part that is not what the person typed: it holds the keys of their bucket.
        body = {**body, "s3Config": masked(body["s3Config"])}
    context.output.document(
        {
            "dry_run": True,
            "request": {
                "method": "POST",
                "url": f"{settings.endpoint_base_url}{path}",
                "body": body,
            },
            "price_per_hour_usd": None if price is None else round(price * 3600, 6),
        }
    )
    context.output.note("Nothing was sent.")
