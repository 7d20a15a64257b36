"""Cuts a text into pieces that the model can speak in one go, at the best places for a pause.

Owns where a text may be cut: after sentences, else after clauses, between words, or anywhere. The
model speaks 40 s at most and stops without a word after that (workers reference A, limits).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_PIECE = 300
"""Characters that upstream's own app takes for one piece."""

# From the best place to the worst. Quotation marks may follow a sentence's end; in scripts without
# spaces the mark itself is the end.
_SEPARATORS: Final = (
    re.compile(r"\n\s*\n\s*"),
    re.compile(r"(?<=[.!?…؟۔।॥])[\"'”’»)\]]*\s+|(?<=[。！？｡])[”’」』）]*\s*|\n\s*"),
    re.compile(r"(?<=[;:؛])\s+|(?<=[；：])\s*|\s+[–—-]+\s+|(?<=—)"),
    re.compile(r"(?<=[,،])\s+|(?<=[，、])\s*"),
    re.compile(r"\s+"),
)
_NOTHING_TO_SAY = re.compile(r"[\W_]*")


def split_text(text: str, longest: int = LONGEST_PIECE) -> list[str]:
    """Return the text in pieces of at most `longest` characters; neighbours that fit are together.

    Args:
        text: What is to be said.
        longest: How long a piece may be.
    """
    pieces = (" ".join(piece.split()) for piece in _split(text, 0, longest))
    # A piece of punctuation alone would be spoken as something that nobody wrote.
    return [piece for piece in pieces if not _NOTHING_TO_SAY.fullmatch(piece)]


def _split(text: str, level: int, longest: int) -> Iterator[str]:
    """Yield pieces, cut at places of this level, or of a worse one where that is not enough."""
    if len(text.strip()) <= longest:
        yield text
        return
    if level == len(_SEPARATORS):
        yield from (text[at : at + longest] for at in range(0, len(text), longest))
        return
    together = ""
    for part in _parts(text, _SEPARATORS[level]):
        if len((together + part).strip()) <= longest:
            together += part
            continue
        yield from _split(together, level + 1, longest) if together else ()
        together = part
    yield from _split(together, level + 1, longest)


def _parts(text: str, separator: re.Pattern[str]) -> Iterator[str]:
    """Yield all of a text in parts that end with a separator."""
    start = 0
    for found in separator.finditer(text):
        if found.end() > start:
            yield text[start : found.end()]
            start = found.end()
    if start < len(text):
        yield text[start:]
