"""A text on its way to a file; what speaks here is a tone per letter, not a model."""

from __future__ import annotations

import base64
import io
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from worker.delivery import Handover
from worker.errors import ProcessingError, ResourceError, StoppedError
from worker.progress import Progress
from worker.tasks.chatterbox.sources import Variant
from worker.tasks.chatterbox.speech import Chatterbox
from worker.tasks.chatterbox.voices import Voices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.tasks.chatterbox.voices import Recording
    from worker.tasks.chatterbox.wanted import Wanted

RATE = 1000
MB = 1024 * 1024


class Tones:
    """Speaks a tenth of a second for each letter, up to forty seconds, as the models do."""

    sample_rate = RATE

    def __init__(self, seconds_per_letter: float = 0.1) -> None:
        self.seconds_per_letter = seconds_per_letter
        self.said: list[str] = []
        self.recordings: list[Recording | None] = []
        self.loaded: list[Variant] = []

    def load(self, variant: Variant) -> None:
        """Notes it."""
        self.loaded.append(variant)

    @contextmanager
    def session(self, wanted: Wanted, recording: Recording | None) -> Iterator[Tones]:
        """Notes whose voice it is."""
        self.load(wanted.variant)
        self.recordings.append(recording)
        yield self

    def say(self, text: str) -> np.ndarray:
        """Says it."""
        self.said.append(text)
        seconds = min(40.0, len(text) * self.seconds_per_letter)
        return np.full(round(seconds * RATE), 0.5, np.float32)


class Stage:
    """The family with such a speaker."""

    def __init__(self, **options: Any) -> None:
        self.tones = Tones(**options)
        self.family = Chatterbox(self.tones, Voices([]), Variant.ENGLISH)
        self.told: list[dict[str, Any]] = []
        self.progress = Progress({}, "t", lambda _, update: self.told.append(update))

    def speak(self, *, limit_bytes: int = MB, **fields: Any) -> dict[str, Any]:
        """Does a job."""
        wanted = self.family.parse({"id": "j", "input": {"seed": 7, **fields}})
        return self.family.work(wanted, self.progress, Handover(None, "j", limit_bytes))


def test_the_answer_is_the_documented_one() -> None:
    """And the file in it is what it says."""
    output = Stage().speak(text="Hello there")
    data = base64.b64decode(output.pop("audio"))
    with soundfile.SoundFile(io.BytesIO(data)) as sound:
        assert (sound.samplerate, sound.frames, sound.subtype) == (RATE, 1100, "PCM_16")
    name = output.pop("filename")
    assert (Path(name).suffix, name.startswith("speech_")) == (".wav", True)
    assert output == {
        "sample_rate": RATE,
        "duration_s": 1.1,
        "format": "wav",
        "content_type": "audio/wav",
        "seed": 7,
    }


def test_progress_is_told_after_each_piece() -> None:
    """A sentence each, here."""
    stage = Stage()
    stage.speak(text=f"{'a' * 200}. {'b' * 200}. {'c' * 200}.")
    assert [each["current_step"] for each in stage.told] == [
        "Spoke piece 1 of 3",
        "Spoke piece 2 of 3",
        "Spoke piece 3 of 3",
    ]
    assert [each["progress"] for each in stage.told] == [33, 66, 100]


def test_a_piece_that_was_cut_off_is_said_in_two() -> None:
    """The models stop after forty seconds without a word of it."""
    stage = Stage(seconds_per_letter=0.2)
    output = stage.speak(text="one two three " * 15)
    assert [len(text) for text in stage.tones.said] == [209, 105, 103]
    assert " ".join(stage.tones.said[1:]) == stage.tones.said[0]
    assert output["duration_s"] == pytest.approx(208 * 0.2 + 0.2)
    assert [each["total_steps"] for each in stage.told] == [2, 2]


def test_a_model_that_finds_no_end_is_given_up() -> None:
    """Not parted for ever."""
    stage = Stage(seconds_per_letter=100)
    with pytest.raises(ProcessingError, match=r"^the model found no end of 'one two") as caught:
        stage.speak(text="one two three four five six seven eight")
    assert "another seed or a lower temperature" in caught.value.message
    assert len(stage.tones.said) < 5


def test_a_cancelled_job_says_no_more() -> None:
    """Its next piece is not spoken."""
    stage = Stage()
    stage.progress.stop()
    with pytest.raises(StoppedError):
        stage.speak(text="Hello")
    assert stage.tones.said == []


def test_too_much_speech_for_an_answer_is_told() -> None:
    """With the limit, and what would make it smaller."""
    with pytest.raises(ResourceError) as caught:
        Stage().speak(text="Hello there. " * 90, limit_bytes=MB // 8)
    assert "RunPod takes at most 0.1 MB from a worker: ask for format ogg" in caught.value.message


def test_a_voice_of_the_jobs_own_reaches_the_model() -> None:
    """Without one the model keeps its own."""
    file = io.BytesIO()
    soundfile.write(file, np.full(16_000 * 6, 0.1), 16_000, format="WAV")
    stage = Stage()
    stage.speak(text="Hello", voice=base64.b64encode(file.getvalue()).decode())
    stage.speak(text="Hello")
    first, second = stage.tones.recordings
    assert first is not None
    assert first.duration_s == pytest.approx(6)
    assert second is None


def test_the_workers_variant_is_loaded_first() -> None:
    """Another one with the first job that asks for it."""
    stage = Stage()
    stage.family.load()
    stage.speak(text="Hello", variant="turbo")
    assert stage.tones.loaded == [Variant.ENGLISH, Variant.TURBO]
