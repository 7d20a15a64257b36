"""What a person is told when a stand-in serves an endpoint of the local RunPod.

Owns the words, and asking that local RunPod, since it alone knows how it starts an image: there may
be containers, a handler of the person's own, or no process at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runpodctl_py.errors import NotFoundError

if TYPE_CHECKING:
    from runpodctl_py.cli.context import Context

_NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Serving:
    """Who serves an image, as the local RunPod says.

    Args:
        by: Its word; None if it does not say, or if this is RunPod itself.
        does: What a stand-in does instead of the image, as the end of a sentence; None if it is
            served by anything else.
    """

    by: str | None = None
    does: str | None = None

    @property
    def is_by_nobody(self) -> bool:
        """Whether no worker will come of the image."""
        return self.by == _NOBODY

    @property
    def sentence(self) -> str | None:
        """What to say when it is set up, for all that follows; None without a stand-in."""
        if self.does is None:
            return None
        return f"On the local RunPod a stand-in serves it, without the model: it {self.does}."

    @property
    def reminder(self) -> str | None:
        """What to say whenever it is used, in one line; None without a stand-in."""
        return None if self.does is None else f"A stand-in, without the model: it {self.does}."


async def serving_image(context: Context, image: str) -> Serving:
    """Return who serves an image.

    Args:
        context: Which RunPod is meant.
        image: As the template names it.
    """
    if not context.settings.is_local:
        return Serving()
    return _read(await _asked(context, "/_local/images", name=image))


async def serving_endpoint(context: Context, endpoint_id: str) -> Serving:
    """Return who serves an endpoint, whatever its image is by now."""
    if not context.settings.is_local:
        return Serving()
    listed = (await _asked(context, "/_local/status")).get("endpoints", ())
    return next((_read(each) for each in listed if each.get("id") == endpoint_id), Serving())


def remind(context: Context, serving: Serving) -> None:
    """Say in one line whose work the results will be; nothing to who wants results only."""
    if serving.reminder is not None and not context.output.is_quiet:
        context.output.warn(serving.reminder)


def how_to_have_the_real_one(endpoint_name: str) -> tuple[str, ...]:
    """Return how the real worker runs on the local RunPod instead, line by line.

    Args:
        endpoint_name: The endpoint that it should serve.
    """
    serve = f"local up --handler FILE --endpoint {endpoint_name} --python ENV/bin/python"
    return (
        "The real worker instead, with docker or podman:",
        "  runpodctl-py local up --containers",
        "or with its packages in an environment ENV:",
        f"  runpodctl-py {serve}",
    )


async def _asked(context: Context, path: str, **query: str) -> dict[str, Any]:
    """Return the local RunPod's answer; nothing from a replay, or from an older one."""
    # Not before: words alone do not need the HTTP client.
    from runpodctl_py.api.transport import Transport

    settings = context.settings
    async with Transport(settings.api_base_url, settings.api_key) as transport:
        try:
            return (await transport.get(path, query)).body
        except NotFoundError:
            return {}


def _read(answer: dict[str, Any]) -> Serving:
    return Serving(answer.get("servedBy"), answer.get("standIn"))
