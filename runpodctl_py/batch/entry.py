"""One line of JSON Lines, as what it says: the input's keys, the row's name, its policy.

Owns the two forms that a line may have. Lines themselves are `text.py`'s, and what becomes of
the keys is `recipe.py`'s.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn

from runpodctl_py.api.types import Policy
from runpodctl_py.batch.names import NAME_KEYS, parse_name
from runpodctl_py.batch.sendable import check_nesting
from runpodctl_py.errors import UsageError
from runpodctl_py.presets.fields import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from runpodctl_py.jsontypes import JsonObject, JsonValue

_WRAPPED_KEYS: Final = frozenset({*NAME_KEYS, "input", "policy"})
_POLICY_KEYS: Final = ("executionTimeout", "ttl", "lowPriority")
_SHORTEST_EXECUTION_MS: Final = 5_000
_SHORTEST_TTL_MS: Final = 10_000
_LONGEST_MS: Final = 604_800_000


def _refuse_constant(name: str) -> NoReturn:
    raise UsageError(f"no JSON: {name} is not a JSON number")


# `json.loads` would make one for each line, which takes longer than reading it.
_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)


@dataclass(frozen=True, slots=True)
class Entry:
    """What a line says.

    Args:
        values: The input's keys and, for templates, what names the row.
        apart: The keys that are no fields of the input.
        name: The row's name, if it gives itself one.
        policy: What it asks for beside the input.
    """

    values: Mapping[str, JsonValue]
    apart: Collection[str] = ()
    name: str | None = None
    policy: Policy = field(default_factory=Policy)


def parse_entry(text: str, declared: Collection[str]) -> Entry:
    """Read a line: an input, or `{"id", "input", "policy"}`.

    It has the second form if its `input` is an object and nothing but `id` (or `custom_id`) and
    `policy` stands beside it. In the first form, an `id` names the row and stays in the input as
    well: it is taken out only if the input's fields are declared and it is none of them.

    Args:
        text: The line.
        declared: The input's fields, if somebody declared them.

    Raises:
        UsageError: It is no JSON object, or its id or policy is none.
    """
    document = _parse_object(text)
    inner = document.get("input")
    if isinstance(inner, dict) and document.keys() <= _WRAPPED_KEYS:
        name_keys = name_keys_in(document)
        return Entry(
            {**{key: document[key] for key in name_keys}, **inner},
            apart=[key for key in name_keys if key not in inner],
            name=_name(document, name_keys),
            policy=_parse_policy(document["policy"]) if "policy" in document else Policy(),
        )
    name_keys = name_keys_in(document)
    apart = [key for key in name_keys if key not in declared] if declared else ()
    return Entry(document, apart, _name(document, name_keys))


def name_keys_in(keys: Collection[str]) -> list[str]:
    """Return which keys or columns name a row: one or none.

    Raises:
        UsageError: Both would.
    """
    found = [key for key in NAME_KEYS if key in keys]
    if len(found) > 1:
        raise UsageError("there are both id and custom_id; keep the one that names the rows")
    return found


def _name(document: JsonObject, name_keys: list[str]) -> str | None:
    return parse_name(document[name_keys[0]]) if name_keys else None


def _parse_object(text: str) -> dict[str, Any]:
    try:
        value: Any = _DECODER.decode(text)
    except json.JSONDecodeError as exc:
        raise UsageError(f"no JSON: {exc.msg} at character {exc.pos + 1}") from exc
    except ValueError as exc:
        # What else `int` says no to, with advice for programmers.
        raise UsageError("no JSON: a number has more digits than can be read") from exc
    except RecursionError as exc:
        raise UsageError("it is nested too deeply") from exc
    check_nesting(value, text)
    if not isinstance(value, dict):
        raise UsageError(f"no JSON object but {shown(value)}")
    return value


def _parse_policy(value: Any) -> Policy:
    """Read RunPod's `policy` (API reference 4.2)."""
    if not isinstance(value, dict):
        raise UsageError(f"the policy must be a JSON object, not {shown(value)}")
    for key in value:
        if key not in _POLICY_KEYS:
            raise UsageError(f"the policy takes {', '.join(_POLICY_KEYS)}, not {shown(key)}")
    is_low = value.get("lowPriority", False)
    if not isinstance(is_low, bool):
        raise UsageError(f"lowPriority must be true or false, not {shown(is_low)}")
    return Policy(
        execution_timeout_ms=_milliseconds(value, "executionTimeout", _SHORTEST_EXECUTION_MS),
        ttl_ms=_milliseconds(value, "ttl", _SHORTEST_TTL_MS),
        low_priority=is_low,
    )


def _milliseconds(policy: Mapping[str, Any], key: str, least: int) -> int | None:
    if key not in policy:
        return None
    value = policy[key]
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= _LONGEST_MS:
        return value
    raise UsageError(f"{key} must be from {least} to {_LONGEST_MS} ms, not {shown(value)}")
