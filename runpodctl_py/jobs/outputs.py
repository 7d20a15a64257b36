"""Finding the files inside any worker's output (28 shapes: workers reference G).

Owns the decision whether a string is a file, and what the keys around it promise. Pure: reads
nothing, fetches nothing, writes nothing. Text and errors are read by `words.py`, names are chosen
by `proposals.py`, files are written by `save.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from runpodctl_py.jobs import decoding
from runpodctl_py.jobs.content_types import sniff
from runpodctl_py.jobs.hints import Hints, hints_for, says_base64, says_chunk
from runpodctl_py.jobs.links import is_web_link, read_s3_link
from runpodctl_py.jobs.proposals import Sighting, proposed_names
from runpodctl_py.jobs.tree import Node, ancestors, walk, where
from runpodctl_py.jobs.words import failure_at, is_failed

if TYPE_CHECKING:
    from runpodctl_py.jobs.content_types import Kind
    from runpodctl_py.jsontypes import JsonValue

_WORKER_PATH = re.compile(
    r"(?:/|[A-Za-z]:\\)[^\r\n\x00]*\.\w{1,11}"
    r"|/(?:tmp|comfyui|workspace|runpod-volume|app|data|outputs?)/[^\r\n\x00]+"
    r"|(?:simulated_uploaded|local_upload|outputs?)/[^\r\n\x00]+\.\w{1,11}"
    r"|(?:s3|gs|ftp|file)://\S+",
)
# A list may hold millions of tokens or words: one cheap test turns most of them away.
_WORTH_A_LOOK = re.compile(r"\s{0,8}+[A-Za-z0-9+/_-]{16}|[/\w]\w*[/:\\]")
_LONGEST_PATH = 1024

# How long base64 must be: by itself, under a key such as `image`, under a key that says base64.
_LEAST_CHARACTERS = 64
_LEAST_HINTED = 16
_LEAST_EXPLICIT = 8
# Chance can produce a signature of two bytes; a real file of such a kind is longer than this.
_LEAST_UNCERTAIN = 1024


@dataclass(frozen=True, slots=True)
class InlineFile:
    """A file whose bytes are in the output itself.

    Args:
        name: A safe name to save it under; not necessarily free.
        where: The path to it in the output, such as `output.images[0].data`.
        content: Its bytes.
        content_type: As the worker or the bytes declare it; None if unknown.
        size_bytes: The size that the worker declares, if it does.
        also_at: The other paths in the output at which the same file stands.
    """

    name: str
    where: str
    content: bytes = field(repr=False)
    content_type: str | None = None
    size_bytes: int | None = None
    also_at: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LinkedFile:
    """A file that the output links to.

    Args:
        name: A safe name to save it under. Without an extension, it gives way to what the server
            calls the file.
        where: The path to it in the output.
        url: Its http or https URL, or `s3://BUCKET/KEY`. A presigned one is a secret: show it
            without its query.
        content_type: As the worker declares it, if it does.
        size_bytes: The size that the worker declares, if it does.
        also_at: The other paths in the output at which the same file stands.
    """

    name: str
    where: str
    url: str = field(repr=False)
    content_type: str | None = None
    size_bytes: int | None = None
    also_at: tuple[str, ...] = ()


FoundFile: TypeAlias = InlineFile | LinkedFile
"""A file in an output: `InlineFile` has its bytes, `LinkedFile` its URL."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What is in an output.

    Args:
        files: In the output's order, each once.
        warnings: What looks like a file and could not be had, one sentence each.
        failures: What failed although RunPod calls the job COMPLETED, in the worker's words.
        left_behind: The files that stayed on the worker, by their paths there; the warnings say so
            of each, too.
    """

    files: tuple[FoundFile, ...]
    warnings: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    left_behind: tuple[str, ...] = ()


def read_output(output: JsonValue) -> Reading:
    """Find all files in a job's output, whatever worker made it.

    Never raises, whatever the output is. Time is linear in its size, and besides the output only
    the decoded files are kept in memory. The same bytes are one file wherever they stand, except
    as elements of one list, where each has its place (two equal layers), or under two file names.
    """
    reader = _Reader()
    failures = []
    for node in walk(output):
        if isinstance(node.value, str):
            reader.look_at(node, node.value)
        if failure := failure_at(node):
            failures.append(failure)
    sightings = reader.sightings()
    return Reading(
        files=tuple(
            _found_file(sighting, name, reader.repeats_of(sighting))
            for sighting, name in zip(sightings, proposed_names(sightings), strict=True)
        ),
        warnings=tuple(reader.warnings),
        failures=tuple(failures),
        left_behind=tuple(reader.left_behind),
    )


def _found_file(sighting: Sighting, name: str, also_at: tuple[str, ...]) -> FoundFile:
    place, size_bytes = sighting.where, sighting.hints.size_bytes
    declared = sighting.hints.content_type
    if sighting.url is not None:
        return LinkedFile(name, place, sighting.url, declared, size_bytes, also_at)
    content_type = sighting.kind.content_type if sighting.kind else declared
    return InlineFile(name, place, sighting.content, content_type, size_bytes, also_at)


class _Reader:
    """One walk over one output: what was seen so far."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.left_behind: list[str] = []
        self._sightings: list[Sighting] = []
        self._first: dict[bytes | str, Sighting] = {}
        self._repeats: dict[int, list[str]] = {}
        self._chunks: dict[tuple[int, str], list[bytes]] = {}
        self._list_hints: tuple[Node | None, Hints] | None = None

    def look_at(self, node: Node, text: str) -> None:
        """Decide what a string is; the order of the tests matters (workers reference G)."""
        if isinstance(node.step, int) and not _WORTH_A_LOOK.match(text):
            return
        if uri := decoding.read_data_uri(text):
            self._take_data_uri(node, uri)
        elif is_web_link(text):
            self._took_link(node, text)
        elif read_s3_link(text) and self._took_link(node, text):
            return
        # Before the test for paths: base64 of a JPEG begins with /9j/.
        elif not self._took_base64(node, text) and _is_worker_path(node, text):
            self.warnings.append(_out_of_reach(node, text))
            if "://" not in text:
                self.left_behind.append(text)

    def sightings(self) -> list[Sighting]:
        """Return what was found, with the chunks of each stream of sound joined to one file."""
        return [
            sighting.with_content(
                whole := decoding.joined(self._chunks[sighting.stream], sighting.pcm), sniff(whole)
            )
            if sighting.stream
            else sighting
            for sighting in self._sightings
        ]

    def repeats_of(self, sighting: Sighting) -> tuple[str, ...]:
        """Return where else a file was seen."""
        return tuple(self._repeats.get(id(sighting), ()))

    def _hints(self, node: Node) -> Hints:
        """Collect the hints for a string; for the elements of one list they are all the same."""
        if not isinstance(node.step, int):
            return hints_for(node)
        if self._list_hints is None or self._list_hints[0] is not node.parent:
            self._list_hints = (node.parent, hints_for(node))
        return self._list_hints[1]

    def _take_data_uri(self, node: Node, uri: decoding.DataUri) -> None:
        if uri.content is None:
            self.warnings.append(f"{where(node)} is a data URI that cannot be decoded")
            return
        hints = hints_for(node).declaring(uri.content_type)
        self._take(Sighting(node, where(node), hints, uri.content, sniff(uri.content)))

    def _took_link(self, node: Node, url: str) -> bool:
        """Take a link if it is one to a result."""
        hints = hints_for(node)
        is_result = hints.may_link(url) and not _is_failure_message(node)
        if is_result:
            self._take(Sighting(node, where(node), hints, url=url))
        return is_result

    def _took_base64(self, node: Node, text: str) -> bool:
        """Take the string if it is a file in base64; False if it is something else."""
        # A piece of a stream may be of any length.
        is_promised = says_base64(node) or says_chunk(node)
        if not decoding.may_begin_base64(text) and not is_promised:
            return False
        hints = self._hints(node)
        if not text:
            return self._took_empty(node, hints)
        if len(text) < _least_characters(hints) or _is_failure_message(node):
            return False
        kind = sniff(decoding.base64_head(text))
        if not _is_accepted(hints, kind, text):
            return False
        content = decoding.decode_base64(text)
        if content is None:
            return self._warned_undecodable(node, hints, text)
        if hints.is_chunk or (hints.pcm and not (kind and kind.is_certain)):
            self._take_chunk(node, hints, content)
        else:
            # A zip archive tells what it is only at its end.
            kind = sniff(content) if kind and kind.extension == ".zip" else kind
            self._take(Sighting(node, where(node), hints, content, kind))
        return True

    def _took_empty(self, node: Node, hints: Hints) -> bool:
        if hints.is_base64 and hints.filename:
            self._take(Sighting(node, where(node), hints, b""))
        elif hints.is_base64:
            self.warnings.append(f"{where(node)} is empty")
        return hints.is_base64

    def _warned_undecodable(self, node: Node, hints: Hints, text: str) -> bool:
        if not hints.is_base64 or len(text) < _LEAST_HINTED or _is_worker_path(node, text):
            return False
        self.warnings.append(f"{where(node)} should be base64 and cannot be decoded")
        return True

    def _take_chunk(self, node: Node, hints: Hints, content: bytes) -> None:
        """Add a chunk to the stream it belongs to; the first one stands for all of them."""
        siblings = next((place for place in ancestors(node) if isinstance(place.value, list)), None)
        stream = (id(siblings.value) if siblings else 0, hints.key)
        pieces = self._chunks.setdefault(stream, [])
        pieces.append(content)
        if len(pieces) > 1:
            return
        pcm = (
            None if _is_encoded(hints, content) else hints.pcm or decoding.Pcm.usual(hints.rate_hz)
        )
        if pcm is not None and not hints.rate_hz:
            self.warnings.append(
                f"{where(node)} holds raw samples without a sample rate: "
                f"taken for {pcm.sample_rate_hz} Hz"
            )
        path = where(node) if siblings is None else f"{where(siblings)}[*].{hints.key}"
        self._sightings.append(Sighting(node, path, hints, content, pcm=pcm, stream=stream))

    def _take(self, sighting: Sighting) -> None:
        """Keep a file unless it is one that was seen before."""
        first = self._first.setdefault(sighting.identity, sighting)
        if first is sighting or not sighting.repeats(first):
            self._sightings.append(sighting)
        else:
            self._repeats.setdefault(id(first), []).append(sighting.where)


