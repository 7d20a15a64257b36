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
    r"secret|passw(or)?d|passphrase|apikey|accesskey|privatekey|authorization|credential|bearer"
)
_RUNPOD_KEY = re.compile(r"rpa_[A-Za-z0-9]{16,}")
# Whoever has a presigned URL has the file, or the right to write it.
_SIGNED_QUERY = re.compile(
    r"(https?://[^\s?#\"']+)\?[^\s\"']*?(?:signature|sig|token)=[^\s\"']*", re.IGNORECASE
)


def masked_text(text: str) -> str:
    """Return a text with RunPod's API keys and the signatures of presigned URLs masked."""
    return _SIGNED_QUERY.sub(rf"\1?{MASK}", _RUNPOD_KEY.sub(MASK, text))


def masked(value: JsonValue, text: Callable[[str], JsonValue] = masked_text) -> JsonValue:
    """Return a value without secrets: those under keys that name one, and those in texts.

    Args:
        value: It stays as it is. What is nested more than 50 levels deep is left out.
        text: What becomes of a text.
    """
    return _masked(value, text, 0)


def _masked(value: JsonValue, text: Callable[[str], JsonValue], depth: int) -> JsonValue:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict | list) and depth == _DEEPEST:
        return "…"
    if isinstance(value, dict):
        return {
            masked_text(key): MASK if names_secret(key) and item else _masked(item, text, depth + 1)
            for key, item in value.items()
        }
    return [_masked(item, text, depth + 1) for item in value] if isinstance(value, list) else value


def names_secret(key: str) -> bool:
    """Tell a key such as `accessSecret` or `hf_token` from `max_tokens`."""
    words = key_words(key)
    return bool(words) and (
        _SECRET_KEY.search("".join(words)) is not None or words[-1] in {"token", "passwd"}
    )
