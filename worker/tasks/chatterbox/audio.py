"""Joins what was spoken piece by piece, and writes it as a file.

Owns the pauses and fades between pieces, and the formats. Samples are float32 from -1 to 1, mono.
"""

from __future__ import annotations

import io
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Samples: TypeAlias = npt.NDArray[np.float32]

PAUSE_S = 0.2
"""Silence between two pieces: about a breath between sentences."""
FADE_S = 0.01
"""A piece begins and ends in silence within this time; a cut elsewhere is heard as a click."""

FORMATS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"wav": ("WAV", "audio/wav"), "flac": ("FLAC", "audio/flac"), "ogg": ("OGG", "audio/ogg")}
)
"""Each format's name in libsndfile and its MIME type."""
_SUBTYPES = MappingProxyType({"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS"})


def join(pieces: Sequence[Samples], sample_rate: int) -> Samples:
    """Return the pieces one after the other, with a pause between them and without a click.

    Args:
        pieces: Each of them mono.
        sample_rate: Of all of them, in hertz.
    """
    pause = np.zeros(round(PAUSE_S * sample_rate), np.float32)
    joined: list[Samples] = []
    for piece in pieces:
        joined += [pause, _faded(piece, round(FADE_S * sample_rate))]
    return np.concatenate(joined[1:]) if joined else pause[:0]


def encode(samples: Samples, sample_rate: int, audio_format: str) -> bytes:
    """Return an audio file: PCM-16 in WAV or FLAC, or Ogg Vorbis.

    Args:
        samples: What is beyond full scale is cut off there.
        sample_rate: In hertz.
        audio_format: One of `FORMATS`.
    """
    import soundfile

    name, _ = FORMATS[audio_format]
    file = io.BytesIO()
    settings: dict[str, Any] = {"subtype": _SUBTYPES[audio_format], "format": name}
    with soundfile.SoundFile(file, "w", sample_rate, channels=1, **settings) as sound:
        # libsndfile's Vorbis overflows its stack when it is given minutes in one call.
        for start in range(0, len(samples), sample_rate):
            sound.write(np.clip(samples[start : start + sample_rate], -1.0, 1.0))
    return file.getvalue()


def _faded(piece: Samples, length: int) -> Samples:
    length = min(length, len(piece) // 2)
    faded = np.array(piece, np.float32)
    if length:
        ramp = np.linspace(0.0, 1.0, length, dtype=np.float32)
        faded[:length] *= ramp
        faded[-length:] *= ramp[::-1]
    return faded
