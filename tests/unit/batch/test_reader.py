"""The rows of a CSV or JSON Lines file, and what is wrong with them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.api.types import Policy
from runpodctl_py.batch.reader import rows
from runpodctl_py.batch.recipe import Recipe
from runpodctl_py.batch.row import BadRow, Row
from runpodctl_py.batch.source import Source
from runpodctl_py.batch.text import LONGEST_ROW_CHARACTERS
from runpodctl_py.errors import UsageError
from runpodctl_py.presets import loading

if TYPE_CHECKING:
    from collections.abc import Sequence

TEST = loading.load("test")
PLAIN = Recipe()


def read(
    content: str | bytes,
    recipe: Recipe = PLAIN,
    *,
    suffix: str = ".csv",
    delimiter: str | None = None,
) -> list[Row | BadRow]:
    """Return the rows of a file with this content."""
    path = Path(f"rows{suffix}")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(rows(Source.at(path, delimiter=delimiter), recipe))


def read_json(*lines: str, recipe: Recipe = PLAIN) -> list[Row | BadRow]:
    """Return the rows of a JSON Lines file with these lines."""
    return read("".join(f"{line}\n" for line in lines), recipe, suffix=".jsonl")


def problems(found: Sequence[Row | BadRow]) -> list[tuple[int, str]]:
    """Return what is wrong, with the line of each."""
    return [(row.line, row.problem) for row in found if isinstance(row, BadRow)]


def refusal(content: str | bytes, recipe: Recipe = PLAIN, *, suffix: str = ".csv") -> UsageError:
    """Return why the whole file is refused."""
    with pytest.raises(UsageError) as caught:
        read(content, recipe, suffix=suffix)
    return caught.value


def test_columns_are_fields_and_values_are_typed_by_their_looks() -> None:
    """As in `--set`: numbers, true and null are JSON's, everything else is text."""
    assert read("text,seed,code,flag\nHello,7,007,true\n") == [
        Row(2, "2", {"text": "Hello", "seed": 7, "code": "007", "flag": True})
    ]


def test_a_preset_types_cells_and_judges_rows() -> None:
    """A field's type wins over a value's looks, and a row that the worker refuses is bad."""
    content = "task_type,duration,user_input\ntext_processing,5,12\nnone,60,a\n,5,a\n"

    found = read(content, Recipe(preset=TEST))

    assert found[0] == Row(
        2, "2", {"task_type": "text_processing", "duration": 5, "user_input": "12"}
    )
    choices = "one of: text_processing, image_generation, data_analysis"
    assert problems(found) == [
        (
            3,
            (
                f'task_type must be {choices}, not "none"; '
                "duration must be an integer from 5 to 45, not 60"
            ),
        ),
        (4, f"task_type is missing: {choices}"),
    ]


def test_a_row_is_on_the_line_where_it_begins() -> None:
    """Lines inside cells and blank lines count, and blank lines are no rows."""
    found = read('a,b\n"x\ny",1\n\n\nz,2\n')

    assert [(row.line, row.name) for row in found if isinstance(row, Row)] == [(2, "2"), (6, "6")]


def test_a_header_may_stand_below_blank_lines() -> None:
    """They are no rows there either."""
    assert read("\n\na\n1\n") == [Row(4, "4", {"a": 1})]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_end_of_a_line_will_do(end: str) -> None:
    """Files come from Linux, from Windows and from old Macs."""
    assert read(f"a,b{end}1,x{end}2,y") == [
        Row(2, "2", {"a": 1, "b": "x"}),
        Row(3, "3", {"a": 2, "b": "y"}),
    ]


