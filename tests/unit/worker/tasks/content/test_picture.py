from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from worker.errors import ResourceError
from worker.tasks.content.picture import PIXEL_BUDGET, Picture

if TYPE_CHECKING:
    from worker.tasks.content import Content


def draw(prompt: str, width: int = 128, height: int = 96) -> Content:
    """Work through all the steps."""
    picture = Picture(prompt, width, height)
    for step in picture.steps:
        step.work()
    return picture.content()


@pytest.mark.parametrize(("width", "height"), [(512, 512), (64, 64), (64, 300), (1024, 64)])
def test_the_png_has_the_size_that_was_asked_for(width: int, height: int) -> None:
    """It decodes completely."""
    image = Image.open(io.BytesIO(draw("A red sky", width, height).data))
    image.load()
    assert (image.format, image.size, image.mode) == ("PNG", (width, height), "RGB")


def test_the_same_prompt_gives_the_same_bytes() -> None:
    """Nothing but prompt and size decides."""
    assert draw("A sunset over mountains") == draw("A sunset over mountains")


def test_another_prompt_gives_another_picture() -> None:
    """A single letter is enough."""
    assert draw("A sunset over mountains").data != draw("A sunset over mountain").data


def test_a_colour_word_decides_the_palette() -> None:
    """A green prompt has a greener sky than a red one."""
    green, red = (
        Image.open(io.BytesIO(draw(word).data)).getpixel((0, 0)) for word in ("green", "red")
    )
    assert isinstance(green, tuple)
    assert isinstance(red, tuple)
    assert green[1] > green[0]
    assert red[0] > red[1]


def test_the_words_are_written_in_light_on_dark() -> None:
    """The lower band holds both, which makes the words legible."""
    image = Image.open(io.BytesIO(draw("HELLO", 256, 256).data)).convert("L")
    darkest, brightest = image.crop((0, 220, 256, 256)).getextrema()
    assert isinstance(darkest, int)
    assert isinstance(brightest, int)
    assert darkest < 60
    assert brightest > 230


def test_the_preview_describes_the_picture_on_one_line() -> None:
    """Control characters of the prompt are gone."""
    content = draw(" two\nlines\x07 ")
    assert content.preview == "PNG image, 128 x 96 pixels, of: two lines"
    assert (content.label, content.extension, content.content_type) == (
        "generated_image",
        ".png",
        "image/png",
    )


def test_a_picture_over_the_pixel_budget_is_refused() -> None:
    """Each side alone would be allowed."""
    Picture("", 2048, PIXEL_BUDGET // 2048)
    with pytest.raises(ResourceError) as caught:
        Picture("", 4096, 4096)
    assert caught.value.message == (
        "4096 x 4096 is 16777216 pixels; the worker draws 4194304 at most"
    )


@settings(max_examples=25, deadline=None)
@given(st.text(), st.integers(64, 128), st.integers(64, 128))
def test_every_prompt_can_be_drawn(prompt: str, width: int, height: int) -> None:
    """Whatever Unicode holds, also what no font has."""
    image = Image.open(io.BytesIO(draw(prompt, width, height).data))
    assert image.size == (width, height)
