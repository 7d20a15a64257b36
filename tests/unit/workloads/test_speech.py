from __future__ import annotations

import base64
import io
import re
import wave
from pathlib import Path

import pytest

from runpodctl_py.errors import UsageError
from runpodctl_py.presets import loading
from runpodctl_py.workloads.speech import FORMATS, format_of, speech_input, voice_value


def wav_bytes(seconds: float = 0.1) -> bytes:
    """Return silence as a WAV file."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24000)
        file.writeframes(bytes(int(48000 * seconds)))
    return content.getvalue()


def test_only_what_was_given_is_sent() -> None:
    """Everything else is the worker's own default."""
    assert speech_input("Hello", None, None, {"seed": None}) == {"text": "Hello"}
    whole = speech_input("Hello", "Lucy", "ogg", {"exaggeration": 0.0, "seed": 0})
    assert whole == {
        "text": "Hello",
        "voice": "Lucy",
        "format": "ogg",
        "exaggeration": 0.0,
        "seed": 0,
    }


def test_the_formats_are_those_of_the_preset() -> None:
    """One of them would otherwise be refused after all."""
    assert loading.load("chatterbox").input["format"].choices == FORMATS


@pytest.mark.parametrize("text", ["", "  \n\t"])
def test_nothing_to_say_is_refused(text: str) -> None:
    """The model would say something of its own (workers reference A)."""
    with pytest.raises(UsageError, match="nothing to say"):
        speech_input(text, None, None, {})


def test_a_recording_goes_with_the_job(tmp_path: Path) -> None:
    """As a data URI, which says what it is."""
    content = wav_bytes()
    path = tmp_path / "me.wav"
    path.write_bytes(content)
    expected = f"data:audio/wav;base64,{base64.b64encode(content).decode()}"
    assert voice_value(str(path)) == expected


@pytest.mark.parametrize("voice", ["Lucy", "https://a.test/v.wav", "data:audio/wav;base64,AAAA"])
def test_what_is_no_file_stays_as_it_is(voice: str) -> None:
    """The worker has voices of its own, and fetches links."""
    assert voice_value(voice) == voice


@pytest.mark.parametrize("voice", ["./Lucy", "voices/Lucy", "lucy.wav", "lucy.MP3"])
def test_a_file_that_is_not_there_is_no_name_of_a_voice(voice: str) -> None:
    """It would cost a job to learn that."""
    with pytest.raises(UsageError, match=f"There is no file {re.escape(voice)}"):
        voice_value(voice)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"Dear diary", "is no recording$"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "is no recording: it is image/png"),
        (wav_bytes() + bytes(7_000_000), r"has 7\.0 MB; a job takes about 7"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """Before it is uploaded."""
    path = tmp_path / "me.wav"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        voice_value(str(path))


@pytest.mark.parametrize(
    ("name", "expected"), [("a.wav", "wav"), ("a.b.FLAC", "flac"), ("ö.ogg", "ogg")]
)
def test_a_files_name_says_its_format(name: str, expected: str) -> None:
    """In any case of letters."""
    assert format_of(Path(name)) == expected


@pytest.mark.parametrize(
    ("name", "message"), [("a.mp3", "not .mp3"), ("speech", "speech does not say which")]
)
def test_formats_that_the_worker_does_not_write_are_refused(name: str, message: str) -> None:
    """With a name that would do."""
    with pytest.raises(UsageError, match=message) as raised:
        format_of(Path(name))
    assert raised.value.hint is not None
    assert f"{Path(name).stem}.wav" in raised.value.hint
