"""Which command an image is, and what its worker may see."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from runpodctl_py.emulator.config import EmulatorConfig, Simulation, WorkerCommand
from runpodctl_py.emulator.control.model import Template
from runpodctl_py.emulator.workers.images import (
    Serves,
    command_for,
    environment,
    inherited_environment,
    platform_environment,
    short_name,
    stand_in,
    who_serves,
)
from runpodctl_py.emulator.workers.record import Worker

TOLD = WorkerCommand(["told"])


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("worker-test", "worker-test"),
        ("me/worker-test:1.2", "worker-test"),
        ("host:5000/me/worker-test", "worker-test"),
        ("me/worker-test:1@sha256:00ff", "worker-test"),
        ("me/worker-test@sha256:00ff", "worker-test"),
    ],
)
def test_registry_tag_and_digest_do_not_matter(image: str, name: str) -> None:
    """Only the last path component does."""
    assert short_name(image) == name


def test_the_bundled_worker_is_known() -> None:
    """It runs in this interpreter, from the folder that holds its package."""
    command = command_for("someone/worker-test:dev", {})
    assert command is not None
    assert list(command.argv) == [sys.executable, "-u", "-m", "worker"]
    assert command.env["WORKER_TASK"] == "test"
    assert (Path(command.env["PYTHONPATH"]) / "worker").is_dir()


def test_told_images_come_first() -> None:
    """By full name, then by short name, then the bundled ones; others nobody can start."""
    full, short = WorkerCommand(["full"]), WorkerCommand(["short"])
    images = {"me/a:1": full, "a": short, "worker-test": short}
    assert command_for("me/a:1", images) is full
    assert command_for("me/a:2", images) is short
    assert command_for("worker-test", images) is short
    assert command_for("me/b", images) is None


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("runpodctl/worker-chatterbox:0.1.0", "chatterbox"),
        ("me/worker-qwen-layered", "qwen-layered"),
        ("runpod/worker-comfyui:5.8.5-base", "comfyui"),
        ("runpod/worker-v1-vllm:v2.25.2", "vllm"),
    ],
)
def test_images_that_need_a_card_have_stand_ins(image: str, name: str) -> None:
    """By their short names, with any tag; what this emulator was told of comes first."""
    command = command_for(image, {})
    assert command is not None
    assert list(command.argv) == [sys.executable, "-u", "-m", "worker.standins", name]
    assert (Path(command.env["PYTHONPATH"]) / "worker" / "standins").is_dir()
    told = WorkerCommand(["told"])
    assert command_for(image, {short_name(image): told}) is told


def test_a_stand_in_says_what_it_does() -> None:
    """The test worker is none, and other images have none."""
    assert stand_in("me/worker-chatterbox:1") == "hums the text instead of speaking it"
    assert (stand_in("me/worker-test:1"), stand_in("me/b")) == (None, None)


@pytest.mark.parametrize(
    ("image", "options", "serves"),
    [
        ("me/worker-chatterbox:1", {}, Serves.STAND_IN),
        ("me/worker-test:1", {}, Serves.WORKER),
        ("me/b", {}, Serves.NOBODY),
        ("me/worker-chatterbox:1", {"images": {"worker-chatterbox": TOLD}}, Serves.COMMAND),
        ("me/b:1", {"images": {"me/b:1": TOLD}}, Serves.COMMAND),
        ("me/worker-chatterbox:1", {"containers": "/usr/bin/docker"}, Serves.CONTAINER),
        ("me/worker-test:1", {"containers": "docker", "images": {"me/b": TOLD}}, Serves.CONTAINER),
        ("me/b", {"simulation": Simulation()}, Serves.SIMULATION),
    ],
)
def test_who_serves_an_image(image: str, options: dict[str, Any], serves: Serves) -> None:
    """As workers are started: a handler comes before containers, and these before commands."""
    config = EmulatorConfig(Path("any"), **options)
    assert who_serves(image, config, is_handler=False) is serves
    handler = serves if config.simulation else Serves.HANDLER
    assert who_serves(image, config, is_handler=True) is handler


@pytest.mark.proves("rule: worker-environment")
def test_a_worker_sees_little_of_the_users_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key gets in; the template overrides its emulator, the platform overrides everybody."""
    for name in ("RUNPOD_API_KEY", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("WORKER_NOTE", "passed")
    template = Template(
        id="t", name="t", image_name="i", env={"A": "template", "RUNPOD_AI_API_KEY": "mine"}
    )
    worker = Worker("worker00000000", "endpoint000000", 0, 0.0, due_at=420.0)
    platform = platform_environment("http://127.0.0.1:1", worker, "key", 500)
    env = environment(worker, template, {"A": "extra", "B": "extra"}, platform)
    inherited = inherited_environment()
    assert "secret" not in inherited.values()
    assert inherited["WORKER_NOTE"] == "passed"
    assert (env["A"], env["B"]) == ("template", "extra")
    assert env["RUNPOD_AI_API_KEY"] == "key"
    assert env["RUNPOD_PING_INTERVAL"] == "1000"
    assert env["RUNPOD_WEBHOOK_GET_JOB"] == (
        "http://127.0.0.1:1/v2/endpoint000000/job-take/worker00000000?gpu=local"
    )
