"""Finds a font for any text, and lines that fit into a box. Knows nothing of what they are for.

Pillow's own font ends at ASCII; DejaVu, which the image installs, has most alphabets. Characters
that neither has lose their accents, and become a question mark if that does not help.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import ImageFont

if TYPE_CHECKING:
    from collections.abc import Callable

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
    FontFactory = Callable[[int], Font]

LINE_SPACING = 1.35

_WIDE_FONT = "DejaVuSans.ttf"
_PROBE_SIZE = 24
# A character that no font has a picture of: what is drawn for it is drawn for all missing ones.
_MISSING = "\uffff"
_ELLIPSIS = "..."


@dataclass(frozen=True)
class Lettering:
    """Lines that fit, and the font they fit in.

    Attributes:
        lines: From top to bottom.
        font: The font in its size.
        line_height: Pixels from one line to the next.
    """

    lines: tuple[str, ...]
    font: Font
    line_height: int


def fit(text: str, width: int, height: int, *, largest: int, smallest: int) -> Lettering:
    """Set text as large as a box lets it; what does not fit at the smallest size is cut off.

    Args:
        text: One line of text; it is broken at its spaces.
        width: The box's width in pixels.
        height: The box's height in pixels.
        largest: The font size to begin with, in pixels.
        smallest: The font size that stays legible, in pixels.
    """
    make_font, drawable = _choose_font(text)
    size = largest
    while True:
        font = make_font(size)
        line_height = round(size * LINE_SPACING)
        lines = _break_lines(drawable, font, width)
        if len(lines) * line_height <= height:
            return Lettering(tuple(lines), font, line_height)
        if size == smallest:
            kept = lines[: max(1, height // line_height)]
            return Lettering(tuple(_shorten(kept)), font, line_height)
        size = max(smallest, size * 9 // 10)


def _choose_font(text: str) -> tuple[FontFactory, str]:
    """Return the first font that has all of the text, else the widest, the rest replaced."""
    factories: list[FontFactory] = [ImageFont.load_default]
    if _is_installed(_WIDE_FONT):
        factories.append(_load_wide_font)
    for factory in factories:
        font = factory(_PROBE_SIZE)
        if all(_has(font, character) for character in set(text)):
            return factory, text
    return factories[-1], _replace_missing(text, factories[-1](_PROBE_SIZE))


def _load_wide_font(size: int) -> Font:
    return ImageFont.truetype(_WIDE_FONT, size)


def _is_installed(name: str) -> bool:
    try:
        ImageFont.truetype(name, _PROBE_SIZE)
    except OSError:
        return False
    return True


def _has(font: Font, character: str) -> bool:
    if character.isspace():
        return True
    mask, missing = font.getmask(character), font.getmask(_MISSING)
    return (mask.size, bytes(mask)) != (missing.size, bytes(missing))


def _replace_missing(text: str, font: Font) -> str:
    replacements: dict[str, str | int | None] = {}
    for character in set(text):
        if not _has(font, character):
            plain = unicodedata.normalize("NFKD", character)
            plain = "".join(part for part in plain if not unicodedata.combining(part))
            known = plain and all(_has(font, part) for part in plain)
            replacements[character] = plain if known else "?"
    return text.translate(str.maketrans(replacements))


def _break_lines(text: str, font: Font, width: int) -> list[str]:
    lines: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if font.getlength(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        *full, line = _break_word(word, font, width)
        lines.extend(full)
    return [*lines, line] if line else lines


def _break_word(word: str, font: Font, width: int) -> list[str]:
    """Cut a word that is wider than a line into pieces that are not."""
    pieces = [""]
    for character in word:
        if pieces[-1] and font.getlength(pieces[-1] + character) > width:
            pieces.append("")
        pieces[-1] += character
    return pieces


def _shorten(lines: list[str]) -> list[str]:
    """Let the last line tell that there was more."""
    return [*lines[:-1], lines[-1][: -len(_ELLIPSIS)] + _ELLIPSIS]
