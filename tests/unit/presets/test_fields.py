from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runpodctl_py.errors import UsageError
from runpodctl_py.presets.fields import FIELD_TYPES, InputField, guess_value, shown

if TYPE_CHECKING:
    from runpodctl_py.jsontypes import JsonValue

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=5,
)


def field(**settings: Any) -> InputField:
    """Make a field called `it`."""
    return InputField(name="it", **settings)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"type": "string"}, "a text"),
        ({"type": "string", "min_length": 1}, "a text of at least 1 character"),
        ({"type": "string", "max_length": 300}, "a text of at most 300 characters"),
        ({"type": "string", "min_length": 1, "max_length": 9}, "a text from 1 to 9 characters"),
        ({"type": "integer", "min": 5, "max": 45}, "an integer from 5 to 45"),
        ({"type": "integer", "max": 4294967295}, "an integer of at most 4294967295"),
        ({"type": "number", "min": 0.05, "max": 5.0}, "a number from 0.05 to 5"),
        ({"type": "number", "min": 1}, "a number of at least 1"),
        ({"type": "boolean"}, "true or false"),
        ({"type": "object"}, "a JSON object"),
        ({"type": "array", "max_length": 1}, "a JSON array of at most 1 entry"),
        ({"type": "array", "min_length": 2}, "a JSON array of at least 2 entries"),
        ({"type": "file"}, "a URL, or a file's content in base64"),
        ({"type": "string", "choices": ("base64", "url")}, "one of: base64, url"),
        ({"type": "integer", "choices": (640, 1024)}, "one of: 640, 1024"),
    ],
)
def test_a_field_says_what_it_takes(settings: dict[str, Any], expected: str) -> None:
    """The words serve messages and help alike."""
    assert expected == field(**settings).expectation


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({"type": "string"}, ""),
        ({"type": "string", "min_length": 1, "max_length": 3}, "abc"),
        ({"type": "string", "choices": ("a", "b")}, "b"),
        ({"type": "integer", "min": 5, "max": 45}, 5),
        ({"type": "integer", "min": 5, "max": 45}, 45),
        ({"type": "integer"}, 10**400),
        ({"type": "number", "max": 1.0}, 1),
        ({"type": "number"}, 0.5),
        ({"type": "boolean"}, False),
        ({"type": "object"}, {}),
        ({"type": "array", "max_length": 1}, [None]),
        ({"type": "file"}, "https://example.com/a.png?x=1"),
        ({"type": "file"}, "data:image/png;base64,iVBORw0KGgo="),
        ({"type": "file"}, "iVBORw0KGgoAAAANSUhEUg==\n"),
        ({"type": "file"}, "iVBORw0KGgoAAAAN\nSUhEUgAA\n"),
    ],
)
def test_a_field_accepts_what_fits(settings: dict[str, Any], value: JsonValue) -> None:
    """Limits are inclusive, and an integer is a number."""
    assert field(**settings).accepts(value)


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({"type": "string"}, 1),
        ({"type": "string"}, None),
        ({"type": "string", "min_length": 1}, " \n"),
        ({"type": "string", "max_length": 3}, "abcd"),
        ({"type": "string", "choices": ("a", "b")}, "c"),
        ({"type": "integer"}, True),
        ({"type": "integer"}, 5.0),
        ({"type": "integer"}, "5"),
        ({"type": "integer", "min": 5}, 4),
        ({"type": "integer", "choices": (640, 1024)}, 641),
        ({"type": "number"}, True),
        ({"type": "number"}, math.nan),
        ({"type": "number"}, -math.inf),
        ({"type": "number", "max": 1.0}, 1.001),
        ({"type": "boolean"}, 1),
        ({"type": "boolean"}, "true"),
        ({"type": "object"}, []),
        ({"type": "array"}, {}),
        ({"type": "array", "min_length": 1}, []),
        ({"type": "file"}, ""),
        ({"type": "file"}, "photo.png"),
        ({"type": "file"}, "C:\\pictures\\of-the-summer\\photo.png"),
        ({"type": "file"}, "ftp://example.com/a.png"),
        ({"type": "file"}, {"url": "https://example.com/a.png"}),
    ],
)
def test_a_field_refuses_what_does_not_fit(settings: dict[str, Any], value: JsonValue) -> None:
    """A truth value is no number, a blank text is no text, a path is no file."""
    assert not field(**settings).accepts(value)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("string", " as it is ", " as it is "),
        ("string", "1", "1"),
        ("file", "https://example.com/a.png", "https://example.com/a.png"),
        ("integer", "42", 42),
        ("integer", " -7 ", -7),
        ("integer", "007", 7),
        ("number", "0.5", 0.5),
        ("number", "2", 2.0),
        ("number", ".5", 0.5),
        ("number", "1e-3", 0.001),
        ("boolean", "true", True),
        ("boolean", "Yes", True),
        ("boolean", "1", True),
        ("boolean", "FALSE", False),
        ("boolean", "no", False),
        ("boolean", "0", False),
        ("object", '{"a": [1, null]}', {"a": [1, None]}),
        ("array", "[1, 2]", [1, 2]),
    ],
)
def test_text_becomes_a_value_of_the_fields_type(kind: str, text: str, expected: JsonValue) -> None:
    """`--set key=value` gives the worker what it declared, not a text."""
    actual = field(type=kind).parse(text)
    assert expected == actual
    assert type(expected) is type(actual)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("integer", "1.5", 'it must be an integer, not "1.5"'),
        ("integer", "", 'it must be an integer, not ""'),
        ("integer", "1_000", 'it must be an integer, not "1_000"'),
        ("integer", "\u0663", 'it must be an integer, not "\u0663"'),
        ("number", "nan", 'it must be a number, not "nan"'),
        ("number", "-Infinity", 'it must be a number, not "-Infinity"'),
        ("number", "1e999", 'it must be a number, not "1e999"'),
        ("number", "a lot", 'it must be a number, not "a lot"'),
        ("boolean", "maybe", 'it must be true or false, not "maybe"'),
        ("object", "[]", 'it must be a JSON object, not "[]"'),
        ("object", "{a: 1}", 'it must be a JSON object, not "{a: 1}"'),
        ("array", "{}", 'it must be a JSON array, not "{}"'),
        ("array", "[NaN]", 'it must be a JSON array, not "[NaN]"'),
    ],
)
def test_text_of_another_type_is_refused(kind: str, text: str, message: str) -> None:
    """The message names the field, what it takes and what was given."""
    with pytest.raises(UsageError) as caught:
        field(type=kind, help="What it is.").parse(text)
    assert message == caught.value.message
    assert caught.value.hint == "What it is."


