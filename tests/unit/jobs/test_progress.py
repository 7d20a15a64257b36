from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runpodctl_py.jobs.progress import Progress, read_progress

if TYPE_CHECKING:
    from runpodctl_py.jsontypes import JsonValue

DOCUMENTED = {
    "task_id": "0b7f",
    "status": "processing",
    "progress": 40,
    "current_step": "Rendering",
    "step": 2,
    "total_steps": 5,
    "elapsed_time": 4.2,
}
COMFYUI = '{"type": "progress", "data": {"value": 3, "max": 20, "node": "KSampler"}}'
FORK = {"status": "running", "message": "Sampling", "node": "3", "progress": 7, "max": 20}
# As ComfyUI's websocket has them.
SAMPLING = (
    '{"type": "progress", "data": {"value": 3, "max": 20, "prompt_id": "7f", "node": "57:3"}}'
)
EXECUTING = '{"type": "executing", "data": {"node": "6", "prompt_id": "7f"}}'
STATES = {
    "type": "progress_state",
    "data": {
        "prompt_id": "7f",
        "nodes": {
            "4": {"value": 1, "max": 1, "state": "finished", "node_id": "4"},
            "3": {"value": 5, "max": 9, "state": "running", "node_id": "3"},
        },
    },
}
BROKEN = {
    "type": "execution_error",
    "data": {"node_id": "3", "node_type": "KSampler", "exception_message": "CUDA out of memory"},
}
# What worker-comfyui makes of them.
OFFICIAL = {"type": "progress", "value": 12, "max": 25, "percent": 48.0, "node": "3"}


@pytest.mark.parametrize(
    ("update", "percent", "text", "step", "total"),
    [
        (DOCUMENTED, 40, "Rendering", 2, 5),
        (COMFYUI, 15, "KSampler", 3, 20),
        (FORK, 35, "Sampling", 7, 20),
        (SAMPLING, 15, "node 57:3", 3, 20),
        (EXECUTING, None, "node 6", None, None),
        (STATES, 60, "node 3", 6, 10),
        (BROKEN, None, "CUDA out of memory", None, None),
        (OFFICIAL, 48, None, 12, 25),
        ({"step": 1, "total_steps": 4}, 25, None, 1, 4),
        ({"value": 1, "max": 8}, 12.5, None, 1, 8),
        ({"step": 3, "total_steps": 0}, None, None, 3, 0),
        ({"percent": 12.5}, 12.5, None, None, None),
        ({"progress": 0}, 0, None, None, None),
        ({"progress": -0.0}, 0, None, None, None),
        ({"progress": -5}, 0, None, None, None),
        ({"progress": 250}, 100, None, None, None),
        ({"progress": True, "message": "on"}, None, "on", None, None),
        ({"progress": "40%", "stage": "warm up"}, None, "warm up", None, None),
        ({"step": 10**400, "message": "huge"}, None, "huge", None, None),
        (42, 42, None, None, None),
        (0.5, 0.5, None, None, None),
        (10**400, None, None, None, None),
        ("Loading model", None, "Loading model", None, None),
        (" two\n lines\t", None, "two lines", None, None),
        ("{not json", None, "{not json", None, None),
        ("a\x1b[2Jb\u202ec", None, "a [2Jb c", None, None),
        ("x" * 500, None, "x" * 200, None, None),
        ('{"a":' * 100_000, None, ('{"a":' * 100_000)[:200], None, None),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, dict | str) else None,
)
def test_progress_in_all_its_shapes(
    update: JsonValue,
    *,
    percent: float | None,
    text: str | None,
    step: int | None,
    total: int | None,
) -> None:
    """Of whatever worker (workers reference C, E): what can be shown is found."""
    found = read_progress(update)

    expected = Progress(percent, text, step, total, update)
    assert (found or Progress(None, None, None, None, update)) == expected


@pytest.mark.parametrize(
    "update",
    [
        '{"type": "executing", "data": {"node": null, "prompt_id": "7f"}}',
        '{"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 1}}}}',
        {"saving-image-data": True},
        None,
        True,
        "",
        " \n",
        [],
        [1, 2],
        {},
        {"other": 1},
        {"data": {}},
        "{}",
        10**400,
    ],
)
def test_nothing_to_show_is_none(update: JsonValue) -> None:
    """No line is drawn for it."""
    assert read_progress(update) is None


def test_minus_zero_is_zero() -> None:
    """Nobody wants to read "-0 %"."""
    found = read_progress(-0.0)

    assert found is not None
    assert f"{found.percent:.0f}" == "0"


KEYS = st.sampled_from(
    ["progress", "percent", "step", "value", "total_steps", "max", "message", "data", "status"]
)
NUMBERS = st.integers() | st.integers(min_value=10**300) | st.floats()
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda children: st.lists(children) | st.dictionaries(KEYS | st.text(), children),
    max_leaves=8,
)


@given(JSON_VALUES | JSON_VALUES.map(json.dumps))
def test_no_update_breaks_the_reader(update: JsonValue) -> None:
    """Percent is a percentage, and the text fits on one line of a terminal."""
    found = read_progress(update)

    if found is not None:
        assert found.percent is None or 0 <= found.percent <= 100
        assert found.text is None or (found.text.isprintable() and 0 < len(found.text) <= 200)
        assert found.raw is update
