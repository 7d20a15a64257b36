from __future__ import annotations

import pytest

from worker.tasks.content.words import (
    count_sentences,
    count_syllables,
    is_latin,
    iter_words,
    normalise,
    split_paragraphs,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("   \n", []),
        ("Hello, world!", ["Hello", "world"]),
        ("don't stop - it\u2019s well-known", ["don't", "stop", "it\u2019s", "well-known"]),
        ("snake_case and ___", ["snake_case", "and"]),
        ("3.14 and 2026", ["3", "14", "and", "2026"]),
        ("na\u00efve \u010cesk\u00fd", ["na\u00efve", "\u010cesk\u00fd"]),
        ("\u041f\u0440\u0438\u0432\u0435\u0442", ["\u041f\u0440\u0438\u0432\u0435\u0442"]),
        # Devanagari vowel signs are marks, not letters, and stay inside their word.
        (
            "\u0939\u093f\u0928\u094d\u0926\u0940 text",
            ["\u0939\u093f\u0928\u094d\u0926\u0940", "text"],
        ),
        ("\u4e2d\u6587 text", ["\u4e2d", "\u6587", "text"]),
        ("\U0001f600 smile", ["smile"]),
    ],
)
def test_words_of_any_script_are_found(text: str, words: list[str]) -> None:
    """Apostrophes and hyphens join, punctuation and emoji part, Han characters stand alone."""
    assert words == list(iter_words(text))


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", 0),
        ("...", 0),
        ("One", 1),
        ("One. Two! Three?", 3),
        ("No end here", 1),
        ("Wait... what?! Yes.", 2),
        ("It costs 3.14 euros. Cheap.", 2),
        ("Dr. Smith met J. Doe, e.g. in Rome. They left.", 2),
        ("He said \u201cGo.\u201d Then he went.", 2),
        ("\u4f60\u597d\u3002\u518d\u89c1\uff01", 2),
    ],
)
def test_sentences_are_counted(text: str, sentences: int) -> None:
    """Abbreviations and decimals do not end one, and one without a word is none."""
    assert sentences == count_sentences(text)


def test_blank_lines_part_paragraphs() -> None:
    """Any number of them, with or without spaces; a single line break does not."""
    assert split_paragraphs("\n\na\nb\n \n\nc\n") == ["a\nb", "c"]


def test_normalising_composes_characters_and_unifies_line_breaks() -> None:
    """NFC, line feeds, no byte order mark."""
    assert normalise("\ufeffe\u0301\r\nx\ry") == "\u00e9\nx\ny"


@pytest.mark.parametrize(
    ("word", "syllables"),
    [
        ("the", 1),
        ("cat", 1),
        ("made", 1),
        ("walked", 1),
        ("wanted", 2),
        ("table", 2),
        ("tables", 2),
        ("scale", 1),
        ("makes", 1),
        ("boxes", 2),
        ("pages", 2),
        ("caf\u00e9", 1),
        ("readability", 5),
        ("rhythm", 1),
        ("42", 1),
        ("\u4e2d", 1),
    ],
)
def test_syllables_follow_the_documented_rule(word: str, syllables: int) -> None:
    """Vowel groups less silent endings, at least one; `café` shows the rule's limits."""
    assert syllables == count_syllables(word)


@pytest.mark.parametrize(
    ("word", "latin"),
    [("cat", True), ("\u010cesk\u00fd", True), ("\u043a\u043e\u0442", False), ("42", False)],
)
def test_latin_words_are_told_from_others(word: str, latin: bool) -> None:  # noqa: FBT001 - expected value
    """Accents are Latin, Cyrillic and digits are not."""
    assert latin == is_latin(word)
