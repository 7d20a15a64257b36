"""GraphQL's inputs as our own values: RunPod's names and its many ways to say "unset" end here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator.control.model import snake_case
from runpodctl_py.emulator.control.plane import EndpointDraft, TemplateDraft

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEPT_WHEN_EMPTY = frozenset({"name", "image_name", "docker_args"})


def template_draft(given: Mapping[str, Any]) -> TemplateDraft:
    """Returns what `SaveTemplateInput`, or an endpoint's own template, asks for (1.3)."""
    values = _set_fields(given)
    variables = values.pop("env", ())
    values["env"] = {each.get("key") or "": each.get("value") or "" for each in variables}
    return TemplateDraft(values.pop("id", None), values)


def endpoint_draft(given: Mapping[str, Any]) -> EndpointDraft:
    """Returns what `EndpointInput` asks for (1.4)."""
    values = _set_fields(given)
    template = values.pop("template", None)
    volumes = values.pop("network_volume_ids", ())
    if volumes:
        values["network_volume_ids"] = [each["networkVolumeId"] for each in volumes]
    if values["name"].endswith("-fb"):
        # How FlashBoot was switched on before `flashBootType` existed.
        values.setdefault("flash_boot_type", "FLASHBOOT")
    return EndpointDraft(
        values.pop("id", None), values, None if template is None else template_draft(template)
    )


def _set_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a client really set: null and "" mean unset (API reference 1.4)."""
    named = {snake_case(name): value for name, value in given.items()}
    return {
        # GraphQL's lists of optional values may hold nulls; they say nothing.
        name: [each for each in value if each is not None] if isinstance(value, list) else value
        for name, value in named.items()
        if value is not None and (value != "" or name in _KEPT_WHEN_EMPTY)
    }
