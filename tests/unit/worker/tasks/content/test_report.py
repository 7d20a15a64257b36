from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.tasks.content.report import Term, TextReport, cell

TEXT = "The cat sat. The cat ate a fat rat!\n\nDogs bark loudly."


def work_through(text: str) -> TextReport:
    """Work through all the steps."""
    report = TextReport(text)
    for step in report.steps:
        step.work()
    return report


def test_counts_are_those_of_a_hand_count() -> None:
    """12 words in 3 sentences and 2 paragraphs."""
    report = work_through(TEXT)
    counts = (
        report.characters,
        report.characters_without_spaces,
        report.lines,
        report.words,
        report.distinct_words,
        report.sentences,
        report.paragraphs,
    )
    assert counts == (54, 42, 3, 12, 10, 3, 2)


def test_averages_are_those_of_a_hand_count() -> None:
    """39 letters in 12 words, 12 words in 3 sentences, 3 sentences in 2 paragraphs."""
    report = work_through(TEXT)
    averages = (
        report.letters_per_word,
        report.words_per_sentence,
        report.sentences_per_paragraph,
    )
    assert averages == (39 / 12, 4, 1.5)


def test_reading_ease_is_fleschs_formula() -> None:
    """13 syllables (only `loudly` has two) in 12 words and 3 sentences."""
    expected = 206.835 - 1.015 * 12 / 3 - 84.6 * 13 / 12
    assert work_through(TEXT).reading_ease == pytest.approx(expected)


def test_terms_leave_stop_words_out_and_ignore_case() -> None:
    """The most frequent first, then in alphabetical order."""
    terms = work_through("The Cat and the dog. CAT cat, Dog; ant!").terms
    assert terms == (Term("cat", 3), Term("dog", 2), Term("ant", 1))


def test_the_longest_words_are_distinct() -> None:
    """Five of them, equal lengths in alphabetical order."""
    longest = work_through("bb ccc Ccc a dddd aaa eeeee f").longest_words
    assert longest == ("eeeee", "dddd", "aaa", "ccc", "bb")


def test_reading_time_counts_238_words_a_minute() -> None:
    """357 words are a minute and a half."""
    assert work_through("word " * 357).reading_time_s == 90


def test_an_empty_text_has_a_report_too() -> None:
    """Counts are 0 and averages are not available."""
    report = work_through("")
    markdown = report.content().data.decode()
    assert report.reading_ease is None
    assert "0 words, 0 sentences, 0 paragraphs; about 0 s to read." in markdown
    assert "| Words per sentence | n/a |" in markdown
    assert "The text is empty." in markdown


def test_one_word_is_a_sentence() -> None:
    """Singular forms and averages of one."""
    markdown = work_through("Hello").content().data.decode()
    assert "1 word, 1 sentence, 1 paragraph; about 0 s to read." in markdown
    assert "| Characters per word | 5.0 |" in markdown


def test_readability_is_not_scored_for_other_scripts() -> None:
    """Flesch's formula says nothing about Russian."""
    assert work_through("\u041a\u043e\u0442 \u0441\u043f\u0438\u0442.").reading_ease is None


def test_table_cells_cannot_break_out() -> None:
    """Pipes, markup and line breaks are escaped or gone, long words cut."""
    assert cell("a|b*c`d<e\nf\x00") == "a\\|b\\*c\\`d\\<e f"
    assert len(cell("x" * 500)) == 60


def test_the_excerpt_cannot_break_out_of_its_fence() -> None:
    """The fence is longer than any run of backticks inside."""
    markdown = work_through("````\n| x |").content().data.decode()
    assert markdown.endswith("`````text\n````\n| x |\n`````\n")


def test_the_file_is_markdown_with_a_preview() -> None:
    """The preview is the beginning of the report."""
    content = work_through(TEXT).content()
    assert (content.label, content.extension, content.content_type) == (
        "text_result",
        ".md",
        "text/markdown",
    )
    assert content.data.decode().startswith(content.preview.removesuffix("\u2026"))
    assert len(content.preview) <= 201


@given(st.text())
def test_every_text_has_a_report(text: str) -> None:
    """Whatever Unicode holds; each table row has exactly two cells."""
    markdown = work_through(text).content().data.decode()
    tables, _, _ = markdown.partition("## Beginning of the text")
    rows = [line for line in tables.splitlines() if line.startswith("|")]
    assert {3} == {row.replace("\\|", "").count("|") for row in rows}
