"""What a person changes in a ComfyUI workflow: single inputs, and all seeds at once.

Owns what stands behind `comfy run --set` and how such a value is typed: by what stands there now.
Pictures are `comfy_images.py`'s.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runpodctl_py.errors import UsageError
from runpodctl_py.presets.assignments import Kind, parse_assignment
from runpodctl_py.presets.fields import InputField, guess_value
from runpodctl_py.workloads.comfy_workflow import joined, link_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runpodctl_py.jsontypes import JsonValue
    from runpodctl_py.presets.assignments import Assignment
    from runpodctl_py.workloads.comfy_workflow import Workflow

LARGEST_SEED: Final = 2**64 - 1
"""The largest that ComfyUI takes."""

_SEEDS: Final = ("seed", "noise_seed")
_WHOLE_NUMBER: Final = re.compile(r"\s*[+-]?[0-9]+\s*")


def with_settings(workflow: Workflow, items: Sequence[str]) -> Workflow:
    """Return the workflow with the inputs that `--set` names changed, one after the other.

    Args:
        workflow: It stays as it is.
        items: `NODE.input=value`, `NODE.input=@file` and `NODE.input:=json`.

    Raises:
        UsageError: One is none of these, names an input that is not there, or has a value that is
            not of the kind that stands there.
    """
    for item in items:
        if not item.partition("=")[0].strip(":. ") or "=" not in item:
            raise UsageError(
                f"--set takes NODE.input=value, NODE.input=@file or NODE.input:=json, not {item!r}",
                hint="Such as 3.seed=7, KSampler.steps=30 or 6.text=@prompt.txt",
            )
        given = parse_assignment(item)
        node, name = workflow.find_input(given.field)
        place = f"{node.label}.{name}"
        workflow = workflow.with_input(node.node_id, name, _value(given, node.inputs[name], place))
    if workflow.broken_links:
        raise UsageError(joined(workflow.broken_links))
    return workflow


def with_seed(workflow: Workflow, seed: int) -> Workflow:
    """Return the workflow with every `seed` and `noise_seed` that holds a number set to this one.

    Raises:
        UsageError: There is none.
    """
    places = [
        (node.node_id, name)
        for node in workflow.nodes.values()
        for name in _SEEDS
        if _is_number(node.inputs.get(name))
    ]
    if not places:
        raise UsageError(
            "No node has a seed that is a number",
            hint="A seed that comes from another node is set there:  --set NODE.input=N",
        )
    for node_id, name in places:
        workflow = workflow.with_input(node_id, name, seed)
    return workflow


def _value(given: Assignment, present: JsonValue, place: str) -> JsonValue:
    """Return the value that was given for an input, typed by what stands there now."""
    if given.kind is Kind.JSON:
        return given.value(None)
    if (link := link_of(present)) is not None:
        raise UsageError(
            f"{place} comes from node {link.node_id}",
            hint=f"Replace the link on purpose, with JSON:  --set '{given.field}:=…'",
        )
    if isinstance(present, list | dict):
        raise UsageError(
            f"{place} is no text, number or switch",
            hint=f"Give it as JSON:  --set '{given.field}:=…'",
        )
    text = _file_text(Path(given.text)) if given.kind is Kind.FILE else given.text
    return _typed(text, present, place)


def _typed(text: str, present: JsonValue, place: str) -> JsonValue:
    if isinstance(present, str):
        return text
    if isinstance(present, bool):
        return InputField(name=place, type="boolean").parse(text)
    if present is None:
        return guess_value(text)
    # ComfyUI writes 8.0 as 8: what stands there does not tell whole numbers from others.
    is_whole = _WHOLE_NUMBER.fullmatch(text) is not None
    return InputField(name=place, type="integer" if is_whole else "number").parse(text)


def _file_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise UsageError(f"Cannot read {path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise UsageError(f"{path} is no UTF-8 text", hint="A picture goes with --image") from exc


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
