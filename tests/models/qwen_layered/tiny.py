"""A Qwen-Image-Layered with random weights and 250 000 parameters, made of code alone.

Every part is of the class that the real checkpoint names, its processor included, so that it can be
saved, found, loaded and run as the real one. Run as a program, it writes itself into a folder in
the form of the hub's cache.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImageLayeredPipeline,
    QwenImageTransformer2DModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
)

REPOSITORY = "Qwen/Qwen-Image-Layered"
SNAPSHOT = "0123456789abcdef0123456789abcdef01234567"
_SPECIAL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    *("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
)
# Linear layers of fewer inputs are not quantised by bitsandbytes in blocks of 64.
_WIDTH = 64
# With 4, as in diffusers' own test, the pipeline takes a picture of four channels for latents.
_LATENT_CHANNELS = 8


def make_pipeline() -> QwenImageLayeredPipeline:
    """Returns the tiny pipeline; always the same weights."""
    torch.manual_seed(0)
    tokenizer = _make_tokenizer()
    return QwenImageLayeredPipeline(
        vae=_make_vae(),
        text_encoder=_make_text_encoder(tokenizer),
        tokenizer=tokenizer,
        processor=Qwen2VLProcessor(
            Qwen2VLImageProcessor(patch_size=4, size={"shortest_edge": 64, "longest_edge": 1024}),
            tokenizer,
            Qwen2VLVideoProcessor(patch_size=4),
        ),
        transformer=_make_transformer(),
        scheduler=FlowMatchEulerDiscreteScheduler(
            use_dynamic_shifting=True, shift=1.0, shift_terminal=0.02
        ),
    )


def save_as_cache(cache: Path, repository: str = REPOSITORY, **options: Any) -> Path:
    """Writes the tiny pipeline into a cache in the hub's form; returns the snapshot's folder."""
    home = cache / f"models--{repository.replace('/', '--')}"
    folder = home / "snapshots" / SNAPSHOT
    make_pipeline().to(torch.bfloat16).save_pretrained(folder, **options)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(SNAPSHOT)
    return folder


def calculate_tiny_dimensions(_target_area: int, ratio: float) -> tuple[int, int]:
    """Returns 64 x 64 or, for wide pictures, 96 x 64, in place of the 640 x 640 of the real one."""
    return (96 if ratio > 1 else 64), 64


def _make_tokenizer() -> Qwen2Tokenizer:
    vocabulary = {letter: index for index, letter in enumerate(sorted(ByteLevel.alphabet()))}
    end = "<|endoftext|>"
    # Its end is part of the vocabulary: a tokenizer without it is saved, but cannot be loaded.
    vocabulary[end] = len(vocabulary)
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary, merges=[], unk_token=end, eos_token=end, pad_token=end
    )
    tokenizer.add_special_tokens({"additional_special_tokens": list(_SPECIAL)})
    return tokenizer


def _make_text_encoder(tokenizer: Qwen2Tokenizer) -> Qwen2_5_VLForConditionalGeneration:
    numbers = {token: tokenizer.convert_tokens_to_ids(token) for token in _SPECIAL}
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": _WIDTH,
            "intermediate_size": _WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "rope_parameters": {
                "mrope_section": [4, 6, 6],
                "rope_type": "default",
                "rope_theta": 1000000.0,
            },
            "bos_token_id": numbers["<|endoftext|>"],
            "eos_token_id": numbers["<|im_end|>"],
            "pad_token_id": numbers["<|endoftext|>"],
        },
        vision_config={
            "depth": 1,
            "hidden_size": _WIDTH,
            "intermediate_size": _WIDTH,
            "num_heads": 2,
            "out_hidden_size": _WIDTH,
            "patch_size": 4,
            "window_size": 16,
            "fullatt_block_indexes": [0],
        },
        image_token_id=numbers["<|image_pad|>"],
        video_token_id=numbers["<|video_pad|>"],
        vision_start_token_id=numbers["<|vision_start|>"],
        vision_end_token_id=numbers["<|vision_end|>"],
    )
    encoder = Qwen2_5_VLForConditionalGeneration(config).eval()
    # As the real checkpoint: what it says about a picture is drawn.
    encoder.generation_config.update(
        do_sample=True,
        eos_token_id=numbers["<|im_end|>"],
        pad_token_id=numbers["<|endoftext|>"],
    )
    return encoder


def _make_vae() -> AutoencoderKLQwenImage:
    return AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=_LATENT_CHANNELS,
        dim_mult=[1, 2, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        input_channels=4,
        latents_mean=[0.0] * _LATENT_CHANNELS,
        latents_std=[1.0] * _LATENT_CHANNELS,
    ).eval()


def _make_transformer() -> QwenImageTransformer2DModel:
    return QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=4 * _LATENT_CHANNELS,
        out_channels=_LATENT_CHANNELS,
        num_layers=2,
        attention_head_dim=32,
        num_attention_heads=2,
        joint_attention_dim=_WIDTH,
        axes_dims_rope=(8, 12, 12),
        use_additional_t_cond=True,
        use_layer3d_rope=True,
    ).eval()


if __name__ == "__main__":
    print(save_as_cache(Path(sys.argv[1])))  # noqa: T201
