"""One job of `qwen-layered` from its input to its output.

Owns the order of the work, what counts as a step of progress, and the output's form. Loading and
running the model is `engine`'s matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from worker.media import read_media
from worker.tasks.qwen_layered.package import PACKAGES, save_pngs
from worker.tasks.qwen_layered.picture import MOST_BYTES, read_picture
from worker.tasks.qwen_layered.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from PIL import Image

    from worker.delivery import Handover
    from worker.progress import Progress

# Reading the picture before the model's steps, and packing the layers behind them.
_STEPS_AROUND = 2
_ADVICE = "ask for fewer layers or for resolution 640"
# Photoshop's own compression is the weaker one: 34 MB instead of 11 MB for ten layers of noise.
_ADVICE_BY_PACKAGE = {"psd": "ask for package zip, for fewer layers or for resolution 640"}


class Separator(Protocol):
    """What takes pictures apart."""

    def load(self) -> None:
        """Load the model.

        Raises:
            SettingError: It cannot be loaded as this worker is set up.
        """

    def separate(
        self, picture: Image.Image, wanted: Wanted, on_step: Callable[[int], None]
    ) -> list[Image.Image]:
        """Return a picture's layers, the bottom one first.

        Args:
            picture: RGBA.
            wanted: How.
            on_step: Called with each finished step's number, from 1; what it raises ends the work.
        """


class QwenLayered:
    """The family: what `worker.service` asks for.

    Args:
        separator: The model.
    """

    def __init__(self, separator: Separator) -> None:
        self._separator = separator

    def load(self) -> None:
        """Load the model.

        Raises:
            SettingError: It cannot be loaded as this worker is set up.
        """
        self._separator.load()

    def parse(self, job: Mapping[str, Any]) -> Wanted:
        """Read what a job asks for.

        Raises:
            InvalidInputError: The input breaks the schema.
        """
        return Wanted.parse(job)

    def work(self, wanted: Wanted, progress: Progress, handover: Handover) -> dict[str, Any]:
        """Take a picture apart and return the layers, each or all in one file.

        Raises:
            TaskError: The picture is none, the result is too large, or the job was cancelled.
        """
        total_steps = wanted.steps + _STEPS_AROUND
        picture = read_picture(read_media(wanted.image, "image", most_bytes=MOST_BYTES))
        progress.tell("Reading the picture", 1, total_steps)
        layers = self._separator.separate(
            picture,
            wanted,
            lambda step: progress.tell(f"Step {step} of {wanted.steps}", step + 1, total_steps),
        )
        progress.check()
        output = _hand_over(layers, wanted, handover)
        progress.tell("Packing the layers", total_steps, total_steps)
        return output


def _hand_over(layers: Sequence[Image.Image], wanted: Wanted, handover: Handover) -> dict[str, Any]:
    size_and_seed = {"size": list(layers[0].size), "seed": wanted.seed}
    if not wanted.package:
        return {
            "layers": [each.text for each in handover.hand_over(save_pngs(layers), advice=_ADVICE)],
            **size_and_seed,
        }
    file = PACKAGES[wanted.package](layers)
    advice = _ADVICE_BY_PACKAGE.get(wanted.package, _ADVICE)
    (content,) = handover.hand_over([file], advice=advice)
    return {
        content.key("package"): content.text,
        "filename": file.filename,
        "content_type": file.content_type,
        "layer_count": len(layers),
        **size_and_seed,
    }
