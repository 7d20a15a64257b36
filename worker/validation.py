"""Reads the fields of a job's input, one by one, or raises `InvalidInputError`.

Knows JSON values and how to name what is wrong with one; which fields exist is each task's matter.
Fields that nobody asks for are ignored, because the platform may add some; a wrong value is always
refused, never bent into range.
"""

from __future__ import annotations

import reprlib
import secrets
from typing import TYPE_CHECKING, Any, TypeGuard

from worker.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

LARGEST_SEED = 2**32 - 1
_LARGEST_SHOWN_NUMBER = 10**15


def read_object(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the JSON object under `name`.

    Raises:
        InvalidInputError: It is missing or something else.
    """
    value = values.get(name)
    if not isinstance(value, dict):
        raise InvalidInputError(f"{name} must be an object, not {describe(value)}")
    return value


def read_choice(
    values: Mapping[str, Any], name: str, choices: Collection[str], *, default: str | None = None
) -> str:
    """Return the value under `name`, one of `choices`.

    Args:
        values: The object to read from.
        name: The field.
        choices: Every accepted value.
        default: What a missing field means; None makes the field required.

    Raises:
        InvalidInputError: It is required and missing, or none of `choices`.
    """
    known = ", ".join(choices)
    if name not in values:
        if default is None:
            raise InvalidInputError(f"{name} is required: one of {known}")
        return default
    value = values[name]
    if not isinstance(value, str) or value not in choices:
        raise InvalidInputError(f"{name} must be one of {known}, not {describe(value)}")
    return value


def read_whole_number(
    values: Mapping[str, Any], name: str, *, low: int, high: int, default: int
) -> int:
    """Return the whole number from `low` to `high` under `name`; 20.0 counts as 20, true does not.

    Raises:
        InvalidInputError: It is no number, not a whole one, or outside the range.
    """
    value = values.get(name, default)
    if not _is_whole_number(value) or not low <= value <= high:
        raise InvalidInputError(
            f"{name} must be a whole number from {low} to {high}, not {describe(value)}"
        )
    return int(value)


def read_number(
    values: Mapping[str, Any], name: str, *, low: float, high: float, default: float
) -> float:
    """Return the number from `low` to `high` under `name`; true is none.

    Raises:
        InvalidInputError: It is no number, NaN, or outside the range.
    """
    value = values.get(name, default)
    # NaN compares as outside of every range.
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidInputError(
            f"{name} must be a number from {low:g} to {high:g}, not {describe(value)}"
        )
    return float(value)


def read_flag(values: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """Return the true or false under `name`.

    Raises:
        InvalidInputError: It is neither.
    """
    value = values.get(name, default)
    if not isinstance(value, bool):
        raise InvalidInputError(f"{name} must be true or false, not {describe(value)}")
    return value


def read_seed(values: Mapping[str, Any]) -> int:
    """Return the `seed` that makes a job repeatable, or a new one if it brings none.

    Raises:
        InvalidInputError: It is no whole number from 0 to 4294967295.
    """
    if values.get("seed") is None:
        return secrets.randbelow(LARGEST_SEED + 1)
    return read_whole_number(values, "seed", low=0, high=LARGEST_SEED, default=0)


def read_text(values: Mapping[str, Any], name: str, *, default: str) -> str:
    """Return the text under `name`, which may be empty.

    Raises:
        InvalidInputError: It is no string, or half of a surrogate pair stands alone in it.
    """
    value = values.get(name, default)
    if not isinstance(value, str):
        raise InvalidInputError(f"{name} must be a string, not {describe(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"{name} is no valid Unicode: a lone surrogate at position {error.start}"
        ) from error
    return value


def describe(value: object) -> str:
    """Return a short ASCII picture of any JSON value, safe to put into a message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    # Python refuses to print integers of more than 4300 digits.
    if isinstance(value, int) and abs(value) > _LARGEST_SHOWN_NUMBER:
        return "a number beyond all bounds"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return reprlib.repr(value).encode("ascii", "backslashreplace").decode()


def _is_whole_number(value: object) -> TypeGuard[int | float]:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
