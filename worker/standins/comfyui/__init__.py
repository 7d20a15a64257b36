"""The stand-in for `worker-comfyui` 5: its contract, with a painter in ComfyUI's place.

Owns how its parts are put together. `inputs` reads jobs and the pictures in them, `workflow` is the
graph, `rules` refuses it in ComfyUI's words, `painting` makes an output's pictures, `files` names
and hands them over, `handler` leads through all of it (workers reference C).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.standins.comfyui.handler import Handler

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.standins import Config


def create(environ: Mapping[str, str]) -> Config:
    """Return the handler."""
    return {"handler": Handler(environ)}
