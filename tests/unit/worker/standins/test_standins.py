"""Which stand-ins there are, what they say of themselves, and how one refuses to start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import worker
from runpodctl_py.emulator.workers.images import command_for, stand_in
from worker.errors import SettingError
from worker.standins import STAND_INS, StandIn, check_packages, introduce, load

REPOSITORY = Path(worker.__file__).parents[1]


def test_the_local_runpod_has_the_stand_ins_own_words() -> None:
    """For each image, the same name and the same sentence on both sides."""
    for name, each in STAND_INS.items():
        command = command_for(f"someone/{each.image}:1.2.3", {})
        assert command is not None
        assert list(command.argv) == [sys.executable, "-u", "-m", "worker.standins", name]
        assert stand_in(f"someone/{each.image}:1.2.3") == each.does


@pytest.mark.parametrize("name", STAND_INS)
def test_each_can_be_loaded(name: str) -> None:
    """It has a handler that the SDK can call."""
    assert callable(load(name, {})["handler"])


def test_it_introduces_itself() -> None:
    """In one line, with what it does instead."""
    assert introduce(STAND_INS["chatterbox"]) == (
        "This is a stand-in for worker-chatterbox, without its model: it hums the text instead of "
        "speaking it."
    )


def test_a_missing_package_is_named_with_what_installs_it() -> None:
    """In one clear line, before anything is imported."""
    needy = StandIn("m", "worker-needy", "waits", ("json", "no_such_package"))
    with pytest.raises(SettingError) as caught:
        check_packages(needy)
    assert str(caught.value) == (
        "the stand-in for worker-needy needs packages that are not installed: no_such_package; "
        "pip install 'runpodctl-py[local]'"
    )


@pytest.mark.parametrize(
    ("arguments", "variables", "line"),
    [
        ([], {}, "worker: the stand-ins are chatterbox, qwen-layered, comfyui, vllm, not ''"),
        (
            ["gpt"],
            {},
            "worker: the stand-ins are chatterbox, qwen-layered, comfyui, vllm, not 'gpt'",
        ),
        (
            ["vllm"],
            {"MAX_CONCURRENCY": "many"},
            "worker: MAX_CONCURRENCY must be a whole number above 0, not 'many'",
        ),
    ],
)
def test_a_wrong_start_ends_in_one_line(
    arguments: list[str], variables: dict[str, str], line: str
) -> None:
    """Exit code 1, and nothing else is said."""
    ended = subprocess.run(
        [sys.executable, "-m", "worker.standins", *arguments],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout, ended.stderr.splitlines()) == (1, "", [line])


def test_no_image_has_them() -> None:
    """They are for machines without a card; images are built without them."""
    lines = (REPOSITORY / ".dockerignore").read_text("utf-8").splitlines()
    assert lines.index("worker/standins") > lines.index("!worker")
