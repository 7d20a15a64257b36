"""A row's result as a line of JSON, and back, with nothing lost.

Owns the keys, which are a promise to scripts: they only ever get added. The file that the lines
stand in is `results.py`'s; secrets are taken out before, by whoever makes a `RowResult`.
"""

from __future__ import annotations

import json
import re
from types import NoneType
from typing import TYPE_CHECKING, Any

from runpodctl_py.batch.row import RowResult
from runpodctl_py.jobs.ledger import KeptFile, State

if TYPE_CHECKING:
    from pathlib import Path

    from runpodctl_py.jsontypes import JsonObject, JsonValue

BEGINNING = b'{"row":'
"""What every line begins with."""
_DEEPEST = 200
"""Python reads JSON of some 900 levels, less what is on the stack already; RunPod passes on any."""
_TOO_MANY_LINES = 2**63
# Half of a character has no UTF-8; the others end a line for some programs, but not in JSON.
_NOT_PLAIN = re.compile("[\ud800-\udfff\x85\u2028\u2029]")


def line_of(result: RowResult, root: Path) -> bytes:
    """Write a result as one line, which ends with a newline.

    An infinite number, which is no JSON, becomes null. Of an output that is nested more than 200
    levels deep, what is below is left out: a line that cannot be read again would prove nothing.

    Args:
        result: What came of a row.
        root: The folder that paths of files are given relative to, where they are below it.
    """
    document = document_of(result, root)
    try:
        text = _text(document)
    except ValueError:
        # 1e999 is JSON, and infinite for Python.
        text = _text(json.loads(json.dumps(document), parse_constant=lambda _: None))
    return f"{text}\n".encode()


def document_of(result: RowResult, root: Path) -> JsonObject:
    """Return a result as a JSON document; its keys are a promise to scripts."""
    files: list[JsonValue] = [
        {
            "path": relative_path(each.path, root),
            "bytes": each.size_bytes,
            "sha256": each.sha256,
            "content_type": each.content_type,
        }
        for each in result.files
    ]
    return {
        "row": result.name,
        "line": result.line,
        "id": result.job_id,
        "status": result.state.value,
        "ok": result.is_success,
        "whole": result.is_whole,
        "attempts": result.attempts,
        "delay_ms": result.delay_ms,
        "execution_ms": result.execution_ms,
        "cost_usd": result.cost_usd,
        "worker_id": result.worker_id,
        "files": files,
        "error": result.error,
        "output": shallow(result.output),
        "key": result.key,
    }


def result_of(line: bytes, root: Path) -> RowResult:
    """Read a line that `line_of` wrote; keys that it does not know are passed over.

    All comes back as it was, but for three things: two halves of one character side by side are
    that character then, a relative path outside of `root` is absolute, and see `line_of`.

    Raises:
        ValueError: This is no such line.
    """
    try:
        document: Any = json.loads(line.decode("utf-8-sig"))
        number = _value(document, "line", int)
        if not 0 < number < _TOO_MANY_LINES:
            raise ValueError(f"there is no line {number}")  # noqa: TRY301 # told like the others
        return RowResult(
            line=number,
            name=_value(document, "row", str),
            key=_value(document, "key", str),
            job_id=_value(document, "id", str, NoneType),
            state=State(_value(document, "status", str)),
            is_success=_value(document, "ok", bool),
            delay_ms=_value(document, "delay_ms", int, NoneType),
            execution_ms=_value(document, "execution_ms", int, NoneType),
            cost_usd=_value(document, "cost_usd", float, int, NoneType),
            worker_id=_value(document, "worker_id", str, NoneType),
            files=tuple(_file(each, root) for each in _value(document, "files", list)),
            output=document["output"],
            error=_value(document, "error", str, NoneType),
            attempts=_value(document, "attempts", int),
            is_whole=_value(document, "whole", bool),
        )
    except (KeyError, TypeError, ValueError, RecursionError) as exc:
        raise ValueError(f"no result of a row: {exc!r}") from exc


def relative_path(path: Path, root: Path) -> str:
    """Return a path as seen from a folder, if it is below it; else from the root of the disk."""
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return path.absolute().as_posix()


def shallow(value: JsonValue) -> JsonValue:
    """Return a value without what is nested more than 200 levels deep."""
    return _pruned(value, _DEEPEST) if _is_deep(value) else value


def _file(fields: Any, root: Path) -> KeptFile:
    return KeptFile(
        root / _value(fields, "path", str),
        _value(fields, "bytes", int),
        _value(fields, "sha256", str),
        _value(fields, "content_type", str),
    )


def _value(fields: Any, key: str, *kinds: type) -> Any:
    value = fields[key]
    # Not isinstance: True is an int for Python, not for JSON.
    if type(value) not in kinds:
        raise TypeError(f"{key} is {type(value).__name__}")
    return value


def _text(document: JsonValue) -> str:
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    # In any language it is to be readable; escapes only where something would go wrong.
    return json.dumps(document, allow_nan=False) if _NOT_PLAIN.search(text) else text


def _is_deep(value: JsonValue) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def _pruned(value: JsonValue, levels: int) -> JsonValue:
    if not isinstance(value, dict | list):
        return value
    if levels == 0:
        return "…"
    if isinstance(value, dict):
        return {key: _pruned(item, levels - 1) for key, item in value.items()}
    return [_pruned(item, levels - 1) for item in value]
