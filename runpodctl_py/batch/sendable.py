"""Whether a row's input would be taken: by RunPod's rules, and by what the preset declares.

Judges before anything is sent; changes nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from runpodctl_py.api.serverless import RUN_LIMIT_BYTES, check_size
from runpodctl_py.api.types import JobRequest
from runpodctl_py.errors import UsageError

if TYPE_CHECKING:
    from runpodctl_py.api.types import Policy
    from runpodctl_py.jsontypes import JsonObject, JsonValue
    from runpodctl_py.presets.model import Preset

# Far more than any worker reads, and far less than what Python's JSON writer fails at, which
# depends on how deep in calls it is used.
_MOST_NESTED: Final = 100
# What a body has beside the input: its key, and a policy of three numbers.
_MOST_AROUND_CHARACTERS: Final = 1_000
_ENCODER: Final = json.JSONEncoder(allow_nan=False)


def check_sendable(payload: JsonObject, policy: Policy, preset: Preset | None) -> None:
    """Make sure that RunPod and the worker would take an input.

    Raises:
        UsageError: They would not; one line for each reason.
    """
    if not payload:
        raise UsageError("the input is empty, and RunPod drops such jobs (API reference 4.2)")
    try:
        text = _ENCODER.encode(payload)
    except ValueError as exc:
        raise UsageError("a number is larger than JSON's readers take") from exc
    except RecursionError as exc:
        raise _too_nested() from exc
    check_nesting(payload, text)
    if len(text) > RUN_LIMIT_BYTES - _MOST_AROUND_CHARACTERS:
        check_size(JobRequest(payload, policy=policy).as_json(), RUN_LIMIT_BYTES, "/run")
    if preset is not None:
        preset.check_input(payload)


def check_nesting(value: JsonValue, text: str) -> None:
    """Make sure that a value can be written as JSON again, wherever that is done.

    Args:
        value: The value.
        text: Its JSON, which tells most values from a deep one at a glance.

    Raises:
        UsageError: It is nested too deeply.
    """
    if text.count("[") + text.count("{") > _MOST_NESTED and _is_deeper(value, _MOST_NESTED):
        raise _too_nested()


def _is_deeper(value: JsonValue, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(each, levels - 1) for each in inner)


def _too_nested() -> UsageError:
    return UsageError(f"it is nested more than {_MOST_NESTED} levels deep")
