from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from worker.errors import InvalidInputError
from worker.tasks.chatterbox.voices import HEARD_S, Voices, read_recording

if TYPE_CHECKING:
    from pathlib import Path

RATE = 16_000


def recording(seconds: float = 6.0, *, channels: int = 1, name: str = "WAV") -> bytes:
    """An audio file with noise."""
    noise = np.random.default_rng(7).normal(0, 0.1, (round(seconds * RATE), channels))
    file = io.BytesIO()
    soundfile.write(file, noise, RATE, format=name)
    return file.getvalue()


@pytest.fixture
def voices(tmp_path: Path) -> Voices:
    """Two folders, the first of which has Ada and Bob."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    (first / "Ada.wav").write_bytes(recording(6))
    (first / "bob.flac").write_bytes(recording(7, name="FLAC"))
    (first / "notes.txt").write_text("no voice", "utf-8")
    (second / "Ada.wav").write_bytes(recording(2))
    (second / "Eve_2.mp3").write_bytes(recording(8, name="MP3"))
    return Voices([first, tmp_path / "missing", second])


def test_a_name_means_a_file(voices: Voices) -> None:
    """In the first folder that has it, of any format."""
    assert voices.find("Ada").duration_s == pytest.approx(6)
    assert voices.find("bob").duration_s == pytest.approx(7)
    assert voices.find("Eve_2").duration_s == pytest.approx(8, abs=0.2)


def test_an_unknown_name_is_refused_with_the_known_ones(voices: Voices) -> None:
    """It never falls back to another voice."""
    with pytest.raises(InvalidInputError) as caught:
        voices.find("Carol")
    assert caught.value.message == "there is no voice Carol; this worker has: Ada, Eve_2, bob"
    with pytest.raises(InvalidInputError, match="this worker has: none"):
        Voices([]).find("Carol")


def test_a_name_may_have_its_files_ending(voices: Voices) -> None:
    """As it stands in the folder."""
    assert voices.find("Ada.wav").digest == voices.find("Ada").digest


@pytest.mark.parametrize("name", ["../second/Ada", "/etc/passwd", "..", "a/b", "Ada.wav/.."])
def test_a_path_is_no_name(voices: Voices, name: str) -> None:
    """No file outside the folders is read."""
    with pytest.raises(InvalidInputError):
        voices.find(name)


@pytest.mark.parametrize("form", ["{}", "data:audio/wav;base64,{}"])
def test_a_recording_may_come_with_the_job(voices: Voices, form: str) -> None:
    """As base64 or as a data URI."""
    text = form.format(base64.b64encode(recording(3)).decode())
    assert voices.find(text).duration_s == pytest.approx(3)


def test_recordings_are_told_apart_by_their_content() -> None:
    """The same file is the same voice, whatever it is called."""
    one, same, other = (read_recording(recording(s), "voice").digest for s in (2, 2, 3))
    assert one == same != other


def test_only_the_beginning_is_heard() -> None:
    """No model listens longer, and an hour of speech fills no memory."""
    long = read_recording(recording(HEARD_S + 5), "voice")
    assert long.duration_s == pytest.approx(HEARD_S)


def test_channels_become_one(tmp_path: Path) -> None:
    """And what is written for the model is the same again."""
    stereo = read_recording(recording(2, channels=2), "voice")
    stereo.write_wav(tmp_path / "voice.wav")
    written, rate = soundfile.read(tmp_path / "voice.wav", dtype="float32")
    assert (written.ndim, rate) == (1, RATE)
    assert np.array_equal(written, stereo.samples)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no audio at all", "voice is no audio file that can be read: WAV, MP3, FLAC or OGG"),
        (recording(2)[:30], "voice is no audio file that can be read"),
        (recording(0.5), "voice is 0.5 s long; it takes 1 s at least"),
        (recording(0), "voice is 0.0 s long"),
    ],
)
def test_what_cannot_be_imitated_is_refused(content: bytes, message: str) -> None:
    """Before the model tries, in words."""
    with pytest.raises(InvalidInputError, match=f"^{message}"):
        read_recording(content, "voice")


def test_silence_is_no_voice() -> None:
    """The model's own trimming would leave nothing of it."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros(RATE * 6), RATE, format="WAV")
    with pytest.raises(InvalidInputError, match=r"^voice is silent"):
        read_recording(file.getvalue(), "voice")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_no_voice(value: float) -> None:
    """A file of floats may hold it, and the model would keep what it makes of it."""
    samples = np.full(RATE * 6, 0.1, np.float32)
    samples[RATE] = value
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="WAV", subtype="FLOAT")
    with pytest.raises(InvalidInputError, match=r"^voice has samples that are no numbers"):
        read_recording(file.getvalue(), "voice")


def test_many_channels_are_no_voice() -> None:
    """Fifteen seconds of 255 of them fill the memory."""
    with pytest.raises(InvalidInputError, match=r"^voice has 9 channels"):
        read_recording(recording(1, channels=9), "voice")


def test_a_header_cannot_claim_any_rate() -> None:
    """Fifteen seconds of it would fill the memory."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros(RATE), 2_000_000, format="WAV")
    with pytest.raises(InvalidInputError, match=r"^voice has 2000000 samples a second"):
        read_recording(file.getvalue(), "voice")
