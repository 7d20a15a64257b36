from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.errors import UsageError
from runpodctl_py.presets.loading import load

if TYPE_CHECKING:
    from runpodctl_py.jsontypes import JsonObject, JsonValue

TEST_FIELDS = "Fields of test: task_type, duration, user_input, output_format, width, height"


@pytest.mark.parametrize(
    ("field_name", "text", "expected"),
    [
        ("duration", "10", 10),
        ("duration", "99", 99),
        ("user_input", "10", "10"),
        ("task_type", "data_analysis", "data_analysis"),
    ],
)
def test_a_value_is_read_by_its_fields_type(
    field_name: str, text: str, expected: JsonValue
) -> None:
    """The type decides, not the looks; limits are judged with the whole input."""
    assert expected == load("test").parse_value(field_name, text)


def test_a_value_of_another_type_is_refused() -> None:
    """The message names the field and its range."""
    with pytest.raises(UsageError) as caught:
        load("test").parse_value("duration", "1.5")
    assert caught.value.message == 'duration must be an integer from 5 to 45, not "1.5"'


def test_an_unknown_field_suggests_the_nearest_and_lists_all() -> None:
    """A slip of the finger is found before a worker is paid for it."""
    with pytest.raises(UsageError) as caught:
        load("test").parse_value("durration", "10")
    assert caught.value.message == "test has no input field durration; did you mean duration?"
    assert caught.value.hint == TEST_FIELDS


def test_a_preset_without_declared_fields_takes_everything() -> None:
    """Somebody else's worker need not be described field by field."""
    preset = replace(load("test"), input={})
    preset.check_input({"anything": ["goes"]})
    assert preset.parse_value("anything", "1.5") == 1.5


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("test", {"task_type": "text_processing"}),
        ("test", {"task_type": "image_generation", "duration": 45, "width": 64, "height": 4096}),
        ("chatterbox", {"text": "Hello", "cfg_weight": 0, "temperature": 5, "seed": 0}),
        ("qwen", {"image": "https://example.com/a.png", "layers": 10, "resolution": 1024}),
        ("qwen", {"image": "iVBORw0KGgoAAAANSUhEUg==", "negative_prompt": " ", "num_layers": 3}),
    ],
)
def test_a_good_input_passes(name: str, payload: JsonObject) -> None:
    """Whatever the worker takes, we let through; absent fields are the worker's to fill in."""
    before = dict(payload)
    load(name).check_input(payload)
    assert before == payload


@pytest.mark.parametrize(
    ("name", "payload", "message"),
    [
        (
            "test",
            {},
            "task_type is missing: one of: text_processing, image_generation, data_analysis",
        ),
        (
            "test",
            {"task_type": "text_processing", "output_format": "zip"},
            'output_format must be one of: base64, url, not "zip"',
        ),
        (
            "test",
            {"task_type": "text_processing", "duration": True},
            "duration must be an integer from 5 to 45, not true",
        ),
        (
            "test",
            {"task_type": "text_processing", "hight": 64},
            "test has no input field hight; did you mean height?",
        ),
        (
            "chatterbox",
            {"text": "Hello", "temperature": 0},
            "temperature must be a number from 0.05 to 5, not 0",
        ),
        ("chatterbox", {"text": " "}, 'text must be a text from 1 to 20000 characters, not " "'),
        (
            "qwen",
            {"image": "photo.png"},
            'image must be a URL, or a file\'s content in base64, not "photo.png"',
        ),
    ],
)
def test_a_bad_field_is_named_with_its_range(name: str, payload: JsonObject, message: str) -> None:
    """One problem, one line: which field, what it takes, what it got."""
    with pytest.raises(UsageError) as caught:
        load(name).check_input(payload)
    assert message == caught.value.message


def test_all_problems_are_told_at_once() -> None:
    """Nobody should have to fix an input one message at a time."""
    with pytest.raises(UsageError) as caught:
        load("test").check_input({"duration": 60, "width": 2.5, "colour": "red"})
    assert caught.value.message.splitlines() == [
        "task_type is missing: one of: text_processing, image_generation, data_analysis",
        "duration must be an integer from 5 to 45, not 60",
        "width must be an integer from 64 to 4096, not 2.5",
        "test has no input field colour",
    ]
    assert caught.value.hint == TEST_FIELDS
