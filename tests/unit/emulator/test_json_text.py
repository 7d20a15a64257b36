"""JSON at the border."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runpodctl_py.emulator import json_text

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON_VALUES)
@settings(max_examples=50, deadline=None)
def test_whatever_python_writes_becomes_valid_json(value: object) -> None:
    """NaN and infinities are null, everything else is kept."""
    parsed = json_text.parse_of_sdk(json.dumps(value).encode())
    assert json.loads(json_text.dump(parsed), parse_constant=pytest.fail) == parsed


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "-Infinity", "1e999"])
def test_what_is_no_number_is_null(text: str) -> None:
    """As the SDK sends it; a client's is refused, as RunPod's strict parser does."""
    assert json_text.parse_of_sdk(text.encode()) in (None, [None])
    with pytest.raises(ValueError, match=r"is no number|is too large"):
        json_text.parse(text.encode())


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_a_value_error(body: bytes) -> None:
    """However it is broken."""
    with pytest.raises(ValueError):  # noqa: PT011 - the words are the parser's.
        json_text.parse(body)
    with pytest.raises(ValueError):  # noqa: PT011 - the same.
        json_text.parse_of_sdk(body)


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
def test_nesting_has_a_limit(opened: str, closed: str) -> None:
    """The same one wherever it is read, and brackets in text do not count."""
    levels = json_text.MOST_LEVELS
    for parse in (json_text.parse, json_text.parse_of_sdk):
        value = parse(f"{opened * levels}0{closed * levels}".encode())
        assert parse(json_text.dump(value).encode()) == value
        with pytest.raises(ValueError, match="nested more than 100 levels"):
            parse(f"{opened * (levels + 1)}0{closed * (levels + 1)}".encode())
        assert parse(f'"{"[" * 10 * levels}"'.encode()) == "[" * 10 * levels
