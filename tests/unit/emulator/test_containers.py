"""Which container a template is: arguments, variables, and how it is removed."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.emulator.control.model import Template
from runpodctl_py.emulator.workers.containers import find_engine, plan
from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from pathlib import Path

    from runpodctl_py.emulator.workers.guard_line import ProcessPlan

ENV = {"TOKEN": "s3cret", "KEY": "two\nlines", "RUNPOD_PING": "http://127.0.0.1:1/ping"}


def planned(
    home: Path, docker_args: str = "", platform: str = "linux", image: str = "me/model:1"
) -> ProcessPlan:
    """Returns the plan for a worker named w1."""
    template = Template(id="t", name="t", image_name=image, docker_args=docker_args)
    return plan("/bin/engine", "w1", template, ENV, home=home, platform=platform)


def engine(folder: Path, name: str, script: str) -> str:
    """Puts a container engine onto the PATH."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.proves("rule: containers")
def test_a_template_is_run_as_a_container(tmp_path: Path) -> None:
    """By name, in this machine's network, and removed when it ends, however it does."""
    process = planned(tmp_path)
    assert process.argv == [
        *("/bin/engine", "run", "--rm", "--init", "--name", "runpodctl-w1"),
        *("--network", "host", "--env-file", str(tmp_path / "env"), "--env", "KEY", "me/model:1"),
    ]
    assert process.cleanup == ("/bin/engine", "rm", "-f", "runpodctl-w1")
    assert process.cwd == tmp_path


def test_no_value_is_among_the_arguments(tmp_path: Path) -> None:
    """They are in a private file, or in the environment if they have several lines."""
    process = planned(tmp_path)
    assert not [each for each in process.argv if "s3cret" in each or "lines" in each]
    assert (tmp_path / "env").read_text() == "TOKEN=s3cret\nRUNPOD_PING=http://127.0.0.1:1/ping\n"
    assert stat.S_IMODE((tmp_path / "env").stat().st_mode) == 0o600
    assert process.env == {**os.environ, "KEY": "two\nlines"}


def test_other_systems_have_another_name_for_this_machine(tmp_path: Path) -> None:
    """Their engines run in a machine of their own."""
    process = planned(tmp_path, platform="darwin")
    at = list(process.argv).index("--add-host")
    assert process.argv[at + 1] == "host.docker.internal:host-gateway"
    assert "--network" not in process.argv
    assert "RUNPOD_PING=http://host.docker.internal:1/ping" in (tmp_path / "env").read_text()


@pytest.mark.parametrize(
    ("docker_args", "entrypoint", "command"),
    [
        ("", [], []),
        ("python -u 'my handler.py'", [], ["python", "-u", "my handler.py"]),
        ('{"cmd": ["a", "b"]}', [], ["a", "b"]),
        ('{"cmd": ["c"], "entrypoint": ["e", "f"]}', ["--entrypoint", "e"], ["f", "c"]),
        ("7", [], ["7"]),
    ],
)
def test_the_start_command_is_a_line_or_json(
    tmp_path: Path, docker_args: str, entrypoint: list[str], command: list[str]
) -> None:
    """As RunPod takes it."""
    argv = list(planned(tmp_path, docker_args).argv)
    at = argv.index("me/model:1")
    assert argv[at + 1 :] == command
    assert argv[at - len(entrypoint) : at] == entrypoint


def test_a_start_command_that_is_none(tmp_path: Path) -> None:
    """It is told, and the worker is not started."""
    with pytest.raises(EmulatorError, match="No closing quotation"):
        planned(tmp_path, "python 'x")


@pytest.mark.parametrize("image", ["--privileged", "-v/:/x", "-"])
def test_an_image_is_never_an_option(tmp_path: Path, image: str) -> None:
    """The engine would open this machine to the container."""
    with pytest.raises(EmulatorError, match=f"'{image}' is no image's name"):
        planned(tmp_path, image=image)
    assert not (tmp_path / "env").exists()


@pytest.mark.parametrize("name", ["A\nB", "A\n", "A=B", "", "#A", "A B", "A*", "Ä"])
def test_a_variables_name_is_one_word(tmp_path: Path, name: str) -> None:
    """Another one would add variables, or be dropped without a word."""
    template = Template(id="t", name="t", image_name="me/model:1")
    with pytest.raises(EmulatorError, match="is no variable's name"):
        plan("/bin/engine", "w1", template, {**ENV, name: "1"}, home=tmp_path)
    assert not (tmp_path / "env").exists()


def test_the_first_engine_that_answers_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker without its server does not; podman is asked next."""
    engine(tmp_path, "docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    podman = engine(tmp_path, "podman", '[ "$1" = version ]')
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_engine() == podman


def test_without_an_engine_each_ones_reason_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to do about it."""
    engine(tmp_path, "docker", "echo warning >&2; echo 'no server' >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmulatorError) as told:
        find_engine()
    assert told.value.message == (
        "no container engine answers: docker says: no server; podman is not installed"
    )
