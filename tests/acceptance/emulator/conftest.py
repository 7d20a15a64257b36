"""Emulators in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EMULATOR = Path(__file__).with_name("run_emulator.py")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder; whatever still runs on it is killed after the test."""
    yield tmp_path / "local"
    from runpodctl_py.emulator.daemon import find_running

    if running := find_running(tmp_path / "local"):
        os.kill(running.pid, signal.SIGKILL)


@pytest.fixture
def command(folder: Path) -> Callable[..., list[str]]:
    """Returns the command line that runs an emulator on the test's folder."""
    return lambda *flags: [sys.executable, str(EMULATOR), str(folder), *flags]


@pytest.fixture
def emulator(command: Callable[..., list[str]]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts emulators in the foreground and waits until they answer."""
    started: list[subprocess.Popen[str]] = []

    def start(*flags: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(command(*flags), stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], Any]], None]:
    """Waits until a condition holds that nothing announces; fails after ten seconds."""

    def wait(condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "it never came true"
            time.sleep(0.02)

    return wait
