"""Finds the recording that a job's voice means, and makes sure that it can be imitated.

Owns where named voices lie, what a name looks like, and which recordings will do. What the model
makes of a recording is the engine's matter.
"""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worker.errors import InvalidInputError
from worker.media import read_media

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.tasks.chatterbox.audio import Samples

IMAGE_VOICES = Path("/voices")
VOLUME_VOICES = Path("/runpod-volume/voices")
"""Where voices lie that jobs name: in the image, or on the endpoint's network volume."""
MOST_BYTES = 20 * 1024 * 1024
HEARD_S = 15.0
"""How much of a recording any of the models listens to (workers reference A, voice cloning)."""
SHORTEST_S = 1.0
_SUFFIXES = (".wav", ".mp3", ".flac", ".ogg")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _-]{0,63}")
# A telephone's, and a studio's; a header may claim anything, and its seconds are read.
_LOWEST_RATE, _HIGHEST_RATE = 8000, 192_000
_MOST_CHANNELS = 8
# About -60 dB: what is quieter is no voice, and the model's own trimming leaves nothing of it.
_SILENCE = 0.001


@dataclass(frozen=True)
class Recording:
    """The beginning of somebody's speech.

    Attributes:
        digest: Tells recordings apart.
        samples: Mono.
        sample_rate: In hertz.
    """

    digest: str
    samples: Samples = field(repr=False)
    sample_rate: int

    @property
    def duration_s(self) -> float:
        """How long it is, in seconds; longer recordings are cut at `HEARD_S`."""
        return len(self.samples) / self.sample_rate

    def write_wav(self, path: Path) -> None:
        """Write it as a WAV file, without loss.

        Raises:
            OSError: It cannot be written.
        """
        import soundfile

        soundfile.write(path, self.samples, self.sample_rate, format="WAV", subtype="FLOAT")


class Voices:
    """The voices that jobs may ask for.

    Args:
        folders: Where named voices lie; the first that has a name wins.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    def find(self, voice: str) -> Recording:
        """Return the recording that a job's `voice` means; blocks while it is downloaded.

        Args:
            voice: A name, a URL, a data URI or base64.

        Raises:
            InvalidInputError: There is no such voice, or it is no recording that will do.
            ProcessingError: The link's host did not give it.
        """
        if _NAME.fullmatch(name := voice.removesuffix(Path(voice).suffix)):
            return read_recording(self._named(name), f"voice {name}")
        return read_recording(read_media(voice, "voice", most_bytes=MOST_BYTES), "voice")

    def names(self) -> list[str]:
        """Return the names that there are, in alphabetical order."""
        files = (file for folder in self._folders if folder.is_dir() for file in folder.iterdir())
        return sorted({file.stem for file in files if file.suffix.lower() in _SUFFIXES})

    def _named(self, name: str) -> bytes:
        for folder in self._folders:
            for suffix in _SUFFIXES:
                if (file := folder / f"{name}{suffix}").is_file():
                    return file.read_bytes()
        known = ", ".join(self.names()) or "none"
        raise InvalidInputError(f"there is no voice {name}; this worker has: {known}")


def read_recording(content: bytes, name: str) -> Recording:
    """Return what a model hears of an audio file.

    Args:
        content: The file.
        name: What messages call it.

    Raises:
        InvalidInputError: It is no audio file that can be read, too short, or silent.
    """
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(content)) as sound:
            sample_rate = int(sound.samplerate)
            if not _LOWEST_RATE <= sample_rate <= _HIGHEST_RATE:
                raise InvalidInputError(f"{name} has {sample_rate} samples a second")
            if sound.channels > _MOST_CHANNELS:
                raise InvalidInputError(f"{name} has {sound.channels} channels")
            channels = sound.read(round(HEARD_S * sample_rate), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise InvalidInputError(
            f"{name} is no audio file that can be read: WAV, MP3, FLAC or OGG will do"
        ) from error
    samples = channels.mean(axis=1).astype(np.float32)
    if not np.isfinite(samples).all():
        raise InvalidInputError(f"{name} has samples that are no numbers")
    recording = Recording(hashlib.sha256(content).hexdigest(), samples, sample_rate)
    if recording.duration_s < SHORTEST_S:
        raise InvalidInputError(
            f"{name} is {recording.duration_s:.1f} s long; it takes {SHORTEST_S:.0f} s at least, "
            "and sounds better by 5 s or more"
        )
    if float(np.abs(samples).max()) < _SILENCE:
        raise InvalidInputError(f"{name} is silent for its first {HEARD_S:.0f} s")
    return recording