@pytest.mark.parametrize(
    ("kind", "text"), [("integer", "9" * 5000), ("array", "[" * 100_000), ("number", "9" * 5000)]
)
def test_text_that_python_cannot_convert_is_refused_in_short(kind: str, text: str) -> None:
    """Huge numbers and endless nesting are wrong usage; the message does not repeat all of it."""
    with pytest.raises(UsageError) as caught:
        field(type=kind).parse(text)
    assert caught.value.message.endswith("…")
    assert len(caught.value.message) < 100


@given(st.sampled_from(FIELD_TYPES), st.text())
def test_parsed_text_is_accepted_or_refused_as_wrong_usage(kind: str, text: str) -> None:
    """Whatever is parsed has the field's type; nothing else escapes."""
    it = field(type=kind)
    try:
        value = it.parse(text)
    except UsageError:
        return
    assert kind == "file" or it.accepts(value)


@given(st.sampled_from(FIELD_TYPES), JSON_VALUES)
def test_any_json_value_can_be_judged(kind: str, value: JsonValue) -> None:
    """Judging a value of the wrong type, with every limit set, says no instead of failing."""
    it = field(type=kind, min=0, max=10, min_length=1, max_length=5)
    assert it.accepts(value) in {True, False}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("1", 1),
        ("-0.5", -0.5),
        ("1e3", 1000.0),
        ("True", "True"),
        ("yes", "yes"),
        ("007", "007"),
        ("+1", "+1"),
        ("1e999", "1e999"),
        ("NaN", "NaN"),
        ("9" * 5000, "9" * 5000),
        ("", ""),
        (" 1", " 1"),
        ("[1]", "[1]"),
        ('"quoted"', '"quoted"'),
    ],
)
def test_without_a_type_only_json_scalars_are_recognised(text: str, expected: JsonValue) -> None:
    """A telephone number with its leading zero stays a text, and so does everything longer."""
    actual = guess_value(text)
    assert expected == actual
    assert type(expected) is type(actual)


@given(st.text())
def test_a_guessed_value_can_be_sent_as_json(text: str) -> None:
    """Nothing is guessed that JSON could not hold."""
    value = guess_value(text)
    assert value == json.loads(json.dumps(value, allow_nan=False))


def test_a_long_value_is_cut_in_a_message() -> None:
    """A picture in base64 does not fill the terminal."""
    assert shown("short") == '"short"'
    assert shown("x" * 100) == '"' + "x" * 39 + "…"
