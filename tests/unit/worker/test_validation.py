from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import InvalidInputError
from worker.validation import (
    LARGEST_SEED,
    describe,
    read_choice,
    read_flag,
    read_number,
    read_object,
    read_seed,
    read_text,
    read_whole_number,
)

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(categories=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@pytest.mark.parametrize(("given_value", "number"), [(5, 5), (45, 45), (20.0, 20)])
def test_whole_numbers_inside_the_range_are_read(given_value: float, number: int) -> None:
    """Both ends belong to the range, and 20.0 is 20: JSON knows no difference."""
    read = read_whole_number({"duration": given_value}, "duration", low=5, high=45, default=20)
    assert (number, int) == (read, type(read))


@pytest.mark.parametrize(
    "value",
    [4, 46, 0, -1, 5.5, True, False, None, "20", [], {}, math.nan, math.inf, -math.inf, 10**20],
)
def test_everything_else_is_refused_not_clamped(value: Any) -> None:
    """A wrong number ends in an error that names the field and the range."""
    with pytest.raises(InvalidInputError, match=r"^duration must be a whole number from 5 to 45"):
        read_whole_number({"duration": value}, "duration", low=5, high=45, default=20)


def test_a_missing_number_is_its_default() -> None:
    """Only an absent field means the default."""
    assert read_whole_number({}, "duration", low=5, high=45, default=20) == 20


@pytest.mark.parametrize("value", ["", "TEXT", "c", None, 1, ["a"], {"a": 1}])
def test_an_unknown_choice_is_refused_with_the_known_ones(value: Any) -> None:
    """Unhashable values are refused like any other."""
    with pytest.raises(InvalidInputError, match=r"^kind must be one of a, b, not"):
        read_choice({"kind": value}, "kind", ("a", "b"))


def test_a_required_choice_may_not_be_missing() -> None:
    """Without a default the field is required."""
    with pytest.raises(InvalidInputError) as caught:
        read_choice({}, "kind", ("a", "b"))
    assert caught.value.message == "kind is required: one of a, b"


def test_a_missing_choice_is_its_default() -> None:
    """With a default the field may be absent."""
    assert read_choice({}, "kind", ("a", "b"), default="b") == "b"


@pytest.mark.parametrize("value", [None, 1, True, [], {}])
def test_text_must_be_a_string(value: Any) -> None:
    """Nothing is turned into text by itself."""
    with pytest.raises(InvalidInputError, match=r"^note must be a string, not"):
        read_text({"note": value}, "note", default="")


def test_a_lone_surrogate_is_refused() -> None:
    """JSON can spell half a character; no file could be written with it."""
    with pytest.raises(InvalidInputError) as caught:
        read_text({"note": "ab\ud800"}, "note", default="")
    assert caught.value.message == "note is no valid Unicode: a lone surrogate at position 2"


@pytest.mark.parametrize("value", [None, [], "x", 1])
def test_an_object_must_be_an_object(value: Any) -> None:
    """Neither null nor a list passes for one."""
    with pytest.raises(InvalidInputError, match=r"^input must be an object, not"):
        read_object({"input": value}, "input")


def test_a_number_too_long_to_print_is_refused_too() -> None:
    """Python refuses to print integers of more than 4300 digits."""
    with pytest.raises(InvalidInputError, match="a number beyond all bounds"):
        read_whole_number({"duration": 10**5000}, "duration", low=5, high=45, default=20)


@given(JSON_VALUES)
def test_every_value_has_a_short_ascii_picture(value: Any) -> None:
    """A message with it can always be encoded and read."""
    picture = describe(value)
    assert picture.isascii()
    assert len(picture) <= 320


@pytest.mark.parametrize(("value", "number"), [(0, 0.0), (0.5, 0.5), (1, 1.0)])
def test_numbers_inside_the_range_are_read(value: float, number: float) -> None:
    """Both ends belong to it, and whole numbers are numbers."""
    read = read_number({"weight": value}, "weight", low=0, high=1, default=0.7)
    assert (number, float) == (read, type(read))
    assert read_number({}, "weight", low=0, high=1, default=0.7) == 0.7


@pytest.mark.parametrize("value", [-0.1, 1.1, True, None, "1", [], math.nan, math.inf, 10**400])
def test_other_numbers_are_refused(value: Any) -> None:
    """None are bent into the range."""
    with pytest.raises(InvalidInputError, match=r"^weight must be a number from 0 to 1, not "):
        read_number({"weight": value}, "weight", low=0, high=1, default=0.7)


@pytest.mark.parametrize("value", [0, 1, "true", None])
def test_a_flag_is_true_or_false(value: Any) -> None:
    """What JSON calls so."""
    assert read_flag({"on": False}, "on", default=True) is False
    assert read_flag({}, "on", default=True) is True
    with pytest.raises(InvalidInputError, match=r"^on must be true or false, not "):
        read_flag({"on": value}, "on", default=True)


def test_a_missing_seed_is_drawn() -> None:
    """Another one each time, and null is none."""
    assert read_seed({"seed": 7}) == 7
    drawn = {read_seed({}) for _ in range(9)} | {read_seed({"seed": None})}
    assert len(drawn) == 10
    assert all(0 <= seed <= LARGEST_SEED for seed in drawn)


@pytest.mark.parametrize("value", [-1, LARGEST_SEED + 1, 1.5, True, "7"])
def test_other_seeds_are_refused(value: Any) -> None:
    """A seed is what every generator takes."""
    with pytest.raises(InvalidInputError, match=r"^seed must be a whole number from 0 to"):
        read_seed({"seed": value})
