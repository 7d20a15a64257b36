"""File names that are safe on every file system, whoever proposed them.

Owns the rules for a name and where names come from: keys, URLs, `Content-Disposition`. Knows
nothing of folders: what is taken there is decided by `landing.py`.
"""

from __future__ import annotations

import email.message
import email.utils
import re
import unicodedata
from functools import lru_cache
from urllib.parse import unquote, urlsplit

MANIFEST_SUFFIX = ".job.json"
"""What the manifests' names end in; no saved file gets such a name."""

_MOST_CHARACTERS = 150
# What Linux and macOS take; Windows counts UTF-16 units, which are never more than these bytes.
_MOST_BYTES = 255
_LONGEST_EXTENSION = 16
_FORBIDDEN = frozenset('<>:"/\\|?*')
# Control, invisible and unassigned characters: they hide what a name is, or a disk refuses them.
_UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\.|$)", re.IGNORECASE
)
_MANIFEST_ENDING = re.compile(r"\.job(\.json)$", re.IGNORECASE)
# Most names: nothing has to be done for them, and a batch has thousands.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}(\.[A-Za-z0-9]{1,10})?", re.ASCII)
_WORD = re.compile(r"[A-Z]?[a-z]+[0-9]*|[A-Z0-9]+|[^\W_]+")
_SPACES = " \u00a0\u1680\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_ES_PLURALS = ("sses", "shes", "ches", "xes", "zes")


def safe_name(proposed: str, *, default: str = "output") -> str:
    """Turn any text into a file name that is safe here, on Windows and on macOS.

    The result is a single path component in NFC: not empty, not hidden, not one of Windows'
    device names, not a manifest's name, with at most 150 characters and 255 bytes in UTF-8.

    Args:
        proposed: What somebody called the file; only what follows the last separator counts.
        default: What to fall back on if nothing of that can be kept; itself a safe name.
    """
    if _PLAIN.fullmatch(proposed) and not _RESERVED.match(proposed):
        return proposed
    name = _clean(re.split(r"[/\\]", proposed.rstrip("/\\"))[-1]) or default
    if _RESERVED.match(name):
        name = f"_{name}"
    name = _fitted(*_split(name))
    # Last, because cutting a name can bring the two parts together.
    return _MANIFEST_ENDING.sub(r"-job\1", name)


def numbered(name: str, number: int) -> str:
    """Return the safe name to try after `number` others were taken: `a.png` becomes `a-1.png`."""
    stem, extension = _split(name)
    if stem.lower().endswith(".tar"):
        stem, extension = stem[:-4], f"{stem[-4:]}{extension}"
    return _fitted(stem, f"-{number}{extension}")


def with_extension(name: str, extension: str) -> str:
    """Return a safe name with another extension, given with its dot."""
    stem, _ = _split(name)
    return safe_name(f"{stem}{extension}")


def extension_in(name: str) -> str:
    """Return a name's extension with its dot, lower case, or an empty string."""
    return _split(name)[1].lower()


def collision_key(name: str) -> str:
    """Return what two names share if some file system takes them for the same file."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def name_in_url(url: str) -> str:
    """Return the last part of a URL's path, unquoted; empty if there is none."""
    try:
        return unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]
    except ValueError:
        return ""


def name_in_disposition(header: str) -> str | None:
    """Return the file name of a `Content-Disposition` header (RFC 6266), not made safe yet.

    `filename*` counts more than `filename`, whichever comes first. A header that cannot be read
    names nothing.
    """
    # The email package lets odd numbering (TypeError) and odd encodings (ValueError) through.
    try:
        return _filename_parameter(header)
    except (TypeError, ValueError):
        return None


def _filename_parameter(header: str) -> str | None:
    message = email.message.Message()
    message["Content-Disposition"] = re.sub(r"[\r\n]+", " ", header)
    names = [
        value
        for key, value in message.get_params([], header="Content-Disposition")
        if key.lower() == "filename"
    ]
    # The extended form arrives as (charset, language, value).
    names.sort(key=lambda value: not isinstance(value, tuple))
    return email.utils.collapse_rfc2231_value(names[0]) or None if names else None


@lru_cache(maxsize=256)
def key_words(key: str) -> tuple[str, ...]:
    """Split a JSON key into lower-case words: `audioBase64` and `audio_base64` read the same."""
    return tuple(word.lower() for word in _WORD.findall(key[:_MOST_CHARACTERS]))


def singular(word: str) -> str:
    """Return the name of one of many: `images` becomes `image`, `glass` stays."""
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    if word.endswith(_ES_PLURALS):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _clean(text: str) -> str:
    kept = "".join(
        character
        for character in unicodedata.normalize("NFC", text)
        if character not in _FORBIDDEN and unicodedata.category(character) not in _UNSEEN_CATEGORIES
    )
    # A leading dash would be read as an option; removing characters can let others combine.
    return unicodedata.normalize("NFC", kept).lstrip(f".-{_SPACES}").rstrip(f".{_SPACES}")


def _split(name: str) -> tuple[str, str]:
    """Split off the extension; a very long one is none."""
    dot = name.rfind(".")
    is_extension = 0 < dot < len(name) - 1 and len(name) - dot <= _LONGEST_EXTENSION
    return (name[:dot], name[dot:]) if is_extension else (name, "")


def _fitted(stem: str, ending: str) -> str:
    stem = stem[: _MOST_CHARACTERS - len(ending)]
    room = _MOST_BYTES - len(ending.encode())
    stem = stem.encode()[:room].decode(errors="ignore")
    return f"{stem.rstrip(f'.{_SPACES}')}{ending}"
