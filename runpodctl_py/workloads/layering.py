"""Pictures in layers: from a picture to the input of the Qwen-Image-Layered worker.

Owns what `layers` means by a picture (workers reference B). The fields' limits are the preset's;
looking at the layers is `contact_sheet.py`'s.
"""

from __future__ import annotations

import base64
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from runpodctl_py.errors import UsageError
from runpodctl_py.workloads.media import is_remote, read_small_medium

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runpodctl_py.jsontypes import JsonObject, JsonValue

_ADVICE = (
    "The layers have at most about 1024 x 1024 pixels; a smaller picture gives the same:\n"
    "  ffmpeg -i {} -vf scale=1536:-1 small.jpg"
)


def layering_input(image: str, wanted: Mapping[str, JsonValue]) -> JsonObject:
    """Return the worker's input, with only what was given.

    Args:
        image: A file, a URL or a data URI.
        wanted: The worker's fields by name, None for what was not given.

    Raises:
        UsageError: It is no picture.
    """
    if not is_remote(image):
        content = read_small_medium(Path(image), "image", _ADVICE.format(image))
        image = base64.b64encode(content).decode("ascii")
    fields: JsonObject = {"image": image}
    return fields | {name: value for name, value in wanted.items() if value is not None}


def stem_of(image: str) -> str:
    """Return what a picture is called, without its extension.

    Raises:
        UsageError: It is not named at all.
    """
    if not image.strip():
        raise UsageError("Which picture?")
    if not is_remote(image):
        return Path(image).stem
    if image.lower().startswith("data:"):
        return "picture"
    return PurePosixPath(unquote(urlsplit(image).path)).stem or "picture"
