"""`results.csv`: the results of a batch for people and their spreadsheets, in the input's order.

Owns its columns and what a cell may hold. Nothing reads it back: all of it, and more, stands in
`results.jsonl`.
"""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

from runpodctl_py.batch.lines import relative_path, shallow
from runpodctl_py.errors import SaveError
from runpodctl_py.jobs.landing import Draft
from runpodctl_py.jobs.save import reason

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from runpodctl_py.batch.row import RowResult
    from runpodctl_py.jsontypes import JsonValue

COLUMNS = (
    *("row", "line", "status", "ok", "id", "attempts", "delay_ms", "execution_ms", "cost_usd"),
    *("worker_id", "files", "error", "output"),
)
"""The columns; new ones may be added at the end, these stay."""
_LONGEST_OUTPUT = 1000
_CHUNK_BYTES = 64 * 1024
# OWASP's list, "CSV Injection": what a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def write_csv(path: Path, results: Iterable[RowResult]) -> None:
    """Write the table in one piece, in place of an earlier one.

    Paths of files are relative to its folder and joined by `; `. An output is there as JSON if
    there are no files and it has no more than 1 000 characters. A text from outside (a name, an
    id, a path, an error) that a spreadsheet would take for a formula begins with an apostrophe.

    Args:
        path: Where; its folder is created.
        results: In the order in which they are to stand there. What reading them raises is passed
            on; an earlier table is untouched.

    Raises:
        SaveError: It cannot be written; an earlier one is untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with Draft(path.parent, path.name) as draft:
            lines = _Lines(draft)
            writer = csv.writer(lines)
            writer.writerow(COLUMNS)
            for each in results:
                writer.writerow(_cells(each, path.parent))
            lines.flush()
            draft.replace(path.name)
    except OSError as exc:
        raise SaveError(f"the table {path} cannot be written: {reason(exc)}") from exc


class _Lines:
    """Takes lines of text from a CSV writer, and hands them on as bytes, many at a time."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._waiting = bytearray()

    def write(self, line: str) -> None:
        # A file name that is no text shows its bytes as escapes.
        self._waiting += line.encode(errors="backslashreplace")
        if len(self._waiting) >= _CHUNK_BYTES:
            self.flush()

    def flush(self) -> None:
        self._draft.write(bytes(self._waiting))
        self._waiting.clear()


def _cells(result: RowResult, root: Path) -> tuple[str, ...]:
    return (
        _text(result.name),
        str(result.line),
        result.state.value,
        str(result.is_success).lower(),
        _text(result.job_id),
        str(result.attempts),
        _number(result.delay_ms),
        _number(result.execution_ms),
        _number(result.cost_usd),
        _text(result.worker_id),
        _text("; ".join(relative_path(each.path, root) for each in result.files)),
        _text(result.error),
        "" if result.files else _output(result.output),
    )


def _number(value: float | None) -> str:
    return "" if value is None else str(value)


def _text(text: str | None) -> str:
    """Return a text from outside as one that no spreadsheet computes."""
    if not text:
        return ""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _output(output: JsonValue) -> str:
    # No formula: JSON quotes its texts, and what begins with a minus is a number.
    if output is None:
        return ""
    text = json.dumps(shallow(output), ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= _LONGEST_OUTPUT else ""
