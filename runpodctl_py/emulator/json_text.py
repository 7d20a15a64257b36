"""JSON as it arrives and leaves: strict, but for what the SDK sends.

The SDK posts Python's bare `NaN` (API reference 5.5), which strict parsers refuse; it becomes
null here, once, so that nothing behind this border has to think of it.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


MOST_LEVELS = 100
"""How deeply what arrives may be nested. RunPod's limit is in no source; ours leaves room for
everything behind this border, since all of Python's JSON is recursive."""


def parse(body: bytes) -> Any:
    """Returns the value a body holds.

    Raises:
        ValueError: The body is not JSON, too deeply nested, or has a number that none can be:
            NaN, an infinity, or one too large.
    """
    return _parsed(body, _refused, _number)


def parse_of_sdk(body: bytes) -> Any:
    """Returns the value a worker's body holds, with null for NaN and infinities.

    Raises:
        ValueError: The body is not JSON, or too deeply nested.
    """
    return _parsed(body, _nothing, _number_or_nothing)


def _parsed(
    body: bytes, constant: Callable[[str], None], number: Callable[[str], float | None]
) -> Any:
    too_deep = ValueError(f"it is nested more than {MOST_LEVELS} levels deep")
    try:
        value = json.loads(body, parse_constant=constant, parse_float=number)
    except RecursionError as error:
        raise too_deep from error
    # Counting is quick and nearly always enough; text may have brackets, too.
    if body.count(b"[") + body.count(b"{") > MOST_LEVELS and not _is_within(value, MOST_LEVELS):
        raise too_deep
    return value


def _is_within(value: Any, levels: int) -> bool:
    """Returns whether a value is nested at most so deeply."""
    level = [value]
    for _ in range(levels + 1):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return True
    return False


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _refused(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _nothing(_constant: str) -> None:
    return None


def _number(text: str) -> float:
    if (value := _number_or_nothing(text)) is None:
        raise ValueError(f"{text} is too large")
    return value


def _number_or_nothing(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def dump(value: Any) -> str:
    """Returns the value as ASCII JSON text: even lone surrogates survive storage and transport."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
