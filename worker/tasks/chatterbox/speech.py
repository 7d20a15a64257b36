"""From what a job asks for to an audio file: pieces, progress, one after the other.

Owns the way through a text and the form of the answer; the parts know the rest.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Protocol

from worker.delivery import FinishedFile
from worker.errors import ProcessingError
from worker.tasks.chatterbox.audio import FORMATS, encode, join
from worker.tasks.chatterbox.engine import LONGEST_SPEECH_S
from worker.tasks.chatterbox.sentences import split_text
from worker.tasks.chatterbox.wanted import Wanted
from worker.validation import describe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from worker.delivery import Handover
    from worker.progress import Progress
    from worker.tasks.chatterbox.audio import Samples
    from worker.tasks.chatterbox.sources import Variant
    from worker.tasks.chatterbox.voices import Recording, Voices

# Some of the last tokens are signs, and no sound.
_DROPPED_S = 1.0
_SHORTEST_PIECE = 20
"""Characters; if so few take 40 s, the model lost its way, and parting them does not help."""


class Speaking(Protocol):
    """A model that speaks as one job wants it."""

    sample_rate: int

    def say(self, text: str) -> Samples:
        """Return the speech of one piece, mono."""


class Models(Protocol):
    """What loads models and lets them speak."""

    def load(self, variant: Variant) -> None:
        """Load a variant unless it is loaded."""

    def session(
        self, wanted: Wanted, recording: Recording | None
    ) -> AbstractContextManager[Speaking]:
        """Let a model speak as one job wants it."""


class Chatterbox:
    """The family `chatterbox`.

    Args:
        models: Where speech comes from.
        voices: Whose voices there are.
        variant: Which model is loaded before the first job, and speaks unless a job names another.
    """

    def __init__(self, models: Models, voices: Voices, variant: Variant) -> None:
        self._models = models
        self._voices = voices
        self._variant = variant

    def load(self) -> None:
        """Load the worker's own variant.

        Raises:
            SettingError: There is no card, or the weights are nowhere.
        """
        self._models.load(self._variant)

    def parse(self, job: Mapping[str, Any]) -> Wanted:
        """Read a job's input.

        Raises:
            InvalidInputError: It breaks the schema.
        """
        return Wanted.parse(job, self._variant)

    def work(self, wanted: Wanted, progress: Progress, handover: Handover) -> dict[str, Any]:
        """Speak a text and return the documented output.

        Raises:
            InvalidInputError: The voice will not do.
            ProcessingError: The model found no end, or a file could not be fetched or handed over.
            ResourceError: The file is too large for an answer.
        """
        recording = self._voices.find(wanted.voice) if wanted.voice else None
        with self._models.session(wanted, recording) as speaker:
            spoken = _speak(wanted.text, speaker, progress)
            samples = join(spoken, speaker.sample_rate)
            data = encode(samples, speaker.sample_rate, wanted.audio_format)
        duration_s = len(samples) / speaker.sample_rate
        file = _file(data, wanted.audio_format, f"{duration_s:.1f} s of speech")
        (content,) = handover.hand_over([file], advice="ask for format ogg, or send a shorter text")
        return {
            content.key("audio"): content.text,
            "sample_rate": speaker.sample_rate,
            "duration_s": round(duration_s, 3),
            "format": wanted.audio_format,
            "filename": file.filename,
            "content_type": file.content_type,
            "seed": wanted.seed,
        }


def _speak(text: str, speaker: Speaking, progress: Progress) -> list[Samples]:
    waiting = split_text(text)
    spoken: list[Samples] = []
    while waiting:
        progress.check()
        piece = waiting.pop(0)
        samples = speaker.say(piece)
        if len(samples) > (LONGEST_SPEECH_S - _DROPPED_S) * speaker.sample_rate:
            # Its end was cut off without a word.
            waiting = [*_halves(piece), *waiting]
            continue
        spoken.append(samples)
        total = len(spoken) + len(waiting)
        progress.tell(f"Spoke piece {len(spoken)} of {total}", len(spoken), total)
    return spoken


def _halves(piece: str) -> list[str]:
    if len(piece) <= _SHORTEST_PIECE:
        raise ProcessingError(
            f"the model found no end of {describe(piece)} within {LONGEST_SPEECH_S:.0f} s: "
            "another seed or a lower temperature may help"
        )
    return split_text(piece, len(piece) // 2 + 1)


def _file(data: bytes, audio_format: str, preview: str) -> FinishedFile:
    name = hashlib.sha256(data).hexdigest()[:8]
    return FinishedFile(f"speech_{name}.{audio_format}", FORMATS[audio_format][1], data, preview)
