"""How a row becomes a job's input."""

from __future__ import annotations

from pathlib import Path

import pytest

from runpodctl_py.batch.recipe import Recipe
from runpodctl_py.errors import UsageError
from runpodctl_py.presets import loading

TEST = loading.load("test")


def test_columns_are_fields_of_their_own_name() -> None:
    """Unless they are there to name the rows."""
    recipe = Recipe.parse([], [], None)

    assert recipe.from_texts({"id": "x", "a": "1"}, apart={"id"}) == {"a": 1}


def test_with_a_mapping_other_columns_are_no_fields() -> None:
    """A column may give several fields; one that names the rows may give one, too."""
    recipe = Recipe.parse(["a=x", "b=x", "c=id"], [], None)

    assert recipe.from_texts({"id": "7", "x": "hello", "y": "z"}, apart={"id"}) == {
        "a": "hello",
        "b": "hello",
        "c": 7,
    }


def test_settings_are_the_same_for_all_rows() -> None:
    """They win over columns, and the last of two wins over the first."""
    Path("long.txt").write_text("from a {file}")
    recipe = Recipe.parse(
        [], ["a=1", "b=@long.txt", 'c:={"x": [1]}', "d=1", "d={a}", "e={a}", "e=1"], None
    )

    assert recipe.from_texts({"a": "7"}) == {
        "a": 1,
        "b": "from a {file}",
        "c": {"x": [1]},
        "d": 7,
        "e": 1,
    }


def test_a_setting_without_holes_is_typed_once() -> None:
    """What no row can mend is told before any is read."""
    with pytest.raises(UsageError, match=r"^duration must be an integer from 5 to 45, not "):
        Recipe.parse([], ["duration=long"], TEST)


def test_doubled_braces_are_braces() -> None:
    """In constants, too."""
    recipe = Recipe.parse([], ["a={{x}}", "b={{{x}}}"], None)

    assert recipe.from_values({"x": 1}, apart={"x"}) == {"a": "{x}", "b": "{1}"}


def test_a_filled_text_is_typed_as_if_it_had_been_set() -> None:
    """By the preset's field."""
    recipe = Recipe.parse([], ["duration=1{digit}", "user_input={digit}"], TEST)

    assert recipe.from_texts({"digit": "5"}) == {"duration": 15, "user_input": "5"}


def test_a_filled_text_that_is_empty_leaves_its_field_out() -> None:
    """As an empty cell does."""
    recipe = Recipe.parse([], ["b={a}"], None)

    assert recipe.from_texts({"a": "", "c": "x"}) == {"c": "x"}


def test_a_column_for_a_template_need_not_be_a_field_of_the_preset() -> None:
    """One that is stays one."""
    recipe = Recipe.parse([], ["user_input={name} for {duration} s"], TEST)
    cells = {"duration": "5", "name": "Test"}

    recipe.check_columns(cells)

    assert recipe.from_texts(cells) == {"duration": 5, "user_input": "Test for 5 s"}


def test_without_declared_fields_columns_for_a_template_are_sent_too() -> None:
    """Nobody said that they are none."""
    recipe = Recipe.parse([], ["b=<{a}>"], None)

    assert recipe.from_texts({"a": "x"}) == {"a": "x", "b": "<x>"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [("x", "x"), (7, "7"), (True, "true"), (None, ""), ([1, "é"], '[1, "é"]')],
)
def test_values_of_json_are_written_into_texts(value: object, expected: str) -> None:
    """Texts as they are, the rest as JSON, and null as nothing."""
    recipe = Recipe.parse([], ["b=<{a}>"], None)

    assert recipe.from_values({"a": value}, apart={"a"}) == {"b": f"<{expected}>"}  # type: ignore[dict-item]  # JSON.


def test_values_keep_their_types() -> None:
    """They are not texts that would have to be read."""
    assert Recipe.parse(["b=a"], [], None).from_values({"a": "7", "c": 1}, ()) == {"b": "7"}


def test_every_cell_that_cannot_be_read_is_told() -> None:
    """One line for each."""
    with pytest.raises(UsageError) as caught:
        Recipe.parse([], [], TEST).from_texts({"duration": "x", "width": "y"})

    assert caught.value.message.splitlines() == [
        'duration must be an integer from 5 to 45, not "x"',
        'width must be an integer from 64 to 4096, not "y"',
    ]


@pytest.mark.parametrize(
    ("maps", "settings", "message"),
    [
        (["a"], [], "--map takes field=column, not 'a'"),
        (["=a"], [], "--map takes field=column, not '=a'"),
        (["a="], [], "--map takes field=column, not 'a='"),
        (["a=x", "a=y"], [], "--map gives a twice: from 'x' and 'y'"),
        (["a=x"], ["a=1"], "Both --map and --set give a"),
        ([], ["a"], "--set takes key=value, key=@file or key:=json, not 'a'"),
        ([], ["a={"], "There is a single { in '{'"),
        ([], ["a={}"], "There is a single { in '{}'"),
        (
            [],
            ["a:={"],
            (
                "--set a:= is no JSON: Expecting property name enclosed in double quotes: "
                "line 1 column 2 (char 1)"
            ),
        ),
        ([], ["a=@missing"], "Cannot read missing: No such file or directory"),
    ],
)
def test_words_that_mean_nothing_are_refused(
    maps: list[str], settings: list[str], message: str
) -> None:
    """With what was expected."""
    with pytest.raises(UsageError) as caught:
        Recipe.parse(maps, settings, None)

    assert caught.value.message == message


@pytest.mark.parametrize(
    ("maps", "settings"),
    [(["duratoin=x"], []), ([], ["duratoin=5"]), ([], ["duratoin:=5"]), ([], ["duratoin={x}"])],
)
def test_fields_that_the_preset_does_not_have_are_refused(
    maps: list[str], settings: list[str]
) -> None:
    """With the nearest one."""
    with pytest.raises(
        UsageError, match=r"^test has no input field duratoin; did you mean '?duration'?\?$"
    ):
        Recipe.parse(maps, settings, TEST)


def test_columns_that_templates_take_must_be_there() -> None:
    """With the nearest one, and all there are."""
    with pytest.raises(UsageError) as caught:
        Recipe.parse([], ["b={tex}"], None).check_columns(["text", "note"])

    assert caught.value.message == "There is no column 'tex'; did you mean 'text'?"
    assert caught.value.hint == "There are: 'text', 'note'"
