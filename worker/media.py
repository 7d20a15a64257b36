"""Gets a file that came with a job: as base64, as a data URI, or as a link to it.

Owns the forms, the limits of size and time, and whom the worker may ask: public hosts over http(s)
only, or a job could read what only this machine should (the SDK's `rp_ssrf` pins each connection to
an address that it has checked). What the file is, is its reader's matter.
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from worker.errors import InvalidInputError, ProcessingError

_CONNECT_LIMIT_S = 15
_WHOLE_LIMIT_S = 120.0
"""From the first byte to the last; a worker is paid for, and others wait for it."""
_CHUNK_BYTES = 65536
_MB = 1024 * 1024
_DATA_URI = re.compile(r"data:(?P<head>[^,]*),(?P<body>.*)", re.DOTALL | re.IGNORECASE)
_BLANKS = re.compile(r"\s+")


def is_link(text: str) -> bool:
    """Tell whether a text names a file by a scheme, rather than containing it."""
    return bool(re.match(r"\s*[a-zA-Z][a-zA-Z0-9+.-]*://", text))


def read_media(text: str, name: str, *, most_bytes: int, limit_s: float = _WHOLE_LIMIT_S) -> bytes:
    """Return the file behind a field's text; blocks while it is downloaded.

    Args:
        text: Base64, a data URI, or an http(s) URL.
        name: The field, for messages.
        most_bytes: How large the file may be.
        limit_s: How long a download may take.

    Raises:
        InvalidInputError: It is none of these, it is empty or too large, or the worker may not ask
            that host.
        ProcessingError: The link's host did not give the file.
    """
    if is_link(text):
        content = _download(text.strip(), name, most_bytes, limit_s)
    elif (uri := _DATA_URI.fullmatch(text.strip())) is not None:
        content = _from_data_uri(uri["head"], uri["body"], name, most_bytes)
    else:
        content = _from_base64(text, name, most_bytes)
    if not content:
        raise InvalidInputError(f"{name} is an empty file")
    if len(content) > most_bytes:
        raise _too_large(name, most_bytes)
    return content


def _from_data_uri(head: str, body: str, name: str, most_bytes: int) -> bytes:
    if head.lower().endswith(";base64"):
        return _from_base64(unquote_to_bytes(body).decode("ascii", "replace"), name, most_bytes)
    return unquote_to_bytes(body)


def _from_base64(text: str, name: str, most_bytes: int) -> bytes:
    if len(text) > most_bytes * 2:
        raise _too_large(name, most_bytes)
    # The URL-safe alphabet and missing padding are common, and mean the same.
    packed = _BLANKS.sub("", text).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInputError(
            f"{name} must be a URL, a data URI or base64; this is none of them"
        ) from error


def _download(url: str, name: str, most_bytes: int, limit_s: float) -> bytes:
    from requests import RequestException
    from runpod.serverless.utils.rp_ssrf import SSRFError, safe_get
    from urllib3.exceptions import HTTPError

    host = _host_of(url, name)
    try:
        with safe_get(url, timeout=_CONNECT_LIMIT_S, max_bytes=most_bytes) as response:
            if not response.ok:
                raise ProcessingError(f"{name}: {host} answered {response.status_code}")
            return _received(response.raw, name, host, most_bytes, limit_s)
    except SSRFError as error:
        raise _refusal(error, name, host, most_bytes) from error
    # A wrong address (LocationParseError) comes as ValueError, and a URL may carry a signature.
    except (RequestException, HTTPError, OSError, ValueError) as error:
        raise ProcessingError(
            f"{name} could not be downloaded from {host}: {type(error).__name__}"
        ) from error


def _received(raw: Any, name: str, host: str, most_bytes: int, limit_s: float) -> bytes:
    deadline_s = time.monotonic() + limit_s
    content = bytearray()
    # What has come, as it comes: a host that drips would hold a reader of whole chunks.
    while chunk := raw.read1(_CHUNK_BYTES, decode_content=True):
        content += chunk
        if len(content) > most_bytes:
            raise _too_large(name, most_bytes)
        if time.monotonic() > deadline_s:
            raise ProcessingError(f"{name}: {host} took longer than {limit_s:.0f} s")
    return bytes(content)


def _host_of(url: str, name: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https"}:
        raise InvalidInputError(f"{name} must begin with http:// or https:// and name a host")
    return host.encode("ascii", "backslashreplace").decode()


def _refusal(error: Exception, name: str, host: str, most_bytes: int) -> Exception:
    """Return what the SDK's refusal means; its own text quotes the URL, which may be signed."""
    text = str(error)
    if text.startswith("download exceeds size cap"):
        return _too_large(name, most_bytes)
    if text.startswith("could not resolve host"):
        return ProcessingError(f"{name}: there is no host {host}")
    if text.startswith(("exceeded maximum redirects", "redirect without Location")):
        return ProcessingError(f"{name}: {host} redirects to nowhere")
    if text.startswith("blocked URL scheme"):
        return InvalidInputError(f"{name}: {host} redirects to what is no web address")
    return InvalidInputError(
        f"{name}: {host} is no public host that can be asked directly; the endpoint's variable "
        "RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS=true would allow it"
    )


def _too_large(name: str, most_bytes: int) -> InvalidInputError:
    return InvalidInputError(f"{name} is larger than {most_bytes // _MB} MB")
