"""What stands behind `--set`."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.errors import UsageError
from runpodctl_py.presets import loading
from runpodctl_py.presets.assignments import Assignment, Kind, parse_assignment

if TYPE_CHECKING:
    from runpodctl_py.jsontypes import JsonValue

TEST = loading.load("test")
BINARY = b"\x89PNG\xff"


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("a=b=c", Assignment("a", Kind.TEXT, "b=c")),
        ("a=", Assignment("a", Kind.TEXT, "")),
        ("a=@b", Assignment("a", Kind.FILE, "b")),
        ('a:="@b"', Assignment("a", Kind.JSON, '"@b"')),
        ("a:b=c", Assignment("a:b", Kind.TEXT, "c")),
    ],
)
def test_there_are_three_forms(item: str, expected: Assignment) -> None:
    """A text, a file, JSON."""
    assert parse_assignment(item) == expected


@pytest.mark.parametrize("item", ["a", "=a", ":=1", ""])
def test_what_has_none_of_them_is_refused(item: str) -> None:
    """With what was expected."""
    with pytest.raises(UsageError, match=r"^--set takes key=value, key=@file or key:=json, not "):
        parse_assignment(item)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("duration=7", 7),
        ("user_input=7", "7"),
        ("duration:=[7]", [7]),
        ("user_input=@text", "Grüße"),
        ("user_input=@binary", base64.b64encode(BINARY).decode()),
    ],
)
def test_a_value_has_the_type_of_its_field(item: str, expected: JsonValue) -> None:
    """JSON has its own, and a file is text where it can be."""
    Path("text").write_text("Grüße")
    Path("binary").write_bytes(BINARY)

    assert parse_assignment(item).value(TEST) == expected


def test_without_a_preset_looks_decide() -> None:
    """As for anything that nobody declared."""
    assert parse_assignment("a=7").value(None) == 7
    assert parse_assignment("a=007").value(None) == "007"


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("a:=NaN", "--set a:= is no JSON: NaN is not a JSON number"),
        ("a=@missing", "Cannot read missing: No such file or directory"),
        ("a=7", "test has no input field a"),
    ],
)
def test_a_value_that_cannot_be_had_is_refused(item: str, message: str) -> None:
    """In words that name it."""
    with pytest.raises(UsageError) as caught:
        parse_assignment(item).value(TEST)

    assert caught.value.message == message
