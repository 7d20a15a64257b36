"""The stand-in for `worker-qwen-layered`: the real family, with a sorter of colours as its model.

Owns the seam only. Reading jobs and pictures, telling progress, packing and handing over layers is
the family's own code; how a picture is taken apart is `layers`' matter.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from worker.progress import find_report
from worker.service import ModelHandler
from worker.standins.layers import output_size, separate
from worker.tasks.qwen_layered.family import QwenLayered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from PIL import Image

    from worker.standins import Config
    from worker.tasks.qwen_layered.wanted import Wanted

STEP_S = 0.02
"""How long a step takes: progress is to be seen, and to arrive in its order."""


def create(environ: Mapping[str, str]) -> Config:
    """Return the handler.

    Raises:
        SettingError: `WORKER_RESULT_LIMIT_MB` is wrong.
    """
    family = QwenLayered(ColourSorter(STEP_S))
    return {"handler": ModelHandler(family, find_report(environ), environ)}


class ColourSorter:
    """Takes pictures apart by their colours.

    Args:
        step_s: How long each step takes, in seconds.
    """

    def __init__(self, step_s: float) -> None:
        self._step_s = step_s

    def load(self) -> None:
        """Do nothing: there is no model."""

    def separate(
        self, picture: Image.Image, wanted: Wanted, on_step: Callable[[int], None]
    ) -> list[Image.Image]:
        """Return a picture's layers, the bottom one first.

        Args:
            picture: RGBA.
            wanted: How.
            on_step: Called with each finished step's number, from 1; what it raises ends the work.
        """
        for step in range(1, wanted.steps + 1):
            time.sleep(self._step_s)
            on_step(step)
        return separate(picture, output_size(picture.size, wanted.resolution), wanted.layers)
