"""The stand-in for Chatterbox: the real family around a model that hums."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
import soundfile

from worker.standins import load
from worker.tasks.chatterbox.engine import Engine
from worker.tasks.chatterbox.sources import Variant
from worker.tasks.chatterbox.voices import Recording

pytestmark = pytest.mark.anyio
RATE = 24_000


async def speak(environ: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    """Has a job done."""
    handler = load("chatterbox", environ or {})["handler"]
    return await handler({"id": "j", "input": {"text": "Hello there.", "seed": 7, **fields}})


def recording(seconds: float, hz: float = 200.0) -> str:
    """Returns a recording as base64."""
    samples = 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="WAV")
    return base64.b64encode(file.getvalue()).decode()


async def test_the_answer_is_the_familys() -> None:
    """And the sound in it is as long as it says."""
    output = await speak()
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(output["audio"])))
    assert (rate, output["sample_rate"], output["format"]) == (RATE, RATE, "wav")
    assert output["seed"] == 7
    assert len(samples) / rate == pytest.approx(output["duration_s"], abs=0.001)


async def test_a_wrong_input_is_refused_in_the_familys_words() -> None:
    """Nothing is hummed that the real one would not speak."""
    output = await speak(text="...")
    assert output["error"] == "validation_error"
    assert output["message"] == "text must have something to say, not '...'"


async def test_a_long_text_is_hummed_to_its_end() -> None:
    """Even if it is full of pauses, which make a piece longer than a model can speak."""
    once, twice = [await speak(text="Yes. No. " * times) for times in (60, 120)]
    assert twice["duration_s"] > 1.9 * once["duration_s"]


async def test_the_seed_decides() -> None:
    """The same one gives the same file, another one another."""
    same, again, other = [(await speak(seed=seed))["audio"] for seed in (1, 1, 2)]
    assert same == again
    assert same != other


async def test_a_voice_is_heard_and_forgotten() -> None:
    """Two recordings are two voices; the next job without one has the model's own."""
    before = await speak()
    one, two = [await speak(voice=recording(2, hz)) for hz in (150.0, 300.0)]
    assert len({before["audio"], one["audio"], two["audio"]}) == 3
    assert (await speak())["audio"] == before["audio"]


async def test_turbo_wants_the_recording_that_the_model_wants() -> None:
    """It is refused in the engine's own words."""
    output = await speak(variant="turbo", voice=recording(3))
    with pytest.raises(Exception, match="turbo") as caught:
        Engine("cpu")._imitate(None, Variant.TURBO, Recording("d", np.ones(3 * RATE), RATE))
    assert output["message"] == str(caught.value)


async def test_the_templates_variables_count() -> None:
    """The variant that it names is the one that speaks."""
    english, turbo = [
        (await speak({"CHATTERBOX_MODEL": variant}))["audio"] for variant in ("english", "turbo")
    ]
    assert english != turbo
