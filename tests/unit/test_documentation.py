"""Documentation that lies fails the build: what the code has, README.md or docs/ names."""

from __future__ import annotations

import ast
import re
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


def all_commands() -> dict[str, Any]:
    """Return every command by what a person types after `runpodctl-py`."""
    return {path: found for name in COMMANDS for path, found in walk(name, load_command(name))}


def runnable_commands() -> dict[str, Any]:
    """Return the commands that are no groups."""
    return {path: c for path, c in all_commands().items() if not hasattr(c, "commands")}


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


def test_every_option_is_documented() -> None:
    """Each long option of each command stands somewhere."""
    text = documentation()
    options = {option for command in all_commands().values() for option in options_of(command)}
    assert sorted(option for option in options if not names_word(text, option)) == []


def test_every_environment_variable_is_documented() -> None:
    """Each variable that the code reads or sets stands somewhere."""
    text = documentation()
    assert sorted(v for v in variables_in_code() if not names_word(text, v)) == []


def test_every_error_code_is_documented() -> None:
    """Each code name that `--json` can print stands somewhere as code."""
    text = documentation()
    codes = {kind.code for kind in error_classes()}
    assert sorted(code for code in codes if f"`{code}`" not in text) == []


def test_every_exit_code_is_documented() -> None:
    """Each exit code has a row in a table."""
    rows = re.findall(r"^\|(.+)\|\s*$", documentation(), flags=re.MULTILINE)
    cells = {cell.strip(" `") for row in rows for cell in row.split("|")}
    assert [code for code in EXIT_CODES if str(code) not in cells] == []


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
def test_the_roots_help_and_the_commands_own_share_their_words(name: str) -> None:
    """Both are there, and one speaks of what the other does."""

    def words(text: str) -> set[str]:
        return {word[:5].lower() for word in re.findall(r"\w{4,}", text)}

    own = (load_command(name).help or "").split("\n\n")[0]
    assert words(COMMANDS[name].help) & words(own) != set()


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
