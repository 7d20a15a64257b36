from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from worker.tasks.content.lettering import fit


def test_short_text_keeps_the_largest_size() -> None:
    """One line, one size."""
    lettering = fit("Hello", 500, 200, largest=40, smallest=10)
    assert (lettering.lines, lettering.line_height) == (("Hello",), 54)


def test_long_text_is_set_smaller_in_several_lines() -> None:
    """No word is lost while it fits."""
    text = "many words that need some room to be read"
    lettering = fit(text, 200, 100, largest=60, smallest=10)
    assert " ".join(lettering.lines) == text
    assert len(lettering.lines) * lettering.line_height <= 100


def test_text_that_never_fits_is_cut_with_an_ellipsis() -> None:
    """At the smallest size the rest is left out."""
    lettering = fit("word " * 200, 100, 40, largest=30, smallest=10)
    assert len(lettering.lines) * lettering.line_height <= 40
    assert lettering.lines[-1].endswith("...")


def test_accents_are_never_lost_to_question_marks() -> None:
    """They are drawn, or at worst left out, whichever fonts the machine has."""
    (line,) = fit("na\u00efve", 500, 200, largest=20, smallest=10).lines
    assert line in {"na\u00efve", "naive"}


def test_what_no_font_has_is_a_question_mark() -> None:
    """A noncharacter has no picture anywhere."""
    assert fit("a\ufdd0b", 500, 200, largest=20, smallest=10).lines == ("a?b",)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=80), st.integers(60, 300))
def test_lines_stay_inside_the_box(text: str, width: int) -> None:
    """No line is wider than the box, unless a single character or the ellipsis is."""
    lettering = fit(text, width, 40, largest=20, smallest=10)
    for line in lettering.lines[:-1]:
        assert len(line) == 1 or lettering.font.getlength(line) <= width
