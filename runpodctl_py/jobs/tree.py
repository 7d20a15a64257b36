"""Walking JSON of any depth, and saying where in it we are.

Owns the order of the walk and which parts of an output are only echoes of the request. Knows
nothing of files.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runpodctl_py.jsontypes import JsonObject, JsonValue

# Workers repeat what they were sent; files in there are the caller's own.
_ECHOES = frozenset({"input", "inputs", "parameters", "request"})
_PLAIN_KEY = re.compile(r"[^\W\d]\w{0,63}")
_WALKED = (str, list, dict)
_MOST_STEPS_SHOWN = 20
_LONGEST_KEY_SHOWN = 60


class Node(NamedTuple):
    """A value in a JSON document and how to get there.

    Args:
        value: The string, list or object; other values are not walked.
        parent: The list or object that holds it; None at the root.
        step: Its key or index in there; None at the root.
    """

    value: str | list[JsonValue] | JsonObject
    parent: Node | None
    step: str | int | None


def walk(output: JsonValue) -> Iterator[Node]:
    """Yield every string, list and object, depth first, in the document's order.

    What repeats the request (`input`, `inputs`, `parameters`, `request`) is left out. Depth does
    not matter: there is no recursion.
    """
    stack = [Node(output, None, None)] if isinstance(output, _WALKED) else []
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node.value, dict):
            children = [
                Node(value, node, key)
                for key, value in node.value.items()
                if isinstance(value, _WALKED) and key.lower() not in _ECHOES
            ]
        elif isinstance(node.value, list):
            children = [
                Node(value, node, index)
                for index, value in enumerate(node.value)
                if isinstance(value, _WALKED)
            ]
        else:
            continue
        stack.extend(reversed(children))


def ancestors(node: Node) -> Iterator[Node]:
    """Yield what holds this node, the innermost first."""
    parent = node.parent
    while parent is not None:
        yield parent
        parent = parent.parent


def where(node: Node) -> str:
    """Return the path to a node, such as `output.images[0].data`; only the end of a long one."""
    steps: list[str] = []
    for place in (node, *ancestors(node)):
        if place.step is None:
            break
        if len(steps) == _MOST_STEPS_SHOWN:
            steps.append("…")
            break
        steps.append(_shown(place.step))
    return "output" + "".join(reversed(steps))


def nearest_object(node: Node) -> JsonObject:
    """Return the innermost object around a node; an empty one if there is none."""
    return next((place.value for place in ancestors(node) if isinstance(place.value, dict)), {})


def nearest_key(node: Node) -> str:
    """Return the key that a node, or the list it stands in, is kept under; empty at the root."""
    place: Node | None = node
    while place is not None and isinstance(place.step, int):
        place = place.parent
    return place.step if place is not None and isinstance(place.step, str) else ""


def nearest_index(node: Node) -> int | None:
    """Return the index in the innermost list around a node; None if there is none."""
    return next(
        (place.step for place in (node, *ancestors(node)) if isinstance(place.step, int)), None
    )


def _shown(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    if _PLAIN_KEY.fullmatch(step):
        return f".{step}"
    return f"[{json.dumps(step[:_LONGEST_KEY_SHOWN])}]"
