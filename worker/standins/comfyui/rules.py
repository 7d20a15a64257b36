"""Refuses workflows as ComfyUI does, and says so as worker-comfyui passes it on.

Owns what is checked without knowing any node: that there are nodes with classes, outputs, and
links that lead somewhere; and of the commonest nodes, the inputs without which nothing works.
Which classes exist, and whether a checkpoint is there, only a real ComfyUI knows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.standins.comfyui.errors import ComfyError
from worker.standins.comfyui.workflow import Node, Workflow, is_link

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_REQUIRED = {
    "SaveImage": ("images",),
    "PreviewImage": ("images",),
    "VAEDecode": ("samples", "vae"),
    "LoadImage": ("image",),
    "EmptyLatentImage": ("width", "height", "batch_size"),
    "CLIPTextEncode": ("text", "clip"),
    "KSampler": (
        *("model", "seed", "steps", "cfg", "sampler_name", "scheduler"),
        *("positive", "negative", "latent_image", "denoise"),
    ),
}
_SIDES = (16, 16_384)
_LIMITS = {"EmptyLatentImage": {"width": _SIDES, "height": _SIDES, "batch_size": (1, 4096)}}
_CRASHED = (
    "Error queuing workflow: 500 Server Error: Internal Server Error for url: "
    "http://127.0.0.1:8188/prompt"
)


def parse(workflow: Any) -> Workflow:
    """Return a job's workflow.

    Raises:
        ComfyError: It is none.
    """
    if not isinstance(workflow, dict):
        raise ComfyError(_CRASHED)
    nodes = {}
    for node_id, node in workflow.items():
        if not isinstance(node, dict) or not isinstance(node.get("class_type"), str):
            raise _refusal(
                "invalid_prompt",
                "Cannot execute because a node is missing the class_type property.",
                f"Node ID '#{node_id}'",
            )
        inputs = node.get("inputs")
        nodes[node_id] = Node(
            node_id, node["class_type"], inputs if isinstance(inputs, dict) else {}
        )
    return Workflow(nodes)


def outputs(workflow: Workflow, images: Collection[str]) -> list[Node]:
    """Return the outputs that can be run; ComfyUI leaves out those with mistakes behind them.

    Args:
        workflow: What they are in.
        images: The names of the pictures that were uploaded.

    Raises:
        ComfyError: There is none.
    """
    found = workflow.outputs()
    if not found:
        raise _refusal("prompt_no_outputs", "Prompt has no outputs", "")
    checked = {node.id: _check(workflow, node, images) for node in found}
    good = [node for node in found if not checked[node.id]]
    if not good:
        raise _no_good_output(workflow, checked)
    return good


@dataclass(frozen=True)
class _Mistake:
    node: Node
    kind: str
    message: str
    details: str
    extra: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {
            "type": self.kind,
            "message": self.message,
            "details": self.details,
            "extra_info": dict(self.extra),
        }


def _check(workflow: Workflow, output: Node, images: Collection[str]) -> list[_Mistake]:
    return [
        mistake
        for node in workflow.sources(output)
        for mistake in (
            *_missing(node),
            *_wrong_links(workflow, node, is_inner=node is not output),
            *_out_of_range(workflow, node),
            *_not_uploaded(workflow, node, images),
        )
    ]


def _missing(node: Node) -> list[_Mistake]:
    return [
        _Mistake(
            node, "required_input_missing", "Required input is missing", name, {"input_name": name}
        )
        for name in _REQUIRED.get(node.kind, ())
        if name not in node.inputs
    ]


def _wrong_links(workflow: Workflow, node: Node, *, is_inner: bool) -> list[_Mistake]:
    mistakes = []
    for name, value in node.inputs.items():
        if isinstance(value, list) and not is_link(value):
            mistakes.append(
                _Mistake(
                    node,
                    "bad_linked_input",
                    "Bad linked input, must be a length-2 list of [node_id, slot_index]",
                    name,
                    {"input_name": name, "received_value": value},
                )
            )
        elif is_link(value) and workflow.source(value) is None:
            # ComfyUI stumbles over it, and tells what Python says.
            kind, which = ("inner_validation", "inner node") if is_inner else ("validation", "node")
            mistakes.append(
                _Mistake(
                    node,
                    f"exception_during_{kind}",
                    f"Exception when validating {which}",
                    repr(value[0]),
                    {"input_name": name, "exception_type": "KeyError", "linked_node": value},
                )
            )
    return mistakes


def _out_of_range(workflow: Workflow, node: Node) -> list[_Mistake]:
    mistakes = []
    for name, (low, high) in _LIMITS.get(node.kind, {}).items():
        value = workflow.value(node, name)
        if not isinstance(value, int | float) or low <= value <= high:
            continue
        kind, words = ("smaller_than_min", f"smaller than min of {low}")
        if value > high:
            kind, words = ("bigger_than_max", f"bigger than max of {high}")
        extra = {"input_name": name, "received_value": value}
        mistakes.append(_Mistake(node, f"value_{kind}", f"Value {value} {words}", name, extra))
    return mistakes


def _not_uploaded(workflow: Workflow, node: Node, images: Collection[str]) -> list[_Mistake]:
    name = workflow.image_name(node) if node.loads_image else ""
    if not name or name in images:
        return []
    return [
        _Mistake(
            node,
            "custom_validation_failed",
            "Custom validation failed for node",
            f"image - Invalid image file: {name}",
            {"input_name": "image"},
        )
    ]


def _no_good_output(workflow: Workflow, checked: Mapping[str, list[_Mistake]]) -> ComfyError:
    """Return the failure in worker-comfyui's form: a line for each thing known of a node."""
    by_node: dict[str, list[_Mistake]] = {}
    dependent: dict[str, list[str]] = {}
    for output_id, mistakes in checked.items():
        for mistake in mistakes:
            known = by_node.setdefault(mistake.node.id, [])
            if mistake not in known:
                known.append(mistake)
            outputs_of = dependent.setdefault(mistake.node.id, [])
            if output_id not in outputs_of:
                outputs_of.append(output_id)
    lines = [
        f"• Node {node_id} ({what}): {value}"
        for node_id, mistakes in by_node.items()
        for what, value in (
            ("errors", [each.to_json() for each in mistakes]),
            ("dependent_outputs", dependent[node_id]),
            ("class_type", workflow.nodes[node_id].kind),
        )
    ]
    return ComfyError("\n".join(["Workflow validation failed:", *lines]))


def _refusal(kind: str, message: str, details: str) -> ComfyError:
    error = {"type": kind, "message": message, "details": details, "extra_info": {}}
    answer = json.dumps({"error": error, "node_errors": {}})
    return ComfyError(f"{message}. Raw response: {answer}")