def test_rows_that_do_not_fit_the_header_are_bad() -> None:
    """Both counts are told; the rows after them are read."""
    found = read("a,b\n1\n1,2,3\n1,2\n")

    assert problems(found) == [
        (2, "cells: 1; columns in the header: 2"),
        (3, "cells: 3; columns in the header: 2"),
    ]
    assert found[2] == Row(4, "4", {"a": 1, "b": 2})


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        (b'"open', "a quoted cell has no end"),
        (b'"x"y,1', "no CSV: ',' expected after '\"'"),
        (b"\0,1", "it holds a NUL byte"),
        (b"caf\xe9,1", "it is no UTF-8 text: byte 0xe9 at character 4"),
        (b"\xed\xa0\x80,1", "it is no UTF-8 text: byte 0xed at character 1"),
        (b",", "all its cells are empty"),
    ],
)
def test_a_broken_row_is_bad(cell: bytes, problem: str) -> None:
    """It costs itself only: the row before it is read."""
    assert read(b"a,b\n1,2\n" + cell) == [Row(2, "2", {"a": 1, "b": 2}), BadRow(3, problem)]


def test_reading_goes_on_after_a_broken_row() -> None:
    """The next line begins the next row."""
    found = read(b'a,b\n"x"y,1\n\xff,1\n3,4\n')

    assert [row.line for row in found] == [2, 3, 4]
    assert found[2] == Row(4, "4", {"a": 3, "b": 4})


def test_an_empty_cell_leaves_its_field_out() -> None:
    """The worker takes its default."""
    assert read("a,b\n1,\n") == [Row(2, "2", {"a": 1})]


def test_a_cell_of_ten_megabytes_is_read() -> None:
    """Python's own limit of 131 072 characters is no limit here, and is left as it was."""
    before = csv.field_size_limit(1_000)
    cell = "x" * 9_990_000

    found = read(f"a\n{cell}\n{cell}xxxxxxxxxxxxx\n")

    assert [len(str(row.payload["a"])) for row in found if isinstance(row, Row)] == [
        9_990_000,
        9_990_013,
    ]
    assert csv.field_size_limit(before) == 1_000


def test_a_row_larger_than_a_job_may_be_is_bad() -> None:
    """RunPod's /run takes 10 MB (API reference 4.1)."""
    found = read(f"a\n{'x' * 10_000_000}\n")

    assert problems(found) == [(2, "The job's body has 10.0 MB; RunPod's /run takes 10 MB")]


def test_an_endless_cell_is_not_read_into_memory() -> None:
    """A missing quotation mark costs the row it stands in, and a bounded number of lines."""
    line = "x" * 999_999 + "\n"

    found = read(f'a\n1\n"{line * 25}')

    first = problems(found)[0]
    assert first == (
        3,
        "it has more than 20 million characters; is a closing quotation mark missing?",
    )
    assert problems(found)[1:] == []
    assert [row.line for row in found] == [2, 3, *range(23, 28)]


def test_an_endless_line_is_not_read_into_memory() -> None:
    """It is skipped, and the next line is read."""
    endless = "x" * (LONGEST_ROW_CHARACTERS + 100_000)

    found = read(f"{endless}\n" + '{"a": 1}\n', suffix=".jsonl")

    assert found == [BadRow(1, "it has more than 20 million characters"), Row(2, "2", {"a": 1})]


@pytest.mark.parametrize("key", ["id", "custom_id"])
def test_a_column_names_the_rows(key: str) -> None:
    """It is no field of the input."""
    assert read(f"{key},a\nfirst,1\n2,2\n") == [Row(2, "first", {"a": 1}), Row(3, "2", {"a": 2})]


def test_a_preset_with_a_field_called_id_gets_it() -> None:
    """It names the row as well."""
    path = Path("own.toml")
    path.write_text(
        'name = "own"\ntitle = "Own"\ndescription = "Own."\nenv_key = "OWN_ID"\n'
        '[template]\nimage = "own"\ncontainer_disk_gb = 5\n[endpoint]\nname = "own"\n'
        'gpu = ["AMPERE_16"]\nworkers_max = 1\nidle_timeout_s = 5\nexecution_timeout_s = 10\n'
        '[input.id]\ntype = "string"\nhelp = "Which."\n'
    )

    assert read("id\n7\n", Recipe(preset=loading.load(str(path)))) == [Row(2, "7", {"id": "7"})]


