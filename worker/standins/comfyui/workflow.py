"""A workflow as ComfyUI's API takes it: nodes by their ids, and the links between them.

Owns how one walks from an output back to what it is made of. Knows no node by heart but the few
kinds that tell what a picture should be: its size, its words, its chance, what was uploaded.
"""

from __future__ import annotations

import posixpath
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LINK_LENGTH = 2
_SAVES, _SHOWS = ("save",), ("preview", "show", "combine")
_WORDS = ("text", "text_g", "text_l", "clip_l", "t5xxl", "prompt", "positive_prompt")
_SEEDS = ("seed", "noise_seed")
_VALUES = ("value", "int", "number", "string", "text")
"""Where nodes that are only a value have it."""


@dataclass(frozen=True)
class Node:
    """One node.

    Attributes:
        id: Its key in the workflow.
        kind: Its `class_type`.
        inputs: Its values and links by their names.
    """

    id: str
    kind: str
    inputs: Mapping[str, Any]

    @property
    def is_output(self) -> bool:
        """Whether ComfyUI would run the workflow for it."""
        return any(word in self.kind.casefold() for word in (*_SAVES, *_SHOWS))

    @property
    def saves_images(self) -> bool:
        """Whether it leaves pictures that the worker returns; previews are temporary."""
        kind = self.kind.casefold()
        return any(word in kind for word in _SAVES) and "image" in kind

    @property
    def loads_image(self) -> bool:
        """Whether it reads a picture that was uploaded."""
        return self.kind in {"LoadImage", "LoadImageMask", "LoadImageOutput"}


def is_link(value: Any) -> bool:
    """Tell whether an input's value is the output of another node."""
    return isinstance(value, list) and len(value) == _LINK_LENGTH


def uploaded_name(name: str) -> str:
    """Return what an uploaded picture is known by, however its path is written."""
    return posixpath.normpath(name.removesuffix(" [input]"))


@dataclass(frozen=True)
class Workflow:
    """A graph of nodes.

    Attributes:
        nodes: By their ids.
    """

    nodes: Mapping[str, Node]

    def outputs(self) -> list[Node]:
        """Return the nodes that it is run for, in the order of their ids."""
        nodes = (node for node in self.nodes.values() if node.is_output)
        return sorted(nodes, key=lambda node: (len(node.id), node.id))

    def sources(self, node: Node, *, without: str = "") -> Iterator[Node]:
        """Yield a node and all that it is made of, the nearest first.

        Args:
            node: Where to begin.
            without: The name of an input that is not followed.
        """
        seen, waiting = {node.id}, deque([node])
        while waiting:
            now = waiting.popleft()
            yield now
            for name, value in now.inputs.items():
                source = None if name == without else self.source(value)
                if source is not None and source.id not in seen:
                    seen.add(source.id)
                    waiting.append(source)

    def source(self, value: Any) -> Node | None:
        """Return the node that an input's value is a link to; None if it is none."""
        node_id = value[0] if is_link(value) else None
        return self.nodes.get(node_id) if isinstance(node_id, str) else None

    def value(self, node: Node, name: str) -> Any:
        """Return an input's value, through links to nodes that are only a value; None if not known.

        Args:
            node: Whose.
            name: Which.
        """
        value, hops = node.inputs.get(name), 0
        while is_link(value) and hops < len(self.nodes):
            source = self.source(value)
            given = {} if source is None else source.inputs
            value = next((given[key] for key in _VALUES if key in given), None)
            hops += 1
        return None if is_link(value) else value

    def size(self, output: Node) -> tuple[int, int] | None:
        """Return the width and height that the nearest node asks for, which makes or scales."""
        for node in self.sources(output):
            width, height = (self.value(node, name) for name in ("width", "height"))
            # Those that encode a text have a size, too, which is none of the picture's.
            if "encode" not in node.kind.casefold() and _are_sizes(width, height):
                return width, height
        return None

    def batch_size(self, output: Node) -> int:
        """Return how many pictures an output has."""
        sizes = (self.value(node, "batch_size") for node in self.sources(output))
        return next((size for size in sizes if _are_sizes(size)), 1)

    def seed(self, output: Node) -> int:
        """Return the nearest seed; 0 if there is none."""
        for node in self.sources(output):
            for name in _SEEDS:
                if isinstance(seed := self.value(node, name), int):
                    return seed
        return 0

    def words(self, output: Node) -> str:
        """Return the prompt of an output: its texts, but for what it should not show."""
        texts = (
            self.value(node, name)
            for node in self.sources(output, without="negative")
            for name in _WORDS
            if name in node.inputs
        )
        said = (text.strip() for text in texts if isinstance(text, str))
        return ", ".join(dict.fromkeys(text for text in said if text))

    def makes_picture(self, output: Node) -> bool:
        """Tell whether an output begins with an empty picture, not with one that was uploaded."""
        return any(
            "latent" in node.kind.casefold() and "empty" in node.kind.casefold()
            for node in self.sources(output)
        )

    def image_name(self, loader: Node) -> str:
        """Return the name of the uploaded picture that a node reads; empty if it names none."""
        name = self.value(loader, "image")
        return uploaded_name(name) if isinstance(name, str) else ""

    def loader(self, output: Node) -> Node | None:
        """Return the nearest node that reads an uploaded picture."""
        return next((node for node in self.sources(output) if node.loads_image), None)


def _are_sizes(*values: Any) -> bool:
    return all(isinstance(each, int) and not isinstance(each, bool) and each > 0 for each in values)
