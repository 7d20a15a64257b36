"""Write docs/cli.md from the commands themselves; with --check, fail if it is not up to date.

python docs/make_reference.py [--check]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from runpodctl_py.cli.app import COMMANDS, load_command
from runpodctl_py.cli.help import EXIT_CODES, error_classes
from runpodctl_py.presets import loading

TARGET = Path(__file__).with_name("cli.md")
INTRODUCTION = """# The commands

Made from the commands' own help by `python docs/make_reference.py`; do not edit it by hand.
"""


def plain(text: str) -> str:
    """Return help text fit for a table cell."""
    return " ".join(text.split()).replace("|", "\\|")


def command_section(path: str, command: Any) -> list[str]:
    """Describe one command, or each command of a group."""
    if hasattr(command, "commands"):
        sections = []
        for name in sorted(command.commands):
            sections += command_section(f"{path} {name}", command.commands[name])
        return sections
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    usage = " ".join([path, *map(metavar, arguments)])
    head, _, examples = (command.help or "").partition("\b\nExample")
    lines = [f"## `{usage}`", "", plain(head), ""]
    found = re.findall(r"^\s+((?:\S.* )?runpodctl-py .*|cat .*|eval .*)$", examples, re.MULTILINE)
    if found:
        lines += ["```", *found, "```", ""]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    lines += ["| option | meaning |", "|---|---|"]
    lines += [f"| `{spelled(p)}` | {plain(p.help or '')} |" for p in options]
    return [*lines, ""]


def metavar(argument: Any) -> str:
    """Return how an argument is shown, in brackets if it may be left out."""
    shown = argument.metavar or argument.name.upper()
    return shown if argument.required or shown.startswith("[") else f"[{shown}]"


def spelled(option: Any) -> str:
    """Return an option as it is written, with the kind of its value."""
    names = ", ".join([*option.opts, *option.secondary_opts])
    if option.is_flag:
        return names
    choices = getattr(option.type, "choices", None)
    value = "|".join(str(getattr(c, "value", c)) for c in choices) if choices else option.metavar
    return plain(f"{names} {value or option.type.name.upper()}")


def reference() -> str:
    """Return the whole page."""
    lines = [INTRODUCTION]
    for name in COMMANDS:
        lines += command_section(f"runpodctl-py {name}", load_command(name))
    lines += ["# Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    lines += ["", "# Error codes of `--json`", "", "| error | exit code |", "|---|---|"]
    codes = sorted({(kind.code, kind.exit_code) for kind in error_classes()})
    lines += [f"| `{code}` | {exit_code} |" for code, exit_code in codes]
    for name in loading.names():
        preset = loading.load(name)
        lines += ["", f"# Input of the preset `{name}`", "", preset.description, ""]
        lines += ["| field | takes | default | meaning |", "|---|---|---|---|"]
        for field_name, field in preset.input.items():
            required = " (required)" if field.required else ""
            default = "" if field.default is None else f"`{field.default}`"
            takes, meaning = plain(field.expectation), plain(field.help or "")
            lines.append(f"| `{field_name}`{required} | {takes} | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page, or check it."""
    if "--check" in sys.argv:
        if TARGET.read_text(encoding="utf-8") != reference():
            sys.exit("docs/cli.md is out of date: python docs/make_reference.py")
    else:
        TARGET.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main()
