"""The workflows in tests/data/comfy, as ComfyUI exports them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runpodctl_py.workloads.comfy_reading import read_workflow

if TYPE_CHECKING:
    from runpodctl_py.workloads.comfy_workflow import Workflow

DATA = Path(__file__).parents[2] / "data" / "comfy"
# The smallest there is: one grey pixel.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    "3a7e9b550000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)


def text_of(name: str) -> str:
    """Return a file's text."""
    return (DATA / f"{name}.json").read_text("utf-8")


def document(name: str) -> dict[str, Any]:
    """Return a file's JSON."""
    found: dict[str, Any] = json.loads(text_of(name))
    return found


def workflow(name: str) -> Workflow:
    """Return a file's workflow."""
    return read_workflow(text_of(name))
