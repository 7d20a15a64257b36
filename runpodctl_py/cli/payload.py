"""From the command line's words to a job's input.

Owns `--set`, `--payload`, `--input`: what they mean and how their values are typed. Nothing here
is sent; limits are the preset's.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runpodctl_py.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runpodctl_py.jsontypes import JsonObject, JsonValue
    from runpodctl_py.presets.model import Preset


def read_payload(source: str) -> JsonObject:
    """Read a whole input object from a JSON file, or from stdin for `-`.

    Raises:
        UsageError: It cannot be read, or is not a JSON object.
    """
    text = read_text(source)
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"--payload {source} is no JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise UsageError(f"--payload {source} is no JSON object")
    inner = value.get("input")
    if set(value) == {"input"} and isinstance(inner, dict):
        # The form of RunPod's own test_input.json and of its request bodies.
        return inner
    return value


def read_text(source: str) -> str:
    """Read a text file, or stdin for `-`.

    Raises:
        UsageError: It cannot be read, or is no UTF-8 text.
    """
    content = sys.stdin.buffer.read() if source == "-" else _file_bytes(Path(source))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        name = "stdin" if source == "-" else source
        raise UsageError(
            f"{name} is no UTF-8 text", hint="For binary content: --set key=@FILE sends base64."
        ) from exc


def read_settings(items: Sequence[str], preset: Preset | None) -> JsonObject:
    """Read `--set` values: `key=value` (typed), `key=@file`, `key:=json`.

    Raises:
        UsageError: One is none of these, or its value is not of the field's type.
    """
    fields: JsonObject = {}
    for item in items:
        key, equals, text = item.partition("=")
        if not equals or not key.strip(":"):
            raise UsageError(f"--set takes key=value, key=@file or key:=json, not {item!r}")
        if key.endswith(":"):
            fields[key[:-1]] = _json_value(key[:-1], text)
        elif text.startswith("@"):
            fields[key] = _file_value(key, Path(text[1:]), preset)
        else:
            fields[key] = _typed_value(key, text, preset)
    return fields


def _json_value(key: str, text: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"--set {key}:= is no JSON: {exc}") from exc
    return value


def _refuse_constant(name: str) -> JsonValue:
    raise ValueError(f"{name} is not a JSON number")


def _file_value(key: str, path: Path, preset: Preset | None) -> JsonValue:
    """Return a file as text where that is what it is, and as base64 otherwise."""
    content = _file_bytes(path)
    field = preset.input.get(key) if preset else None
    if field is None or field.type != "file":
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return base64.b64encode(content).decode("ascii")


def _typed_value(key: str, text: str, preset: Preset | None) -> JsonValue:
    if preset is not None:
        return preset.parse_value(key, text)
    from runpodctl_py.presets.fields import guess_value

    return guess_value(text)


def _file_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise UsageError(f"Cannot read {path}: {exc.strerror}") from exc
