"""A file becomes jobs, and jobs become files: once, whatever is typed again."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.cli.batch_scene import (
    OUT,
    batch_run,
    counted,
    inputs_at,
    results,
    rows_at,
    write_rows,
)
from tests.acceptance.cli.ledger_scene import named

if TYPE_CHECKING:
    from tests.acceptance.cli.ledger_scene import LedgerScene
    from tests.acceptance.cli.person import Said

WRONG = ["batch", "run", "rows.jsonl", "-e", "any"]


def ids(said: Said) -> set[str]:
    """Return the ids that a batch's first and last events carry."""
    return {each["id"] for each in said.events if each["event"] in {"batch", "finished"}}


def test_a_table_becomes_jobs_and_files(scene: LedgerScene) -> None:
    """Columns, templates and constants make an input; the id column names the row's file."""
    Path("animals.csv").write_text('id,animal,says\ncat-1,cat,"meow, meow"\ndog/2,dog,\n')
    said = scene.run(
        *batch_run(scene, scene.quick, "-m", "voice=says", file="animals.csv"),
        *("-s", "text=A {animal} says {{{says}}}", "-s", "seed=7", "-s", "tags:=[1, null]"),
        "--json",
    )
    assert (said.code, said.stderr) == (0, "")
    same = {"seed": 7, "tags": [1, None]}
    assert inputs_at(scene, scene.quick) == [
        {"voice": "meow, meow", "text": "A cat says {meow, meow}", **same},
        {"text": "A dog says {}", **same},
    ]
    assert [each["event"] for each in said.events] == ["batch", "row", "row", "finished"]
    cat, dog = results()
    assert ([cat["row"], dog["row"]], [cat["line"], dog["line"]]) == (["cat-1", "dog/2"], [2, 3])
    assert {path.name for path in OUT.iterdir()} == {
        *("results.jsonl", "results.csv"),
        *(file["path"] for each in (cat, dog) for file in each["files"]),
    }
    assert [each["files"][0]["path"] for each in (cat, dog)] == ["cat-1.txt", "2.txt"]
    with (OUT / "results.csv").open(newline="") as file:
        assert [(each["row"], each["ok"]) for each in csv.DictReader(file)] == [
            ("cat-1", "true"),
            ("dog/2", "true"),
        ]


def test_json_lines_become_jobs(scene: LedgerScene) -> None:
    """An input a line, or one with a name and a policy; a line without a name is its number."""
    Path("rows.jsonl").write_text(
        '{"text": "plain"}\n\n{"custom_id": "b", "input": {"text": "named"},'
        ' "policy": {"executionTimeout": 60000, "ttl": 600000}}\n'
    )
    said = scene.run(*batch_run(scene, scene.quick))
    assert (said.code, said.stdout) == (0, "out/results.csv\n")
    assert inputs_at(scene, scene.quick) == [{"text": "plain"}, {"text": "named"}]
    assert [(each["row"], each["line"]) for each in results()] == [("1", 1), ("b", 3)]
    policies = {each.intent.row: each.intent.policy for each in scene.records()}
    assert (policies["b"].execution_timeout_ms, policies["b"].ttl_ms) == (60_000, 600_000)
    assert {path.suffix for path in OUT.iterdir()} == {".txt", ".csv", ".jsonl"}


def test_the_same_command_again(scene: LedgerScene) -> None:
    """Done is done; with --new, it is all done once more, beside the old results."""
    names = write_rows(2)
    command = ("batch", "run", "rows.jsonl", "-e", scene.quick, *named(scene), "--json")
    first = scene.run(*command)
    assert counted(first) == {"succeeded": 2, "sent": 2}
    again = scene.run(*command)
    assert (again.code, counted(again), ids(again)) == (0, {"kept": 2, "succeeded": 2}, ids(first))
    assert rows_at(scene, scene.quick) == names
    new = scene.run(*command, "--new")
    assert (counted(new), ids(new) & ids(first)) == ({"succeeded": 2, "sent": 2}, set())
    assert rows_at(scene, scene.quick) == sorted(names * 2)
    folders = {each.events[-1]["output_dir"] for each in (first, again, new)}
    assert folders == {str(path.absolute()) for path in Path("outputs").iterdir()}
    listed = scene.run("batch", "list", "--json").document
    assert [(each["batch"], each["state"]) for each in listed] == [
        (ids(new).pop(), "done"),
        (ids(first).pop(), "done"),
    ]


def test_every_bad_row_is_told_and_nothing_is_sent(scene: LedgerScene) -> None:
    """With its line; --skip-invalid sends the others, and leaves nothing over."""
    Path("rows.csv").write_text('id,text\n,no name\nb,good\nc,good,extra\nb,twice\n"f,"x"\n')
    command = ("batch", "run", "rows.csv", "-e", scene.quick, *named(scene), "-o", "out")
    said = scene.run(*command)
    first, *lines = said.stderr.splitlines()
    assert (said.code, said.stdout, first) == (2, "", "✗ 4 rows of rows.csv cannot be sent")
    assert [line.split(":")[0].strip() for line in lines[:4]] == [f"line {n}" for n in (2, 4, 5, 6)]
    assert "--skip-invalid" in said.stderr
    assert (inputs_at(scene, scene.quick), OUT.exists()) == ([], False)
    said = scene.run(*command, "--skip-invalid", "--json")
    assert (said.code, counted(said)) == (0, {"succeeded": 1, "sent": 1})
    assert said.stderr.count('{"warning": "left out: line ') == 4
    assert inputs_at(scene, scene.quick) == [{"text": "good"}]
    status = scene.run("batch", "status", said.events[-1]["id"], "--json").document
    assert (status["state"], status["rows"], status["invalid"], status["left"]) == ("done", 5, 4, 0)


