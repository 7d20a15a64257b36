"""What kind of file some bytes, a content type or an extension stand for.

Owns the few entries that `mimetypes` and `filetype` lack, and which extensions mean the same kind.
Does not decide names (`naming.py`) or whether a string is a file at all (`outputs.py`).
"""

from __future__ import annotations

import mimetypes
import re
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

HEAD_BYTES = 8192
"""How much of a file `sniff` looks at, except for zip archives, whose table is at the end."""

# What Python 3.11 has not or has differently: an Office file, an audio file, a line of JSON.
_EXTENSIONS = MappingProxyType(
    {
        "application/gzip": ".gz",
        "application/jsonl": ".jsonl",
        "application/octet-stream": None,
        "application/x-ndjson": ".jsonl",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
        "application/xml": ".xml",
        "application/yaml": ".yaml",
        "audio/flac": ".flac",
        "audio/mp3": ".mp3",
        "audio/mp4": ".m4a",
        "audio/ogg": ".ogg",
        "audio/vnd.wave": ".wav",
        "audio/wav": ".wav",
        "audio/wave": ".wav",
        "audio/x-flac": ".flac",
        "audio/x-m4a": ".m4a",
        "model/gltf-binary": ".glb",
        "model/obj": ".obj",
        "text/markdown": ".md",
    }
)
_CONTENT_TYPES = MappingProxyType(
    {
        ".flac": "audio/flac",
        ".glb": "model/gltf-binary",
        ".gz": "application/gzip",
        ".jsonl": "application/jsonl",
        ".m4a": "audio/mp4",
        ".md": "text/markdown",
        ".obj": "model/obj",
        ".ogg": "audio/ogg",
        ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        ".wav": "audio/wav",
        ".yaml": "application/yaml",
    }
)

# Kinds whose files always start with their signature, so that a wrong extension can be told.
_FAMILIES = tuple(
    frozenset(family.split())
    for family in (
        ".png .apng",
        ".jpg .jpeg .jpe .jfif",
        ".gif",
        ".webp",
        ".avif",
        ".wav",
        ".ogg .oga .ogv .opus",
        ".flac",
        ".mp3",
        ".mp4 .m4v .m4a .mov .3gp",
        ".webm .mkv .mka",
        ".avi",
        ".pdf",
        ".glb",
        ".zip .pptx .docx .xlsx .epub .odt .ods .odp",
        ".gz .tgz",
    )
)
# Besides media: what a URL may end in to be a result.
_RESULT = re.compile(
    r"\.(?:ckpt|csv|fbx|gz|jsonl?|md|np[yz]|obj|parquet|pdf|ply|pptx|pt|safetensors|stl|tar|txt"
    r"|usdz|zip)",
    re.IGNORECASE,
)
# Signatures of two or three bytes: in a short string they may be chance.
_WEAK = frozenset({".bmp", ".exe", ".ps", ".z", ".swf", ".aac", ".mp3", ".jxr", ".bz2", ".ico"})
_ID3 = b"ID3"

_OUR_SIGNATURES = (
    (re.compile(rb"glTF"), ".glb", "model/gltf-binary"),
    (re.compile(rb"\x93NUMPY"), ".npy", "application/octet-stream"),
    (re.compile(rb"GGUF"), ".gguf", "application/octet-stream"),
    (re.compile(rb"PAR1"), ".parquet", "application/vnd.apache.parquet"),
    (re.compile(rb".{5}\x00{3}\{\"", re.DOTALL), ".safetensors", "application/octet-stream"),
    # Brands that `filetype` does not know: dash, iso5, avc1 …
    (re.compile(rb".{4}ftyp", re.DOTALL), ".mp4", "video/mp4"),
    (re.compile(rb"\x1aE\xdf\xa3"), ".mkv", "video/x-matroska"),
)
# A file header, or an entry of the table at the end, that names an Office document's folder.
_OFFICE_ENTRY = re.compile(rb"PK(?:\x03\x04.{26}|\x01\x02.{42})(ppt|word|xl)/", re.DOTALL)
_OFFICE = MappingProxyType({b"ppt": ".pptx", b"word": ".docx", b"xl": ".xlsx"})


@dataclass(frozen=True, slots=True)
class Kind:
    """What the first bytes of a file say it is.

    Args:
        extension: With its dot, lower case.
        content_type: As HTTP writes it.
        is_certain: False if the signature is so short that chance can produce it.
    """

    extension: str
    content_type: str
    is_certain: bool = True


def sniff(content: bytes) -> Kind | None:
    """Recognise a file by its content; None for text and for everything unknown.

    Give it the whole file where there is one: only then is a `.pptx` always told from a `.zip`.
    """
    import filetype

    head = content[:HEAD_BYTES]
    guess = filetype.guess(head) if head else None
    if guess is None:
        return _sniff_ourselves(head)
    extension = f".{guess.extension.lower()}"
    if extension == ".zip" and (entry := _OFFICE_ENTRY.search(content)):
        extension = _OFFICE[entry[1]]
        return Kind(extension, content_type_of(extension) or guess.mime)
    is_certain = extension not in _WEAK or head.startswith(_ID3)
    return Kind(extension, _CONTENT_TYPES.get(extension, guess.mime), is_certain)


def extension_of(content_type: str) -> str | None:
    """Return the extension for a content type, whose parameters do not matter; None if unknown."""
    essence = content_type.partition(";")[0].strip().lower()
    if essence in _EXTENSIONS:
        return _EXTENSIONS[essence]
    return _registry().guess_extension(essence, strict=False)


def content_type_of(extension: str) -> str | None:
    """Return the content type for an extension with its dot; None if unknown."""
    extension = extension.lower()
    if extension in _CONTENT_TYPES:
        return _CONTENT_TYPES[extension]
    return _registry().guess_type(f"x{extension}", strict=False)[0]


def is_result(extension: str) -> bool:
    """Tell whether files with this extension are what workers return, and not a page to read."""
    major = (content_type_of(extension) or "").partition("/")[0]
    return major in {"image", "audio", "video", "model"} or (
        _RESULT.fullmatch(extension) is not None
    )


def contradicts(extension: str, kind: Kind | None) -> bool:
    """Tell whether content of this kind cannot be a file with this extension.

    Only extensions whose files always carry a signature can be contradicted, and unknown content
    (`kind` is None) contradicts each of them.
    """
    family = _family(extension)
    return family is not None and (kind is None or kind.extension not in family)


def _family(extension: str) -> frozenset[str] | None:
    extension = extension.lower()
    return next((family for family in _FAMILIES if extension in family), None)


def _sniff_ourselves(head: bytes) -> Kind | None:
    for signature, extension, content_type in _OUR_SIGNATURES:
        if signature.match(head):
            return Kind(extension, content_type)
    return None


@cache
def _registry() -> mimetypes.MimeTypes:
    """Python's own table, without the files of this machine: the same names everywhere."""
    return mimetypes.MimeTypes()
