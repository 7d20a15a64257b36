"""What `local up` may be told: how the local RunPod runs, and which handler of one's own it serves.

Parses both at the border. Starting the process is `local.py`'s business.
"""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runpodctl_py.errors import ConflictError, EmulatorError, RefusedError, UsageError

if TYPE_CHECKING:
    from runpodctl_py.emulator.config import EmulatorConfig, Simulation
    from runpodctl_py.emulator.daemon import Announcement
    from runpodctl_py.emulator.workers.handlers import Handler
    from runpodctl_py.jsontypes import JsonObject

_WAYS_OUT = {
    "quota": "Delete an endpoint that `runpodctl-py local status` shows:  "
    "runpodctl-py teardown ENDPOINT_ID --local",
    "simulated": "Stop it first:  runpodctl-py local down",
}
"""What is to be done about a refusal, by a word in it."""

_ASK_LIMIT_S = 20.0
_TRIAL_LIMIT_S = 30.0
"""Longer than the local RunPod waits for the first worker of a handler."""
_LOOK_FOR_SDK = "import importlib.util, sys; sys.exit(importlib.util.find_spec('runpod') is None)"
_SIMULATION = {
    "delay": ("delay_s", float),
    "jitter": ("jitter_s", float),
    "fail": ("fail", float),
    "progress": ("progress", int),
    "concurrency": ("concurrency", int),
    "seed": ("seed", int),
}
"""Word in `--simulate` to field of `Simulation` and its type."""
_LARGEST = 1e9
"""More seconds or jobs than anybody simulates; infinity is more, too."""


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a local RunPod runs; cannot be changed while it does."""

    port: Annotated[
        int | None,
        typer.Option("--port", min=1, max=65535, help="Default: 8765, or any other free one."),
    ] = None
    simulate: Annotated[
        str | None,
        typer.Option(
            "--simulate",
            metavar="WHAT",
            help="Workers without processes, for load tests, such as "
            "delay=0.5,jitter=0.2,fail=0.01,progress=10,concurrency=100; '' for no delay.",
        ),
    ] = None
    containers: Annotated[
        bool, typer.Option("--containers", help="Run templates' images with docker or podman.")
    ] = False
    rate_limits: Annotated[
        bool, typer.Option("--rate-limits", help="Refuse too many requests, as RunPod does.")
    ] = False
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Ask for 0 workers before an endpoint is deleted."),
    ] = False
    introspection: Annotated[
        bool, typer.Option("--introspection", help="Let GraphQL clients ask for the schema.")
    ] = False
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", metavar="N", help="Make ids, and what is simulated, the same in every run."
        ),
    ] = None
    fault: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="FAULT",
            help="What goes wrong on purpose, such as 'run:429*3'; see `local faults`. Repeatable.",
        ),
    ] = None

    def options(self) -> list[str]:
        """Return these options as they were given on the command line."""
        given = []
        for each in fields(self):
            flag, value = f"--{each.name.replace('_', '-')}", getattr(self, each.name)
            if value is True:
                given.append(flag)
            elif isinstance(value, list):
                given += [part for each in value for part in (flag, each)]
            elif value is not None and value is not False:
                given += [flag, str(value)]
        return given

    def config(self, folder: Path) -> EmulatorConfig:
        """Return what to run on a data folder.

        Raises:
            UsageError: `--simulate` or `--fault` cannot be understood, or `--containers` was
                given with `--simulate`.
            EmulatorError: No container engine answers.
        """
        from runpodctl_py.emulator.config import EmulatorConfig
        from runpodctl_py.emulator.workers.containers import find_engine

        if self.containers and self.simulate is not None:
            raise UsageError("--containers and --simulate: simulated workers run nothing")
        return EmulatorConfig(
            folder,
            port=self.port,
            simulation=None if self.simulate is None else simulation(self.simulate),
            containers=find_engine() if self.containers else None,
            rate_limits=self.rate_limits,
            strict=self.strict,
            introspection=self.introspection,
            seed=self.seed,
            faults=self._faults(),
        )

    def _faults(self) -> list[str]:
        if not self.fault:
            return []
        from runpodctl_py.emulator.extra import require_local_extra

        require_local_extra()
        from runpodctl_py.emulator.lab.faults import parse_fault

        for each in self.fault:
            parse_fault(each)
        return self.fault

    def refuse_for(self, running: Announcement) -> None:
        """Refuse what cannot be had any more, since a local RunPod runs already.

        Raises:
            ConflictError: Something was given.
        """
        if given := dict.fromkeys(each for each in self.options() if each.startswith("--")):
            raise ConflictError(
                f"A local RunPod runs already on {running.url}, and {', '.join(given)} "
                "cannot be changed while it does",
                hint="Stop it first:  runpodctl-py local down",
            )


@dataclass(frozen=True, kw_only=True)
class OwnHandler:
    """A handler of the person's own, as far as it is described by options."""

    handler: Annotated[
        Path | None,
        typer.Option(
            "--handler", metavar="FILE", help="Serve this handler of yours; ARGS after -- are its."
        ),
    ] = None
    endpoint: Annotated[
        str | None,
        typer.Option(
            "--endpoint",
            metavar="NAME",
            help="Its endpoint's name. Default: the file's, or the folder's.",
        ),
    ] = None
    python: Annotated[
        Path | None,
        typer.Option(
            "--python", metavar="PATH", help="The interpreter that runs it. Default: ours."
        ),
    ] = None
    reload: Annotated[
        bool,
        typer.Option("--reload", help="Serve it anew when a Python file in its folder changes."),
    ] = False

    def parsed(self, args: list[str]) -> Handler | None:
        """Return the handler that was described, if one was.

        Args:
            args: What stood after `--`.

        Raises:
            UsageError: There is no such file or interpreter, the interpreter has no SDK, or
                something was said of a handler that was not named.
        """
        from runpodctl_py.emulator.workers.handlers import NAME, Handler, default_name

        if self.handler is None:
            self._refuse_without_handler(args)
            return None
        path = self.handler.absolute()
        if not path.is_file():
            raise UsageError(
                f"{self.handler} is a folder"
                if path.is_dir()
                else f"There is no file {self.handler}",
                hint="Name the Python file that calls runpod.serverless.start",
            )
        name = default_name(path) if self.endpoint is None else self.endpoint
        if not NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} cannot be an endpoint's name here: letters, digits, '.', '_' and '-'",
                hint="Name one:  --endpoint my-handler",
            )
        return Handler(name, path, _interpreter(self.python), tuple(args))

    def _refuse_without_handler(self, args: list[str]) -> None:
        given = [
            f"--{each.name}"
            for each in fields(self)
            if getattr(self, each.name) not in {None, False}
        ]
        if given or args:
            raise UsageError(
                f"{' '.join([*given, *args])} is about a handler, and none is named",
                hint="Name its file:  --handler my/handler.py",
            )