def test_a_dry_run_sends_nothing(scene: LedgerScene) -> None:
    """It shows the first request, and leaves no trace: no job, no batch, no folder."""
    write_rows(3)
    said = scene.run(*batch_run(scene, scene.quick), "--dry-run")
    assert (said.code, said.document["rows"], said.stderr) == (0, 3, "Nothing was sent.\n")
    assert said.document["request"]["url"].endswith(f"/v2/{scene.quick}/run")
    assert said.document["request"]["body"]["input"]["row"] == "r0"
    assert (inputs_at(scene, scene.quick), OUT.exists(), scene.records()) == ([], False, [])
    listed = scene.run("batch", "list")
    assert (listed.code, listed.stderr.split(".")[0]) == (0, "No batches")


def test_a_few_first_and_then_the_rest(scene: LedgerScene) -> None:
    """--limit is of this run; the same command sends the next ones."""
    names = write_rows(5)
    said = scene.run(*batch_run(scene, scene.quick), "--limit", "2", "--json")
    assert (said.code, counted(said)) == (0, {"succeeded": 2, "left": 3, "sent": 2})
    assert (said.events[-1]["stop"], rows_at(scene, scene.quick)) == ("limit", names[:2])
    (listed,) = scene.run("batch", "list", "--json").document
    assert (listed["state"], listed["running"], listed["left"]) == ("open", False, 3)
    rest = scene.run(*batch_run(scene, scene.quick), "--json")
    assert counted(rest) == {"kept": 2, "succeeded": 5, "sent": 3}
    assert (rows_at(scene, scene.quick), len(results())) == (names, 5)


def test_what_is_piped_in_is_kept_for_later(scene: LedgerScene) -> None:
    """Another command goes on with it; and the same rows piped in again are the same batch."""
    rows = "".join(f'{{"row": "{name}"}}\n' for name in "abc")
    command = batch_run(scene, scene.quick, "--json", file="-")
    said = scene.run(*command, "--limit", "1", stdin=rows)
    assert (said.code, counted(said)) == (0, {"succeeded": 1, "left": 2, "sent": 1})
    batch_id = said.events[-1]["id"]
    resumed = scene.run("batch", "resume", batch_id[:3], "--limit", "1", "--json")
    assert counted(resumed) == {"kept": 1, "succeeded": 2, "left": 1, "sent": 1}
    again = scene.run(*command, stdin=rows)
    assert (ids(again), counted(again)) == ({batch_id}, {"kept": 2, "succeeded": 3, "sent": 1})
    assert rows_at(scene, scene.quick) == ["a", "b", "c"]
    (listed,) = scene.run("batch", "list", "--json").document
    assert listed["file"] == "stdin"


@pytest.mark.parametrize(
    ("arguments", "content", "words"),
    [
        (WRONG, "", "rows.jsonl has no rows"),
        (WRONG, "[1, 2]", "No row of rows.jsonl can be sent\nline 1: "),
        ([*WRONG, "-m", "a"], "{}", "--map takes field=column, not 'a'"),
        ([*WRONG, "-s", "a=1", "-m", "a=b"], '{"b": 1}', "Both --map and --set give a"),
        ([*WRONG, "-s", "a={c}"], '{"b": 1}', "No row of rows.jsonl can be sent\nline 1: "),
        ([*WRONG, "--format", "xml"], "{}", "--format is csv or jsonl, not 'xml'"),
        ([*WRONG, "--max-cost", "-1"], "{}", "Invalid value for '--max-cost'"),
        ([*WRONG, "--retries", "-1"], "{}", "Invalid value for '--retries'"),
        (["batch", "run", "nothing.csv", "-e", "any"], "", "Cannot read nothing.csv: No such file"),
        (["batch", "run", ".", "-e", "any"], "", ". is no regular file"),
        (["batch", "retry", "b"], "", "Which rows?"),
    ],
)
def test_used_wrongly(scene: LedgerScene, arguments: list[str], content: str, words: str) -> None:
    """Exit code 2 and what is wrong, before anybody is asked; nothing is begun."""
    Path("rows.jsonl").write_text(content)
    unplugged = {"RUNPOD_ENDPOINT_BASE_URL": "http://127.0.0.1:9/v2"}
    said = scene.run(*arguments, "--json", **unplugged)
    assert (said.code, said.error["error"], said.stdout) == (2, "usage_error", "")
    assert said.error["message"].startswith(words)
    assert scene.records() == []


@pytest.mark.parametrize("command", ["resume", "status", "cancel", "retry --failed"])
def test_a_batch_that_nobody_knows(scene: LedgerScene, command: str) -> None:
    """Exit code 3, and where to look."""
    said = scene.run("batch", *command.split(), "b404", "--json")
    assert (said.code, said.error["error"]) == (3, "not_found")
    assert (said.error["message"], "batch list" in said.error["hint"]) == (
        "The ledger knows no batch b404",
        True,
    )


def test_an_endpoint_that_is_not_there(scene: LedgerScene) -> None:
    """Exit code 3, and nobody is at work on it; the key's code is another."""
    write_rows(3)
    said = scene.run(*batch_run(scene, "nowhere"), "--json")
    assert (said.code, said.error["error"]) == (3, "not_found")
    wrong = scene.run(*batch_run(scene, scene.quick), "--json", RUNPOD_API_KEY="rpa_WRONGWRONG")
    assert (wrong.code, wrong.error["error"]) == (4, "unauthorized")
    assert "WRONGWRONG" not in json.dumps([wrong.stdout, wrong.stderr])
    for each in scene.run("batch", "list", "--json").document:
        assert (each["state"], each["running"], each["succeeded"]) == ("open", False, 0)
    assert inputs_at(scene, scene.quick) == []
