"""The model's files, and the pipeline that is made of them.

Owns `QWEN_MODEL`, which files make a checkpoint complete, and the call of `from_pretrained`. The
places where files are looked for are `worker.weights`' matter, the number of bits is `precision`'s.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.device import check_device, memory_bytes
from worker.errors import SettingError
from worker.tasks.qwen_layered.precision import (
    Placement,
    Precision,
    choose_placement,
    describe_quantisation,
)
from worker.weights import IMAGE_CACHE, VOLUME_CACHE, find_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from worker.tasks.qwen_layered.engine import Pipeline

MODEL_VARIABLE = "QWEN_MODEL"
OFFICIAL_MODEL = "Qwen/Qwen-Image-Layered"
_PARTS = ("transformer", "text_encoder", "vae")
# A download that was broken off leaves a folder with some of the files.
_FILES = ("model_index.json", *(f"{part}/*.safetensors" for part in _PARTS))
_NAMED = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A model on Hugging Face.

    Attributes:
        repo: Its name there.
        revision: Its version; the main branch if empty.
        caches: Where its files may be, after what `HF_HUB_CACHE` names.
    """

    repo: str
    revision: str = ""
    caches: Sequence[Path] = (IMAGE_CACHE, VOLUME_CACHE)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Checkpoint:
        """Return the one that `QWEN_MODEL` names as `ORG/NAME` or `ORG/NAME@REVISION`.

        Raises:
            SettingError: It names none.
        """
        named = environ.get(MODEL_VARIABLE) or OFFICIAL_MODEL
        if not _NAMED.fullmatch(named):
            raise SettingError(
                f"{MODEL_VARIABLE} must be ORG/NAME or ORG/NAME@REVISION, not {named!r}"
            )
        repo, _, revision = named.partition("@")
        return cls(repo, revision)

    def load(self, device: str, precision: Precision | None) -> Pipeline:
        """Return the pipeline, ready for use on a device.

        Args:
            device: `cuda` or `cpu`.
            precision: What its weights are kept in; None for what the card's memory allows.

        Raises:
            SettingError: The device cannot be used, or the weights are nowhere.
        """
        check_device(device)
        placement = choose_placement(precision, memory_bytes(device))
        folder = self.find()
        log.info("loading %s from %s as %s", self.repo, folder, placement)
        return load_pipeline(folder, device, placement)

    def find(self) -> Path:
        """Return the folder with its files, after they were downloaded if need be.

        Raises:
            WeightsError: They are nowhere, and cannot be fetched.
        """
        return find_weights(self.repo, _FILES, revision=self.revision, caches=self.caches)


def load_pipeline(folder: Path, device: str, placement: Placement) -> Pipeline:
    """Return the pipeline of a checkpoint's folder, without any download."""
    import torch
    from diffusers import QwenImageLayeredPipeline

    parts = [part for part in placement.quantised_parts if not _is_quantised(folder / part)]
    pipeline = QwenImageLayeredPipeline.from_pretrained(
        folder,
        dtype=torch.float32 if placement.precision is Precision.FLOAT32 else torch.bfloat16,
        quantization_config=describe_quantisation(placement, parts),
        local_files_only=True,
        # Other forms of weights can run code while they are read.
        use_safetensors=True,
    )
    # A bar's line per step would drown the worker's log; progress is told to the job's owner.
    pipeline.set_progress_bar_config(disable=True)
    # One layer after the other becomes pixels, for the memory of one.
    pipeline.vae.enable_slicing()
    return _place(pipeline, device, placement)


def _place(pipeline: Any, device: str, placement: Placement) -> Pipeline:
    if placement.offloads:
        # Where weights have to make room, a layer's pixels are too many at once, too.
        pipeline.vae.enable_tiling()
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.to(device)
    placed: Pipeline = pipeline
    return placed


def _is_quantised(part: Path) -> bool:
    config = json.loads((part / "config.json").read_text(encoding="utf-8"))
    return "quantization_config" in config
