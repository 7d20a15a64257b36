"""Stand-ins: workers for machines without a card, in the place of images that need one.

Owns which there are, what each does instead, and which packages it needs. What goes in and what
comes out is as with the real image; only the model is none. They are not in any image.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from worker.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class StandIn:
    """One stand-in.

    Attributes:
        module: Has `create(environ)`, which returns what the SDK is given.
        image: Whose place it takes.
        does: What it does instead, as the end of a sentence; commands and its log say so.
        packages: What must be installed.
    """

    module: str
    image: str
    does: str
    packages: tuple[str, ...]


STAND_INS: Mapping[str, StandIn] = MappingProxyType(
    {
        "chatterbox": StandIn(
            "worker.standins.chatterbox",
            "worker-chatterbox",
            "hums the text instead of speaking it",
            ("numpy", "soundfile"),
        ),
        "qwen-layered": StandIn(
            "worker.standins.qwen_layered",
            "worker-qwen-layered",
            "sorts the picture's colours into layers instead of recognising what it shows",
            ("PIL", "psd_tools"),
        ),
        "comfyui": StandIn(
            "worker.standins.comfyui",
            "worker-comfyui",
            "runs no nodes, but paints a landscape with the prompt's words on it for each output",
            ("PIL",),
        ),
        "vllm": StandIn(
            "worker.standins.vllm",
            "worker-v1-vllm",
            "repeats what it was told instead of answering",
            (),
        ),
    }
)

Config = dict[str, Any]
"""What `runpod.serverless.start` takes: the handler, and how it is called."""


def load(name: str, environ: Mapping[str, str]) -> Config:
    """Return what the SDK is given for a stand-in.

    Args:
        name: One of `STAND_INS`.
        environ: The worker's variables, with those of its template.

    Raises:
        SettingError: There is no such stand-in, a package is missing, or a variable is wrong.
    """
    if name not in STAND_INS:
        raise SettingError(f"the stand-ins are {', '.join(STAND_INS)}, not {name!r}")
    stand_in = STAND_INS[name]
    check_packages(stand_in)
    create: Callable[[Mapping[str, str]], Config] = import_module(stand_in.module).create
    return create(environ)


def check_packages(stand_in: StandIn) -> None:
    """Make sure that a stand-in's packages can be imported, without importing them.

    Raises:
        SettingError: One is missing; the message says how to install it.
    """
    missing = [name for name in stand_in.packages if find_spec(name) is None]
    if missing:
        raise SettingError(
            f"the stand-in for {stand_in.image} needs packages that are not installed: "
            f"{', '.join(missing)}; pip install 'runpodctl-py[local]'"
        )


def introduce(stand_in: StandIn) -> str:
    """Return the line by which a stand-in's log begins."""
    return f"This is a stand-in for {stand_in.image}, without its model: it {stand_in.does}."
