from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import constants

from worker.errors import WeightsError
from worker.tasks.qwen_layered.checkpoint import OFFICIAL_MODEL, Checkpoint

Caches = tuple[Path, Path]

INDEX = "transformer/diffusion_pytorch_model.safetensors.index.json"
SHARDS = [f"transformer/diffusion_pytorch_model-0000{each}-of-00003.safetensors" for each in "123"]
SHARDED = {"weight_map": {str(number): Path(each).name for number, each in enumerate(SHARDS)}}
FILES = [
    *("model_index.json", INDEX, *SHARDS),
    *("text_encoder/model.safetensors", "vae/diffusion_pytorch_model.safetensors"),
]


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Caches:
    """Two caches that are looked through in this order, and no way to the internet."""
    first, second = tmp_path / "first", tmp_path / "second"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(first))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return first, second


def fill(cache: Path, *without: str, repo: str = "Qwen--Qwen-Image-Layered") -> Path:
    """Puts a checkpoint into a cache, less some files; returns its folder."""
    home = cache / f"models--{repo}"
    folder = home / "snapshots" / ("0" * 40)
    for name in FILES:
        if name not in without:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(json.dumps(SHARDED) if name == INDEX else "")
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("0" * 40)
    return folder


def test_a_complete_checkpoint_is_found(caches: Caches) -> None:
    """In the first cache that has it."""
    folder, _ = (fill(each) for each in caches)
    assert Checkpoint.of({}).find() == folder


@pytest.mark.parametrize("missing", FILES)
def test_a_download_that_was_broken_off_is_no_checkpoint(caches: Caches, missing: str) -> None:
    """Whichever file is missing, the next cache is asked."""
    fill(caches[0], missing)
    complete = fill(caches[1])
    assert Checkpoint(OFFICIAL_MODEL, caches=caches[1:]).find() == complete


def test_a_download_that_was_broken_off_goes_on(caches: Caches) -> None:
    """It is asked for again; here there is no way to the internet."""
    fill(caches[0], SHARDS[1])
    with pytest.raises(WeightsError, match=r"^Qwen/Qwen-Image-Layered is in none of "):
        Checkpoint.of({}).find()


def test_another_checkpoint_may_be_named(caches: Caches) -> None:
    """Such as one that was quantised before."""
    folder = fill(caches[0], repo="someone--quantised")
    assert Checkpoint.of({"QWEN_MODEL": "someone/quantised"}).find() == folder
    with pytest.raises(WeightsError):
        Checkpoint.of({"QWEN_MODEL": ""}).find()
