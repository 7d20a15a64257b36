"""What must not be written down: keys, passwords, signatures. Found by name and by form.

Knows how secrets look. What is done with the rest is the business of whoever writes it down.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runpodctl_py.jobs.naming import key_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from runpodctl_py.jsontypes import JsonValue

MASK = "***"
_DEEPEST = 50
_SECRET_KEY = re.compile(
    r"secret|passw(or)?d|passphrase|apikey|access(?:key|id)|privatekey|authorization|credential|bearer"
)
_SECRET_LAST_WORDS = frozenset({"token", "passwd", "pwd", "pass", "auth", "cookie", "cookies"})
# RunPod, Hugging Face, OpenAI and its likes, GitHub, AWS.
_KEY = re.compile(
    r"\b(?:rpa_[A-Za-z0-9]{16,}|hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}"
    r"|gh[a-z]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}|AKIA[A-Z0-9]{16,})"
)
# With a digit: "basic understanding" is none.
_HEADER = re.compile(
    r"\b(Bearer|Basic)\s+(?=[^\s0-9]{0,40}[0-9])[A-Za-z0-9._~+/=-]{12,}", re.IGNORECASE
)
_URL = re.compile(r"https?://[^\s\"'<>]+", re.IGNORECASE)
_USER = re.compile(r"(://)[^/?#@]*@")
# Whoever has a presigned URL has the file, or the right to write it.
_SECRET_IN_QUERY = ("sig", "token", "key", "secret", "passw", "credential", "auth")
_LONGEST_NAME = 100


def masked_text(text: str) -> str:
    """Return a text with API keys, and users, signatures and keys in URLs masked."""
    text = _HEADER.sub(rf"\1 {MASK}", _KEY.sub(MASK, text))
    return _URL.sub(lambda found: _masked_url(found[0]), text)


def masked(value: JsonValue, text: Callable[[str], JsonValue] = masked_text) -> JsonValue:
    """Return a value without secrets: those under keys that name one, and those in texts.

    Args:
        value: It stays as it is. What is nested more than 50 levels deep is left out.
        text: What becomes of a text.
    """
    return _masked(value, text, 0)


def names_secret(key: str) -> bool:
    """Tell a key such as `accessSecret` or `hf_token` from `max_tokens`."""
    words = key_words(key)
    return bool(words) and (
        _SECRET_KEY.search("".join(words)) is not None or words[-1] in _SECRET_LAST_WORDS
    )


def _masked(value: JsonValue, text: Callable[[str], JsonValue], depth: int) -> JsonValue:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict | list) and depth == _DEEPEST:
        return "…"
    if isinstance(value, dict):
        # A list of variables has their names as values.
        is_secret_pair = any(
            isinstance(name := value.get(key), str) and names_secret(name)
            for key in ("key", "name")
        )
        return {
            masked_text(key): MASK
            if item and (names_secret(key) or (is_secret_pair and key == "value"))
            else _masked(item, text, depth + 1)
            for key, item in value.items()
        }
    return [_masked(item, text, depth + 1) for item in value] if isinstance(value, list) else value


def _masked_url(url: str) -> str:
    head, mark, query = url.partition("?")
    head = _USER.sub(rf"\1{MASK}@", head, count=1)
    names = (pair.partition("=")[0][:_LONGEST_NAME].lower() for pair in query.split("&"))
    if any(word in name for name in names for word in _SECRET_IN_QUERY):
        return f"{head}?{MASK}"
    return f"{head}{mark}{query}"
