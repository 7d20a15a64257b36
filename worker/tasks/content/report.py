"""The test family's text report: statistics of any text, as Markdown.

Owns which statistics there are and how they are written down. How a text falls into words and
sentences is `words`' matter.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from heapq import nsmallest

from worker.tasks.content import Content, Step
from worker.tasks.content.words import (
    STOP_WORDS,
    count_sentences,
    count_syllables,
    is_latin,
    iter_words,
    normalise,
    split_paragraphs,
)

# Silent reading of English non-fiction (Brysbaert 2019).
WORDS_PER_MINUTE = 238
NOT_AVAILABLE = "n/a"

_TOP_TERMS = 10
_LONGEST_WORDS = 5
_CELL_WIDTH = 60
_EXCERPT_LENGTH = 300
_PREVIEW_LENGTH = 200
_READING_EASE = (
    (90, "very easy"),
    (80, "easy"),
    (70, "fairly easy"),
    (60, "plain English"),
    (50, "fairly difficult"),
    (30, "difficult"),
)
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~-])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Term:
    """A word and how often it occurs, whatever its case."""

    word: str
    count: int


class TextReport:
    """Makes `text_result_….md`.

    Args:
        text: Any text, also an empty one.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._paragraphs: list[str] = []
        self._words: Counter[str] = Counter()
        self._report = ""
        self.characters = 0
        self.characters_without_spaces = 0
        self.lines = 0
        self.sentences = 0
        self.letters_per_word: float | None = None
        self.words_per_sentence: float | None = None
        self.sentences_per_paragraph: float | None = None
        self.reading_ease: float | None = None
        self.terms: tuple[Term, ...] = ()
        self.longest_words: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """The ten steps from the text to its report."""
        return (
            Step("Reading the text", self._read),
            Step("Counting characters", self._count_characters),
            Step("Splitting paragraphs", self._split_paragraphs),
            Step("Splitting sentences", self._split_sentences),
            Step("Counting words", self._count_words),
            Step("Measuring averages", self._measure_averages),
            Step("Scoring readability", self._score_readability),
            Step("Ranking terms", self._rank_terms),
            Step("Finding the longest words", self._find_longest_words),
            Step("Writing the report", self._write_report),
        )

    @property
    def paragraphs(self) -> int:
        """How many blocks blank lines part."""
        return len(self._paragraphs)

    @property
    def words(self) -> int:
        """How many words there are, repeated ones counted each time."""
        return self._words.total()

    @property
    def distinct_words(self) -> int:
        """How many different words there are, whatever their case."""
        return len({word.casefold() for word in self._words})

    @property
    def reading_time_s(self) -> int:
        """How long an adult reads, at `WORDS_PER_MINUTE`."""
        return round(self.words * 60 / WORDS_PER_MINUTE)

    def content(self) -> Content:
        """Return the report as a file."""
        preview = self._report[:_PREVIEW_LENGTH].strip()
        if len(self._report) > _PREVIEW_LENGTH:
            preview += "\u2026"
        return Content("text_result", ".md", "text/markdown", self._report.encode(), preview)

    def _read(self) -> None:
        self._text = normalise(self._text)

    def _count_characters(self) -> None:
        self.characters = len(self._text)
        self.characters_without_spaces = sum(map(len, self._text.split()))
        self.lines = len(self._text.splitlines())

    def _split_paragraphs(self) -> None:
        self._paragraphs = split_paragraphs(self._text)

    def _split_sentences(self) -> None:
        self.sentences = sum(map(count_sentences, self._paragraphs))

    def _count_words(self) -> None:
        self._words = Counter(iter_words(self._text))

    def _measure_averages(self) -> None:
        if self.words:
            letters = sum(len(word) * count for word, count in self._words.items())
            self.letters_per_word = letters / self.words
            self.words_per_sentence = self.words / self.sentences
            self.sentences_per_paragraph = self.sentences / self.paragraphs

    def _score_readability(self) -> None:
        """Flesch's reading ease, which is made for English: only if most words are Latin ones."""
        latin = sum(count for word, count in self._words.items() if is_latin(word))
        if self.words_per_sentence is not None and latin * 2 > self.words:
            syllables = sum(count_syllables(word) * n for word, n in self._words.items())
            self.reading_ease = (
                206.835 - 1.015 * self.words_per_sentence - 84.6 * syllables / self.words
            )

    def _rank_terms(self) -> None:
        terms: Counter[str] = Counter()
        for word, count in self._words.items():
            term = word.casefold().replace("\u2019", "'")
            if term not in STOP_WORDS:
                terms[term] += count
        ranked = nsmallest(_TOP_TERMS, terms.items(), key=lambda item: (-item[1], item[0]))
        self.terms = tuple(Term(word, count) for word, count in ranked)

    def _find_longest_words(self) -> None:
        distinct = {word.casefold() for word in self._words}
        ranked = nsmallest(_LONGEST_WORDS, distinct, key=lambda word: (-len(word), word))
        self.longest_words = tuple(ranked)

    def _write_report(self) -> None:
        counts = (
            _count(self.words, "word"),
            _count(self.sentences, "sentence"),
            _count(self.paragraphs, "paragraph"),
        )
        summary = f"{', '.join(counts)}; about {_duration(self.reading_time_s)} to read."
        parts = [
            "# Text report",
            summary,
            "## Measures",
            _table(("Measure", "Value"), self._measures()),
            "## Most frequent terms",
            _table(("Term", "Count"), [(cell(t.word), f"{t.count:,}") for t in self.terms]),
            "## Longest words",
            _table(("Word", "Length"), [(cell(w), f"{len(w):,}") for w in self.longest_words]),
            "## Beginning of the text",
            _quote(self._text),
        ]
        self._report = "\n\n".join(parts) + "\n"

    def _measures(self) -> list[tuple[str, str]]:
        return [
            ("Characters", f"{self.characters:,}"),
            ("Characters without spaces", f"{self.characters_without_spaces:,}"),
            ("Lines", f"{self.lines:,}"),
            ("Words", f"{self.words:,}"),
            ("Distinct words", f"{self.distinct_words:,}"),
            ("Sentences", f"{self.sentences:,}"),
            ("Paragraphs", f"{self.paragraphs:,}"),
            ("Characters per word", _decimal(self.letters_per_word)),
            ("Words per sentence", _decimal(self.words_per_sentence)),
            ("Sentences per paragraph", _decimal(self.sentences_per_paragraph)),
            ("Flesch reading ease", _reading_ease(self.reading_ease)),
            ("Reading time", _duration(self.reading_time_s)),
        ]


