"""Documentation that lies fails the build: what the code has, README.md or docs/ names."""

from __future__ import annotations

import ast
import re
import runpy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import runpodctl_py
from runpodctl_py import settings
from runpodctl_py.cli.app import COMMANDS, load_command
from runpodctl_py.cli.help import EXIT_CODES, error_classes
from runpodctl_py.env_file import read
from runpodctl_py.presets import loading

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(runpodctl_py.__file__).parents[1]
_VARIABLE = re.compile(r"(RUNPOD|RUNPODCTL|WORKER|BUCKET)(_[A-Z0-9]+)+")


def documentation() -> str:
    """Return README.md and everything in docs/, one after the other."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return "\n".join(page.read_text("utf-8") for page in pages)


def walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Yield a command, or a group and what is in it, each with what a person types."""
    yield name, command
    for child_name, child in getattr(command, "commands", {}).items():
        yield from walk(f"{name} {child_name}", child)


@cache
def all_commands() -> dict[str, Any]:
    """Return every command by what a person types after `runpodctl-py`."""
    return {path: found for name in COMMANDS for path, found in walk(name, load_command(name))}


def runnable_commands() -> dict[str, Any]:
    """Return the commands that are no groups."""
    return {path: c for path, c in all_commands().items() if not hasattr(c, "commands")}


def reference() -> str:
    """Return docs/cli.md as docs/make_reference.py would write it."""
    page: str = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))["reference"]()
    return page


def section_of(path: str) -> str:
    """Return what docs/cli.md says of one command."""
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    heading = rf"^## `runpodctl-py {re.escape(path)}(?: [^a-z\n][^\n]*)?`\n"
    (section,) = re.findall(rf"{heading}(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
    return str(section)


def options_in_table(section: str) -> set[str]:
    """Return the long options in the first column of a section's table."""
    cells = re.findall(r"^\| `(-[^`]+)` \|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"--[a-z][a-z-]*", cell)}


def options_of(command: Any) -> set[str]:
    """Return a command's long options, without the hidden ones and --help."""
    shown = (p for p in command.params if p.param_type_name == "option" and not p.hidden)
    names = {name for p in shown for name in (*p.opts, *p.secondary_opts)}
    return {name for name in names if name.startswith("--")} - {"--help"}


def names_word(text: str, word: str) -> bool:
    """Whether a text has a word that is no part of a longer one."""
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) is not None


def variables_in_code() -> set[str]:
    """Return the environment variables that the package and the worker name in their strings."""
    sources = [*ROOT.glob("runpodctl_py/**/*.py"), *ROOT.glob("worker/**/*.py")]
    literals = {
        node.value
        for source in sources
        for node in ast.walk(ast.parse(source.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    keys = {loading.load(name).env_key for name in loading.names()}
    return {literal for literal in literals if _VARIABLE.fullmatch(literal)} | keys


def test_every_command_is_documented() -> None:
    """Each command stands somewhere as a person types it."""
    text = documentation()
    missing = [path for path in runnable_commands() if not names_word(text, f"runpodctl-py {path}")]
    assert missing == []


def test_the_reference_is_up_to_date() -> None:
    """docs/cli.md is what its script writes today."""
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    up_to_date = page == reference()
    assert up_to_date, "docs/cli.md is out of date; write it anew: python docs/make_reference.py"


@pytest.mark.parametrize("path", runnable_commands())
def test_every_option_is_documented_with_its_command(path: str) -> None:
    """The command's own section in the reference has exactly its options."""
    assert options_in_table(section_of(path)) == options_of(runnable_commands()[path])


def test_every_environment_variable_is_documented() -> None:
    """Each variable that the code reads or sets stands somewhere."""
    text = documentation()
    assert sorted(v for v in variables_in_code() if not names_word(text, v)) == []


def test_every_error_code_is_documented() -> None:
    """Each code name that `--json` can print stands somewhere as code."""
    text = documentation()
    codes = {kind.code for kind in error_classes()}
    assert sorted(code for code in codes if f"`{code}`" not in text) == []


def test_the_readme_has_all_exit_codes() -> None:
    """Its table, two codes a row, has exactly those that there are, and says something of each."""
    text = (ROOT / "README.md").read_text("utf-8").partition("\n### Exit codes\n")[2]
    table = text.partition("\n#")[0]
    cells = [
        cell.strip()
        for row in re.findall(r"^\|(.+)\|$", table, re.MULTILINE)
        for cell in row.split("|")
    ]
    meanings = dict(zip(cells[::2], cells[1::2], strict=True))
    assert {int(code) for code in meanings if code.isdecimal()} == EXIT_CODES.keys()
    assert [code for code, meaning in meanings.items() if not meaning] == []


def test_every_error_has_an_exit_code_that_help_explains() -> None:
    """`help exit-codes` knows all of the tree's."""
    assert {kind.exit_code for kind in error_classes()} - EXIT_CODES.keys() == set()


def test_the_example_env_file_names_every_setting() -> None:
    """Each setting and each preset's key stands in it, set or commented out, and no other."""
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    named = {m[1] for line in lines if (m := re.match(r"#?([A-Z][A-Z0-9_]*)=", line))}
    keys = {loading.load(name).env_key for name in loading.names()}
    assert named == {*settings.NAMES, *keys}


def test_the_example_env_file_sets_nothing() -> None:
    """Whoever copies it as it is has not set anything by accident."""
    assert [value for value in read(ROOT / ".env.example").values() if value] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_root_and_the_command_say_what_it_does(name: str) -> None:
    """Each in a sentence of its own: the root's is one line, the command's may say more."""
    own = (load_command(name).help or "").partition("\n\n")[0]
    for sentence in (COMMANDS[name].help, own):
        assert re.match(r"[A-Z][^.]{8,}.*\.$", " ".join(sentence.split())), sentence
    assert "\n" not in COMMANDS[name].help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_commands_help_has_an_example(name: str) -> None:
    """The line can be copied: it starts with the program and names this command."""
    without = [
        path
        for path, command in walk(name, load_command(name))
        if not hasattr(command, "commands")
        and not re.search(rf"runpodctl-py {re.escape(path)}\b", command.help or "")
    ]
    assert without == []


@pytest.mark.parametrize("path", runnable_commands())
def test_every_option_is_explained(path: str) -> None:
    """No option stands in the help without a word about it."""
    shown = [
        p
        for p in runnable_commands()[path].params
        if p.param_type_name == "option" and not p.hidden
    ]
    assert [p.name for p in shown if not p.help] == []
