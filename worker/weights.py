"""Finds a model's weights: in the image, on a network volume, in RunPod's model cache, or online.

Owns the order of the places. All of them are caches in the form of Hugging Face's hub, so that one
function of its library reads them; RunPod's cached models have it, too (workers reference F).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from worker.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Sequence

IMAGE_CACHE = Path("/opt/huggingface/hub")
"""Where the Dockerfile puts what it bakes in."""
VOLUME_CACHE = Path("/runpod-volume/huggingface-cache/hub")
"""Where RunPod keeps cached models; a network volume is mounted at the same place."""
_SHARD = re.compile(r"(?P<stem>.+)-\d{5}-of-\d{5}\.safetensors")


def find_weights(
    repo: str,
    files: Sequence[str],
    *,
    patterns: Sequence[str] | None = None,
    revision: str = "",
    caches: Sequence[Path] = (IMAGE_CACHE, VOLUME_CACHE),
) -> Path:
    """Return the folder with a model's files; fetches them only if no cache has them.

    Args:
        repo: The model on Hugging Face, such as `ResembleAI/chatterbox`.
        files: What must be there for the model to be complete; `*` stands for anything.
        patterns: What is fetched if it is nowhere; everything by default.
        revision: Its version; the main branch if empty.
        caches: Where they may be, after what `HF_HUB_CACHE` names.

    Raises:
        WeightsError: They are nowhere, and cannot be fetched.
    """
    from huggingface_hub import constants

    places = list(dict.fromkeys((Path(constants.HF_HUB_CACHE), *caches)))
    for cache in places:
        if (folder := _look(cache, repo, files, revision)) is not None:
            return folder
    where = f"{repo} is in none of {', '.join(map(str, places))}"
    if constants.HF_HUB_OFFLINE:
        raise WeightsError(f"{where}, and HF_HUB_OFFLINE forbids to fetch it")
    return _fetch(repo, files, patterns, revision, where)


def _look(cache: Path, repo: str, files: Sequence[str], revision: str) -> Path | None:
    """Return the folder in one cache; a download that was broken off leaves one, too."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            repo, revision=revision or None, cache_dir=cache, local_files_only=True
        )
        candidates = [Path(folder)]
    except LocalEntryNotFoundError:
        # RunPod documents its cache's snapshots, not the hub's notes on which of them is newest.
        candidates = [] if revision else _snapshots(cache, repo)
    return next((each for each in candidates if not _missing(each, files)), None)


def _snapshots(cache: Path, repo: str) -> list[Path]:
    """Return all versions of a model in a cache, the newest first."""
    folder = cache / f"models--{repo.replace('/', '--')}" / "snapshots"
    return sorted(folder.glob("*"), key=lambda each: each.stat().st_mtime, reverse=True)


def _fetch(
    repo: str, files: Sequence[str], patterns: Sequence[str] | None, revision: str, where: str
) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    allowed = [*patterns] if patterns else None
    try:
        folder = Path(snapshot_download(repo, revision=revision or None, allow_patterns=allowed))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise WeightsError(f"{where}, and cannot be fetched: {_reason(error)}") from error
    if missing := _missing(folder, files):
        raise WeightsError(f"{repo} has no {', '.join(missing)}")
    return folder


def _missing(folder: Path, files: Sequence[str]) -> list[str]:
    """Return which of the files are not there, with those that a part in shards needs.

    A shard needs its index, which `from_pretrained` reads, and the index names all of them.
    """
    indexes = {
        str(shard.parent.relative_to(folder) / f"{named['stem']}.safetensors.index.json")
        for shard in folder.rglob("*-of-*.safetensors")
        if (named := _SHARD.fullmatch(shard.name)) is not None
    }
    shards = {
        str(index.parent.relative_to(folder) / name)
        for index in folder.rglob("*.safetensors.index.json")
        for name in json.loads(index.read_text("utf-8"))["weight_map"].values()
    }
    wanted = [*files, *sorted(indexes), *sorted(shards)]
    return [name for name in wanted if not any(path.is_file() for path in folder.glob(name))]


def _reason(error: Exception) -> str:
    """Return its first line; the rest is advice for people at a terminal."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
