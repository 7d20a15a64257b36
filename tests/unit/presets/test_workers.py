"""The presets' input fields are those that the bundled workers take, with their limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.presets import loading
from worker.errors import InvalidInputError
from worker.tasks.chatterbox.sources import Variant
from worker.tasks.chatterbox.wanted import Wanted as Speech
from worker.tasks.qwen_layered.wanted import Wanted as Layers
from worker.tasks.test import TaskInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from runpodctl_py.presets.fields import InputField

PARSERS: dict[str, Callable[[dict[str, Any]], object]] = {
    "chatterbox": lambda fields: Speech.parse({"input": fields}, Variant.MULTILINGUAL),
    "qwen": lambda fields: Layers.parse({"input": fields}),
    "test": lambda fields: TaskInput.parse({"input": fields}),
}
FIELDS = [(name, field) for name in PARSERS for field in loading.load(name).input.values()]
LEAST = {
    "chatterbox": {"text": "Hello"},
    "qwen": {"image": "aGVsbG8="},
    "test": {"task_type": "image_generation"},
}


def of_numbers(field: InputField) -> bool:
    """Tell whether a field has a range."""
    return field.min is not None or field.max is not None


@pytest.mark.parametrize(
    ("name", "field"),
    [(name, field) for name, field in FIELDS if of_numbers(field)],
    ids=lambda each: each if isinstance(each, str) else each.name,
)
def test_ranges_are_the_workers(name: str, field: InputField) -> None:
    """Both ends are taken, and what is beyond them refused, by the worker as by the preset."""
    step = 1 if field.type == "integer" else 0.01
    for end, beyond in ((field.min, -step), (field.max, step)):
        assert end is not None, f"{field.name} has no limit on this side"
        value = int(end) if field.type == "integer" else end
        PARSERS[name]({**LEAST[name], field.name: value})
        with pytest.raises(InvalidInputError, match=f"^{field.name} "):
            PARSERS[name]({**LEAST[name], field.name: value + beyond})


@pytest.mark.parametrize(
    ("name", "field"),
    [(name, field) for name, field in FIELDS if field.choices],
    ids=lambda each: each if isinstance(each, str) else each.name,
)
def test_choices_are_the_workers(name: str, field: InputField) -> None:
    """All of them are taken; what is none is refused with all of them."""
    for choice in field.choices:
        PARSERS[name]({**LEAST[name], field.name: choice})
    with pytest.raises(InvalidInputError) as caught:
        PARSERS[name]({**LEAST[name], field.name: "another"})
    assert all(str(choice) in caught.value.message for choice in field.choices)


@pytest.mark.parametrize(
    ("name", "field"),
    [(name, field) for name, field in FIELDS if field.required],
    ids=lambda each: each if isinstance(each, str) else each.name,
)
def test_what_is_required_is_required_by_the_worker(name: str, field: InputField) -> None:
    """Its name stands in the refusal."""
    fields = {key: value for key, value in LEAST[name].items() if key != field.name}
    with pytest.raises(InvalidInputError, match=f"^{field.name}"):
        PARSERS[name](fields)
