"""RunPod's `runpod` command, unchanged: several of its commands in one interpreter.

Prints one JSON object: the name of each command to what went wrong in it, "" if nothing did.
"""

import json
import sys
from pathlib import Path

# The package reads the key from its own file when it is imported.
CONFIG = Path.home() / ".runpod" / "config.toml"
CONFIG.parent.mkdir()
CONFIG.write_text(f'[default]\napi_key = "{sys.argv[1]}"\n')

from click.testing import CliRunner  # noqa: E402 - after the file is there.
from runpod.cli.entry import runpod_cli  # noqa: E402 - after the file is there.


def outcome(command: str, expected: str, answers: str = "") -> str:
    """Returns what went wrong: a command has to say what is expected."""
    result = CliRunner().invoke(runpod_cli, command.split(), input=answers)
    said = f"{result.output}{result.exception or ''}"
    return "" if expected in said else said


outcomes = {
    "config": outcome("config --check", "Credentials already set"),
    "no keys": outcome("ssh list-keys", "Fingerprint"),
    "add key": outcome("ssh add-key", "has been added", "y\nmine\n"),
    "its key": outcome("ssh list-keys", "mine"),
    "pod list": outcome("pod list", "not emulated: User.pods"),
}
sys.stdout.write(json.dumps(outcomes) + "\n")
