from __future__ import annotations

import pytest

from worker.errors import SettingError
from worker.tasks.qwen_layered.precision import (
    Placement,
    Precision,
    choose_placement,
    read_precision,
)

# What torch says of cards that are sold as having so many GB.
CARDS = {24: 25_300_000_000, 32: 33_700_000_000, 40: 42_300_000_000, 48: 50_900_000_000}
CARDS |= {80: 84_900_000_000, 141: 150_000_000_000}


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        (24, Placement(Precision.BNB4, offloads=True)),
        (32, Placement(Precision.BNB4, offloads=True)),
        (40, Placement(Precision.FP8, offloads=True)),
        (48, Placement(Precision.FP8, offloads=True)),
        (80, Placement(Precision.BF16, offloads=False)),
        (141, Placement(Precision.BF16, offloads=False)),
    ],
)
def test_the_card_chooses(card: int, expected: Placement) -> None:
    """As workers reference B measured what fits."""
    assert choose_placement(None, CARDS[card]) == expected


@pytest.mark.parametrize("precision", [Precision.BF16, Precision.FP8, Precision.BNB4])
def test_who_asks_gets_it(precision: Precision) -> None:
    """Whatever the card; with offload where not all of the model would fit."""
    assert choose_placement(precision, CARDS[80]) == Placement(precision, offloads=False)
    assert choose_placement(precision, CARDS[48]) == Placement(precision, offloads=True)


def test_the_processor_computes_in_float32() -> None:
    """There is nothing to offload from; who asks for less gets less."""
    assert choose_placement(None, None) == Placement(Precision.FLOAT32, offloads=False)
    assert choose_placement(Precision.FP8, None) == Placement(Precision.FP8, offloads=False)


@pytest.mark.parametrize(
    ("precision", "parts"),
    [
        (Precision.FLOAT32, ()),
        (Precision.BF16, ()),
        (Precision.FP8, ("transformer",)),
        (Precision.BNB4, ("transformer", "text_encoder")),
    ],
)
def test_what_is_quantised(precision: Precision, parts: tuple[str, ...]) -> None:
    """The text encoder only where each gigabyte counts."""
    assert Placement(precision, offloads=True).quantised_parts == parts


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"QWEN_PRECISION": "auto"}, None),
        ({"QWEN_PRECISION": "bf16"}, Precision.BF16),
        ({"QWEN_PRECISION": "fp8"}, Precision.FP8),
        ({"QWEN_PRECISION": "bnb4"}, Precision.BNB4),
    ],
)
def test_the_variable(environ: dict[str, str], expected: Precision | None) -> None:
    """By its documented values."""
    assert read_precision(environ, "cuda") == expected


@pytest.mark.parametrize("name", ["float32", "FP8", "int4"])
def test_an_unknown_precision_is_refused(name: str) -> None:
    """At start, with the known ones."""
    with pytest.raises(SettingError) as caught:
        read_precision({"QWEN_PRECISION": name}, "cuda")
    assert str(caught.value) == (
        f"QWEN_PRECISION must be one of auto, bf16, fp8, bnb4, not {name!r}"
    )


def test_four_bits_need_a_card() -> None:
    """Without one, diffusers refuses to quantise the transformer."""
    with pytest.raises(SettingError) as caught:
        read_precision({"QWEN_PRECISION": "bnb4"}, "cpu")
    assert str(caught.value) == "QWEN_PRECISION=bnb4 needs a GPU: diffusers asks for one"
