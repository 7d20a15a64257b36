from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.tasks.chatterbox.sentences import LONGEST_PIECE, split_text

TEXTS = st.text(st.sampled_from("aB1é好 .,;:!?…。，、\"”)'—-\n\t[]")) | st.text(max_size=700)


def letters_of(text: str) -> str:
    """All that is spoken of a text."""
    return re.sub(r"[\W_]", "", text)


@given(TEXTS, st.integers(1, 400))
def test_nothing_is_lost_and_nothing_is_too_long(text: str, longest: int) -> None:
    """Whatever the text is."""
    pieces = split_text(text, longest)
    assert all(0 < len(piece) <= longest for piece in pieces)
    assert letters_of("".join(pieces)) == letters_of(text)


def test_a_short_text_is_one_piece() -> None:
    """Sentences stay together where they fit."""
    text = "One. Two! Three?"
    assert split_text(text) == [text]


def test_blanks_become_one() -> None:
    """A text may be wrapped anywhere."""
    assert split_text("  One\n and\t two. ") == ["One and two."]


def test_long_texts_are_cut_after_sentences() -> None:
    """As few pieces as sentences allow."""
    assert split_text("One two. Three four. Five six.", 20) == ["One two. Three four.", "Five six."]


def test_quotation_marks_go_with_their_sentence() -> None:
    """They close it."""
    assert split_text('"Come here." She came.', 14) == ['"Come here."', "She came."]


def test_paragraphs_come_before_sentences() -> None:
    """The better pause wins."""
    text = "One. Two.\n\nThree. Four."
    assert split_text(text, 14) == ["One. Two.", "Three. Four."]


def test_long_sentences_are_cut_after_clauses() -> None:
    """Then between words, then anywhere."""
    text = "First of all, second to none; third"
    assert split_text(text, 16) == ["First of all,", "second to none;", "third"]
    assert split_text("one two three four", 9) == ["one two", "three", "four"]
    assert split_text("abcdefghij", 4) == ["abcd", "efgh", "ij"]


def test_numbers_are_no_sentences() -> None:
    """A full stop without a space after it ends nothing."""
    assert split_text("It is 3.14 or 1,000 now. Yes.", 24) == ["It is 3.14 or 1,000 now.", "Yes."]


@pytest.mark.parametrize(
    ("first", "second"), [("नमस्ते दुनिया।", "आप कैसे हैं।"), ("كيف حالك؟", "أنا بخير۔")]
)
def test_other_scripts_have_marks_of_their_own(first: str, second: str) -> None:
    """Hindi's danda, Arabic's question mark and full stop."""
    assert split_text(f"{first} {second}", len(first) + 3) == [first, second]


@pytest.mark.parametrize("text", ["你好。再见。谢谢。", "你好！再见？谢谢。"])
def test_scripts_without_spaces_have_sentences(text: str) -> None:
    """Their marks end a sentence by themselves."""
    assert split_text(text, 4) == [text[0:3], text[3:6], text[6:9]]


def test_what_cannot_be_spoken_is_no_piece() -> None:
    """The model would say something of its own."""
    assert split_text("… --- !!!") == []
    assert split_text("One.\n\n---\n\nTwo.", 5) == ["One.", "Two."]


def test_the_longest_piece_is_upstreams() -> None:
    """300 characters."""
    words = "word " * 200
    assert max(map(len, split_text(words))) <= LONGEST_PIECE == 300
    assert len(split_text(words)) == 4
