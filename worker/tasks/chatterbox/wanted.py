"""What a job asks Chatterbox for: its fields, their limits, and which of them a variant heeds.

Ranges are those of upstream's own apps, defaults are upstream's (workers reference A).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.errors import InvalidInputError
from worker.tasks.chatterbox.audio import FORMATS
from worker.tasks.chatterbox.sources import Variant
from worker.validation import (
    describe,
    read_choice,
    read_number,
    read_object,
    read_seed,
    read_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

LANGUAGES = (
    *("ar", "da", "de", "el", "en", "es", "fi", "fr", "he", "hi", "it", "ja", "ko", "ms", "nl"),
    *("no", "pl", "pt", "ru", "sv", "sw", "tr", "zh"),
)
"""What the multilingual model speaks; a test compares it with the library's own list."""
LONGEST_TEXT = 20_000
"""About 25 minutes of speech; RunPod ends a job after ten minutes by default."""
_SMALLEST_CFG_WEIGHT = 1e-6
"""Instead of 0, at which the English model fails on a tensor's shape (workers reference 0.3)."""


@dataclass(frozen=True)
class Manner:
    """How something is said.

    Attributes:
        exaggeration: How expressive; 0.5 is neutral.
        cfg_weight: How closely the voice's pace is kept.
        temperature: How much it varies.
        min_p: Drops what is less likely than this share of the likeliest.
        top_p: Keeps the likeliest up to this probability.
        repetition_penalty: How much repetitions are avoided.
    """

    exaggeration: float
    cfg_weight: float
    temperature: float
    min_p: float
    top_p: float
    repetition_penalty: float

    @classmethod
    def parse(cls, fields: Mapping[str, Any], variant: Variant) -> Manner:
        """Read the fields that say how; what is missing is as upstream has it for the variant.

        Raises:
            InvalidInputError: A number is none, or out of range.
        """
        is_turbo = variant is Variant.TURBO
        penalty = 2.0 if variant is Variant.MULTILINGUAL else 1.2
        cfg_weight = read_number(fields, "cfg_weight", low=0, high=1, default=0.5)
        return cls(
            exaggeration=read_number(fields, "exaggeration", low=0.25, high=2, default=0.5),
            cfg_weight=max(cfg_weight, _SMALLEST_CFG_WEIGHT),
            temperature=read_number(fields, "temperature", low=0.05, high=5, default=0.8),
            min_p=read_number(fields, "min_p", low=0, high=1, default=0.05),
            top_p=read_number(fields, "top_p", low=0, high=1, default=0.95 if is_turbo else 1),
            repetition_penalty=read_number(
                fields, "repetition_penalty", low=1, high=2, default=penalty
            ),
        )


@dataclass(frozen=True)
class Wanted:
    """What a job asks for.

    Attributes:
        text: What to say.
        variant: Which model says it.
        language: In which language.
        voice: A voice's name, a link to a recording or the recording itself; empty for the model's
            own voice.
        manner: How.
        seed: Makes it repeatable.
        audio_format: `wav`, `flac` or `ogg`.
    """

    text: str
    variant: Variant
    language: str
    voice: str
    manner: Manner
    seed: int
    audio_format: str

    @classmethod
    def parse(cls, job: Mapping[str, Any], default_variant: Variant) -> Wanted:
        """Read a job's `input`.

        Raises:
            InvalidInputError: A field is missing, of the wrong type or out of range.
        """
        fields = read_object(job, "input")
        variant = Variant(read_choice(fields, "variant", list(Variant), default=default_variant))
        return cls(
            text=_read_words(fields, variant),
            variant=variant,
            language=_read_language(fields, variant),
            voice=_read_voice(fields),
            manner=Manner.parse(fields, variant),
            seed=read_seed(fields),
            audio_format=read_choice(fields, "format", list(FORMATS), default="wav"),
        )


def _read_words(fields: Mapping[str, Any], variant: Variant) -> str:
    if "text" not in fields:
        raise InvalidInputError("text is required: what to say")
    text = read_text(fields, "text", default="")
    # The model would say a sentence of its own: that it needs some text.
    if not any(map(str.isalnum, text)):
        raise InvalidInputError(f"text must have something to say, not {describe(text)}")
    if variant is not Variant.MULTILINGUAL and not any(map(_is_plain, text)):
        raise InvalidInputError(
            f"text has no letter that variant {variant} can speak: it knows English only; for "
            "others, variant multilingual and a language"
        )
    if len(text) > LONGEST_TEXT:
        raise InvalidInputError(
            f"text must be at most {LONGEST_TEXT} characters, not {len(text)}: send it in parts"
        )
    return text


def _is_plain(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _read_language(fields: Mapping[str, Any], variant: Variant) -> str:
    language = read_choice(fields, "language", LANGUAGES, default="en")
    if variant is not Variant.MULTILINGUAL and language != "en":
        raise InvalidInputError(
            f"language {language} needs variant multilingual; {variant} speaks English"
        )
    return language


def _read_voice(fields: Mapping[str, Any]) -> str:
    if fields.get("voice") is None:
        return ""
    voice = read_text(fields, "voice", default="").strip()
    if not voice:
        raise InvalidInputError(
            "voice must be a name, a URL, a data URI or base64; leave it out for the built-in voice"
        )
    return voice
