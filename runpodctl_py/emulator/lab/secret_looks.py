"""Which texts are secret by their looks, whatever they are called: keys, and what URLs carry.

Knows forms only. By which names something is secret, `secret_names.py` knows.
"""

from __future__ import annotations

import re

from runpodctl_py.emulator.lab.secret_names import REMOVED, is_secret_name

SHORTEST = 8
"""What is shorter is no key; taken out everywhere, it would tear words apart."""

# Bounded where they could begin anywhere: texts may be megabytes without a space.
_KEYS = re.compile(
    r"\b(?:rpa_[A-Za-z0-9_]{16,}|hf_[A-Za-z0-9]{20,}|gh[opsru]_[A-Za-z0-9]{20,}"
    r"|github_pat_[A-Za-z0-9_]{20,}|sk-(?=[A-Za-z_-]{0,60}[0-9])[A-Za-z0-9_-]{20,})"
)
_BEGINNINGS_OF_KEYS = ("rpa_", "hf_", "gho_", "ghp_", "ghs_", "ghr_", "ghu_", "github_", "sk-")
_BEARER = re.compile(r"\b(Bearer\s+)[A-Za-z0-9._~+/=-]{8,}")
_URL = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s\"'<>\\]+")
_USER = re.compile(r"(?<=://)[^/?#@]{0,2000}:[^/?#]{0,2000}@")
_PARAMETER = re.compile(r"(?<=[?&#])([^=&#?]+)=[^&#]*")


def without_keys(text: str) -> str:
    """Returns a text without what looks like a key of somebody's, or follows `Bearer`."""
    if any(each in text for each in _BEGINNINGS_OF_KEYS):
        text = _KEYS.sub(REMOVED, text)
    return _BEARER.sub(rf"\g<1>{REMOVED}", text) if "Bearer" in text else text


def without_credentials(text: str) -> str:
    """Returns a text whose URLs have no user and password, and no secret in their queries."""
    return _URL.sub(_without_user, text)


def looks_like_a_secret(text: str) -> bool:
    """Returns whether a text may be taken out wherever it stands: it is long, and no words."""
    is_word = not any(map(str.isalpha, text)) or not any(map(str.isdigit, text))
    return len(text) >= SHORTEST and not is_word and not any(map(str.isspace, text))


def _without_user(match: re.Match[str]) -> str:
    """Returns a URL without user and password, and without what looks secret in its query."""
    url = _USER.sub(f"{REMOVED}@", match[0])
    return _PARAMETER.sub(_without_parameter, url)


def _without_parameter(match: re.Match[str]) -> str:
    return f"{match[1]}={REMOVED}" if is_secret_name(match[1]) else match[0]