def _is_encoded(hints: Hints, content: bytes) -> bool:
    """Tell whether the first chunk of a stream begins a file, rather than holding raw samples."""
    kind = sniff(content)
    if kind is not None and kind.is_certain:
        return True
    return hints.pcm is None and hints.extension not in {None, ".raw", ".wav"}


def _is_worker_path(node: Node, text: str) -> bool:
    if len(text) > _LONGEST_PATH or not _WORKER_PATH.fullmatch(text):
        return False
    return not hints_for(node).is_name


def _out_of_reach(node: Node, text: str) -> str:
    """Say why what a path names cannot be had."""
    if text[:5].lower() == "s3://":
        return (
            f"{where(node)} is a place in a bucket ({text}) that does not look like a result: "
            "it was not fetched"
        )
    return (
        f"{where(node)} is a path on the worker ({text}): the file stayed there; "
        "let the worker return it as base64, or upload it to a bucket"
    )


def _is_failure_message(node: Node) -> bool:
    """Tell whether this is the text of a failure that RunPod calls COMPLETED (worker-comfyui 4)."""
    holder = node.parent.value if node.parent else None
    return node.step == "message" and isinstance(holder, dict) and is_failed(holder)


def _least_characters(hints: Hints) -> int:
    if hints.is_base64 or hints.is_chunk:
        return 1 if hints.filename or hints.is_chunk else _LEAST_EXPLICIT
    return _LEAST_HINTED if hints.is_file else _LEAST_CHARACTERS


def _is_accepted(hints: Hints, kind: Kind | None, text: str) -> bool:
    """Accept base64 on its signature, else only where the keys around it promise a file."""
    promised = hints.is_base64 or hints.is_chunk or (hints.is_file and hints.is_described)
    if kind is not None and (kind.is_certain or hints.is_file or len(text) >= _LEAST_UNCERTAIN):
        return True
    return promised and not _WORKER_PATH.fullmatch(text, 0, min(len(text), _LONGEST_PATH))
