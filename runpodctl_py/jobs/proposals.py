"""Choosing a name for each file found in an output.

Owns the order of sources: the worker's file name, the URL, then the key or the list it stands in,
with a number where several share it (workers reference G). Safety of names is `naming.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from runpodctl_py.jobs.content_types import contradicts
from runpodctl_py.jobs.links import name_in_link
from runpodctl_py.jobs.naming import extension_in, key_words, safe_name, singular
from runpodctl_py.jobs.tree import Node, ancestors, nearest_index, nearest_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runpodctl_py.jobs.content_types import Kind
    from runpodctl_py.jobs.decoding import Pcm
    from runpodctl_py.jobs.hints import Hints

_CARRIERS = frozenset(
    {"base64", "b64", "chunk", "encoded", "href", "link", "uri", "uris", "url", "urls"}
)
# Keys that say nothing of what they hold; the one above says more.
_SILENT = frozenset({"body", "bytes", "content", "data", "payload", "string", "value"})
# Keys that say what, not what of: in a list of `layers`, an `image` is a layer.
_MEDIA = frozenset({"audio", "file", "image", "picture", "video"})
_CONTAINERS = frozenset({"data", "file", "item", "output", "prediction", "response", "result"})
_MEDIA_EXTENSIONS = (("audio", ".wav"), ("speech", ".wav"), ("image", ".png"), ("video", ".mp4"))
_LEAST_DIGITS = 2
_MOST_KEYS = 6


@dataclass(frozen=True, slots=True)
class Sighting:
    """A file that was found and has no name yet: either its content or its URL is known.

    Args:
        node: Where it stands.
        where: The same, in words.
        hints: What is promised about it.
        content: Its bytes; with `stream`, the first of them.
        kind: What its bytes are.
        url: Where its bytes are.
        pcm: How to read its bytes, if they are raw samples.
        stream: Which pieces belong together, if it is one of them.
    """

    node: Node = field(repr=False)
    where: str
    hints: Hints
    content: bytes = field(default=b"", repr=False)
    kind: Kind | None = None
    url: str | None = field(default=None, repr=False)
    pcm: Pcm | None = None
    stream: tuple[int, str] | None = None

    @property
    def identity(self) -> bytes | str:
        """What two sightings of one file share."""
        return self.content if self.url is None else self.url

    def with_content(self, content: bytes, kind: Kind | None) -> Sighting:
        """Return the same sighting with all of its bytes."""
        return replace(self, content=content, kind=kind)

    def repeats(self, first: Sighting) -> bool:
        """Tell whether this is `first` once more, and not another file with the same bytes.

        Two elements of one list are two files, as are two file names. The outermost list of a
        generator is no such list: it repeats what was yielded before.
        """
        if self.url is not None:
            return True
        own_name = self.hints.filename
        if own_name and own_name != first.hints.filename:
            return False
        home = _home(self.node)
        return home is None or home is not _home(first.node)


def proposed_names(sightings: Sequence[Sighting]) -> list[str]:
    """Return a safe name for each file; names may repeat where workers repeat them.

    A link that nothing gives a file name to gets a name without an extension.
    """
    owners = _owners_of_names(sightings)
    bases = [_base_name(sighting.node) for sighting in sightings]
    said = [
        _said_name(sighting, is_owner=owners.get(id(nearest_object(sighting.node))) is sighting)
        for sighting in sightings
    ]
    unnamed = [None if own else base for own, base in zip(said, bases, strict=True)]
    numbers = _numbers(sightings, unnamed)
    return [
        safe_name(own or f"{base}{number}{_extension(sighting)}")
        for sighting, own, base, number in zip(sightings, said, bases, numbers, strict=True)
    ]


def _home(node: Node) -> Node | None:
    """Return the list in which a file has a place of its own."""
    home = next((place for place in ancestors(node) if isinstance(place.value, list)), None)
    if home is not None and home.parent is None and node.parent is not home:
        return None
    return home


def _owners_of_names(sightings: Sequence[Sighting]) -> dict[int, Sighting]:
    """Choose, of several files beside one `filename`, the one that it fits."""
    owners: dict[int, Sighting] = {}
    for sighting in sightings:
        name = sighting.hints.filename
        if not name:
            continue
        holder = id(nearest_object(sighting.node))
        first = owners.setdefault(holder, sighting)
        if not _fits(first, name) and _fits(sighting, name):
            owners[holder] = sighting
    return owners


def _fits(sighting: Sighting, name: str) -> bool:
    return sighting.url is not None or not contradicts(extension_in(name), sighting.kind)


def _said_name(sighting: Sighting, *, is_owner: bool) -> str | None:
    """Return the name that the worker or the URL gives this file."""
    if is_owner and sighting.hints.filename:
        name = safe_name(sighting.hints.filename)
        return name if extension_in(name) else f"{name}{_extension(sighting)}"
    name = name_in_link(sighting.url) if sighting.url else ""
    return name if extension_in(name) else None


def _extension(sighting: Sighting) -> str:
    if sighting.url is not None:
        return ""
    if sighting.kind:
        return sighting.kind.extension
    words = key_words(sighting.hints.key)
    by_key = next((ending for word, ending in _MEDIA_EXTENSIONS if word in words), ".bin")
    return sighting.hints.extension or by_key


def _base_name(node: Node) -> str:
    """Name a file after its key, or after what its key stands in where that says more."""
    keys = list(_keys_up(node))
    if not keys:
        return "output"
    if len(keys) > 1 and not keys[0].is_list and set(keys[0].words) <= _MEDIA:
        above = keys[1]
        if above.is_list and above.words and above.words[-1] not in _CONTAINERS:
            return "_".join(above.words)
    telling = (key for key in keys if not set(key.words) <= _SILENT)
    return "_".join(next(telling, keys[0]).words) or "output"


@dataclass(frozen=True, slots=True)
class _Key:
    """A key above a file, without the words that say how the file is carried."""

    words: tuple[str, ...]
    is_list: bool


def _keys_up(node: Node) -> Iterator[_Key]:
    """Yield the keys above a file, the nearest first; a list's key in the singular."""
    is_list = False
    found = 0
    for place in (node, *ancestors(node)):
        if isinstance(place.step, int):
            is_list = True
        elif place.step is not None:
            words = tuple(word for word in key_words(place.step) if word not in _CARRIERS)
            if is_list and words:
                words = (*words[:-1], singular(words[-1]))
            yield _Key(words, is_list)
            is_list = False
            found += 1
        if found == _MOST_KEYS:
            return


def _numbers(sightings: Sequence[Sighting], bases: Sequence[str | None]) -> list[str]:
    """Return `_00`, `_01` … for the names that several files share, and nothing for the others.

    The number is the place in the list where that tells them apart.
    """
    members: dict[str, list[int]] = {}
    for position, base in enumerate(bases):
        if base is not None:
            members.setdefault(base, []).append(position)
    numbers = [""] * len(sightings)
    for positions in members.values():
        if len(positions) == 1:
            continue
        places = [nearest_index(sightings[position].node) for position in positions]
        known = [place for place in places if place is not None]
        if len(set(known)) < len(positions):
            known = list(range(len(positions)))
        digits = max(_LEAST_DIGITS, len(str(max(known))))
        for position, number in zip(positions, known, strict=True):
            numbers[position] = f"_{number:0{digits}d}"
    return numbers
