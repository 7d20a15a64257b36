"""Makes the picture that the model reads of the bytes that came with a job.

Owns which kinds of pictures are read, their limits, and that what was meant is what is seen:
upright, with its transparency, no darker and no brighter. How the bytes came is `worker.media`'s
matter.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

from worker.errors import InvalidInputError

if TYPE_CHECKING:
    from PIL import Image

MOST_BYTES = 20 * 1024 * 1024
# In memory, a picture takes four bytes per pixel, and twice that while it is being converted.
MOST_PIXELS = 50_000_000
# The layers' sides are multiples of 32 pixels: beyond this, proportions are lost.
MOST_ELONGATED = 16

# Kinds with a reader that runs no other program, as EPS's does.
_KINDS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000")
# What Pillow's readers raise for files that are broken somewhere inside.
_BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError),
    *(EOFError, ArithmeticError, struct.error, zlib.error),
)


def read_picture(content: bytes) -> Image.Image:
    """Return a file's picture as RGBA; of an animation, the first frame.

    Raises:
        InvalidInputError: It is no picture, broken, too long and thin, or has too many pixels.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=_KINDS) as picture:
            _refuse_size(picture.width, picture.height)
            return _as_seen(picture)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels() from error
    except UnidentifiedImageError as error:
        raise InvalidInputError(f"image is none of {', '.join(_KINDS)}") from error
    except _BROKEN as error:
        raise InvalidInputError("image is a broken picture") from error


def _as_seen(picture: Image.Image) -> Image.Image:
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith("I"):
        # Pillow cuts off what is above 255 instead of scaling it, and scales this mode only.
        upright = upright.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")
    if upright.mode == "F":
        raise InvalidInputError("image has floating-point pixels: save it with 8 or 16 bits")
    return upright.convert("RGBA")


def _refuse_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise _too_many_pixels()
    if max(width, height) > MOST_ELONGATED * min(width, height):
        raise InvalidInputError(
            f"image is {width} x {height} pixels: one side may be {MOST_ELONGATED} times as long "
            "as the other at most"
        )


def _too_many_pixels() -> InvalidInputError:
    return InvalidInputError(
        f"image has more than {MOST_PIXELS // 1_000_000} million pixels; send a smaller one: the "
        "layers have about 1 million at most"
    )
