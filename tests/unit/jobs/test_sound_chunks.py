from __future__ import annotations

import base64
import io
import itertools
import wave
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runpodctl_py.jobs.outputs import InlineFile, read_output

SAMPLES = bytes(range(256)) * 40


def wav(samples: bytes, rate_hz: int = 8000) -> bytes:
    """Return a WAV file."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples)
    return content.getvalue()


def chunked(*pieces: bytes, **siblings: Any) -> list[Any]:
    """Return what a worker yields of sound."""
    return [
        {"audio_chunk": base64.b64encode(each).decode(), "chunk": number, **siblings}
        for number, each in enumerate(pieces)
    ]


def only_file(output: Any) -> InlineFile:
    """Return the one file that there is to be."""
    (file,) = read_output(output).files
    assert isinstance(file, InlineFile)
    return file


def heard(content: bytes) -> tuple[int, bytes]:
    """Return a WAV file's rate and its samples."""
    with wave.open(io.BytesIO(content)) as file:
        return file.getframerate(), file.readframes(file.getnframes())


@given(st.lists(st.integers(100, 9000), max_size=4))
def test_a_wav_file_that_was_cut_anywhere_is_whole_again(cuts: list[int]) -> None:
    """Its header is in the first chunk, and says its rate."""
    whole = wav(SAMPLES)
    places = [0, *sorted(cuts), len(whole)]
    pieces = [whole[a:b] for a, b in itertools.pairwise(places) if a < b]
    reading = read_output(chunked(*pieces))
    (file,) = reading.files
    assert isinstance(file, InlineFile)
    assert (file.name, file.content, reading.warnings) == ("audio.wav", whole, ())


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF])
def test_a_header_that_was_written_before_the_end_was_known_gets_its_length(length: int) -> None:
    """Or players would stop at once, or wait for more."""
    whole = bytearray(wav(SAMPLES))
    whole[4:8] = whole[40:44] = length.to_bytes(4, "little")
    content = only_file(chunked(bytes(whole[:44]), bytes(whole[44:5000]), bytes(whole[5000:])))
    assert heard(content.content) == (8000, SAMPLES)


def test_wav_files_are_joined_by_their_samples() -> None:
    """Their headers would be heard as clicks."""
    file = only_file(chunked(wav(SAMPLES), wav(SAMPLES[:100]), wav(SAMPLES)))
    assert (file.name, heard(file.content)) == (
        "audio.wav",
        (8000, SAMPLES + SAMPLES[:100] + SAMPLES),
    )


def test_files_of_different_rates_keep_all_their_bytes() -> None:
    """Nothing is guessed, and nothing is lost."""
    pieces = wav(SAMPLES), wav(SAMPLES, 24000)
    assert only_file(chunked(*pieces)).content == b"".join(pieces)


@pytest.mark.parametrize(
    ("first", "siblings", "name"),
    [
        (b"OggS" + bytes(60), {}, "audio.ogg"),
        (b"ID3\x04" + bytes(60), {}, "audio.mp3"),
        (bytes(64), {"format": "mp3"}, "audio.mp3"),
        (bytes(64), {"content_type": "audio/ogg"}, "audio.ogg"),
    ],
)
def test_encoded_sound_is_joined_as_it_is(first: bytes, siblings: Any, name: str) -> None:
    """By its first bytes, or by what it is called; never taken for samples."""
    file = only_file(chunked(first, b"more" * 20, **siblings))
    assert (file.name, file.content) == (name, first + b"more" * 20)


@pytest.mark.parametrize(
    ("siblings", "rate_hz", "warns"),
    [
        ({"format": "pcm_16", "sample_rate": 8000}, 8000, False),
        ({"sample_rate": 16000}, 16000, False),
        ({"format": "wav", "sample_rate": 16000}, 16000, False),
        ({}, 24000, True),
    ],
)
def test_samples_get_a_header(siblings: Any, rate_hz: int, warns: bool) -> None:  # noqa: FBT001
    """With the rate that was told; a guess is told."""
    output = chunked(SAMPLES, SAMPLES, **siblings)
    assert heard(only_file(output).content) == (rate_hz, SAMPLES * 2)
    assert bool(read_output(output).warnings) == warns
