"""Which names mean that what they name is secret: of variables, of JSON fields, of parameters.

Knows names only. Taking values out is the business of `removal.py` and `removal_graphql.py`.
"""

from __future__ import annotations

import re

REMOVED = "(removed)"
"""What stands in the place of a secret."""

_SECRET_PARTS = re.compile(
    r"TOKEN|KEY|SECRET|PASS|PWD|CREDENTIAL|AUTH|SIGNATURE|PRIVATE|COOKIE|(?:^|[_-])(?:PAT|SIG|DSN)$",
    re.IGNORECASE,
)
"""Generous: of a variable that is taken out for nothing, only its value is not seen."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
_LAST_WORDS = frozenset(
    {
        *("password", "passwd", "passphrase", "secret", "token", "credential", "credentials"),
        *("authorization", "cookie", "signature", "apikey", "accesskey", "secretkey"),
        *("pwd", "pass"),
    }
)
_KINDS_OF_KEY = frozenset({"api", "access", "secret", "private", "auth", "signing", "encryption"})
_WHOLE_NAMES = (["access", "id"], ["access", "key", "id"], ["auth"])
"""Who asks, in the credentials of S3 (API reference 4.2); a `registryAuth` is no secret itself."""


def is_secret_name(name: str) -> bool:
    """Returns whether a variable, an option or a parameter of this name may hold a secret."""
    return _SECRET_PARTS.search(name) is not None


def is_secret_field(name: str) -> bool:
    """Returns whether a JSON field of this name holds a secret: `apiKey`, `hf_token`, `password`.

    Stricter than for variables, because fields are many things: `author`, `max_tokens`, `key`.
    """
    words = [word.lower() for word in _WORD.findall(name)]
    if not words:
        return False
    if words[-1] == "key":
        return not _KINDS_OF_KEY.isdisjoint(words[:-1])
    return words[-1] in _LAST_WORDS or words in _WHOLE_NAMES


def is_environment(name: str) -> bool:
    """Returns whether a field holds environment variables."""
    plain = name.replace("_", "").lower()
    return plain in {"env", "envs", "envvars", "environment", "environmentvariables"}


def is_webhook(name: str) -> bool:
    """Returns whether a field holds the URL of a webhook (API reference 4.2)."""
    return name.lower().replace("_", "").startswith("webhook")


def is_command(name: str) -> bool:
    """Returns whether a field holds words of a command line."""
    plain = name.replace("_", "").lower().removeprefix("docker")
    return plain in {"args", "cmd", "command", "entrypoint", "startcmd", "startscript"}


def is_secret_option(word: object) -> bool:
    """Returns whether the next word of a command line may be a secret."""
    return isinstance(word, str) and word.startswith("-") and is_secret_name(word)