def simulation(text: str) -> Simulation:
    """Return what `--simulate` says.

    Raises:
        UsageError: It cannot be understood.
    """
    from runpodctl_py.emulator.config import Simulation

    given: dict[str, Any] = {}
    for part in text.split(",") if text else ():
        word, _, value = part.partition("=")
        name, kind = _SIMULATION.get(word.strip(), ("", float))
        try:
            given[name] = kind(value)
        except ValueError:
            given[name] = math.nan
        most = 1 if name == "fail" else _LARGEST
        if not name or not (name == "concurrency") <= given[name] <= most:
            raise UsageError(
                f"--simulate cannot be told {part!r}",
                hint=f"Numbers from 0 for {', '.join(_SIMULATION)}; "
                "fail is at most 1, concurrency at least 1",
            )
    return Simulation(**given)


def _interpreter(python: Path | None) -> Path:
    """Return the interpreter for a handler, absolute and with the SDK.

    Raises:
        UsageError: It is none, or has no SDK.
    """
    # Not resolved: a virtual environment's interpreter is a link, and means its own folder.
    program = Path(sys.executable) if python is None else python.absolute()
    try:
        code = subprocess.run(  # noqa: S603 - the interpreter the person named.
            [program, "-I", "-c", _LOOK_FOR_SDK],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_ASK_LIMIT_S,
        ).returncode
    except (OSError, subprocess.TimeoutExpired) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it does not answer"
        raise UsageError(f"{program} is no interpreter that can be run: {reason}") from exc
    if code:
        raise UsageError(
            f"{program} has no RunPod SDK, and a handler needs it",
            hint=f"Install it:  {program} -m pip install runpod\n"
            "Or name another interpreter:  --python .venv/bin/python",
        )
    return program


@dataclass(frozen=True)
class Served:
    """A handler that the local RunPod serves.

    Args:
        name: Its endpoint's name.
        endpoint_id: Its endpoint.
        worker_id: The first worker of this version.
        worker_state: Its state under RunPod's names.
    """

    name: str
    endpoint_id: str
    worker_id: str
    worker_state: str


async def serve(running: Announcement, handler: Handler, *, is_watched: bool) -> Served:
    """Have a running local RunPod serve a handler, and wait for its first worker for a while.

    Raises:
        EmulatorError: The handler ended before it could work; its last words are told.
        RefusedError: The endpoint cannot be made.
    """
    from runpodctl_py.api.transport import Transport

    body: JsonObject = {
        "name": handler.name,
        "path": str(handler.path),
        "python": str(handler.python),
        "args": list(handler.args),
        "reload": is_watched,
    }
    async with Transport(running.url, running.token) as transport:
        try:
            posted = await transport.post("/_local/handlers", body, hold_s=_TRIAL_LIMIT_S)
        except RefusedError as exc:
            for word, way_out in _WAYS_OUT.items():
                if word in str(exc):
                    exc.hint = way_out
            raise
    answer: Any = posted.body
    worker = answer["worker"]
    served = Served(handler.name, answer["endpointId"], worker["id"], worker["state"])
    if served.worker_state == "UNHEALTHY" and not is_watched:
        words = "\n".join(f"  {line}" for line in answer["log"])
        raise EmulatorError(
            f"{handler.path.name} ended before it could take a job:\n{words}",
            hint="Mend it, and run the same command again; --reload would wait for that",
        )
    return served