def test_names_that_meet_are_bad_rows() -> None:
    """The row that has the name already is told."""
    found = read("id,a\nx,1\nx,2\nX,3\n,4\n")

    assert problems(found) == [
        (3, 'the id "x" is that of line 2, too'),
        (4, 'the id "X" gives files the same names as "x", that of line 2'),
        (5, "the id is empty"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "rows.csv has no rows"),
        ("\n\n", "rows.csv has no rows"),
        ("a,b\n\n", "rows.csv has no rows"),
        ("a,b,a\n1,2,3\n", "rows.csv has two columns called 'a'"),
        ("a,\n1,2\n", "Column 2 of rows.csv has no name in the header"),
        (
            "id,custom_id\n1,2\n",
            "there are both id and custom_id; keep the one that names the rows",
        ),
        (
            b"caf\xe9\n1\n",
            "rows.csv has a broken header on line 1: it is no UTF-8 text: byte 0xe9 at character 4",
        ),
        ("a\n1\n".encode("utf-16"), "rows.csv is UTF-16 text; a batch takes UTF-8"),
        ("a\n1\n".encode("utf-32"), "rows.csv is UTF-32 text; a batch takes UTF-8"),
        ("a;b\n1;2\n", "rows.csv has semicolons in its header, and no commas"),
    ],
)
def test_a_file_that_cannot_be_a_batch_is_refused(content: str | bytes, message: str) -> None:
    """It is said of the whole file, once."""
    assert refusal(content).message == message


def test_hints_say_what_to_do_with_a_file() -> None:
    """Converting it, or saying what parts its columns."""
    assert "iconv -f UTF-16 -t UTF-8" in str(refusal("a\n1\n".encode("utf-16")).hint)
    assert "iconv -f WINDOWS-1252" in str(refusal(b"\xe9\n1\n").hint)
    assert str(refusal("a;b\n1;2\n").hint).endswith("--delimiter ';'")
    assert str(refusal("a\tb\n1\t2\n").hint).endswith("--delimiter tab")
    assert str(refusal("a,b\n1,2\n", suffix=".tsv").hint).endswith("--delimiter ','")


def test_a_delimiter_that_was_chosen_is_taken() -> None:
    """Then a single column may also hold others."""
    assert read("a;b\n1;2\n", delimiter=";") == [Row(2, "2", {"a": 1, "b": 2})]
    assert read("a;b\n1\n", delimiter=",") == [Row(2, "2", {"a;b": 1})]
    assert read("a\tb\n1\t2\n", suffix=".tsv") == [Row(2, "2", {"a": 1, "b": 2})]


def test_a_mark_of_utf_8_is_no_part_of_the_first_column() -> None:
    """Excel writes one."""
    assert read("\ufeffa,b\n1,é\n") == [Row(2, "2", {"a": 1, "b": "é"})]
    assert read('\ufeff{"a": 1}\n', suffix=".jsonl") == [Row(1, "1", {"a": 1})]


def test_columns_that_the_preset_does_not_know_are_refused() -> None:
    """Before any row is read, with the way to choose columns."""
    error = refusal("task_type,note\ntext_processing,x\n", Recipe(preset=TEST))

    assert error.message == "Columns that are no input fields: 'note'"
    assert "--map" in str(error.hint)


def test_mapped_columns_are_the_only_fields() -> None:
    """An export with twenty columns needs no editing."""
    recipe = Recipe.parse(["user_input=Text"], ["task_type=text_processing"], TEST)

    assert read("Nr,Text,Note\n1,Hello,x\n", recipe) == [
        Row(2, "2", {"user_input": "Hello", "task_type": "text_processing"})
    ]


def test_a_column_that_is_missing_is_refused() -> None:
    """With the nearest that there is."""
    error = refusal("Text,Note\nx,y\n", Recipe.parse(["text=Texd"], [], None))

    assert error.message == "There is no column 'Texd'; did you mean 'Text'?"


def test_json_lines_are_inputs() -> None:
    """Values have their types already; blank lines are no rows."""
    assert read_json('{"a": "1", "b": [1.5]}', "", " ", '{"a": null}') == [
        Row(1, "1", {"a": "1", "b": [1.5]}),
        Row(4, "4", {"a": None}),
    ]


def test_a_line_of_json_ends_where_json_lines_do() -> None:
    """Other ends of lines are white space to JSON."""
    assert read_json('{"a":\r1}\r', '{"a": 2}') == [Row(1, "1", {"a": 1}), Row(2, "2", {"a": 2})]


