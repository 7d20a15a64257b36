"""The library's own models with small random weights, and the worker's engine for them."""

from __future__ import annotations

import base64
import importlib.util
import io
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker.tasks.chatterbox.engine import Engine

# Only this family's environment has the library.
collect_ignore_glob = [] if importlib.util.find_spec("chatterbox") else ["test_*.py"]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in the hub's form with the weights of all variants: 3.5 GB."""
    from tests.models.chatterbox.tiny import write_cache

    cache = tmp_path_factory.mktemp("hub")
    write_cache(cache)
    return cache


@pytest.fixture(scope="session")
def engine(cache: Path) -> Iterator[Engine]:
    """The worker's engine, which finds them by itself."""
    from huggingface_hub import constants

    from worker.tasks.chatterbox.engine import Engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        # Chinese is divided into words by a model from GitHub; upstream does without the package.
        patch.setitem(sys.modules, "spacy_pkuseg", None)
        yield Engine("cpu")


def _record(duration_s: float) -> str:
    """Returns noise that swells and fades, as a WAV in base64."""
    times = np.arange(round(duration_s * 16_000)) / 16_000
    noise = np.random.default_rng(7).normal(0, 0.2, len(times)) * np.sin(times * 4) ** 2
    file = io.BytesIO()
    soundfile.write(file, noise, 16_000, format="WAV")
    return base64.b64encode(file.getvalue()).decode()


@pytest.fixture(scope="session")
def speech() -> str:
    """Somebody's voice; short, because all that is spoken in it takes longer by it."""
    return _record(1.2)


@pytest.fixture(scope="session")
def long_speech() -> str:
    """A voice that Turbo takes."""
    return _record(5.2)
