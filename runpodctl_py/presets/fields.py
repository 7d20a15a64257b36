"""One field of a job's input: what it takes, and how text becomes its value.

Owns the types that a preset can declare, their limits, and the words that explain them. Does not
know which fields a preset has, nor does it fill in defaults: the worker does that.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NoReturn, TypeAlias, get_args

from runpodctl_py.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from runpodctl_py.jsontypes import JsonValue

FieldType: TypeAlias = Literal["string", "integer", "number", "boolean", "object", "array", "file"]

FIELD_TYPES: Final[tuple[FieldType, ...]] = get_args(FieldType)
"""Every type that a preset can declare; `file` is base64 or a URL, the rest is JSON's own."""

_NOUNS: Final[dict[FieldType, str]] = {
    "string": "a text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "object": "a JSON object",
    "array": "a JSON array",
    "file": "a URL, or a file's content in base64",
}
_LENGTH_UNITS: Final[dict[FieldType, tuple[str, str]]] = {
    "string": ("character", "characters"),
    "array": ("entry", "entries"),
    "file": ("character", "characters"),
}
_BOOLEANS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_NUMBER: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_JSON_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_FILE_URL: Final = re.compile(r"https?://\S+|data:[^,]*,.*", re.IGNORECASE | re.DOTALL)
# Shorter texts are rather a path or a name than a file's content.
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_\s-]{16,}={0,2}")
_SHOWN_CHARACTERS: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class InputField:
    """One field that a worker takes in a job's `input`.

    Args:
        name: Its key in the input.
        type: What kind of value it takes.
        required: Whether the worker refuses a job without it.
        default: What the worker takes if it is absent; `None` if nothing is known.
        min: The smallest number allowed.
        max: The largest number allowed.
        choices: The only values allowed; empty if there is no such list.
        min_length: The fewest characters (surrounding white space aside) or array entries.
        max_length: The most characters or array entries.
        help: What it means, in one sentence.
        example: A value for a first try.
    """

    name: str
    type: FieldType
    required: bool = False
    default: JsonValue = None
    min: float | None = None
    max: float | None = None
    choices: tuple[JsonValue, ...] = ()
    min_length: int | None = None
    max_length: int | None = None
    help: str = ""
    example: JsonValue = None

    @property
    def expectation(self) -> str:
        """What it takes, in words: `an integer from 5 to 45`, `one of: base64, url`."""
        if self.choices:
            return f"one of: {', '.join(str(choice) for choice in self.choices)}"
        if self.type not in _LENGTH_UNITS:
            return _NOUNS[self.type] + _range_words(self.min, self.max)
        limits = _range_words(self.min_length, self.max_length)
        one, many = _LENGTH_UNITS[self.type]
        unit = one if (self.max_length or self.min_length) == 1 else many
        return f"{_NOUNS[self.type]}{limits} {unit}" if limits else _NOUNS[self.type]

    def accepts(self, value: JsonValue) -> bool:
        """Tell whether the worker can work with this value."""
        return (
            _ACCEPTS_TYPE[self.type](value)
            and (not self.choices or value in self.choices)
            and self._accepts_range(value)
            and self._accepts_length(value)
        )

    def parse(self, text: str) -> JsonValue:
        """Read a value that was written as text, by this field's type; limits are not judged.

        Raises:
            UsageError: If the text is no value of this type.
        """
        try:
            return self._parse(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(
                f"{self.name} must be {self.expectation}, not {shown(text)}", hint=self.help or None
            ) from error

    def _accepts_range(self, value: JsonValue) -> bool:
        if not isinstance(value, int | float):
            return True
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)

    def _accepts_length(self, value: JsonValue) -> bool:
        if not isinstance(value, str | list):
            return True
        # A blank text is as good as none: Chatterbox, for one, would speak a sentence of its own.
        substance = len(value.strip() if isinstance(value, str) else value)
        return (self.min_length is None or substance >= self.min_length) and (
            self.max_length is None or len(value) <= self.max_length
        )

    def _parse(self, text: str) -> JsonValue:
        match self.type:
            case "string" | "file":
                return text
            case "integer":
                return int(_matching(_INTEGER, text.strip()))
            case "number":
                return _finite(float(_matching(_NUMBER, text.strip())))
            case "boolean":
                return _boolean(text)
            case "object" | "array":
                value = _json(text)
                if not _ACCEPTS_TYPE[self.type](value):
                    raise ValueError(text)
                return value


def guess_value(text: str) -> JsonValue:
    """Read a value whose type nobody declared: JSON's true, false, null and numbers, else text."""
    if text in {"true", "false", "null"}:
        return _json(text)
    if not _JSON_NUMBER.fullmatch(text):
        return text
    try:
        value = _json(text)
    except ValueError:  # More digits than Python converts.
        return text
    return value if _is_number(value) else text


def shown(value: JsonValue) -> str:
    """Write a value for a message, cut short where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _range_words(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f" from {_plain(least)} to {_plain(most)}"
    if least is not None:
        return f" of at least {_plain(least)}"
    return "" if most is None else f" of at most {_plain(most)}"


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _is_number(value: JsonValue) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _is_file(text: str) -> bool:
    content = text.strip()
    return bool(_FILE_URL.fullmatch(content) or _BASE64.fullmatch(content))


_ACCEPTS_TYPE: Final[dict[FieldType, Callable[[JsonValue], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: _is_number(value) and isinstance(value, int),
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "file": lambda value: isinstance(value, str) and _is_file(value),
}


def _matching(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(text)
    return text


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError(number)
    return number


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word not in _BOOLEANS:
        raise ValueError(text)
    return _BOOLEANS[word]


def _json(text: str) -> JsonValue:
    """Read JSON as its standard has it: Python's reader would let NaN and Infinity pass."""
    value: JsonValue = json.loads(text, parse_constant=_refuse_constant)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
