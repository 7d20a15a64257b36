"""JSON as it arrives and leaves: tolerant of what the SDK sends, strict about what we send.

The SDK posts Python's bare `NaN` (API reference 5.5), which strict parsers refuse; it becomes
null here, once, so that nothing behind this border has to think of it.
"""

from __future__ import annotations

import json
import math
from typing import Any


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _nothing(_constant: str) -> None:
    return None


def parse(body: bytes) -> Any:
    """Returns the value a body holds, with null for NaN and infinities.

    Raises:
        ValueError: The body is not JSON, or too deeply nested to read.
    """
    try:
        return json.loads(body, parse_constant=_nothing, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error


def dump(value: Any) -> str:
    """Returns the value as ASCII JSON text: even lone surrogates survive storage and transport."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
