from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from worker.errors import InvalidInputError
from worker.tasks.qwen_layered.picture import MOST_PIXELS, read_picture

RED, GREEN = (255, 0, 0, 255), (0, 255, 0, 255)
HALF = (10, 20, 30, 128)


def encode(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Returns a picture as a file."""
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_kept(kind: str) -> None:
    """Also the colours under what is half transparent."""
    file = encode(Image.new("RGBA", (3, 2), HALF), kind, lossless=True)
    assert read_picture(file).get_flattened_data() == (HALF,) * 6


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_what_has_no_transparency_becomes_opaque(kind: str) -> None:
    """Whatever file it came in."""
    picture = read_picture(encode(Image.new("RGB", (8, 8), "white"), kind))
    assert (picture.mode, picture.getpixel((4, 4))) == ("RGBA", (255, 255, 255, 255))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr"])
def test_every_mode_is_read(mode: str) -> None:
    """White stays white."""
    white = Image.new("RGB", (8, 8), "white").convert(mode)
    kind = "JPEG" if mode in {"CMYK", "YCbCr"} else "PNG"
    assert read_picture(encode(white, kind)).getpixel((4, 4)) == (255, 255, 255, 255)


def test_a_palette_may_have_transparency() -> None:
    """One of its colours is none."""
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.putpixel((1, 0), 1)
    read = read_picture(encode(picture, transparency=1))
    assert read.get_flattened_data() == (RED, (0, 255, 0, 0))


def test_sixteen_bits_are_scaled_to_eight() -> None:
    """Not cut off: half as bright stays half as bright."""
    values = np.array([[0, 257, 128 * 257, 65535]], dtype=np.uint16)
    read = read_picture(encode(Image.fromarray(values)))
    assert [each[0] for each in read.get_flattened_data()] == [0, 1, 128, 255]
    assert read.getpixel((3, 0)) == (255, 255, 255, 255)


def test_a_picture_is_turned_as_its_camera_was_held() -> None:
    """EXIF says so; the model would see it lying on its side."""
    picture = Image.new("RGB", (4, 2), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_picture(encode(picture, exif=exif)).size == (2, 4)


def test_of_an_animation_the_first_frame_is_read() -> None:
    """Red, not the green that follows."""
    frames = [Image.new("RGB", (2, 2), each) for each in ("red", "lime")]
    file = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read_picture(file).getpixel((0, 0)) == RED


@pytest.mark.parametrize(
    "content", [b"GIF8", b"no picture", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg/>", b"%PDF-1.7"]
)
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    """And what only other programs can read."""
    with pytest.raises(InvalidInputError, match=r"^image is (none of PNG, JPEG|a broken picture)"):
        read_picture(content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_picture_that_was_cut_off_is_refused(kind: str) -> None:
    """Half a download is no picture."""
    noise = Image.effect_noise((64, 64), 90).convert("RGB")
    file = encode(noise, kind)
    with pytest.raises(InvalidInputError, match=r"^image is "):
        read_picture(file[: len(file) // 2])


def test_floating_point_pixels_are_refused() -> None:
    """Nobody knows which number is white."""
    file = encode(Image.new("F", (2, 2), 0.5), "TIFF")
    with pytest.raises(InvalidInputError, match="floating-point"):
        read_picture(file)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("pixels", [MOST_PIXELS + 20_000, 100_000_000, 200_000_000])
def test_too_many_pixels_are_refused_before_they_are_unpacked(pixels: int) -> None:
    """A small file can hold a picture that fills the memory."""
    file = encode(Image.new("1", (10_000, pixels // 10_000)))
    assert len(file) < 100_000
    with pytest.raises(InvalidInputError) as caught:
        read_picture(file)
    assert caught.value.message.startswith("image has more than 50 million pixels")


def test_the_longest_picture() -> None:
    """Sixteen times as long as high is read, one pixel more is not."""
    assert read_picture(encode(Image.new("RGB", (160, 10)))).size == (160, 10)
    with pytest.raises(InvalidInputError) as caught:
        read_picture(encode(Image.new("RGB", (10, 161))))
    assert caught.value.message == (
        "image is 10 x 161 pixels: one side may be 16 times as long as the other at most"
    )


FILES = [
    encode(Image.effect_noise((9, 7), 60).convert("RGB"), kind)
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
]


@settings(max_examples=300)
@given(st.sampled_from(FILES), st.data())
def test_a_damaged_file_is_read_or_refused(file: bytes, data: st.DataObject) -> None:
    """Wherever it is damaged: no other error ever comes out."""
    damaged = bytearray(file)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert read_picture(bytes(damaged)).mode == "RGBA"
        except InvalidInputError as error:
            assert error.message.startswith("image ")  # noqa: PT017