def test_a_setting_can_make_rows_bad() -> None:
    """What RunPod takes is judged by the whole input."""
    deep = Recipe.parse([], [f"b:={'[' * 101}{']' * 101}"], None)

    assert read_json('{"a": 1}', recipe=deep) == [
        BadRow(1, "it is nested more than 100 levels deep")
    ]


def test_json_lines_may_have_an_id_and_a_policy() -> None:
    """RunPod's own words for it (API reference 4.2)."""
    assert read_json('{"id": "x", "input": {"a": 1}, "policy": {"ttl": 10000}}') == [
        Row(1, "x", {"a": 1}, Policy(ttl_ms=10_000))
    ]


def test_a_template_of_json_lines_takes_keys_and_the_id() -> None:
    """A row without the key is bad, since keys may differ by row."""
    recipe = Recipe.parse([], ["text={id}: {word}"], None)

    lines = ['{"id": 7, "input": {"word": "x"}}', '{"id": 8, "input": {"w": "x"}}']

    found = read_json(*lines, recipe=recipe)

    assert found == [
        Row(1, "7", {"word": "x", "text": "7: x"}),
        BadRow(2, "There is no key 'word'"),
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("[1]", "no JSON object but [1]"),
        ("{'a': 1}", "no JSON: Expecting property name enclosed in double quotes at character 2"),
        ('{"a": NaN}', "no JSON: NaN is not a JSON number"),
        ('{"a": 1e999}', "a number is larger than JSON's readers take"),
        ('{"a": ' + "1" * 5000 + "}", "no JSON: a number has more digits than can be read"),
        ("[" * 100_000, "it is nested too deeply"),
        ("[" * 500 + "]" * 500, "it is nested more than 100 levels deep"),
        ('{"a": ' + "[" * 100 + "]" * 100 + "}", "it is nested more than 100 levels deep"),
        ("{}", "the input is empty, and RunPod drops such jobs (API reference 4.2)"),
        ('{"input": {}}', "the input is empty, and RunPod drops such jobs (API reference 4.2)"),
        ('{"a": "\0"}', "it holds a NUL byte"),
    ],
    ids=lambda value: value[:20].replace("\0", "NUL"),
)
def test_a_line_that_cannot_be_sent_is_bad(line: str, problem: str) -> None:
    """And the next one is read."""
    assert read_json(line, '{"a": 1}') == [BadRow(1, problem), Row(2, "2", {"a": 1})]


def test_half_a_character_is_sent_as_it_came() -> None:
    """JSON can write it, and so can we."""
    assert read_json('{"a": "\\ud800"}') == [Row(1, "1", {"a": "\ud800"})]


def test_numbers_of_lines_and_ids_do_not_meet() -> None:
    """Whichever comes first."""
    found = read_json('{"a": 1}', '{"id": 1, "a": 1}', '{"id": 4, "a": 1}', '{"a": 1}')

    assert problems(found) == [
        (2, 'the id "1" is that of line 1, too'),
        (4, "its line's number is the id of line 3"),
    ]


def test_a_second_walk_gives_the_same_rows() -> None:
    """Nothing is remembered between two."""
    Path("rows.csv").write_text("id,a\nx,1\ny,2\n")
    source = Source.at(Path("rows.csv"))

    assert list(rows(source, PLAIN)) == list(rows(source, PLAIN))


def test_a_walk_that_is_left_early_closes_the_file() -> None:
    """Warnings of open files are errors here."""
    Path("rows.csv").write_text("id,a\nx,1\ny,2\n")
    walk = rows(Source.at(Path("rows.csv")), PLAIN)

    assert next(iter(walk)) == Row(2, "x", {"a": 1})
    del walk


def test_a_file_that_is_gone_is_told() -> None:
    """It was there when it was looked at first."""
    path = Path("rows.csv")
    path.write_text("a\n1\n")
    source = Source.at(path)
    path.unlink()

    with pytest.raises(UsageError, match=r"^Cannot read rows\.csv: No such file or directory$"):
        list(rows(source, PLAIN))
