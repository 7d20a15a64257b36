"""Makes files of layers: a PNG of each, or one file with all of them.

Owns names, types and contents of the files. Order is the model's: the bottom layer first.
"""

from __future__ import annotations

import io
import zipfile
from types import MappingProxyType
from typing import TYPE_CHECKING

from worker.delivery import FinishedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from PIL import Image

    Layers = Sequence[Image.Image]

# The same layers give the same bytes: the files in an archive have no time of their own.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_CHANNELS = 4


def save_pngs(layers: Layers) -> list[FinishedFile]:
    """Return one PNG per layer."""
    return [_save_png(number, layer) for number, layer in enumerate(layers)]


def pack_zip(layers: Layers) -> FinishedFile:
    """Return an archive with one PNG per layer."""
    content = io.BytesIO()
    # Stored as they are: PNGs are compressed.
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for file in save_pngs(layers):
            archive.writestr(zipfile.ZipInfo(file.filename, _NO_TIME), file.data)
    return FinishedFile(
        "layers.zip", "application/zip", content.getvalue(), f"{len(layers)} layers"
    )


def pack_psd(layers: Layers) -> FinishedFile:
    """Return a Photoshop document with one pixel layer per layer, the first one at the bottom.

    It is put together from the format's parts, because `PSDImage.save` draws the merged picture
    anew, or logs that it cannot without scipy and aggdraw.
    """
    from psd_tools import PSDImage
    from psd_tools.constants import ColorMode, Compression
    from psd_tools.psd import PSD
    from psd_tools.psd.header import FileHeader
    from psd_tools.psd.image_data import ImageData
    from psd_tools.psd.image_resources import ImageResources
    from psd_tools.psd.layer_and_mask import LayerAndMaskInformation, LayerInfo

    width, height = layers[0].size
    header = FileHeader(
        channels=_CHANNELS, width=width, height=height, depth=8, color_mode=ColorMode.RGB
    )
    merged = ImageData(compression=Compression.RLE)
    merged.set_data([each.tobytes() for each in _merge(layers).split()], header)
    stack = LayerInfo()
    document = PSD(
        header=header,
        image_resources=ImageResources.new(),
        layer_and_mask_information=LayerAndMaskInformation(layer_info=stack),
        image_data=merged,
    )
    editor = PSDImage(document)
    for number, layer in enumerate(layers):
        editor.create_pixel_layer(layer, name=_name(number))
    # The format's way to say that the merged picture's fourth channel is its transparency.
    stack.layer_count = -len(layers)
    content = io.BytesIO()
    document.write(content)
    return FinishedFile(
        "layers.psd", "image/vnd.adobe.photoshop", content.getvalue(), f"{len(layers)} layers"
    )


PACKAGES: Mapping[str, Callable[[Layers], FinishedFile]] = MappingProxyType(
    {"psd": pack_psd, "zip": pack_zip}
)
"""What packs all layers into one file, by the value of `package`."""


def _save_png(number: int, layer: Image.Image) -> FinishedFile:
    content = io.BytesIO()
    layer.save(content, "PNG")
    return FinishedFile(
        f"{_name(number)}.png", "image/png", content.getvalue(), f"{layer.width} x {layer.height}"
    )


def _merge(layers: Layers) -> Image.Image:
    """Return what is seen of all layers together, on white where it is transparent.

    White is what Photoshop puts under a merged picture's colours, and takes away on reading.
    """
    from PIL import Image

    size = layers[0].size
    seen = Image.new("RGBA", size)
    for layer in layers:
        seen.alpha_composite(layer)
    merged = Image.alpha_composite(Image.new("RGBA", size, "white"), seen)
    merged.putalpha(seen.getchannel("A"))
    return merged


def _name(number: int) -> str:
    return f"layer_{number:02d}"
