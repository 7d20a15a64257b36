"""The library's own classes: loaded by the worker's code, and speaking."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from packaging.requirements import Requirement

import worker
from worker.errors import InvalidInputError
from worker.tasks.chatterbox.sources import Variant
from worker.tasks.chatterbox.voices import Recording, Voices
from worker.tasks.chatterbox.wanted import LANGUAGES, Wanted

if TYPE_CHECKING:
    from worker.tasks.chatterbox.engine import Engine

pytestmark = [
    pytest.mark.models,
    pytest.mark.timeout(600),
    # The library and those below it warn of much that is theirs to mend.
    pytest.mark.filterwarnings("default"),
]
REQUIREMENTS = Path(worker.__file__).parent / "requirements"


@pytest.fixture
def length() -> int:
    """How many samples each piece has."""
    from tests.models.chatterbox.tiny import TOKENS

    return TOKENS * 960


def say(engine: Engine, text: str = "Hello", **fields: Any) -> np.ndarray:
    """Let a model say a piece, as a job wants it."""
    wanted = Wanted.parse(
        {"id": "j", "input": {"text": text, "seed": 3, **fields}}, Variant.ENGLISH
    )
    recording = Voices([]).find(wanted.voice) if wanted.voice else None
    return say_in(engine, wanted, recording)


def say_in(engine: Engine, wanted: Wanted, recording: Recording | None) -> np.ndarray:
    """Let a model say a piece in a voice."""
    with engine.session(wanted, recording) as session:
        assert session.sample_rate == 24_000
        return session.say(wanted.text)


@pytest.mark.parametrize("cfg_weight", [0, 0.5])
def test_the_english_model_speaks(engine: Engine, cfg_weight: float, length: int) -> None:
    """With a weight of nothing, too, which the library itself does not survive."""
    samples = say(engine, cfg_weight=cfg_weight)
    assert (samples.dtype, len(samples)) == (np.dtype("float32"), length)
    assert 0 < float(np.abs(samples).max()) <= 1


def test_the_same_seed_says_the_same(engine: Engine) -> None:
    """Whatever was said in between; another seed says it otherwise."""
    first = say(engine)
    assert not np.array_equal(say(engine, seed=4), first)
    assert np.array_equal(say(engine), first)


def test_no_voice_leaks_into_the_next_job(engine: Engine, speech: str) -> None:
    """The library keeps the last one it was given (workers reference 0.4)."""
    own = say(engine)
    imitated = say(engine, voice=speech)
    assert not np.array_equal(imitated, own)
    assert np.array_equal(say(engine), own)
    # A voice that is known already is the same voice.
    assert np.array_equal(say(engine, voice=speech), imitated)


def test_neither_does_a_manner(engine: Engine) -> None:
    """The library changes its voice's expression in place."""
    own = say(engine)
    say(engine, exaggeration=2.0)
    assert np.array_equal(say(engine), own)


def test_a_failed_job_leaves_the_models_own_voice(engine: Engine, speech: str) -> None:
    """Whatever broke off."""
    own = say(engine)
    wanted = Wanted.parse({"input": {"text": "Hello", "seed": 3}}, Variant.ENGLISH)
    recording = Voices([]).find(speech)
    with engine.session(wanted, recording) as session, pytest.raises(TypeError):
        session.say(None)  # type: ignore[arg-type] # What the library cannot speak.
    assert np.array_equal(say(engine), own)


def test_the_turbo_model_speaks(engine: Engine, long_speech: str) -> None:
    """In its own voice and in another, longer than five seconds."""
    own = say(engine, variant="turbo")
    assert len(own) > 0
    assert len(say(engine, variant="turbo", voice=long_speech)) > 0
    assert np.array_equal(say(engine, variant="turbo"), own)
    short = Recording("short", np.full(16_000 * 5, 0.1, np.float32), 16_000)
    wanted = Wanted.parse({"input": {"text": "Hello", "variant": "turbo"}}, Variant.ENGLISH)
    with pytest.raises(InvalidInputError, match=r"^voice is 5\.0 s long; variant turbo needs more"):
        say_in(engine, wanted, short)


def test_a_voice_is_heard_by_each_model_for_itself(engine: Engine, long_speech: str) -> None:
    """What one makes of it is nothing for another."""
    say(engine, voice=long_speech)
    say(engine, variant="turbo", voice=long_speech)
    english, turbo = (
        next(kept for (each, _), kept in engine._voices.items() if each is variant)
        for variant in (Variant.ENGLISH, Variant.TURBO)
    )
    assert english is not turbo


def test_the_multilingual_model_speaks(engine: Engine, length: int) -> None:
    """Piece after piece without the library's hooks, which would pile up on its layers."""
    samples = say(engine, "Hi", variant="multilingual", language="de")
    assert length <= len(samples) < 2 * length
    model = engine._models[Variant.MULTILINGUAL]
    assert not any(layer.self_attn._forward_hooks for layer in model.t3.tfmr.layers)
    # Its table of Chinese signs is the one that came with the weights.
    assert model.tokenizer.cangjie_converter.word2cj["好"] == "vnd"


def test_the_languages_are_the_librarys() -> None:
    """Written down, so that a job is judged before anything is loaded."""
    from chatterbox.mtl_tts import SUPPORTED_LANGUAGES

    assert sorted(SUPPORTED_LANGUAGES) == sorted(LANGUAGES)


def test_the_librarys_requirements_are_met_but_for_gradio() -> None:
    """It is installed without them, because gradio's contradict the SDK's; nothing imports it."""
    unmet = []
    for wanted in map(Requirement, requires("chatterbox-tts") or ()):
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            try:
                is_met = version(wanted.name) in wanted.specifier
            except PackageNotFoundError:
                is_met = False
            unmet += [] if is_met else [wanted.name]
    assert unmet == ["gradio"]


def test_every_requirement_is_pinned_as_the_resolver_found_it() -> None:
    """And this environment is the image's."""
    for line in (REQUIREMENTS / "chatterbox.txt").read_text("utf-8").splitlines():
        if line and not line.lstrip().startswith("#"):
            name, _, pinned = line.partition("==")
            assert (name, version(name)) == (name, pinned)
