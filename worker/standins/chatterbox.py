"""The stand-in for `worker-chatterbox`: the real family, with a model that hums.

Owns the seam only. Reading jobs, cutting texts, finding voices, writing files and handing them over
is the family's own code; how humming sounds is `hum`'s matter.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from worker.errors import InvalidInputError
from worker.progress import find_report
from worker.service import ModelHandler
from worker.standins.hum import SAMPLE_RATE, Hum, Voice
from worker.tasks.chatterbox import read_variant, voice_folders
from worker.tasks.chatterbox.sources import Variant
from worker.tasks.chatterbox.speech import Chatterbox
from worker.tasks.chatterbox.voices import Voices

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from worker.standins import Config
    from worker.tasks.chatterbox.audio import Samples
    from worker.tasks.chatterbox.voices import Recording
    from worker.tasks.chatterbox.wanted import Wanted

_OWN_VOICES = {Variant.ENGLISH: "english", Variant.MULTILINGUAL: "many", Variant.TURBO: "turbo"}
_TURBO_SHORTEST_S = 5.0


def create(environ: Mapping[str, str]) -> Config:
    """Return the handler.

    Raises:
        SettingError: `CHATTERBOX_MODEL` or `WORKER_RESULT_LIMIT_MB` is wrong.
    """
    family = Chatterbox(Hummers(), Voices(voice_folders(environ)), read_variant(environ))
    return {"handler": ModelHandler(family, find_report(environ), environ)}


class Hummers:
    """The models; there is nothing to load."""

    def load(self, variant: Variant) -> None:
        """Do nothing: every variant is there."""

    @contextmanager
    def session(self, wanted: Wanted, recording: Recording | None) -> Iterator[Hummer]:
        """Let one hum as a job wants it.

        Args:
            wanted: What the job asks for.
            recording: Whose voice; None for the variant's own.

        Raises:
            InvalidInputError: The recording is too short for the variant.
        """
        yield Hummer(wanted, _voice_of(wanted.variant, recording))


class Hummer:
    """Hums as one job wants it.

    Args:
        wanted: What the job asks for.
        voice: Its pitch and pace.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, wanted: Wanted, voice: Voice) -> None:
        manner = wanted.manner
        self._hum = Hum(
            voice,
            seed=wanted.seed,
            liveliness=manner.exaggeration,
            variation=manner.temperature,
            calm=manner.cfg_weight,
        )

    def say(self, text: str) -> Samples:
        """Return one piece, hummed."""
        return self._hum.phrase(text)


def _voice_of(variant: Variant, recording: Recording | None) -> Voice:
    if recording is None:
        return Voice.named(_OWN_VOICES[variant])
    # As the model does: it asserts as much.
    if variant is Variant.TURBO and recording.duration_s <= _TURBO_SHORTEST_S:
        raise InvalidInputError(
            f"voice is {recording.duration_s:.1f} s long; variant turbo needs more than 5 s"
        )
    return Voice.named(recording.digest)
