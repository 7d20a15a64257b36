"""From the command line's words to a job's input.

Owns `--payload` and `--input`; what stands behind `--set` is `presets/assignments.py`'s. Nothing
here is sent; limits are the preset's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runpodctl_py.errors import UsageError
from runpodctl_py.presets.assignments import parse_assignment, refuse_constant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runpodctl_py.jsontypes import JsonObject
    from runpodctl_py.presets.model import Preset


def read_payload(source: str) -> JsonObject:
    """Read a whole input object from a JSON file, or from stdin for `-`.

    Raises:
        UsageError: It cannot be read, or is not a JSON object.
    """
    text = read_text(source)
    try:
        value = json.loads(text, parse_constant=refuse_constant)
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
            f"{name} is no UTF-8 text",
            hint="For binary content of a job's field:  submit --set key=@FILE sends base64.",
        ) from exc


def read_settings(items: Sequence[str], preset: Preset | None) -> JsonObject:
    """Read `--set` values: `key=value` (typed), `key=@file`, `key:=json`.

    Raises:
        UsageError: One is none of these, or its value is not of the field's type.
    """
    given = [parse_assignment(item) for item in items]
    return {each.field: each.value(preset) for each in given}


def _file_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise UsageError(f"Cannot read {path}: {exc.strerror}") from exc
