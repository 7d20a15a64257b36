from __future__ import annotations

from typing import Any

import pytest

from worker.errors import InvalidInputError
from worker.tasks.chatterbox.sources import Variant
from worker.tasks.chatterbox.wanted import Manner, Wanted


def parse(own: Variant = Variant.ENGLISH, /, **fields: Any) -> Wanted:
    """Read a job's input on a worker with a variant of its own."""
    return Wanted.parse({"id": "j", "input": fields}, own)


def test_defaults_are_upstreams() -> None:
    """Workers reference A."""
    wanted = parse(text="Hello", seed=7)
    manner = Manner(0.5, 0.5, 0.8, 0.05, 1.0, 1.2)
    assert wanted == Wanted("Hello", Variant.ENGLISH, "en", "", manner, 7, "wav")


def test_variants_have_defaults_of_their_own() -> None:
    """The worker's own variant, unless the job names one."""
    multilingual = parse(Variant.MULTILINGUAL, text="Hallo", language="de")
    assert (multilingual.language, multilingual.manner.repetition_penalty) == ("de", 2.0)
    turbo = parse(text="Hello", variant="turbo")
    assert (turbo.variant, turbo.manner.top_p) == (Variant.TURBO, 0.95)


def test_a_weight_of_nothing_is_nearly_nothing() -> None:
    """At 0 the English model fails on a tensor's shape."""
    assert parse(text="Hello", cfg_weight=0).manner.cfg_weight == 1e-6


@pytest.mark.parametrize(
    ("field", "low", "high"),
    [
        ("exaggeration", 0.25, 2.0),
        ("cfg_weight", 0.0, 1.0),
        ("temperature", 0.05, 5.0),
        ("min_p", 0.0, 1.0),
        ("top_p", 0.0, 1.0),
        ("repetition_penalty", 1.0, 2.0),
    ],
)
def test_numbers_have_upstreams_ranges(field: str, low: float, high: float) -> None:
    """Both ends belong to them; beyond is refused."""
    for value in (low, high):
        read = getattr(parse(text="Hello", **{field: value}).manner, field)
        assert read == pytest.approx(value, abs=1e-6)
    for value in (low - 0.01, high + 0.01, "0.5", None, True):
        with pytest.raises(InvalidInputError, match=f"^{field} must be a number from"):
            parse(text="Hello", **{field: value})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, r"text is required"),
        ({"text": ""}, r"text must have something to say, not ''"),
        ({"text": " \n "}, r"text must have something to say"),
        ({"text": "…!?"}, r"text must have something to say"),
        ({"text": 7}, r"text must be a string, not 7"),
        ({"text": "你好"}, r"text has no letter that variant english can speak"),
        ({"text": "a" * 20_001}, r"text must be at most 20000 characters, not 20001"),
        ({"text": "a", "format": "mp3"}, r"format must be one of wav, flac, ogg, not 'mp3'"),
        ({"text": "a", "variant": "nano"}, r"variant must be one of english, multilingual, turbo"),
        ({"text": "a", "language": "de"}, r"language de needs variant multilingual"),
        ({"text": "a", "language": "xx"}, r"language must be one of ar, da"),
        ({"text": "a", "seed": -1}, r"seed must be a whole number"),
        ({"text": "a", "voice": " "}, r"voice must be a name, a URL, a data URI or base64"),
        ({"text": "a", "voice": 7}, r"voice must be a string, not 7"),
    ],
)
def test_a_wrong_input_is_refused_in_words(fields: dict[str, Any], message: str) -> None:
    """Each names its field."""
    with pytest.raises(InvalidInputError, match=f"^{message}"):
        parse(**fields)


def test_null_is_no_voice() -> None:
    """As if it were not there."""
    assert parse(text="Hello", voice=None).voice == ""
