"""Weights in caches of Hugging Face's hub, as folders on this disk; nothing is fetched."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from huggingface_hub import constants

from worker.errors import WeightsError
from worker.weights import find_weights

if TYPE_CHECKING:
    from pathlib import Path

REPO = "ResembleAI/chatterbox"
FILES = ["ve.safetensors", "tokenizer.json"]


def put(cache: Path, files: list[str], revision: str = "a" * 40, branch: str = "main") -> Path:
    """Writes files as the hub's library does, and returns their folder."""
    model = cache / "models--ResembleAI--chatterbox"
    folder = model / "snapshots" / revision
    folder.mkdir(parents=True)
    (model / "refs").mkdir(exist_ok=True)
    (model / "refs" / branch).write_text(revision, "ascii")
    for name in files:
        (folder / name).write_bytes(b"weights")
    return folder


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, Path]:
    """The caches: the one that is set, the image's, the volume's; and no network."""
    caches = tmp_path / "set", tmp_path / "image", tmp_path / "volume"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(caches[0]))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return caches


@pytest.mark.parametrize("place", [0, 1, 2])
def test_weights_are_found_wherever_they_are(places: tuple[Path, Path, Path], place: int) -> None:
    """In what `HF_HUB_CACHE` names, in the image, on the volume with RunPod's model cache."""
    folder = put(places[place], FILES)
    assert find_weights(REPO, FILES, caches=places[1:]) == folder


def test_the_cache_that_is_set_comes_first(places: tuple[Path, Path, Path]) -> None:
    """Whoever sets it means it."""
    folders = [put(place, FILES) for place in places]
    assert find_weights(REPO, FILES, caches=places[1:]) == folders[0]


def test_half_a_download_is_none(places: tuple[Path, Path, Path]) -> None:
    """The next place has all of it."""
    put(places[0], FILES[:1])
    whole = put(places[2], FILES)
    assert find_weights(REPO, FILES, caches=places[1:]) == whole


def test_a_cache_without_branches_will_do(places: tuple[Path, Path, Path]) -> None:
    """RunPod documents where its cache has versions, and says nothing of branches."""
    put(places[2], FILES[:1], "a" * 40)
    whole = put(places[2], FILES, "b" * 40)
    shutil.rmtree(whole.parents[1] / "refs")
    assert find_weights(REPO, FILES, caches=places[1:]) == whole


def test_a_part_of_a_sharded_model_is_none(places: tuple[Path, Path, Path]) -> None:
    """Its index names what must be there."""
    folder = put(places[0], ["model_index.json"])
    (folder / "transformer").mkdir()
    index = {"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}}
    (folder / "transformer" / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    (folder / "transformer" / "part-1.safetensors").touch()
    with pytest.raises(WeightsError):
        find_weights(REPO, ["model_index.json"], caches=[])
    (folder / "transformer" / "part-2.safetensors").touch()
    assert find_weights(REPO, ["model_index.json"], caches=[]) == folder


def test_a_shard_without_its_index_is_none(places: tuple[Path, Path, Path]) -> None:
    """The index is what tells how many there are, and it may be the file that is missing."""
    folder = put(places[0], ["model_index.json", "model-00001-of-00002.safetensors"])
    with pytest.raises(WeightsError):
        find_weights(REPO, ["model_index.json"], caches=[])
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    assert find_weights(REPO, ["model_index.json"], caches=[]) == folder


def test_a_revision_may_be_asked_for(places: tuple[Path, Path, Path]) -> None:
    """By its branch or by its hash."""
    put(places[0], FILES)
    other = put(places[0], FILES, "b" * 40, "v2")
    assert find_weights(REPO, FILES, revision="v2", caches=[]) == other
    assert find_weights(REPO, FILES, revision="b" * 40, caches=[]) == other


def test_weights_that_are_nowhere_are_told_with_the_places(
    places: tuple[Path, Path, Path],
) -> None:
    """And why they are not fetched."""
    with pytest.raises(WeightsError) as caught:
        find_weights(REPO, FILES, caches=places[1:])
    where = ", ".join(map(str, places))
    assert str(caught.value) == (
        f"ResembleAI/chatterbox is in none of {where}, and HF_HUB_OFFLINE forbids to fetch it"
    )


def test_a_hub_that_does_not_answer_is_told(
    places: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line of it, without advice for terminals."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match="and cannot be fetched: ") as caught:
        find_weights(REPO, FILES, caches=places[1:])
    assert "\n" not in str(caught.value)
