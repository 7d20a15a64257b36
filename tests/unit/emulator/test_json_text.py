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
    parsed = json_text.parse(json.dumps(value).encode())
    assert json.loads(json_text.dump(parsed), parse_constant=pytest.fail) == parsed


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "-Infinity", "1e999"])
def test_what_is_no_number_is_null(text: str) -> None:
    """As the SDK sends it, and as a strict parser would refuse it."""
    assert json_text.parse(text.encode()) in (None, [None])


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_a_value_error(body: bytes) -> None:
    """However it is broken."""
    with pytest.raises(ValueError):  # noqa: PT011 - the words are the parser's.
        json_text.parse(body)
