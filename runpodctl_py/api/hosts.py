"""Which hosts are this machine, and what a client that cannot be built means."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runpodctl_py.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    _Client = TypeVar("_Client")

#: What httpx raises for a proxy without its library, a malformed one, and a missing certificate.
UNUSABLE_SURROUNDINGS = (ImportError, ValueError, OSError)


def is_this_machine(url: str) -> bool:
    """Whether a URL leads nowhere else: no proxy may see such a request, or its token."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def has_no_certificate(url: str) -> bool:
    """Whether a URL is plain HTTP to this machine: loading certificates takes 0.1 s for nothing."""
    return is_this_machine(url) and urlsplit(url).scheme == "http"


def built(build: Callable[[], _Client]) -> _Client:
    """Build an HTTP client, which reads proxies and certificates from the environment.

    Raises:
        UsageError: They cannot be used.
    """
    try:
        return build()
    except UNUSABLE_SURROUNDINGS as exc:
        raise unusable(exc) from exc


def unusable(exc: Exception) -> UsageError:
    """Return what to say of surroundings that no client can be built in."""
    return UsageError(
        f"The environment's proxy or certificate settings cannot be used: {exc}",
        hint="Look at HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR.",
    )
