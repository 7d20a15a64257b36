"""A person's pictures for the nodes of a ComfyUI workflow that load some.

Owns what stands behind `comfy run --image`: which node is meant, whether a file is a picture, and
what it is called on the worker. How pictures travel is `comfy.py`'s.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runpodctl_py.errors import UsageError
from runpodctl_py.jobs.content_types import sniff
from runpodctl_py.workloads.comfy_workflow import cuts_of, link_of, named
from runpodctl_py.workloads.media import read_medium

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runpodctl_py.workloads.comfy_workflow import Node, Workflow

LOADER: Final = "LoadImage"
_INPUTS: Final = ("image", "mask")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_STEM: Final = 40


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that goes with the job.

    Args:
        path: Where it is here.
        name: What it is called on the worker: safe, and another one for other content, because a
            worker keeps the pictures of earlier jobs.
        content: Its bytes.
    """

    path: Path
    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Placed:
    """A picture and the input that loads it."""

    node_id: str
    input_name: str
    picture: Picture


def placed_pictures(workflow: Workflow, items: Sequence[str]) -> tuple[Placed, ...]:
    """Read the files that `--image` names, and find the inputs that they are for.

    Args:
        workflow: It stays as it is.
        items: `NODE=FILE`, `NODE.input=FILE`, or `FILE` if one node loads a picture.

    Raises:
        UsageError: No such node or input, two pictures for one, or a file that is no picture.
    """
    placed: dict[tuple[str, str], Placed] = {}
    for item in items:
        target, path = _parts(item)
        node, name = _only_loader(workflow) if target is None else _input(workflow, target)
        place = (node.node_id, name)
        if place in placed:
            raise UsageError(f"{node.label}.{name} can have one picture only")
        placed[place] = Placed(*place, read_picture(path))
    return tuple(placed.values())


def read_picture(path: Path) -> Picture:
    """Read a picture's file.

    Raises:
        UsageError: It cannot be read, or is no picture by its first bytes.
    """
    content = read_medium(path, "image")
    kind = sniff(content)
    suffix = "" if kind is None else kind.extension
    stem = _UNSAFE.sub("_", path.stem).strip("_")[:_LONGEST_STEM] or "image"
    digest = hashlib.sha256(content).hexdigest()[:8]
    return Picture(path, f"{stem}-{digest}{suffix}", content)


def not_sent(workflow: Workflow, sent: Iterable[str]) -> tuple[Node, ...]:
    """Return the nodes that load a picture which does not go with the job.

    Args:
        workflow: As it is sent.
        sent: The names of the pictures that go with it.
    """
    names = {*sent}
    loaders = [node for node in workflow.nodes.values() if node.class_type == LOADER]
    return tuple(
        node
        for node in loaders
        if isinstance(name := node.inputs.get("image"), str) and name not in names
    )


def _parts(item: str) -> tuple[str | None, Path]:
    target, equals, path = item.partition("=")
    if not equals or Path(item).is_file():
        return None, Path(item)
    if not target or not path:
        raise UsageError(
            f"--image takes NODE=FILE, NODE.input=FILE or FILE, not {item!r}",
            hint="Such as 10=portrait.png",
        )
    return target, Path(path)


def _only_loader(workflow: Workflow) -> tuple[Node, str]:
    loaders = [node for node in workflow.nodes.values() if node.class_type == LOADER]
    if len(loaders) == 1:
        return _loading(loaders[0])
    if loaders:
        raise UsageError(
            f"{len(loaders)} nodes load a picture: {named(loaders)}",
            hint="Say which one:  --image NODE=FILE",
        )
    raise UsageError(
        f"No node of the workflow is a {LOADER}", hint="Name the node:  --image NODE=FILE"
    )


def _input(workflow: Workflow, target: str) -> tuple[Node, str]:
    """Return the input that `NODE` or `NODE.input` means; titles may have dots."""
    nodes = (node for node, _ in cuts_of(target))
    if workflow.candidates(target) or not any(map(workflow.candidates, nodes)):
        return _loading(workflow.find(target))
    node, name = workflow.find_input(target)
    _check_text(node, name)
    return node, name


def _loading(node: Node) -> tuple[Node, str]:
    name = next((each for each in _INPUTS if isinstance(node.inputs.get(each), str)), None)
    if name is not None:
        return node, name
    name = next((each for each in _INPUTS if each in node.inputs), None)
    if name is not None:
        _check_text(node, name)
    raise UsageError(
        f"{node.label} loads no picture: it has no input image or mask",
        hint=f"Its inputs: {', '.join(node.inputs) or 'none'}",
    )


def _check_text(node: Node, name: str) -> None:
    value = node.inputs[name]
    if isinstance(value, str):
        return
    link = link_of(value)
    raise UsageError(
        f"{node.label} gets its {name} from node {link.node_id}"
        if link
        else f"{node.label}.{name} is no file's name",
        hint="A picture is for the node that loads it.",
    )
