"""The test family's picture: a landscape drawn from a prompt, with the prompt's words on it.

The same prompt and size always give the same pixels: everything that looks like chance is drawn
from the prompt's hash. How words become lines in a font is `lettering`'s matter.
"""

from __future__ import annotations

import colorsys
import hashlib
import io
import random
import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from worker.errors import ResourceError
from worker.tasks.content import Content, Step

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

    from worker.tasks.content.lettering import Lettering

    Colour = tuple[int, int, int]

SMALLEST_SIDE = 64
LARGEST_SIDE = 4096
# Painting the sky holds four pictures of this size at once, 50 MB.
PIXEL_BUDGET = 2048 * 2048

# Words that say which colour a picture should have; every other prompt gets one by its hash.
_HUES = MappingProxyType(
    {
        "red": 0, "rose": 345, "fire": 12, "sunset": 18, "autumn": 25, "orange": 30, "desert": 38,
        "gold": 45, "yellow": 52, "sun": 48, "green": 120, "forest": 135, "meadow": 105,
        "sea": 195, "ocean": 205, "sky": 205, "blue": 220, "ice": 190, "night": 235,
        "space": 250, "purple": 280, "violet": 275, "pink": 330,
    }
)  # fmt: skip
_MOST_WORDS_DRAWN = 40
_LONGEST_CAPTION = 240
_RIDGES = 3
_RIDGE_POINTS = 12
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")


class Picture:
    """Makes `generated_image_….png`.

    Args:
        prompt: Any text, also an empty one.
        width: Pixels, `SMALLEST_SIDE` to `LARGEST_SIDE`.
        height: Pixels, likewise.

    Raises:
        ResourceError: `width` times `height` is over `PIXEL_BUDGET`.
    """

    _image: Image.Image
    _draw: ImageDraw.ImageDraw
    _lettering: Lettering

    def __init__(self, prompt: str, width: int, height: int) -> None:
        if width * height > PIXEL_BUDGET:
            raise ResourceError(
                f"{width} x {height} is {width * height} pixels; "
                f"the worker draws {PIXEL_BUDGET} at most"
            )
        self._prompt = prompt
        self._size = width, height
        self._chance = random.Random(0)  # noqa: S311 - it only places shapes.
        self._caption = ""
        self._palette: list[Colour] = []
        self._png = b""

    @property
    def steps(self) -> tuple[Step, ...]:
        """The ten steps from the prompt to its picture."""
        return (
            Step("Reading the prompt", self._read_prompt),
            Step("Choosing a palette", self._choose_palette),
            Step("Preparing the canvas", self._prepare_canvas),
            Step("Painting the sky", self._paint_sky),
            Step("Drawing the sun", self._draw_sun),
            Step("Drawing the ridges", self._draw_ridges),
            Step("Placing a shape for each word", self._place_shapes),
            Step("Fitting the words", self._fit_words),
            Step("Writing the words", self._write_words),
            Step("Encoding the PNG", self._encode),
        )

    def content(self) -> Content:
        """Return the picture as a file."""
        width, height = self._size
        subject = f"of: {self._caption}" if self._caption else "of an empty prompt"
        preview = f"PNG image, {width} x {height} pixels, {subject}"
        return Content("generated_image", ".png", "image/png", self._png, preview)

    def _read_prompt(self) -> None:
        seed = hashlib.sha256(self._prompt.encode()).digest()
        self._chance.seed(seed)
        caption = _UNPRINTABLE.sub(" ", self._prompt).strip()
        if len(caption) > _LONGEST_CAPTION:
            caption = caption[:_LONGEST_CAPTION].rstrip() + "..."
        self._caption = caption

    def _choose_palette(self) -> None:
        """Take a sky, a horizon, a sun and one colour per ridge from the hues around one."""
        words = re.findall(r"\w+", self._caption.casefold())
        named = [_HUES[word] for word in words if word in _HUES]
        hue = named[0] if named else self._chance.randrange(360)
        self._palette = [
            _colour(hue, 0.55, 0.30),
            _colour(hue + 25, 0.70, 0.75),
            _colour(hue + 40, 0.90, 0.88),
            *(_colour(hue - 15, 0.45, 0.42 - 0.11 * ridge) for ridge in range(_RIDGES)),
        ]

    def _prepare_canvas(self) -> None:
        from PIL import Image, ImageDraw

        self._image = Image.new("RGB", self._size)
        self._draw = ImageDraw.Draw(self._image, "RGBA")

    def _paint_sky(self) -> None:
        from PIL import Image

        top, bottom, *_ = self._palette
        gradient = Image.linear_gradient("L").resize(self._size)
        sky = Image.composite(
            Image.new("RGB", self._size, bottom), Image.new("RGB", self._size, top), gradient
        )
        self._image.paste(sky)

    def _draw_sun(self) -> None:
        width, height = self._size
        x = self._chance.uniform(0.2, 0.8) * width
        y = self._chance.uniform(0.15, 0.4) * height
        radius = min(self._size) * self._chance.uniform(0.08, 0.14)
        colour = self._palette[2]
        for glow in (2.2, 1.8, 1.4):
            self._draw.circle((x, y), radius * glow, (*colour, 40))
        self._draw.circle((x, y), radius, colour)

    def _draw_ridges(self) -> None:
        """Draw mountains from the far and pale ones to the near and dark ones."""
        width, height = self._size
        for ridge, colour in enumerate(self._palette[3:]):
            level = height * (0.5 + 0.13 * ridge)
            outline = [
                (
                    width * point / (_RIDGE_POINTS - 1),
                    level - height * self._chance.uniform(-0.04, 0.14),
                )
                for point in range(_RIDGE_POINTS)
            ]
            self._draw.polygon([(0, height), *outline, (width, height)], fill=colour)

    def _place_shapes(self) -> None:
        """Give each word a shape: its length chooses the number of corners and the size."""
        width, height = self._size
        for word in self._caption.split()[:_MOST_WORDS_DRAWN]:
            length = min(len(word), 12)
            centre = (self._chance.uniform(0, width), self._chance.uniform(0, height * 0.65))
            radius = min(self._size) * (0.008 + 0.003 * length)
            colour = _colour(self._chance.randrange(360), 0.6, 0.75)
            self._draw.regular_polygon(
                (*centre, radius),
                n_sides=3 + length % 5,
                rotation=self._chance.randrange(360),
                fill=(*colour, 170),
            )

    def _fit_words(self) -> None:
        from worker.tasks.content.lettering import fit

        width, height = self._size
        self._lettering = fit(
            self._caption,
            round(width * 0.86),
            round(height * 0.3),
            largest=max(12, round(min(self._size) * 0.08)),
            smallest=10,
        )

    def _write_words(self) -> None:
        """Write light letters on a dark band, so that they are legible on any landscape."""
        lines, line_height = self._lettering.lines, self._lettering.line_height
        if not lines:
            return
        width, height = self._size
        margin = line_height // 2
        top = height - len(lines) * line_height - 2 * margin
        self._draw.rectangle((0, top, width, height), fill=(12, 14, 22, 190))
        for number, line in enumerate(lines):
            left = (width - self._lettering.font.getlength(line)) / 2
            position = (left, top + margin + number * line_height)
            self._draw.text(position, line, font=self._lettering.font, fill=(250, 250, 245))

    def _encode(self) -> None:
        buffer = io.BytesIO()
        self._image.save(buffer, "PNG", optimize=True)
        self._png = buffer.getvalue()


def _colour(hue_degrees: float, saturation: float, lightness: float) -> Colour:
    red, green, blue = colorsys.hls_to_rgb(hue_degrees % 360 / 360, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)
