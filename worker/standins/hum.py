"""Hums a text: a tone for each syllable or so, a pause at each comma and full stop.

Owns how long, how high and how loud. About 15 characters a second, as English is spoken; signs of
scripts without an alphabet take as long as a syllable. The same text, voice and manner give the
same samples.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.tasks.chatterbox.audio import Samples

SAMPLE_RATE = 24_000
"""In hertz, as the real models have it."""
_CHARACTER_S = 1 / 15
_SIGN_S = 0.2
"""One sign of Chinese or Japanese is a syllable or two."""
_COMMA_S = 0.2
_STOP_S = 0.35
_LOUDNESS = 0.3
_ATTACK_S, _RELEASE_S = 0.02, 0.04
_SYLLABLE = 3
"""Characters to a tone."""
_LOWEST_HZ, _OCTAVES = 90.0, 1.5
"""From a bass's voice to a child's."""
_STOPS = ".!?…。！？؟۔।॥\n"  # noqa: RUF001 - the full stops of other scripts.
_TOKEN = re.compile(r"(?P<word>[^\W_]+)|(?P<pause>[^\w\s]+|\n+)|(?P<space>[\s_]+)")
# How strong each harmonic is: darker for u and o, brighter for i and e.
_VOWELS = {
    "a": (1.0, 0.7, 0.5, 0.3),
    "e": (1.0, 0.6, 0.3, 0.4),
    "i": (1.0, 0.3, 0.2, 0.5),
    "o": (1.0, 0.5, 0.1, 0.05),
    "u": (1.0, 0.2, 0.05, 0.02),
}
_CLOSED = (1.0, 0.1, 0.02, 0.0)
"""A closed mouth."""


@dataclass(frozen=True)
class Voice:
    """Who hums.

    Attributes:
        pitch_hz: Its middle.
        pace: How much faster than usual.
        breath: How much noise is in it, from 0 to 1.
    """

    pitch_hz: float
    pace: float
    breath: float

    @classmethod
    def named(cls, name: str) -> Voice:
        """Return the voice that a name has by its hash: always the same one."""
        pitch, pace, breath = (each / 255 for each in hashlib.sha256(name.encode()).digest()[:3])
        return cls(_LOWEST_HZ * 2 ** (pitch * _OCTAVES), 0.9 + 0.2 * pace, 0.15 * breath)


@dataclass(frozen=True)
class Note:
    """A tone or a silence.

    Attributes:
        duration_s: How long, before anybody's pace.
        sound: The harmonics' strengths; empty for silence.
    """

    duration_s: float
    sound: tuple[float, ...] = ()


class Hum:
    """Hums phrases as one job wants them; each begins where chance has come to with the last one.

    Args:
        voice: Whose.
        seed: Where chance begins.
        liveliness: How far the melody goes and how loud it is; 0.5 is neutral.
        variation: How much of it is chance, from 0.05 to 5.
        calm: From 0 to 1; more is slower.
    """

    def __init__(
        self, voice: Voice, *, seed: int, liveliness: float, variation: float, calm: float
    ) -> None:
        self._voice = voice
        self._chance = np.random.default_rng(seed)
        self._span = 2.0 + 4.0 * liveliness
        self._loudness = _LOUDNESS * (0.75 + 0.5 * min(liveliness, 1.5))
        self._variation = min(variation, 2.0)
        self._pace = voice.pace * (1.05 - 0.1 * calm)

    def phrase(self, text: str) -> Samples:
        """Return the samples of a text, mono, from -1 to 1."""
        score = list(notes(text))
        pieces = [self._play(note, at / max(1, len(score))) for at, note in enumerate(score)]
        if text.rstrip().endswith("?") and pieces:
            pieces[-1] = np.zeros(0, np.float32)
            pieces.append(self._tone(Note(3 * _CHARACTER_S, _VOWELS["a"]), self._span))
        return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)

    def _play(self, note: Note, position: float) -> Samples:
        """Return a note; a melody falls from the beginning of a phrase to its end."""
        chance = float(self._chance.normal())
        if not note.sound:
            return np.zeros(round(note.duration_s / self._pace * SAMPLE_RATE), np.float32)
        swing = np.sin(7.0 * position) * 0.5 + self._variation * 0.4 * chance
        return self._tone(note, self._span * (0.4 - 0.8 * position + 0.5 * swing))

    def _tone(self, note: Note, semitones: float) -> Samples:
        length = round(note.duration_s / self._pace * SAMPLE_RATE)
        time_s = np.arange(length) / SAMPLE_RATE
        # The span is the most that a melody may leave its middle by.
        height = float(np.clip(semitones, -self._span, self._span))
        pitch_hz = self._voice.pitch_hz * 2 ** (height / 12)
        phase = 2 * np.pi * (pitch_hz * time_s + 0.15 * np.sin(2 * np.pi * 5.5 * time_s))
        waves = sum(
            strength * np.sin(number * phase) for number, strength in enumerate(note.sound, 1)
        )
        breath = self._voice.breath * self._chance.normal(size=length)
        tone = self._loudness * (waves / sum(note.sound) + 0.3 * breath) * _envelope(length)
        return np.clip(tone, -1.0, 1.0).astype(np.float32)


def notes(text: str) -> Iterator[Note]:
    """Yield a text's notes: the words' syllables, the gaps between words, the pauses."""
    for token in _TOKEN.finditer(text):
        if (word := token["word"]) is not None:
            yield from _word(word)
        elif (pause := token["pause"]) is not None:
            is_stop = any(mark in _STOPS for mark in pause)
            yield Note(_STOP_S if is_stop else _COMMA_S)
        else:
            yield Note(_CHARACTER_S)


def _word(word: str) -> Iterator[Note]:
    plain = "".join(
        each
        for each in unicodedata.normalize("NFKD", word.casefold())
        if not unicodedata.combining(each)
    )
    if any(unicodedata.east_asian_width(each) in "WF" for each in word):
        yield from (Note(_SIGN_S, _sound(each)) for each in plain)
        return
    for start in range(0, len(plain), _SYLLABLE):
        syllable = plain[start : start + _SYLLABLE]
        yield Note(len(syllable) * _CHARACTER_S, _sound(syllable))


def _sound(syllable: str) -> tuple[float, ...]:
    vowels = (_VOWELS[each] for each in syllable if each in _VOWELS)
    return next(vowels, _CLOSED)


def _envelope(length: int) -> Samples:
    """Return how loud a tone is from its beginning to its end: it does not click."""
    rise = min(round(_ATTACK_S * SAMPLE_RATE), length // 2)
    fall = min(round(_RELEASE_S * SAMPLE_RATE), length - rise)
    envelope = np.ones(length, np.float32)
    envelope[:rise] = np.linspace(0, 1, rise)
    envelope[length - fall :] = np.linspace(1, 0, fall)
    return envelope
