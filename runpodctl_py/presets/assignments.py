"""What stands behind `--set`: `field=value`, `field=@file` and `field:=json`, and their values.

Owns the syntax and how such a value is typed. Knows nothing of the fields' limits, which are the
preset's, nor of what is done with the values.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from runpodctl_py.errors import UsageError
from runpodctl_py.presets.fields import guess_value

if TYPE_CHECKING:
    from runpodctl_py.jsontypes import JsonValue
    from runpodctl_py.presets.model import Preset


class Kind(Enum):
    """How a value was written."""

    TEXT = "field=value"
    FILE = "field=@file"
    JSON = "field:=json"


@dataclass(frozen=True, slots=True)
class Assignment:
    """One `--set`.

    Args:
        field: The input field.
        kind: How the value was written.
        text: The value's text, its JSON, or the path of the file that holds it.
    """

    field: str
    kind: Kind
    text: str

    def value(self, preset: Preset | None) -> JsonValue:
        """Return the value, of the type that the preset declares for the field.

        Raises:
            UsageError: It is not of that type, is no JSON, or its file cannot be read.
        """
        match self.kind:
            case Kind.TEXT:
                return typed_value(self.field, self.text, preset)
            case Kind.FILE:
                return _file_value(self.field, Path(self.text), preset)
            case Kind.JSON:
                return _json_value(self.field, self.text)


def parse_assignment(item: str) -> Assignment:
    """Read the words behind one `--set`.

    Raises:
        UsageError: They are of none of the three forms.
    """
    field, equals, text = item.partition("=")
    if not equals or not field.strip(":"):
        raise UsageError(f"--set takes key=value, key=@file or key:=json, not {item!r}")
    if field.endswith(":"):
        return Assignment(field[:-1], Kind.JSON, text)
    if text.startswith("@"):
        return Assignment(field, Kind.FILE, text[1:])
    return Assignment(field, Kind.TEXT, text)


def typed_value(field: str, text: str, preset: Preset | None) -> JsonValue:
    """Read a value that was written as text, by the preset or else by its looks.

    Raises:
        UsageError: The preset has no such field, or the text is no value of its type.
    """
    return guess_value(text) if preset is None else preset.parse_value(field, text)


def refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which only Python takes for JSON (its `parse_constant`)."""
    raise ValueError(f"{name} is not a JSON number")


def _json_value(field: str, text: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"--set {field}:= is no JSON: {exc}") from exc
    return value


def _file_value(field: str, path: Path, preset: Preset | None) -> JsonValue:
    """Return a file as text where that is what it is, and as base64 otherwise."""
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise UsageError(f"Cannot read {path}: {exc.strerror}") from exc
    declared = preset.input.get(field) if preset else None
    if declared is None or declared.type != "file":
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return base64.b64encode(content).decode("ascii")
