"""Reading how far a job is, from whatever its worker sends while it runs.

Owns the shapes of progress updates (API reference 4.4: any JSON, seen as `output` while the job is
in progress). Does not know how progress is drawn.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runpodctl_py.jsontypes import JsonValue

_LONGEST_TEXT = 200
_NODE_ID = re.compile(r"[0-9:]+")
_TEXT_KEYS = ("current_step", "message", "stage", "status", "step_name", "text")


@dataclass(frozen=True)
class Progress:
    """How far a job is; each part may be missing.

    Args:
        percent: 0 to 100.
        text: What the worker is doing, in its own words, on one line.
        step: The number of the current step.
        total_steps: How many there are.
        raw: The update as it came.
    """

    percent: float | None
    text: str | None
    step: int | None
    total_steps: int | None
    raw: JsonValue


def read_progress(update: JsonValue) -> Progress | None:
    """Return what can be shown of a progress update; None if there is nothing in it."""
    if isinstance(update, str):
        return _from_text(update)
    if isinstance(update, dict):
        return _from_object(update, raw=update)
    if (number := _number(update)) is not None:
        return Progress(_percent(number), None, None, None, update)
    return None


def _from_text(update: str) -> Progress | None:
    # Some ComfyUI workers send the raw websocket message as a string (workers reference C).
    if update.lstrip().startswith("{"):
        try:
            inner = json.loads(update)
        except (ValueError, RecursionError):
            pass
        else:
            return _from_object(inner, raw=update)
    text = _one_line(update)
    return Progress(None, text, None, None, update) if text else None


def _from_object(update: dict[str, JsonValue], raw: JsonValue) -> Progress | None:
    update = _unwrapped(update)
    step = _number(update.get("step", update.get("value")))
    total = _number(update.get("total_steps", update.get("max")))
    percent = _number(update.get("progress", update.get("percent")))
    if percent is not None:
        percent = _percent(percent)
    elif step is not None and total:
        percent = _percent(100 * step / total)
    text = next((t for key in _TEXT_KEYS if (t := _one_line(update.get(key)))), None)
    if percent is None and text is None and step is None:
        return None
    return Progress(
        percent,
        text,
        None if step is None else int(step),
        None if total is None else int(total),
        raw,
    )


def _unwrapped(update: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a ComfyUI worker's update in the form of all the others (workers reference C)."""
    data = update.get("data")
    if isinstance(data, dict):
        # ComfyUI's own websocket message.
        if isinstance(nodes := data.get("nodes"), dict):
            return _sum_of(nodes)
        if data.keys() & {"node", "value", "exception_message"}:
            message = _one_line(data.get("exception_message")) or _node_text(data.get("node"))
            return {"step": data.get("value"), "total_steps": data.get("max"), "message": message}
    if _number(update.get("max")) and not update.keys() & {"step", "value"}:
        # A step of that many, although it is called progress.
        rest = {key: value for key, value in update.items() if key not in {"progress", "max"}}
        return {**rest, "step": update.get("progress"), "total_steps": update["max"]}
    return update


def _sum_of(nodes: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return how far all of ComfyUI's nodes are together, and which of them is at work."""
    states = [each for each in nodes.values() if isinstance(each, dict)]
    running = next((each for each in states if each.get("state") == "running"), {})
    return {
        "step": sum(_number(each.get("value")) or 0 for each in states),
        "total_steps": sum(_number(each.get("max")) or 0 for each in states),
        "message": _node_text(running.get("node_id")),
    }


def _node_text(node: JsonValue) -> str | None:
    text = _one_line(node)
    return f"node {text}" if text and _NODE_ID.fullmatch(text) else text


def _number(value: JsonValue) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # A whole number of more than 308 digits.
        return None
    return number if math.isfinite(number) else None


def _percent(number: float) -> float:
    # Zero comes first so that it is what -0.0 becomes.
    return min(max(0.0, number), 100.0)


def _one_line(value: JsonValue) -> str | None:
    """Return printable text on one line: what a worker sends must not move a person's cursor."""
    if not isinstance(value, str):
        return None
    text = " ".join("".join(c if c.isprintable() else " " for c in value).split())
    return text[:_LONGEST_TEXT] or None
