from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import worker
from worker.errors import SettingError
from worker.tasks import load_service
from worker.tasks.test import JobHandler

REPOSITORY = Path(worker.__file__).parents[1]


@pytest.mark.parametrize("environ", [{}, {"WORKER_TASK": "test"}])
def test_the_test_family_is_the_default(environ: dict[str, str]) -> None:
    """Without the variable, and by its name."""
    assert isinstance(load_service(environ).handler, JobHandler)


@pytest.mark.parametrize("name", ["", "chat", "TEST"])
def test_an_unknown_family_is_refused_with_the_known_ones(name: str) -> None:
    """The message names the variable, the families and what was found."""
    with pytest.raises(SettingError) as caught:
        load_service({"WORKER_TASK": name})
    known = "test, chatterbox, qwen-layered"
    assert str(caught.value) == f"WORKER_TASK must be one of {known}, not {name!r}"


def test_a_wrong_setting_of_the_family_is_refused() -> None:
    """At start, not at the first job."""
    with pytest.raises(SettingError, match="WORKER_TIME_SCALE"):
        load_service({"WORKER_TIME_SCALE": "soon"})


def test_importing_the_family_is_cheap() -> None:
    """Neither the SDK nor Pillow nor boto3 is loaded before it is needed."""
    code = (
        "import sys, worker.tasks.test;"
        "print(sorted({'runpod', 'PIL', 'boto3', 'runpodctl_py'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
