"""Takes a picture apart into transparent layers which, laid upon each other, are the picture again.

Owns the layers' size, which is the real model's, and which pixel goes into which layer: by colour.
Each pixel is in one layer; the bottom one is filled behind what lies above it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

_MULTIPLE = 32
_SMOOTHING = 5
"""Pixels; patches of colour are to hold together."""
_BLURS = (1, 4, 16)
"""How many patches there are along each side, from the coarsest blur to the finest."""
_OPAQUE = 255


def output_size(size: tuple[int, int], resolution: int) -> tuple[int, int]:
    """Return the layers' width and height for a picture of a size (workers reference B).

    Args:
        size: The picture's width and height.
        resolution: The side of a square of about as many pixels.
    """
    ratio = size[0] / size[1]
    width = math.sqrt(resolution * resolution * ratio)
    height = width / ratio
    return round(width / _MULTIPLE) * _MULTIPLE, round(height / _MULTIPLE) * _MULTIPLE


def separate(picture: Image.Image, size: tuple[int, int], count: int) -> list[Image.Image]:
    """Return a picture's layers, the bottom one first; some are empty if it has few colours.

    Args:
        picture: RGBA.
        size: The layers' width and height.
        count: How many.
    """
    from PIL import Image

    whole = picture.resize(size, Image.Resampling.LANCZOS)
    bottom, *others = _masks(whole, count)
    empty = Image.new("RGBA", size)
    layers = [Image.composite(whole, empty, mask) for mask in others]
    return [_filled(whole, bottom), *layers]


def _masks(whole: Image.Image, count: int) -> list[Image.Image]:
    """Return which pixels are in which layer, as black and white; first the bottom's."""
    from PIL import Image, ImageFilter

    smooth = whole.convert("RGB").filter(ImageFilter.MedianFilter(_SMOOTHING))
    colours = smooth.quantize(count, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    # The bare numbers of the palette's colours.
    patches = Image.frombytes("L", whole.size, colours.tobytes())
    areas, edges = patches.histogram(), patches.histogram(_edge_of(patches))
    # What most of the edge is, is what all else stands before; of the others, the larger first.
    ground = max(range(count), key=lambda each: (edges[each], areas[each]))
    others = sorted(set(range(count)) - {ground}, key=lambda each: -areas[each])
    return [
        patches.point([_OPAQUE if each == colour else 0 for each in range(256)])
        for colour in (ground, *others)
    ]


def _edge_of(picture: Image.Image) -> Image.Image:
    """Return a mask of a picture's outermost pixels."""
    from PIL import Image

    width, height = picture.size
    mask = Image.new("1", picture.size, 1)
    mask.paste(0, (1, 1, width - 1, height - 1))
    return mask


def _filled(whole: Image.Image, mask: Image.Image) -> Image.Image:
    """Return the bottom layer: its own pixels, and behind opaque ones of others, what they hide.

    Where the picture is transparent there is nothing behind it, or it would shine through.
    """
    from PIL import Image

    own = Image.composite(whole, Image.new("RGBA", whole.size), mask)
    behind = Image.new("RGBA", whole.size)
    for side in _BLURS:
        # Averages of what is near, and where nothing is, of what is farther away; RGBA averages
        # weigh each pixel by how opaque it is, so that holes do not darken them.
        near = own.resize((side, side), Image.Resampling.BOX)
        behind.alpha_composite(near.resize(whole.size, Image.Resampling.BICUBIC))
    behind.putalpha(whole.getchannel("A").point([0] * _OPAQUE + [_OPAQUE]))
    return Image.composite(own, behind, mask)
