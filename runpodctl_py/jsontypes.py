"""What JSON can hold, as types; knows nothing of how it is read or written."""

from __future__ import annotations

from typing import TypeAlias

JsonValue: TypeAlias = bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"] | None
"""Any JSON value; as in JSON itself, NaN and the infinities are not among the numbers."""

JsonObject: TypeAlias = dict[str, JsonValue]
"""A JSON object, such as the `input` of a job (API reference 4.1)."""
