"""Reading a ComfyUI workflow from what people have lying around.

Owns the forms in which the API format is wrapped, and how anything else is told apart and refused.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from runpodctl_py.errors import UsageError
from runpodctl_py.presets.assignments import refuse_constant
from runpodctl_py.workloads.comfy_workflow import (
    EXPORT_HINT,
    Brought,
    Node,
    Workflow,
    joined,
)

if TYPE_CHECKING:
    from runpodctl_py.jsontypes import JsonObject, JsonValue

_WRAPPERS: Final = ("prompt", "workflow")
_UI_LISTS: Final = ("nodes", "links")


def read_workflow(text: str, source: str = "The workflow") -> Workflow:
    """Read an API export, by itself or inside `prompt`, `workflow` or `input`.

    Args:
        text: The file's text.
        source: The file's name, for messages.

    Raises:
        UsageError: It is something else; a workflow in ComfyUI's own format is told apart.
    """
    document = _read_json(text, source)
    inner, around = _unwrapped(document, source)
    if any(isinstance(inner.get(key), list) for key in _UI_LISTS):
        raise UsageError(
            f"{source} is a workflow as ComfyUI saves it, which no worker can run: "
            "that takes the API format",
            hint=EXPORT_HINT,
        )
    workflow = Workflow(_nodes(inner, source), _brought(around, source), _left_out(around))
    if workflow.broken_links:
        raise _not_runnable(source, workflow.broken_links)
    return workflow


def _read_json(text: str, source: str) -> JsonObject:
    try:
        value = json.loads(text, parse_constant=refuse_constant)
    except json.JSONDecodeError as exc:
        raise UsageError(
            f"{source} is no JSON: {exc.msg} in line {exc.lineno}, column {exc.colno}"
        ) from exc
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{source} is no JSON that can be sent: {exc}") from exc
    if not isinstance(value, dict):
        raise UsageError(f"{source} holds no JSON object, so no workflow", hint=EXPORT_HINT)
    return value


def _unwrapped(document: JsonObject, source: str) -> tuple[JsonObject, JsonObject]:
    """Return the workflow itself, and the object around it with what else stands there."""
    around: JsonObject = {}
    if _is_wrapper(document, "input"):
        inner = document["input"]
        if not isinstance(inner, dict):
            raise UsageError(f"{source}: its input is no JSON object", hint=EXPORT_HINT)
        around = {key: value for key, value in document.items() if key != "input"}
        document = inner
    for key in _WRAPPERS:
        if _is_wrapper(document, key):
            rest = {other: value for other, value in document.items() if other != key}
            return _whole(document[key], f"{source}: its {key}"), {**around, **rest}
    return document, around


def _is_wrapper(document: JsonObject, key: str) -> bool:
    """Tell whether a key wraps a workflow, and is not the id of one of its nodes."""
    value = document.get(key)
    is_node = isinstance(value, dict) and isinstance(value.get("class_type"), str)
    return key in document and not is_node


def _whole(value: JsonValue, source: str) -> JsonObject:
    """Read what stands in a wrapper: the workflow, or its JSON as a text."""
    if isinstance(value, str):
        return _read_json(value, source)
    if isinstance(value, dict):
        return value
    raise UsageError(f"{source} is no JSON object, so no workflow", hint=EXPORT_HINT)


def _nodes(document: JsonObject, source: str) -> dict[str, Node]:
    if not document:
        raise UsageError(f"{source} holds no nodes", hint=EXPORT_HINT)
    nodes: dict[str, Node] = {}
    problems: list[str] = []
    for node_id, value in document.items():
        node = _node(node_id, value)
        if isinstance(node, Node):
            nodes[node_id] = node
        else:
            problems.append(node)
    if problems:
        raise _not_runnable(source, problems)
    return nodes


def _node(node_id: str, value: JsonValue) -> Node | str:
    """Read a node, or return what is wrong with it."""
    if not isinstance(value, dict):
        return f"{node_id} is no node: it is no JSON object"
    class_type, inputs = value.get("class_type"), value.get("inputs")
    if not isinstance(class_type, str) or not class_type:
        return f"{node_id} is no node: it has no class_type"
    if not isinstance(inputs, dict):
        return f"{class_type} ({node_id}) has no inputs"
    meta = value.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    rest = {key: each for key, each in value.items() if key not in {"class_type", "inputs"}}
    return Node(node_id, class_type, title if isinstance(title, str) else None, inputs, rest)


def _brought(around: JsonObject, source: str) -> tuple[Brought, ...]:
    images = around.get("images", [])
    found = []
    for each in images if isinstance(images, list) else [images]:
        name, content = (
            (each.get("name"), each.get("image")) if isinstance(each, dict) else (None, None)
        )
        if not isinstance(name, str) or not isinstance(content, str):
            raise UsageError(f"{source}: its images must be objects with the texts name and image")
        found.append(Brought(name, content))
    return tuple(found)


def _left_out(around: JsonObject) -> tuple[str, ...]:
    return tuple(key for key in around if key != "images")


def _not_runnable(source: str, problems: list[str]) -> UsageError:
    return UsageError(
        f"{source} is no workflow that can be run:\n{joined(problems)}", hint=EXPORT_HINT
    )
