"""The examples for test suites in README.md and docs/, run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import runpodctl_py

ROOT = Path(runpodctl_py.__file__).parents[1]
# Installed, it is there by itself.
PLUGIN = ("-p", "runpodctl_py.testing.plugin")
HANDLER = """\
import runpod

runpod.serverless.start({"handler": lambda job: job["input"]})
"""


def example(page: str, word: str) -> str:
    """Return the one Python block of a page that has a word."""
    text = (ROOT / page).read_text("utf-8")
    blocks = re.findall(r"^( *)```python\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    (block,) = [dedent(block) for _, block in blocks if word in block]
    return block


def test_the_examples_for_test_suites_work(tmp_path: Path) -> None:
    """A project made of them alone, and of a handler in the project's folder."""
    project = tmp_path / "project"
    project.mkdir()
    for name, text in {
        "pytest.ini": "[pytest]\n",
        "conftest.py": example("docs/local.md", "runpod_local_options"),
        "handler.py": HANDLER,
        "test_readme.py": example("README.md", "runpod_endpoint"),
        "test_fixtures.py": example("docs/local.md", "runpod_endpoint"),
        "test_server.py": example("docs/local.md", "WorkerCommand"),
        "test_time.py": example("docs/laboratory.md", "server.time"),
        "test_faults.py": example("docs/laboratory.md", "server.faults"),
    }.items():
        (project / name).write_text(text, "utf-8")
    # From another folder: the examples must not depend on where pytest is started.
    said = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", *PLUGIN, str(project)],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, "5 passed" in said.stdout) == (0, True), said.stdout
