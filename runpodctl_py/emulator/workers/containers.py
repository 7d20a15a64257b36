"""From a template's image to a container of it, run by docker or podman of this machine.

Makes command lines; `guard.py` runs them. Of what a template says, the image, its start command
and its variables are used. The sizes of disks are not: engines limit them on some storage drivers
only. Neither are ports, since a worker is asked nothing, nor GPUs and registry credentials, which
the engine has been given by whoever set it up.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from runpodctl_py.emulator.data_folder import write_private
from runpodctl_py.emulator.workers.guard_line import ProcessPlan
from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runpodctl_py.emulator.control.model import Template

ENGINES = ("docker", "podman")
_ANSWER_LIMIT_S = 15.0
_VARIABLE = re.compile(r"[A-Za-z_.-][A-Za-z0-9_.-]*")
"""A name that is one in a variables' file and on a command line; Kubernetes takes the same."""


def find_engine() -> str:
    """Returns the program of the first container engine that answers.

    Raises:
        EmulatorError: None does.
    """
    words = []
    for name in ENGINES:
        if (program := shutil.which(name)) is None:
            words.append(f"{name} is not installed")
        elif (problem := _problem(program)) is None:
            return program
        else:
            words.append(f"{name} says: {problem}")
    raise EmulatorError(
        f"no container engine answers: {'; '.join(words)}",
        hint="Start Docker or podman, or leave --containers out to run processes",
    )


def _problem(program: str) -> str | None:
    """Returns what an engine complains of; `version` fails unless its server answers."""
    try:
        asked = subprocess.run(  # noqa: S603 - found on the person's own PATH.
            [program, "version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_ANSWER_LIMIT_S,
        )
    except OSError as error:
        return error.strerror
    except subprocess.TimeoutExpired:
        return f"nothing for {_ANSWER_LIMIT_S:g} s"
    if asked.returncode == 0:
        return None
    lines = asked.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit code {asked.returncode}"


def plan(
    engine: str,
    worker_id: str,
    template: Template,
    env: Mapping[str, str],
    *,
    home: Path,
    platform: str = sys.platform,
) -> ProcessPlan:
    """Returns how to run a worker as a container, and how to remove it should it stay.

    The engine's client passes signals on and ends with the container. Variables are in a file
    that only its owner may read; a value of several lines, which such a file cannot hold, is
    passed through the client's environment. None is in its arguments.

    Args:
        engine: The engine's program.
        worker_id: The worker; its container is named after it.
        template: With the image and the start command.
        env: The worker's own variables.
        home: The worker's folder on this machine.
        platform: As `sys.platform`: engines of other systems than Linux run in a machine of
            their own, from which this one has another name.

    Raises:
        EmulatorError: The image or a variable's name would be understood as something else, the
            start command is none, or the variables' file cannot be written.
    """
    _refuse_misleading(template.image_name, env)
    name = f"runpodctl-{worker_id}"
    network = ["--network", "host"]
    if platform != "linux":
        env = {key: _from_inside(value) for key, value in env.items()}
        network = ["--add-host", "host.docker.internal:host-gateway"]
    in_file = {key: value for key, value in env.items() if "\n" not in value}
    by_name = {key: value for key, value in env.items() if "\n" in value}
    file = home / "env"
    try:
        write_private(file, "".join(f"{key}={value}\n" for key, value in in_file.items()))
    except OSError as error:
        raise EmulatorError(f"{file} cannot be written: {error.strerror}") from error
    entrypoint, command = _start_command(template.docker_args)
    argv = [
        *(engine, "run", "--rm", "--init", "--name", name, *network),
        *("--env-file", str(file)),
        *(word for key in by_name for word in ("--env", key)),
        *(("--entrypoint", entrypoint) if entrypoint else ()),
        *(template.image_name, *command),
    ]
    return ProcessPlan(argv, {**os.environ, **by_name}, home, (engine, "rm", "-f", name))


def _refuse_misleading(image: str, env: Mapping[str, str]) -> None:
    """Refuses what an engine would take for its own options, or for other variables."""
    if image.startswith("-"):
        raise EmulatorError(f"{image!r} is no image's name")
    if odd := [name for name in env if not _VARIABLE.fullmatch(name)]:
        raise EmulatorError(f"{odd[0]!r} is no variable's name")


def _from_inside(value: str) -> str:
    return value.replace("http://127.0.0.1:", "http://host.docker.internal:")


def _start_command(docker_args: str) -> tuple[str, list[str]]:
    """Returns the entry point, if another one is asked for, and the command (1.3).

    RunPod's `dockerArgs` is a command line, or a JSON object with `cmd` and `entrypoint`.
    """
    with suppress(ValueError):
        told = json.loads(docker_args)
        if isinstance(told, dict):
            entrypoint = [str(each) for each in told.get("entrypoint") or ()]
            command = [str(each) for each in told.get("cmd") or ()]
            # An engine's option takes one word; the others are arguments like any.
            return (entrypoint[0] if entrypoint else ""), [*entrypoint[1:], *command]
    try:
        return "", shlex.split(docker_args)
    except ValueError as error:
        raise EmulatorError(f"dockerArgs {docker_args!r} is no command line: {error}") from error
