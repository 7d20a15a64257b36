from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from worker.tasks.chatterbox.audio import FADE_S, PAUSE_S, encode, join

RATE = 24_000


def tone(seconds: float, phase: float = 0.0) -> np.ndarray:
    """A loud tone that begins and ends anywhere in its swing."""
    times = np.arange(round(seconds * RATE)) / RATE
    return (0.9 * np.cos(2 * np.pi * 220 * times + phase)).astype(np.float32)


def steepest(samples: np.ndarray) -> float:
    """How far neighbouring samples are apart at most; a click is a cliff."""
    silent = np.zeros(1, np.float32)
    return float(np.abs(np.diff(np.concatenate([silent, samples, silent]))).max())


def test_pieces_are_joined_without_a_click() -> None:
    """No step is steeper than those within the tone itself."""
    pieces = [tone(0.5), tone(0.3, 1.0), tone(0.4, 2.0)]
    joined = join(pieces, RATE)
    assert len(joined) == round((0.5 + 0.3 + 0.4 + 2 * PAUSE_S) * RATE)
    assert steepest(np.concatenate(pieces)) > 0.5
    assert steepest(joined) <= steepest(tone(0.5)[100:5000]) * 1.05 or steepest(joined) < 0.06


def test_the_middle_of_a_piece_stays_as_it_is() -> None:
    """Only its ends are faded."""
    piece = tone(0.5)
    fade = round(FADE_S * RATE)
    assert np.array_equal(join([piece], RATE)[fade:-fade], piece[fade:-fade])
    assert join([piece], RATE)[0] == join([piece], RATE)[-1] == 0


def test_pieces_keep_their_samples() -> None:
    """What the model returned is not written into."""
    piece = tone(0.1)
    before = piece.copy()
    join([piece, piece], RATE)
    assert np.array_equal(piece, before)


@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_tiny_pieces_can_be_joined(length: int) -> None:
    """Shorter than a fade."""
    assert len(join([np.ones(length, np.float32)], RATE)) == length


def test_nothing_joined_is_silence() -> None:
    """Of no length."""
    assert len(join([], RATE)) == 0


@pytest.mark.parametrize(
    ("audio_format", "magic", "subtype"),
    [("wav", b"RIFF", "PCM_16"), ("flac", b"fLaC", "PCM_16"), ("ogg", b"OggS", "VORBIS")],
)
def test_each_format_can_be_read_back(audio_format: str, magic: bytes, subtype: str) -> None:
    """With its rate, its length and its sound."""
    samples = tone(1.5)
    data = encode(samples, RATE, audio_format)
    assert data[:4] == magic
    with soundfile.SoundFile(io.BytesIO(data)) as sound:
        assert (sound.samplerate, sound.channels, sound.subtype) == (RATE, 1, subtype)
        read = sound.read(dtype="float32")
    assert len(read) == len(samples)
    # PCM-16 is exact to a step; Vorbis is a likeness.
    assert float(np.abs(read - samples).mean()) < (0.05 if audio_format == "ogg" else 1 / 32_000)


def test_what_is_too_loud_is_cut_off() -> None:
    """It does not wrap around into the opposite."""
    data = encode(np.array([2.0, -2.0, 0.5], np.float32), RATE, "wav")
    read, _ = soundfile.read(io.BytesIO(data))
    assert read == pytest.approx([1.0, -1.0, 0.5], abs=1e-4)


def test_minutes_of_vorbis_can_be_written() -> None:
    """In one call libsndfile overflows its stack."""
    data = encode(np.zeros(RATE * 600, np.float32), RATE, "ogg")
    with soundfile.SoundFile(io.BytesIO(data)) as sound:
        assert sound.frames == RATE * 600
