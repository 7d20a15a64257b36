"""What every test stands on: no RunPod variable, and a home of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _clean_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the developer's reaches a test, and no test writes into their home."""
    for name in os.environ:
        if name.startswith(("RUNPOD", "WORKER_", "BUCKET_", "XDG_")):
            monkeypatch.delenv(name)
    # Without compiled files, each of hundreds of processes compiles all of our modules again.
    compiles = "PYTHONDONTWRITEBYTECODE"
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS", "LINES", compiles):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio, as the command line does."""
    return "asyncio"
