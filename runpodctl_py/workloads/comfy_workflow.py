"""A ComfyUI workflow in its API format: nodes, their inputs, and the links between them.

Owns which of a person's names means which node. Read from a file by `comfy_reading.py`, changed by
`comfy_changes.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from runpodctl_py.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from runpodctl_py.jsontypes import JsonObject, JsonValue

EXPORT_HINT: Final = (
    "Export it in ComfyUI:  menu File (or Workflow) -> Export (API)\n"
    "In older ones:  Settings -> enable Dev mode options, then Save (API Format)"
)
_LINK_LENGTH: Final = 2
_MOST_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Link:
    """An input that comes from another node.

    Args:
        node_id: The node that makes it.
        slot: Which of its outputs.
    """

    node_id: str
    slot: float


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a workflow.

    Args:
        node_id: Its id; one inside a subgraph has colons, such as `57:3`.
        class_type: What it is, such as `KSampler`.
        title: What the person called it; None if it has no title.
        inputs: Its inputs by name: values, and links as `[node id, slot]`.
        rest: What else the export says of it, sent as it came.
    """

    node_id: str
    class_type: str
    title: str | None
    inputs: Mapping[str, JsonValue]
    rest: Mapping[str, JsonValue]

    @property
    def label(self) -> str:
        """What messages call it: its title or class, and its id."""
        return f"{self.title or self.class_type} ({self.node_id})"

    @property
    def links(self) -> dict[str, Link]:
        """The inputs that come from other nodes."""
        found = ((name, link_of(value)) for name, value in self.inputs.items())
        return {name: link for name, link in found if link is not None}

    @property
    def settable(self) -> dict[str, JsonValue]:
        """The inputs that hold a value of their own."""
        links = self.links
        return {name: value for name, value in self.inputs.items() if name not in links}

    def unknown_input(self, name: str) -> UsageError:
        """Return the error for an input that the node does not have."""
        nearest = get_close_matches(name, self.inputs, n=1)
        suggestion = f"; did you mean {nearest[0]}?" if nearest else ""
        return UsageError(
            f"{self.label} has no input {name}{suggestion}",
            hint=f"Its inputs: {', '.join(self.inputs) or 'none'}",
        )

    def as_json(self) -> JsonObject:
        """Return it as ComfyUI takes it."""
        return {"inputs": dict(self.inputs), "class_type": self.class_type, **self.rest}


@dataclass(frozen=True, slots=True)
class Brought:
    """A picture that came in the same file as the workflow, for a node to load by its name."""

    name: str
    content_base64: str


@dataclass(frozen=True, slots=True)
class Workflow:
    """A whole workflow; every link leads to a node that is there.

    Args:
        nodes: Its nodes by id, in the file's order.
        brought: The pictures that came with it.
        left_out: What else stood in the file, by name; it is not sent.
    """

    nodes: Mapping[str, Node]
    brought: tuple[Brought, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def broken_links(self) -> list[str]:
        """A sentence for each link that leads nowhere."""
        return [
            f"{node.label}: its {name} comes from node {link.node_id}, which is not there"
            for node in self.nodes.values()
            for name, link in node.links.items()
            if link.node_id not in self.nodes
        ]

    def with_input(self, node_id: str, name: str, value: JsonValue) -> Workflow:
        """Return the same workflow in which one input of a node is another."""
        node = self.nodes[node_id]
        changed = replace(node, inputs={**node.inputs, name: value})
        return replace(self, nodes={**self.nodes, node_id: changed})

    def find(self, name: str) -> Node:
        """Return the node that a person means.

        Args:
            name: Its id; or its title or class, if no other node has the same.

        Raises:
            UsageError: There is none, or there are several; the message names the nearest, or all.
        """
        found = self.candidates(name)
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(
                f"{name} could be any of {len(found)} nodes: {named(found)}",
                hint="Name it by its id.",
            )
        raise self._unknown(name)

    def find_input(self, path: str) -> tuple[Node, str]:
        """Return the node and the input that `NODE.input` means.

        Titles and inputs may have dots: the last one at which both sides are known is the cut.

        Raises:
            UsageError: There is no such node or input, or the node is not the only one.
        """
        cuts = [*cuts_of(path)]
        for node_name, name in cuts:
            if any(name in node.inputs for node in self.candidates(node_name)):
                return self.find(node_name), name
        for node_name, name in cuts:
            if self.candidates(node_name):
                raise self.find(node_name).unknown_input(name)
        if cuts:
            raise self._unknown(cuts[0][0])
        raise UsageError(
            f"{path} names no input", hint="Write NODE.input, such as 3.seed or KSampler.seed"
        )

    def candidates(self, name: str) -> tuple[Node, ...]:
        """Return the nodes that a name may mean: that of an id, or all of a title or class."""
        if name in self.nodes:
            return (self.nodes[name],)
        nodes = self.nodes.values()
        return tuple(node for node in nodes if name in {node.title, node.class_type})

    def as_json(self) -> JsonObject:
        """Return it in the API format."""
        return {node_id: node.as_json() for node_id, node in self.nodes.items()}

    def _unknown(self, name: str) -> UsageError:
        names = {
            known.lower(): known
            for node in self.nodes.values()
            for known in (node.node_id, node.class_type, node.title)
            if known
        }
        nearest = get_close_matches(name.lower(), names, n=3)
        suggestion = f"; did you mean {' or '.join(names[each] for each in nearest)}?"
        return UsageError(
            f"There is no node {name}{suggestion if nearest else ''}",
            hint="All nodes with their inputs:  runpodctl-py comfy nodes FILE",
        )


def link_of(value: JsonValue) -> Link | None:
    """Read an input as a link; None if it is a value.

    ComfyUI itself takes every pair of a text and a number for one.
    """
    if not isinstance(value, list) or len(value) != _LINK_LENGTH:
        return None
    node_id, slot = value
    if isinstance(node_id, str) and isinstance(slot, int | float):
        return Link(node_id, slot)
    return None


def named(nodes: Iterable[Node]) -> str:
    """Write nodes for a message, the first ten of them."""
    labels = [node.label for node in nodes]
    more = [f"and {len(labels) - _MOST_SHOWN} more"] if len(labels) > _MOST_SHOWN else []
    return ", ".join(labels[:_MOST_SHOWN] + more)


def joined(lines: list[str]) -> str:
    """Write what is wrong for a message, the first ten lines of it."""
    more = len(lines) - _MOST_SHOWN
    return "\n".join([*lines[:_MOST_SHOWN], *([f"and {more} more"] if more > 0 else [])])


def cuts_of(path: str) -> Iterator[tuple[str, str]]:
    """Yield a path cut in two at each of its dots, from the last one on."""
    end = len(path)
    while (end := path.rfind(".", 0, end)) >= 0:
        if path[:end] and path[end + 1 :]:
            yield path[:end], path[end + 1 :]