def cell(text: str) -> str:
    """Return text as the inside of a Markdown table's cell: escaped, on one line, not too long."""
    shown = text if len(text) <= _CELL_WIDTH else text[: _CELL_WIDTH - 1] + "\u2026"
    return _MARKUP.sub(r"\\\1", " ".join(_CONTROL.sub(" ", shown).split()))


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    if not rows:
        return "None."
    lines = [f"| {left} | {right} |" for left, right in [head, *rows]]
    lines.insert(1, "| --- | ---: |")
    return "\n".join(lines)


def _quote(text: str) -> str:
    """Fence the text's beginning with more backticks than it has in a row."""
    excerpt = _CONTROL.sub("\ufffd", text[:_EXCERPT_LENGTH]).strip()
    if not excerpt:
        return "The text is empty."
    if len(text) > _EXCERPT_LENGTH:
        excerpt += "\u2026"
    longest = max(map(len, re.findall("`+", excerpt)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{excerpt}\n{fence}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _decimal(value: float | None) -> str:
    return NOT_AVAILABLE if value is None else f"{value:,.1f}"


def _reading_ease(score: float | None) -> str:
    if score is None:
        return NOT_AVAILABLE
    level = next((name for least, name in _READING_EASE if score >= least), "very difficult")
    return f"{score:.1f} ({level})"


def _duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:,} min {rest} s" if minutes else f"{rest} s"
