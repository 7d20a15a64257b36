"""Reads a job's input as worker-comfyui does: its words for what is wrong, its data URIs."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from worker.standins.comfyui.errors import ComfyError
from worker.standins.comfyui.workflow import uploaded_name

if TYPE_CHECKING:
    from collections.abc import Mapping

_NO_LIST = "'images' must be a list of objects with 'name' and 'image' keys"


@dataclass(frozen=True)
class Wanted:
    """What a job asks for.

    Attributes:
        workflow: As it came: whether it is one, ComfyUI says.
        images: The uploaded pictures by their names.
    """

    workflow: Any
    images: Mapping[str, bytes] = field(repr=False)


def read(job_input: Any) -> Wanted:
    """Read a job's input, which may be JSON as a text.

    Raises:
        ComfyError: It breaks the schema, or a picture in it is no base64.
    """
    if job_input is None:
        raise ComfyError("Please provide input")
    if isinstance(job_input, str):
        try:
            job_input = json.loads(job_input)
        except json.JSONDecodeError as error:
            raise ComfyError("Invalid JSON format in input") from error
    if not isinstance(job_input, dict) or job_input.get("workflow") is None:
        raise ComfyError("Missing 'workflow' parameter")
    return Wanted(job_input["workflow"], _uploaded(job_input.get("images")))


def _uploaded(images: Any) -> dict[str, bytes]:
    if images is None:
        return {}
    if not isinstance(images, list) or not all(map(_is_image, images)):
        raise ComfyError(_NO_LIST)
    uploaded: dict[str, bytes] = {}
    problems: list[str] = []
    for image in images:
        try:
            # Whatever stands before the comma of a data URI.
            uploaded[uploaded_name(image["name"])] = base64.b64decode(
                image["image"].rpartition(",")[2]
            )
        except (binascii.Error, ValueError) as error:
            problems.append(f"Error decoding base64 for {image['name']}: {error}")
    if problems:
        raise ComfyError("Failed to upload one or more input images", problems)
    return uploaded


def _is_image(image: Any) -> bool:
    return isinstance(image, dict) and all(
        isinstance(image.get(key), str) for key in ("name", "image")
    )
