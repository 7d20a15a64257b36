"""Takes text apart: words, sentences, paragraphs, syllables. Knows nothing of files or reports.

Words are runs of letters, digits and combining marks of any script; an apostrophe or a hyphen
inside one belongs to it. Han characters and kana, which are written without spaces, count as a word
each. Sentences and syllables follow rules of thumb that are made for English.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Soft hyphen and the zero-width (non-)joiners of Persian and Indic words.
_INVISIBLE = "\u00ad\u200c\u200d"
_END_OF_SENTENCE = re.compile(
    r"""(?P<western>[.!?\u2026]+)["'\u201d\u2019\u00bb)\]]*(?=\s|$)"""
    r"""|[\u3002\uff01\uff1f]+[\u300d\u300f\u201d\u2019]*"""
)
_NEXT_CHARACTER = re.compile(r"\s*(\S?)")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|vs|No|Fig|[A-Z]|[a-z](?:\.[a-z])+)$"
)
_LONGEST_ABBREVIATION = 8
_VOWELS = re.compile(r"[aeiouy]+")
_SILENT_ENDING = re.compile(r"[^aeiouy]e$|[^aeiouytd]ed$|[aeiouy][^aeiouyscgxz]es$")
_CONSONANT_LE = re.compile(r"[^aeiouy]le$")

STOP_WORDS = frozenset(
    """
    a about above after again against all also am an and any are as at be because been before being
    below between both but by can cannot could did do does doing don't down during each few for from
    further get got had has have having he her here hers herself him himself his how i if in into is
    it its it's itself just let me might more most must my myself no nor not now of off on once only
    or other ought our ours ourselves out over own same shall she should so some such than that the
    their theirs them themselves then there these they this those through to too under until up upon
    us very was we were what when where which while who whom why will with would yet you your yours
    yourself yourselves
    """.split()  # noqa: SIM905 - a list of 170 quoted words would fill two pages.
)


def normalise(text: str) -> str:
    """Return the text with composed characters (NFC) and line feeds as its only line breaks."""
    unified = text.replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", unified).removeprefix("\ufeff")


def iter_words(text: str) -> Iterator[str]:
    """Yield the words in their order, as they are written."""
    return (match.group() for match in _word_pattern().finditer(text))


def has_word(text: str) -> bool:
    """Tell whether there is at least one word."""
    return _word_pattern().search(text) is not None


def split_paragraphs(text: str) -> list[str]:
    """Return the blocks that blank lines part, without the blank lines."""
    paragraphs: list[str] = []
    block: list[str] = []
    for line in [*text.split("\n"), ""]:
        if line.strip():
            block.append(line)
        elif block:
            paragraphs.append("\n".join(block))
            block = []
    return paragraphs


def count_sentences(paragraph: str) -> int:
    """Count the stretches with a word in them that end like a sentence, or with the paragraph."""
    count, start = 0, 0
    for end in _iter_sentence_ends(paragraph):
        count += has_word(paragraph[start:end])
        start = end
    return count


def count_syllables(word: str) -> int:
    """Count the syllables of an English word: at least 1.

    Each group of vowels (a, e, i, o, u, y) is one; a silent ending after a consonant (`mad-e`,
    `walk-ed`, `mak-es`) is none, `-le` after a consonant (`ta-ble`) is one.
    """
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    letters = "".join(character for character in decomposed if character.isascii())
    count = len(_VOWELS.findall(letters))
    if count > 1 and _SILENT_ENDING.search(letters) and not _CONSONANT_LE.search(letters):
        count -= 1
    return max(count, 1)


def is_latin(word: str) -> bool:
    """Tell whether the word is written in Latin letters, with or without accents."""
    letters = [character for character in word if character.isalpha()]
    return bool(letters) and all(
        character.isascii() or "LATIN" in unicodedata.name(character, "") for character in letters
    )


def _iter_sentence_ends(paragraph: str) -> Iterator[int]:
    for match in _END_OF_SENTENCE.finditer(paragraph):
        if match["western"] is None or not _continues(paragraph, match):
            yield match.end()
    yield len(paragraph)


def _continues(paragraph: str, match: re.Match[str]) -> bool:
    """Tell whether the sentence goes on after something that looks like its end."""
    following = _NEXT_CHARACTER.match(paragraph, match.end())
    if following is not None and following[1].islower():
        return True
    before = paragraph[max(0, match.start() - _LONGEST_ABBREVIATION) : match.start()]
    return match["western"] == "." and _ABBREVIATION.search(before) is not None


@cache
def _word_pattern() -> re.Pattern[str]:
    """Compile the pattern of a word, which keeps Indic vowel signs: they are no letters to `re`."""
    # All combining marks but the variation selectors stand below the supplementary ideographs.
    marks = "".join(
        character
        for character in map(chr, range(0x300, 0x20000))
        if unicodedata.category(character).startswith("M")
    )
    first = rf"[^\W_{_UNSPACED}]"
    rest = rf"(?:[^\W{_UNSPACED}]|[{_INVISIBLE}{marks}])*+"
    return re.compile(rf"{first}{rest}(?:['\u2019\u2010-]{first}{rest})*+|[{_UNSPACED}]")
