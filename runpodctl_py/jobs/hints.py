"""What the keys around a string promise about it: `image_base64`, a sibling `filename`.

Owns the vocabulary of workers' keys. What follows from the hints is decided by `outputs.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runpodctl_py.jobs import decoding
from runpodctl_py.jobs.content_types import extension_of, is_result
from runpodctl_py.jobs.links import name_in_link
from runpodctl_py.jobs.naming import extension_in, key_words, singular
from runpodctl_py.jobs.tree import nearest_key, nearest_object

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runpodctl_py.jobs.tree import Node
    from runpodctl_py.jsontypes import JsonObject

_NAME_KEYS = ("filename", "file_name", "fileName", "name")
_CONTENT_TYPE_KEYS = ("content_type", "contentType", "mime_type", "mimeType", "mimetype", "type")
_FORMAT_KEYS = ("format", "audio_format", "output_format", "extension", "ext")
_SIZE_KEYS = ("size_bytes", "sizeBytes", "file_size")
_RATE_KEYS = ("sample_rate", "sampleRate", "sampling_rate")
_CHANNEL_KEYS = ("channels", "num_channels")
# Written beside the content, never the content itself.
_NOT_CONTENT_KEYS = frozenset(
    (*_NAME_KEYS, *_CONTENT_TYPE_KEYS, *_FORMAT_KEYS, "encoding", "preview", "id", "subfolder")
)
_LONGEST_SIBLING = 1024
_MOST_CHANNELS = 8

_CHUNK_WORDS = ("audio", "chunk")
_BASE64_WORDS = frozenset({"base64", "b64"})
_LINK_KEY = re.compile(r"(?:url|uri|href|link)s?$", re.IGNORECASE)
# Links that are there to be called or that repeat the request.
_NO_RESULT_WORDS = frozenset({"webhook", "callback", "input"})
_LINK_WORDS = frozenset({"image", "video", "audio", "file", "lora", "result", "message", "data"})
_FILE_WORDS = _LINK_WORDS | {
    "chunk",
    "content",
    "document",
    "frame",
    "gif",
    "layer",
    "mask",
    "mesh",
    "model",
    "output",
    "package",
    "picture",
    "speech",
    "thumbnail",
    "wav",
}
_TEXT_FORMATS = frozenset({"json", "md", "text", "txt"})


@dataclass(frozen=True, slots=True)
class Hints:
    """What is promised about one string.

    Args:
        key: The key it is kept under, by itself or in a list; empty at the root.
        is_base64: The key or a sibling says that it is base64.
        is_file: The key is one that files are kept under.
        is_name: The key is one that names are kept under.
        is_chunk: The key says that it is one piece of a stream of sound.
        filename: What a sibling calls the file.
        content_type: What a sibling, or its data URI, says it is.
        extension: What the key or a sibling says its extension is, with the dot.
        size_bytes: How large a sibling says it is.
        pcm: How to read it if it is raw samples.
        rate_hz: The sample rate that a sibling gives.
        is_stored: A sibling says that it is the URL of an upload.
    """

    key: str
    is_base64: bool
    is_file: bool
    is_name: bool
    is_chunk: bool
    filename: str | None
    content_type: str | None
    extension: str | None
    size_bytes: int | None
    pcm: decoding.Pcm | None
    rate_hz: int | None
    is_stored: bool

    @property
    def is_described(self) -> bool:
        """Tell whether the siblings say anything that only a file has."""
        described = (self.filename, self.content_type, self.extension, self.size_bytes, self.pcm)
        return any(item is not None for item in described)

    def declaring(self, content_type: str | None) -> Hints:
        """Return these hints with a content type from a better source, if that has one."""
        if content_type is None:
            return self
        extension = extension_of(content_type) or self.extension
        return replace(self, content_type=content_type, extension=extension)

    def may_link(self, url: str) -> bool:
        """Tell whether a URL as the whole value here is a file to download."""
        words = set(key_words(self.key))
        if words & _NO_RESULT_WORDS:
            return False
        return (
            not self.key
            or self.is_stored
            or _LINK_KEY.search(self.key) is not None
            or not _LINK_WORDS.isdisjoint(map(singular, words))
            or is_result(extension_in(name_in_link(url)))
        )


def says_base64(node: Node) -> bool:
    """Tell whether the key of a string, or a sibling, says that it is base64."""
    words = key_words(nearest_key(node))
    if words and words[-1] in _BASE64_WORDS:
        return True
    siblings = node.parent.value if node.parent else None
    return isinstance(siblings, dict) and (
        siblings.get("type") == "base64" or siblings.get("encoding") == "base64"
    )


def hints_for(node: Node) -> Hints:
    """Collect what the key and the siblings of a string promise about it."""
    key = nearest_key(node)
    words = key_words(key)
    siblings = nearest_object(node)
    # A name beside a list of several is not the name of each.
    is_alone = isinstance(node.step, str) or _is_only_element(node)
    declared = _text(siblings, _CONTENT_TYPE_KEYS, "/")
    return Hints(
        key=key,
        is_base64=says_base64(node) and key not in _NOT_CONTENT_KEYS,
        is_file=not _FILE_WORDS.isdisjoint(map(singular, words)) or _format_word(words) is not None,
        is_name=key in _NAME_KEYS,
        is_chunk=words == _CHUNK_WORDS,
        filename=_filename(siblings) if is_alone else None,
        content_type=declared.lower() if declared else None,
        extension=_declared_extension(siblings) or _format_word(words),
        size_bytes=_integer(siblings, _SIZE_KEYS) if is_alone else None,
        pcm=_pcm(siblings),
        rate_hz=_rate(siblings),
        is_stored=siblings.get("type") == "s3_url",
    )


def says_chunk(node: Node) -> bool:
    """Tell whether the key says that this is one piece of a stream of sound."""
    return isinstance(node.step, str) and key_words(node.step) == _CHUNK_WORDS


def _is_only_element(node: Node) -> bool:
    holder = node.parent.value if node.parent else None
    return isinstance(holder, list) and len(holder) == 1


def _text(siblings: JsonObject, keys: Iterable[str], having: str = "") -> str | None:
    for key in keys:
        value = siblings.get(key)
        if isinstance(value, str) and 0 < len(value) <= _LONGEST_SIBLING and having in value:
            return value
    return None


def _filename(siblings: JsonObject) -> str | None:
    """Return what a sibling calls the file; a bare `name` counts only with an extension."""
    return _text(siblings, _NAME_KEYS[:-1]) or _text(siblings, _NAME_KEYS[-1:], ".")


def _declared_extension(siblings: JsonObject) -> str | None:
    declared = _text(siblings, _FORMAT_KEYS)
    if declared and is_result(extension := f".{declared.lower().lstrip('.')}"):
        return extension
    content_type = _text(siblings, _CONTENT_TYPE_KEYS, "/")
    return extension_of(content_type) if content_type else None


def _format_word(words: tuple[str, ...]) -> str | None:
    """Return the extension that a key such as `mesh_obj` or `glb_base64` ends in."""
    kept = [word for word in words if word not in _BASE64_WORDS]
    if not kept or kept[-1] in _TEXT_FORMATS or not is_result(f".{kept[-1]}"):
        return None
    return f".{kept[-1]}"


def _rate(siblings: JsonObject) -> int | None:
    return next(filter(None, (decoding.sample_rate(siblings.get(key)) for key in _RATE_KEYS)), None)


def _pcm(siblings: JsonObject) -> decoding.Pcm | None:
    declared = _text(siblings, _FORMAT_KEYS, "pcm") or _text(siblings, ("encoding",), "pcm")
    width = decoding.sample_bytes(declared) if declared else None
    if width is None:
        return None
    channels = _integer(siblings, _CHANNEL_KEYS) or 1
    return decoding.Pcm(
        _rate(siblings) or decoding.DEFAULT_RATE_HZ, min(channels, _MOST_CHANNELS), width
    )


def _integer(siblings: JsonObject, keys: Iterable[str]) -> int | None:
    for key in keys:
        value = siblings.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None
