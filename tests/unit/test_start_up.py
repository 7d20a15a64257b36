"""What a start imports. The one unit test that starts processes: an import cannot be undone."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

#: Each of these takes longer to import than the rest of a start together.
HEAVY = {
    "aiohttp",
    "gql",
    "graphql",
    "httpx",
    "httpx2",
    "openai",
    "platformdirs",
    "pydantic",
    "rich.progress",
    "runpod",
    "sqlite3",
    "stamina",
    "starlette",
    "uvicorn",
}

_DRIVER = """
import json, sys
from runpodctl_py.__main__ import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""

#: Imports each module first in a process of its own, and prints the names of those that cannot be.
_EACH_FIRST = """
import importlib, os, pkgutil, sys
import runpodctl_py.cli
# Libraries only: they need not be imported again for each.
import asyncio, httpx, rich.progress, sqlite3, stamina, typer
for module in pkgutil.iter_modules(runpodctl_py.cli.__path__, "runpodctl_py.cli."):
    if (process := os.fork()) == 0:
        try:
            importlib.import_module(module.name)
        except ImportError:
            os._exit(1)
        os._exit(0)
    if os.waitpid(process, 0)[1]:
        print(module.name)
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        (["--help"], 0),
        (["--version"], 0),
        (["submit", "--help"], 0),
        (["setup-test", "--help"], 0),
        (["endpoints", "--help"], 0),
        (["local", "--help"], 0),
        (["comfy", "run", "--help"], 0),
        (["comfy", "run", "nowhere.json"], 2),
        (["frobnicate"], 2),
        (["submit", "--bogus"], 2),
        (["chat", "--help"], 0),
        (["chat", "a", "b"], 2),
        (["gpus"], 0),
        (["help", "exit-codes"], 0),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else "",
)
def test_a_short_answer_imports_nothing_heavy(arguments: list[str], code: int) -> None:
    """Help, the version and a usage error come without any library of the network."""
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER, *arguments], capture_output=True, text=True, check=False
    )
    imported = set(json.loads(done.stderr.splitlines()[-1]))
    assert (done.returncode, imported & HEAVY) == (code, set())


def test_httpx_comes_without_its_command_line() -> None:
    """It would bring click and rich."""
    driver = _DRIVER.replace("finally:", "finally:\n    import httpx")
    done = subprocess.run(
        [sys.executable, "-c", driver, "gpus"], capture_output=True, text=True, check=True
    )
    imported = set(json.loads(done.stderr.splitlines()[-1]))
    assert {"httpx", "click"} & imported == {"httpx"}


def test_each_command_can_be_the_first() -> None:
    """Its modules import what they need: whatever else a process has imported before is no help."""
    done = subprocess.run(
        [sys.executable, "-c", _EACH_FIRST], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
