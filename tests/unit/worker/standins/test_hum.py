"""How a text is hummed: how long, how high, and by whose voice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worker.standins.hum import SAMPLE_RATE, Hum, Voice

SENTENCE = (
    "The quick brown fox jumps over the lazy dog, and nobody knows why. It happens every morning "
    "behind the old mill, when the fog is still on the river."
)
VOICE = Voice(150.0, 1.0, 0.0)


def hum(text: str = SENTENCE, **manner: Any) -> np.ndarray:
    """Has a text hummed, by a voice of 150 Hz unless it says otherwise."""
    voice = manner.pop("voice", VOICE)
    usual = {"seed": 7, "liveliness": 0.5, "variation": 0.8, "calm": 0.5}
    return Hum(voice, **{**usual, **manner}).phrase(text)


def seconds(samples: np.ndarray) -> float:
    """Returns how long it is."""
    return len(samples) / SAMPLE_RATE


def loudest_hz(samples: np.ndarray) -> float:
    """Returns the frequency that is heard most."""
    strength = np.abs(np.fft.rfft(samples))
    return float(np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)[strength.argmax()])


def test_it_takes_as_long_as_speech() -> None:
    """About 15 characters a second, with the pauses a little less."""
    assert len(SENTENCE) / 15 < seconds(hum()) < len(SENTENCE) / 12


def test_sentences_are_heard_apart() -> None:
    """A full stop is a silence, longer than the one between two words."""
    silent = np.abs(hum("Yes. No")) == 0
    edges = np.flatnonzero(np.diff(np.concatenate(([False], silent, [False])).astype(int)))
    longest = max(np.diff(edges)[::2]) / SAMPLE_RATE
    assert longest >= 0.35


def test_signs_without_an_alphabet_take_a_syllable_each() -> None:
    """Five signs are about a second, not a third of one."""
    assert 0.9 < seconds(hum("你好世界吗")) < 1.1


def test_the_same_wish_gives_the_same_samples() -> None:
    """Bit by bit."""
    assert np.array_equal(hum(), hum())


@pytest.mark.parametrize(
    "other",
    [{"seed": 8}, {"liveliness": 1.5}, {"variation": 2.0}, {"calm": 1.0}],
    ids=["seed", "exaggeration", "temperature", "cfg_weight"],
)
def test_each_knob_can_be_heard(other: dict[str, Any]) -> None:
    """Another value gives other samples, or another length."""
    assert not np.array_equal(hum(), hum(**other))


def test_more_exaggeration_is_a_wider_melody() -> None:
    """The syllables' pitches lie further apart."""
    syllables = [f"{'ba' * 12}" for _ in range(8)]

    def spread(liveliness: float) -> float:
        singer = Hum(VOICE, seed=1, liveliness=liveliness, variation=0.8, calm=0.5)
        return float(np.std([loudest_hz(singer.phrase(each)[:2400]) for each in syllables]))

    assert spread(2.0) > spread(0.25)


def test_voices_differ_in_pitch_and_each_keeps_its_own() -> None:
    """By their names' hashes, between a bass and a child."""
    voices = [Voice.named(name) for name in ("ada", "bob", "eve")]
    assert len({voice.pitch_hz for voice in voices}) == 3
    assert all(90 <= voice.pitch_hz <= 260 for voice in voices)
    assert Voice.named("ada") == voices[0]


def test_a_voice_is_heard_at_its_pitch() -> None:
    """Within the melody's span of four semitones."""
    for pitch_hz in (110.0, 220.0):
        heard_hz = loudest_hz(hum("aaaaaa", voice=Voice(pitch_hz, 1.0, 0.0)))
        assert pitch_hz * 2 ** (-4 / 12) <= heard_hz <= pitch_hz * 2 ** (4 / 12)


@pytest.mark.parametrize("text", ["?", "...", "a", "A1", "🙂 ok", "x" * 300, "a\n\nb"])
def test_any_text_can_be_hummed(text: str) -> None:
    """Without a number that is none, nor beyond full scale."""
    samples = hum(text, liveliness=2.0, variation=5.0)
    assert samples.dtype == np.float32
    assert np.isfinite(samples).all()
    assert np.abs(samples).max(initial=0) <= 1
