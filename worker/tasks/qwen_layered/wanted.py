"""What a job of `qwen-layered` asks for, read from its input.

Owns the fields' names, their ranges and what a missing one means: the call that the model's authors
recommend (workers reference B).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.errors import InvalidInputError
from worker.tasks.qwen_layered.package import PACKAGES
from worker.validation import (
    describe,
    read_choice,
    read_flag,
    read_number,
    read_object,
    read_seed,
    read_text,
    read_whole_number,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

FEWEST_LAYERS = 2
MOST_LAYERS = 10
# In one step, a schedule with a `shift_terminal`, as Qwen-Image's, divides nothing by nothing, and
# the layers are black.
FEWEST_STEPS = 2
MOST_STEPS = 200
MOST_GUIDANCE = 20.0
# The pipeline reads 512 tokens of it; a longer one would be encoded as a whole all the same.
LONGEST_PROMPT = 8000

_RESOLUTIONS = (640, 1024)
_LAYERS_NAMES = ("num_layers", "layers")


@dataclass(frozen=True)
class Wanted:
    """A picture to take apart, and how.

    Attributes:
        image: The picture: base64, a data URI or an http(s) URL.
        prompt: What the whole picture shows; if it is empty, the model describes it first.
        negative_prompt: What the layers should not show.
        layers: How many.
        resolution: The side of a square of about as many pixels as a layer has.
        steps: How many steps of denoising.
        guidance: How closely to follow the prompt; 1 switches the guidance off.
        normalises_guidance: Whether guided steps are scaled back to the length of unguided ones.
        describes_in_english: In which language the model describes the picture; else in Chinese.
        seed: The same one gives the same layers again.
        package: `psd` or `zip` for all layers in one file; empty for one file per layer.
    """

    image: str
    prompt: str
    negative_prompt: str
    layers: int
    resolution: int
    steps: int
    guidance: float
    normalises_guidance: bool
    describes_in_english: bool
    seed: int
    package: str

    @classmethod
    def parse(cls, job: Mapping[str, Any]) -> Wanted:
        """Read a job's `input`.

        Raises:
            InvalidInputError: A field is missing, of the wrong type or out of range.
        """
        fields = read_object(job, "input")
        return cls(
            image=_read_image(fields),
            prompt=_read_prompt(fields, "prompt", default="").strip(),
            negative_prompt=_read_prompt(fields, "negative_prompt", default=" "),
            layers=_read_layers(fields),
            resolution=_read_resolution(fields),
            steps=read_whole_number(
                fields, "num_inference_steps", low=FEWEST_STEPS, high=MOST_STEPS, default=50
            ),
            guidance=read_number(
                fields, "true_cfg_scale", low=1.0, high=MOST_GUIDANCE, default=4.0
            ),
            normalises_guidance=read_flag(fields, "cfg_normalize", default=True),
            describes_in_english=read_flag(fields, "use_en_prompt", default=True),
            seed=read_seed(fields),
            package=_read_package(fields),
        )


def _read_image(fields: Mapping[str, Any]) -> str:
    if "image" not in fields:
        raise InvalidInputError("image is required: base64, a data URI or an http(s) URL")
    # No wrong picture is quoted: it may be megabytes, or a URL with a signature.
    if not isinstance(fields["image"], str):
        raise InvalidInputError("image must be a string: base64, a data URI or an http(s) URL")
    if not fields["image"].strip():
        raise InvalidInputError("image is empty")
    return fields["image"]


def _read_prompt(fields: Mapping[str, Any], name: str, *, default: str) -> str:
    # A client's form sends null for what was left empty.
    prompt = default if fields.get(name) is None else read_text(fields, name, default=default)
    if len(prompt) > LONGEST_PROMPT:
        raise InvalidInputError(
            f"{name} must have at most {LONGEST_PROMPT} characters, not {len(prompt)}"
        )
    return prompt


def _read_layers(fields: Mapping[str, Any]) -> int:
    counts = {
        name: read_whole_number(fields, name, low=FEWEST_LAYERS, high=MOST_LAYERS, default=4)
        for name in _LAYERS_NAMES
        if name in fields
    }
    if len(set(counts.values())) > 1:
        both = " and ".join(f"{name}={count}" for name, count in counts.items())
        raise InvalidInputError(f"{both} contradict each other: they mean the same")
    return next(iter(counts.values()), 4)


def _read_resolution(fields: Mapping[str, Any]) -> int:
    resolution = fields.get("resolution", _RESOLUTIONS[0])
    if isinstance(resolution, bool) or resolution not in _RESOLUTIONS:
        known = " or ".join(map(str, _RESOLUTIONS))
        raise InvalidInputError(f"resolution must be {known}, not {describe(resolution)}")
    return int(resolution)


def _read_package(fields: Mapping[str, Any]) -> str:
    return "" if fields.get("package") is None else read_choice(fields, "package", tuple(PACKAGES))
