"""From a template's image to a process: which command, and which environment.

Knows the bundled images, the stand-ins for images that need a card, and what RunPod puts into a
worker's environment (API reference 5.1). Starts nothing.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from runpodctl_py.emulator.config import WorkerCommand

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runpodctl_py.emulator.config import EmulatorConfig
    from runpodctl_py.emulator.control.model import Template
    from runpodctl_py.emulator.workers.record import Worker

_INHERITED = frozenset(
    {"PATH", "LANG", "LANGUAGE", "TMPDIR", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"}
)
_INHERITED_PREFIXES = ("LC_", "WORKER_")
_BUNDLED_TASKS = {"worker-test": "test"}


@dataclass(frozen=True, slots=True)
class _StandIn:
    """A stand-in: how `worker.standins` calls it, and what it does instead of the real image."""

    name: str
    does: str


# The words are the stand-ins' own; this package and the worker's code do not import each other.
_STAND_INS: Mapping[str, _StandIn] = MappingProxyType(
    {
        "worker-chatterbox": _StandIn("chatterbox", "hums the text instead of speaking it"),
        "worker-qwen-layered": _StandIn(
            "qwen-layered",
            "sorts the picture's colours into layers instead of recognising what it shows",
        ),
        "worker-comfyui": _StandIn(
            "comfyui",
            "runs no nodes, but paints a landscape with the prompt's words on it for each output",
        ),
        "worker-v1-vllm": _StandIn("vllm", "repeats what it was told instead of answering"),
    }
)


class Serves(StrEnum):
    """Who serves an image on one local RunPod."""

    HANDLER = "handler"
    """The person's own handler."""
    COMMAND = "command"
    """A command that this emulator was told."""
    CONTAINER = "container"
    """The image itself, in a container."""
    WORKER = "worker"
    """The bundled worker, as it is in the image."""
    STAND_IN = "stand-in"
    SIMULATION = "simulation"
    """Workers without a process, which do nothing with a job but wait."""
    NOBODY = "nobody"


def who_serves(image_name: str, config: EmulatorConfig, *, is_handler: bool) -> Serves:
    """Returns who serves an image, by the rules by which `processes.py` starts workers.

    Args:
        image_name: As the template names it.
        config: How this local RunPod runs.
        is_handler: Whether a handler of the person's own stands behind the image.
    """
    if config.simulation is not None:
        return Serves.SIMULATION
    if is_handler:
        return Serves.HANDLER
    if config.containers is not None:
        return Serves.CONTAINER
    name = short_name(image_name)
    if image_name in config.images or name in config.images:
        return Serves.COMMAND
    if name in _STAND_INS:
        return Serves.STAND_IN
    return Serves.WORKER if name in _BUNDLED_TASKS else Serves.NOBODY


def short_name(image_name: str) -> str:
    """Returns an image's last path component without tag and digest."""
    return image_name.rpartition("/")[2].partition("@")[0].partition(":")[0]


def command_for(image_name: str, images: Mapping[str, WorkerCommand]) -> WorkerCommand | None:
    """Returns how to start an image here.

    Args:
        image_name: As the template names it.
        images: The further images that this emulator was told of.

    Returns:
        The command, or None if nobody can start this image here.
    """
    name = short_name(image_name)
    told = images.get(image_name) or images.get(name)
    if told is not None:
        return told
    home = {"PYTHONPATH": str(_home_of_bundled_worker())}
    if name in _STAND_INS:
        return WorkerCommand(
            argv=[sys.executable, "-u", "-m", "worker.standins", _STAND_INS[name].name], env=home
        )
    if name in _BUNDLED_TASKS:
        return WorkerCommand(
            argv=[sys.executable, "-u", "-m", "worker"],
            env={"WORKER_TASK": _BUNDLED_TASKS[name], **home},
        )
    return None


def stand_in(image_name: str) -> str | None:
    """Returns what the stand-in for an image does instead, as the end of a sentence.

    Such as "hums the text instead of speaking it". None if no stand-in takes its place: it is the
    test worker, which runs as it is, or nobody can start it here. An emulator that was told how to
    start the image, or that runs containers, has no need of the stand-in.

    Args:
        image_name: As the template names it.
    """
    found = _STAND_INS.get(short_name(image_name))
    return None if found is None else found.does


def _home_of_bundled_worker() -> Path:
    """Returns the folder that holds `worker/`: inside a wheel, or the checkout's root."""
    package = Path(__file__).parents[2]
    bundled = package / "_bundled"
    return bundled if bundled.is_dir() else package.parent


def inherited_environment() -> dict[str, str]:
    """Returns what a worker's process has of this one's environment.

    That is little, so that no key of the person who runs the emulator reaches a handler.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }


def environment(
    worker: Worker,
    template: Template,
    extra: Mapping[str, str],
    platform: Mapping[str, str],
) -> dict[str, str]:
    """Returns the variables a worker is given beside what its image or process has.

    Later ones win: this emulator's, the template's, the platform's.
    """
    return {
        **extra,
        **template.env,
        **platform,
        "RUNPOD_POD_ID": worker.id,
        "RUNPOD_ENDPOINT_ID": worker.endpoint_id,
    }


def platform_environment(
    url: str, worker: Worker, key: str, ping_interval_ms: int
) -> dict[str, str]:
    """Returns what the platform tells a worker: where to ask, and as whom (5.1).

    The ids stand in the URLs themselves, because the SDK replaces some placeholders only in
    some of them.
    """
    base, query = f"{url}/v2/{worker.endpoint_id}", "?gpu=local"
    return {
        "RUNPOD_WEBHOOK_GET_JOB": f"{base}/job-take/{worker.id}{query}",
        "RUNPOD_WEBHOOK_POST_OUTPUT": f"{base}/job-done/{worker.id}/$ID{query}",
        "RUNPOD_WEBHOOK_POST_STREAM": f"{base}/job-stream/{worker.id}/$ID{query}",
        "RUNPOD_WEBHOOK_PING": f"{base}/ping/{worker.id}",
        "RUNPOD_PING_INTERVAL": str(max(1000, ping_interval_ms)),
        "RUNPOD_AI_API_KEY": key,
        "RUNPOD_POD_HOSTNAME": f"{worker.id}-local",
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        "RUNPOD_SKIP_GPU_CHECK": "true",
    }
