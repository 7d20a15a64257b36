"""How many bits the model's numbers have on which card, and where its parts are between uses.

Owns `QWEN_PRECISION` and the choice. The official weights are quantised while they are loaded:
RunPod keeps one repository per endpoint in its cache, and someone else's quantised copy would have
to be trusted; who trusts one, a whole pipeline, names it in `QWEN_MODEL`. How much memory that
takes: workers reference B.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from worker.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

PRECISION_VARIABLE = "QWEN_PRECISION"
_AUTO = "auto"
_GB = 10**9
# 57.7 GB of weights and what a call needs; cards that are sold as 80 GB.
_WHOLE_MODEL_BYTES = 70 * _GB
# A float8 transformer with offload peaks at 23 GB; cards that are sold as 48 GB.
_FLOAT8_BYTES = 40 * _GB


class Precision(StrEnum):
    """What the weights are kept in."""

    FLOAT32 = "float32"
    BF16 = "bf16"
    FP8 = "fp8"
    BNB4 = "bnb4"


_ASKABLE = (Precision.BF16, Precision.FP8, Precision.BNB4)
_QUANTISED = {
    Precision.FP8: ("transformer",),
    Precision.BNB4: ("transformer", "text_encoder"),
}


@dataclass(frozen=True)
class Placement:
    """How the model is kept.

    Attributes:
        precision: What in.
        offloads: Whether only the part that computes is on the card; the rest waits in the
            machine's memory.
    """

    precision: Precision
    offloads: bool

    @property
    def quantised_parts(self) -> Collection[str]:
        """The parts of the pipeline that get fewer bits than they were published with."""
        return _QUANTISED.get(self.precision, ())


def read_precision(environ: Mapping[str, str], device: str) -> Precision | None:
    """Return the precision that `QWEN_PRECISION` names, or None for the card's.

    Raises:
        SettingError: It is none, or one that this device cannot have.
    """
    name = environ.get(PRECISION_VARIABLE) or _AUTO
    if name not in (_AUTO, *_ASKABLE):
        known = ", ".join((_AUTO, *_ASKABLE))
        raise SettingError(f"{PRECISION_VARIABLE} must be one of {known}, not {name!r}")
    if name == Precision.BNB4 and device == "cpu":
        raise SettingError(f"{PRECISION_VARIABLE}={name} needs a GPU: diffusers asks for one")
    return None if name == _AUTO else Precision(name)


def choose_placement(precision: Precision | None, memory_bytes: int | None) -> Placement:
    """Return how the model is kept on a card with so much memory, or on the processor if None."""
    if memory_bytes is None:
        return Placement(precision or Precision.FLOAT32, offloads=False)
    chosen = precision or _choose_precision(memory_bytes)
    return Placement(chosen, offloads=memory_bytes < _WHOLE_MODEL_BYTES)


def describe_quantisation(placement: Placement, parts: Collection[str]) -> Any:
    """Return what `from_pretrained` is told about the parts to quantise; None if there are none."""
    if not parts:
        return None
    describe = _describe_float8 if placement.precision is Precision.FP8 else _describe_4_bit
    return describe(list(parts))


def _choose_precision(memory_bytes: int) -> Precision:
    if memory_bytes >= _WHOLE_MODEL_BYTES:
        return Precision.BF16
    return Precision.FP8 if memory_bytes >= _FLOAT8_BYTES else Precision.BNB4


def _describe_float8(parts: list[str]) -> Any:
    from diffusers import PipelineQuantizationConfig, TorchAoConfig
    from torchao.quantization import Float8WeightOnlyConfig

    return PipelineQuantizationConfig(
        quant_mapping={part: TorchAoConfig(Float8WeightOnlyConfig()) for part in parts}
    )


def _describe_4_bit(parts: list[str]) -> Any:
    import torch
    from diffusers import PipelineQuantizationConfig

    return PipelineQuantizationConfig(
        quant_backend="bitsandbytes_4bit",
        quant_kwargs={
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_compute_dtype": torch.bfloat16,
        },
        components_to_quantize=parts,
    )
