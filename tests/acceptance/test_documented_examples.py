"""The examples for test suites in README.md and docs/local.md, run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import runpodctl_py

ROOT = Path(runpodctl_py.__file__).parents[1]
HANDLER = """\
import runpod

runpod.serverless.start({"handler": lambda job: job["input"]})
"""
USES_THE_FIXTURE = """\
import os

import httpx


def test_clients_are_pointed_at_it(runpod):
    assert os.environ["RUNPOD_API_BASE_URL"] == runpod.url
    assert os.environ["RUNPOD_ENDPOINT_BASE_URL"] == f"{runpod.url}/v2"
    key = {"Authorization": f"Bearer {os.environ['RUNPOD_API_KEY']}"}
    asked = httpx.get(f"{os.environ['RUNPOD_ENDPOINT_BASE_URL']}/templates", headers=key)
    assert asked.json()["templates"] == []
"""


def example(page: str, word: str) -> str:
    """Return the one Python block of a page that has a word."""
    text = (ROOT / page).read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (block,) = [each for each in blocks if word in each]
    return str(block)


def test_the_examples_for_test_suites_work(tmp_path: Path) -> None:
    """A project made of them alone: README's fixture, and a handler in the project's folder."""
    project = tmp_path / "project"
    project.mkdir()
    for name, text in {
        "conftest.py": example("README.md", "LocalRunPodServer"),
        "test_fixture.py": USES_THE_FIXTURE,
        "handler.py": HANDLER,
        "test_handler.py": example("docs/local.md", "WorkerCommand"),
    }.items():
        (project / name).write_text(text, "utf-8")
    # From another folder: the examples must not depend on where pytest is started.
    said = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", str(project)],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, "2 passed" in said.stdout) == (0, True), said.stdout
