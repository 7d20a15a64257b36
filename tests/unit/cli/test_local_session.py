"""What a command is given that runs while something is recorded or replayed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runpodctl_py.cli.local_session import Ending, environment

if TYPE_CHECKING:
    import pytest


def test_a_key_is_hidden_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a variable of its own, and within others; what is set for the command comes last."""
    for name, value in {"ONE": "rpa_secret", "TWO": "a=rpa_secret;b", "THREE": "3"}.items():
        monkeypatch.setenv(name, value)
    given = environment({"THREE": "three"}, {"rpa_secret": "other"})
    assert [given[name] for name in ("ONE", "TWO", "THREE")] == ["other", "a=other;b", "three"]


def test_a_short_key_tears_no_words_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is hidden where nothing else stands."""
    monkeypatch.setenv("ONE", "a")
    monkeypatch.setenv("TWO", "a path")
    given = environment({}, {"a": "other"})
    assert (given["ONE"], given["TWO"]) == ("other", "a path")


def test_an_end_that_was_told_before_is_not_missed() -> None:
    """Whoever waits for it goes on at once."""
    ending = Ending()
    ending.tell()
    ending.wait()
