"""From the text in a worker's output to bytes: base64 in all its spellings, data URIs, PCM.

Owns how a file can be written as text. Whether a string is a file is decided by `outputs.py`.
"""

from __future__ import annotations

import binascii
import io
import re
import wave
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Possessive, so that 20 MB that fail at the last character are not tried again from each earlier
# one: the time stays linear.
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\r\n\t ]*+(?:=[\r\n\t ]*+){0,2}+")
_BASE64_START = re.compile(r"\s{0,8}+[A-Za-z0-9+/_-]{16}")
_HEAD_CHARACTERS = 8192
_PADDED = 4
_DATA_URI = re.compile(
    r"data:([\w.+-]{1,60}/[\w.+-]{1,100})?((?:;[^,;]{1,100}){0,8}),", re.IGNORECASE
)
_PCM = re.compile(r"pcm_?(?P<sign>[suf])?_?(?P<bits>8|16|24|32)?(?:[lb]e)?$", re.IGNORECASE)
DEFAULT_RATE_HZ = 24_000
"""What samples without a declared rate are taken for: the rate of Chatterbox and of most voices."""

_HIGHEST_RATE_HZ = 768_000
# Where a WAV file's chunks begin, and how many bytes name each and its length.
_FIRST_CHUNK = 12
_CHUNK_HEAD = 8


@dataclass(frozen=True, slots=True)
class DataUri:
    """A `data:` URI taken apart (RFC 2397).

    Args:
        content: Its bytes; None if they cannot be decoded.
        content_type: As it declares it, if it does.
    """

    content: bytes | None
    content_type: str | None


@dataclass(frozen=True, slots=True)
class Pcm:
    """How raw samples are to be read.

    Args:
        sample_rate_hz: Samples a second.
        channels: 1 for mono.
        sample_bytes: Bytes a sample, little-endian; signed if more than one.
    """

    sample_rate_hz: int
    channels: int
    sample_bytes: int

    @classmethod
    def usual(cls, sample_rate_hz: int | None) -> Self:
        """Return what samples are that nobody describes: mono, 16 bits."""
        return cls(sample_rate_hz or DEFAULT_RATE_HZ, 1, 2)


def may_begin_base64(text: str) -> bool:
    """Tell from its first characters, very cheaply, whether a text may be base64 of any length."""
    return _BASE64_START.match(text) is not None


def base64_head(text: str) -> bytes:
    """Decode the first few kilobytes of a text, to see what it is; empty if it is no base64."""
    head = text[:_HEAD_CHARACTERS]
    if len(head) < len(text):
        head = "".join(head.split())
        head = head[: len(head) // _PADDED * _PADDED]
    return decode_base64(head) or b""


def decode_base64(text: str) -> bytes | None:
    """Decode base64: standard or URL-safe, wrapped or not, padded or not; None if it is none."""
    if not _BASE64.fullmatch(text):
        return None
    if "-" in text or "_" in text:
        text = text.replace("-", "+").replace("_", "/")
    spaces = sum(text.count(space) for space in " \t\r\n")
    padding = text.count("=")
    digits = len(text) - spaces - padding
    if digits % _PADDED == 1:
        return None
    return binascii.a2b_base64(text + "=" * max(-digits % _PADDED - padding, 0))


def read_data_uri(text: str) -> DataUri | None:
    """Decode a text that is a `data:` URI as a whole; None if it is something else.

    A URI without a content type and without base64 is taken for text that happens to begin so.
    """
    match = _DATA_URI.match(text)
    if match is None:
        return None
    parameters = match[2].lower().split(";")
    is_base64 = "base64" in parameters
    if not match[1] and not is_base64:
        return None
    payload = text[match.end() :]
    content = (
        decode_base64(payload) if is_base64 else unquote_to_bytes(payload.encode(errors="replace"))
    )
    return DataUri(content, match[1].lower() if match[1] else None)


def sample_bytes(declared_format: str) -> int | None:
    """Return the bytes a sample of a declared PCM format; None for anything a WAV cannot hold."""
    match = _PCM.match(declared_format)
    if match is None or match["sign"] in {"f", "F"}:
        return None
    return int(match["bits"] or 16) // 8


def sample_rate(declared: object) -> int | None:
    """Return a declared sample rate in Hz if it can be one."""
    if isinstance(declared, bool) or not isinstance(declared, int | float):
        return None
    return int(declared) if 1 <= declared <= _HIGHEST_RATE_HZ else None


def wav_of(chunks: Iterable[bytes], pcm: Pcm) -> bytes:
    """Join raw samples and put a WAV header before them."""
    joined = io.BytesIO()
    with wave.open(joined, "wb") as file:
        file.setnchannels(pcm.channels)
        file.setsampwidth(pcm.sample_bytes)
        file.setframerate(pcm.sample_rate_hz)
        for chunk in chunks:
            file.writeframesraw(chunk)
    return joined.getvalue()


def joined(chunks: Sequence[bytes], pcm: Pcm | None) -> bytes:
    """Join the chunks of a stream of sound to one file.

    Args:
        chunks: At least one.
        pcm: How to read them if they are raw samples; None for the parts of a file, or for files.
    """
    if pcm is not None:
        return wav_of(chunks, pcm)
    if all(map(_is_wav, chunks)):
        return _joined_wavs(chunks) or b"".join(chunks)
    whole = b"".join(chunks)
    return _with_its_length(whole) if _is_wav(whole) else whole


def _is_wav(content: bytes) -> bool:
    return content[:4] == b"RIFF" and content[8:12] == b"WAVE"


def _joined_wavs(files: Sequence[bytes]) -> bytes | None:
    """Join WAV files by their samples; None if they are not of one kind, or of an odd one."""
    kinds, samples = set(), []
    try:
        for content in files:
            with wave.open(io.BytesIO(_with_its_length(content))) as file:
                kinds.add(Pcm(file.getframerate(), file.getnchannels(), file.getsampwidth()))
                samples.append(file.readframes(file.getnframes()))
    except (wave.Error, EOFError):
        return None
    return wav_of(samples, kinds.pop()) if len(kinds) == 1 else None


def _with_its_length(wav: bytes) -> bytes:
    """Return a WAV file whose header does not claim more than there is.

    Who streams one writes its header before the end is known.
    """
    place = _FIRST_CHUNK
    while place + _CHUNK_HEAD <= len(wav):
        name, length = wav[place : place + 4], int.from_bytes(wav[place + 4 : place + 8], "little")
        there = len(wav) - place - _CHUNK_HEAD
        if name == b"data" and (length == 0 or length > there):
            sizes = (len(wav) - _CHUNK_HEAD).to_bytes(4, "little"), there.to_bytes(4, "little")
            head = wav[:4] + sizes[0] + wav[8 : place + 4] + sizes[1]
            return head + wav[place + _CHUNK_HEAD :]
        if name == b"data":
            break
        place += _CHUNK_HEAD + length + length % 2
    return wav
