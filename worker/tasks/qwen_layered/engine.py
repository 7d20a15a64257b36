"""Runs the diffusers pipeline: one picture in, its layers out.

Owns how the pipeline is called and what is left of it after a call, also after one that failed.
Where it comes from, and in which precision, is `checkpoint`'s matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image

    from worker.tasks.qwen_layered.wanted import Wanted


class VariationalAutoencoder(Protocol):
    """The part of the pipeline between pixels and what is denoised."""

    def clear_cache(self) -> None:
        """Forget what it keeps between two tiles."""


class Pipeline(Protocol):
    """What is used of `diffusers.QwenImageLayeredPipeline`."""

    vae: VariationalAutoencoder

    def __call__(self, **wanted: Any) -> Any:
        """Take a picture apart."""

    def maybe_free_model_hooks(self) -> None:
        """Move every part that is offloaded off the card."""


class Engine:
    """The model; takes one picture apart at a time.

    Args:
        create_pipeline: Loads the pipeline.
    """

    def __init__(self, create_pipeline: Callable[[], Pipeline]) -> None:
        self._create_pipeline = create_pipeline
        self._pipeline: Pipeline | None = None

    def load(self) -> None:
        """Load the pipeline.

        Raises:
            SettingError: It cannot be loaded as this worker is set up.
        """
        self._pipeline = self._create_pipeline()

    def separate(
        self, picture: Image.Image, wanted: Wanted, on_step: Callable[[int], None]
    ) -> list[Image.Image]:
        """Return a picture's layers, the bottom one first.

        Args:
            picture: RGBA.
            wanted: How.
            on_step: Called with each finished step's number, from 1; what it raises ends the work.
        """
        if self._pipeline is None:
            raise AssertionError("the service loads the model before the first job")
        try:
            result = self._pipeline(**_name_arguments(picture, wanted, on_step))
        except BaseException:
            _tidy(self._pipeline)
            raise
        layers: list[Image.Image] = result.images[0]
        return layers


def _name_arguments(
    picture: Image.Image, wanted: Wanted, on_step: Callable[[int], None]
) -> dict[str, Any]:
    import torch

    def on_step_end(
        _pipeline: Pipeline, index: int, _timestep: object, tensors: dict[str, Any]
    ) -> dict[str, Any]:
        on_step(index + 1)
        return tensors

    # What the model says about a picture is drawn, too, from torch's own generators.
    torch.manual_seed(wanted.seed)
    return {
        "image": picture,
        "prompt": wanted.prompt,
        # Without guidance there is nothing to push away from; the pipeline would only warn.
        "negative_prompt": wanted.negative_prompt if wanted.guidance > 1 else None,
        "true_cfg_scale": wanted.guidance,
        "cfg_normalize": wanted.normalises_guidance,
        "use_en_prompt": wanted.describes_in_english,
        "layers": wanted.layers,
        "resolution": wanted.resolution,
        "num_inference_steps": wanted.steps,
        # More than one are cut apart wrongly (workers reference B).
        "num_images_per_prompt": 1,
        # Drawn on the processor, the noise is the same on every card.
        "generator": torch.Generator("cpu").manual_seed(wanted.seed),
        "callback_on_step_end": on_step_end,
    }


def _tidy(pipeline: Pipeline) -> None:
    """Do what the pipeline does at the end of a call that succeeds."""
    pipeline.vae.clear_cache()
    pipeline.maybe_free_model_hooks()
