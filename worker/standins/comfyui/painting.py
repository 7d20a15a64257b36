"""Makes the pictures of an output: a landscape of the size asked for, or what was uploaded.

Owns what of a workflow is seen: its size, its words, its seed, how many. No node is run.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from typing import TYPE_CHECKING, Any

from worker.standins.comfyui.errors import NodeError
from worker.tasks.content.picture import PIXEL_BUDGET, Picture

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from PIL import Image

    from worker.standins.comfyui.workflow import Node, Workflow

MOST_PIXELS = 4096 * 4096
_DEFAULT_SIZE = 512, 512
_BAND = 0.3
"""The share of a picture's height that words may fill."""
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)


def paint(
    workflow: Workflow, output: Node, images: Mapping[str, bytes], source: Any
) -> Iterator[bytes]:
    """Yield an output's pictures as PNGs, with the workflow in them as ComfyUI has it.

    Args:
        workflow: What the output is in.
        output: The node that saves.
        images: What was uploaded, by its name.
        source: The workflow as it came.

    Raises:
        NodeError: An uploaded file is no picture, or the size is beyond what is painted here.
    """
    words, size = workflow.words(output), workflow.size(output)
    loader = None if workflow.makes_picture(output) else workflow.loader(output)
    uploaded = None if loader is None else _read(workflow, loader, images)
    size = size or (_DEFAULT_SIZE if uploaded is None else uploaded.size)
    _refuse_size(output, *size)
    for number in range(workflow.batch_size(output)):
        if uploaded is None:
            picture = _landscape(words, size, f"{workflow.seed(output)} {number}")
        else:
            picture = _captioned(uploaded.resize(size), words)
        yield _png(picture, source)


class _Landscape(Picture):
    """A picture whose chance is of a seed, too."""

    def __init__(self, prompt: str, size: tuple[int, int], chance: str) -> None:
        super().__init__(prompt, *size)
        self._seed = chance

    def _read_prompt(self) -> None:
        super()._read_prompt()
        self._chance.seed(hashlib.sha256(f"{self._seed} {self._prompt}".encode()).digest())


def _landscape(words: str, size: tuple[int, int], chance: str) -> Image.Image:
    from PIL import Image

    # It is painted at the size that the painter is made for, and enlarged beyond that.
    factor = max(1.0, (size[0] * size[1] / PIXEL_BUDGET) ** 0.5)
    canvas = _Landscape(words, (int(size[0] / factor), int(size[1] / factor)), chance)
    for step in canvas.steps:
        step.work()
    return Image.open(io.BytesIO(canvas.content().data)).resize(size)


def _read(workflow: Workflow, loader: Node, images: Mapping[str, bytes]) -> Image.Image:
    from PIL import Image, ImageOps

    name = workflow.image_name(loader)
    try:
        with Image.open(io.BytesIO(images[name])) as picture:
            _refuse_size(loader, *picture.size)
            return ImageOps.exif_transpose(picture).convert("RGB")
    except (*_BROKEN, KeyError, Image.DecompressionBombError) as error:
        raise NodeError(
            loader.kind, loader.id, f"cannot identify image file '/comfyui/input/{name}'"
        ) from error


def _refuse_size(node: Node, width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise NodeError(
            node.kind,
            node.id,
            f"{width} x {height} is more than this stand-in paints: {MOST_PIXELS} pixels",
        )


def _captioned(picture: Image.Image, words: str) -> Image.Image:
    """Return a picture with words on a band at its lower edge."""
    from PIL import Image, ImageDraw

    from worker.tasks.content.lettering import fit

    if not words:
        return picture
    width, height = picture.size
    lettering = fit(
        words,
        round(width * 0.9),
        round(height * _BAND),
        largest=max(12, min(width, height) // 12),
        smallest=10,
    )
    band_height = min(height, len(lettering.lines) * lettering.line_height + 8)
    band = Image.new("RGB", (width, band_height), (12, 14, 22))
    draw = ImageDraw.Draw(band)
    for number, line in enumerate(lettering.lines):
        left = (width - lettering.font.getlength(line)) / 2
        place = (left, 4 + number * lettering.line_height)
        draw.text(place, line, font=lettering.font, fill=(250, 250, 245))
    picture.paste(band, (0, height - band_height))
    return picture


def _png(picture: Image.Image, source: Any) -> bytes:
    from PIL.PngImagePlugin import PngInfo

    notes = PngInfo()
    notes.add_text("prompt", json.dumps(source))
    file = io.BytesIO()
    picture.save(file, "PNG", pnginfo=notes, compress_level=4)
    return file.getvalue()
