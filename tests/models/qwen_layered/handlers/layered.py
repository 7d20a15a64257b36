"""The worker as its image starts it, but for the layers' size: 64 pixels instead of 640."""

from __future__ import annotations

from diffusers.pipelines.qwenimage import pipeline_qwenimage_layered as upstream

from tests.models.qwen_layered.tiny import calculate_tiny_dimensions
from worker.__main__ import main

upstream.calculate_dimensions = calculate_tiny_dimensions
main()
