"""JSON as it arrives and leaves: strict, but for what the SDK sends.

The SDK posts Python's bare `NaN` (API reference 5.5), which strict parsers refuse; it becomes
null here, once, so that nothing behind this border has to think of it.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class TooDeepError(ValueError):
    """A value is nested too deeply for this program."""


def parse(body: bytes) -> Any:
    """Returns the value a body holds.

    Raises:
        ValueError: The body is not JSON, too deeply nested to read, or has a number that none can
            be: NaN, an infinity, or one too large.
    """
    return _parsed(body, _refused, _number)


def parse_of_sdk(body: bytes) -> Any:
    """Returns the value a worker's body holds, with null for NaN and infinities.

    Raises:
        ValueError: The body is not JSON, or too deeply nested to read.
    """
    return _parsed(body, _nothing, _number_or_nothing)


def _parsed(
    body: bytes, constant: Callable[[str], None], number: Callable[[str], float | None]
) -> Any:
    try:
        return json.loads(body, parse_constant=constant, parse_float=number)
    except RecursionError as error:
        raise TooDeepError("the JSON is nested too deeply") from error


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
    """Returns the value as ASCII JSON text: even lone surrogates survive storage and transport.

    Raises:
        TooDeepError: It was not too deeply nested to be read, but is to be written.
    """
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except RecursionError as error:
        raise TooDeepError("the JSON is nested too deeply") from error
