"""The tiny model, loaded as the real one would be, and a handler that does jobs with it."""

from __future__ import annotations

import base64
import importlib
import importlib.util
import io
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from worker.service import ModelHandler
from worker.tasks.qwen_layered.checkpoint import Checkpoint
from worker.tasks.qwen_layered.engine import Engine
from worker.tasks.qwen_layered.family import QwenLayered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Only this family's environment has torchao; diffusers alone may be Chatterbox's old one.
collect_ignore_glob = [] if importlib.util.find_spec("torchao") else ["test_*.py"]


@dataclass
class Bench:
    """A handler with a pipeline, and what it reported."""

    pipeline: Any
    updates: list[dict[str, Any]] = field(default_factory=list)
    on_update: Callable[[dict[str, Any]], object] = field(default_factory=lambda: bool)

    async def do(self, **fields: Any) -> dict[str, Any]:
        """Has a job done; a small one of three steps unless it says more."""
        engine = Engine(lambda: self.pipeline)
        handler = ModelHandler(QwenLayered(engine), self._report, {})
        given = {"image": draw(), "prompt": "a red box", "num_inference_steps": 3, "seed": 1}
        return await handler({"id": "job-1", "input": {**given, **fields}})

    async def layers(self, **fields: Any) -> list[bytes]:
        """Has a job done that succeeds; returns its layers' pixels."""
        output = await self.do(**fields)
        assert "error" not in output, output
        return [decode(each).tobytes() for each in output["layers"]]

    def _report(self, _job: dict[str, Any], update: dict[str, Any]) -> None:
        self.updates.append(update)
        self.on_update(update)


def draw(*, alpha: int = 255) -> str:
    """Returns a picture of a gradient, as a PNG in base64."""
    picture = Image.linear_gradient("L").resize((90, 60)).convert("RGB")
    picture.putalpha(alpha)
    content = io.BytesIO()
    picture.save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


def decode(text: str) -> Image.Image:
    """Returns the picture that is a PNG in base64."""
    return Image.open(io.BytesIO(base64.b64decode(text, validate=True)))


@pytest.fixture(scope="session")
def picture() -> Callable[..., str]:
    """Draws pictures."""
    return draw


@pytest.fixture(scope="session")
def _libraries() -> None:
    """Imported once; torchao warns of what diffusers takes from it on this way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("tests.models.qwen_layered.tiny")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory, _libraries: None) -> Path:
    """A cache in the hub's form that holds the tiny model under the official name."""
    from tests.models.qwen_layered.tiny import save_as_cache

    cache = tmp_path_factory.mktemp("hub")
    # In three files, as the real one is in many.
    save_as_cache(cache, max_shard_size="150KB")
    return cache


@pytest.fixture(scope="session")
def _small_layers(_libraries: None) -> Iterator[None]:
    """Layers of 64 pixels: unpatched, a call on the processor takes 9 s (workers reference B)."""
    from diffusers.pipelines.qwenimage import pipeline_qwenimage_layered as upstream

    from tests.models.qwen_layered.tiny import calculate_tiny_dimensions

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upstream, "calculate_dimensions", calculate_tiny_dimensions)
        yield


@pytest.fixture
def look_into(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Points the hub's library to a cache, and closes its way to the internet."""
    from huggingface_hub import constants

    def look(cache: Path) -> None:
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    return look


@pytest.fixture(scope="session")
def pipeline(cache: Path, _small_layers: None) -> Any:
    """The tiny model, found and loaded by the worker's own code."""
    from huggingface_hub import constants

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        return Checkpoint.of({}).load("cpu", None)


@pytest.fixture
def bench(pipeline: Any) -> Bench:
    """A handler with the tiny model."""
    return Bench(pipeline)
