from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runpodctl_py.errors import UsageError
from runpodctl_py.workloads.comfy_reading import read_workflow
from runpodctl_py.workloads.comfy_workflow import Brought
from tests.unit.workloads.workflows import document, text_of

TXT2IMG = document("txt2img")


@pytest.mark.parametrize("name", ["txt2img", "img2img", "subgraph"])
def test_an_export_is_sent_as_it_came(name: str) -> None:
    """Ids, order, titles and links are ComfyUI's own."""
    read = read_workflow(text_of(name)).as_json()
    assert read == document(name)
    assert list(read) == list(document(name))


def test_a_node_keeps_what_nobody_here_knows() -> None:
    """Whatever a later ComfyUI writes beside the inputs reaches the worker."""
    node = {"class_type": "New", "inputs": {"a": [1, 2, 3]}, "mode": 4, "_meta": {"colour": "red"}}
    assert read_workflow(json.dumps({"1": node})).as_json() == {"1": node}


WRAPPED = {
    "ComfyUI's request": {"prompt": TXT2IMG},
    "the worker's input": {"workflow": TXT2IMG},
    "RunPod's body": {"input": {"workflow": TXT2IMG}},
    "a body of version 1": {"input": {"prompt": TXT2IMG}},
    "a body without a name": {"input": TXT2IMG},
    "as a text": {"workflow": json.dumps(TXT2IMG)},
    "what a picture carries": {"prompt": TXT2IMG, "workflow": document("saved_by_ui")},
}


@pytest.mark.parametrize("wrapped", WRAPPED.values(), ids=WRAPPED)
def test_what_is_around_it_is_taken_off(wrapped: dict[str, Any]) -> None:
    """ComfyUI's own requests, RunPod's request bodies and test inputs hold the same workflow."""
    assert read_workflow(json.dumps(wrapped)).as_json() == TXT2IMG


@pytest.mark.parametrize("node_id", ["prompt", "workflow", "input"])
def test_a_node_may_be_called_like_a_wrapper(node_id: str) -> None:
    """A node has a class."""
    nodes = {node_id: {"class_type": "Note", "inputs": {}}}
    assert read_workflow(json.dumps(nodes)).as_json() == nodes


def test_what_came_with_it_is_kept_or_named() -> None:
    """Images go with the workflow; of the rest, the names are known and no value."""
    body = {
        "webhook": "https://example.org/secret",
        "input": {
            "workflow": TXT2IMG,
            "images": [{"name": "a.png", "image": "data:image/png;base64,AAAA"}],
            "comfy_org_api_key": "secret",
        },
    }
    read = read_workflow(json.dumps(body))
    assert read.brought == (Brought("a.png", "data:image/png;base64,AAAA"),)
    assert read.left_out == ("webhook", "comfy_org_api_key")


def test_comfyuis_own_format_is_told_apart() -> None:
    """The message says how to get the other one, in new ComfyUIs and in old ones."""
    for text in (text_of("saved_by_ui"), json.dumps({"workflow": document("saved_by_ui")})):
        with pytest.raises(UsageError, match=r"^w\.json.* as ComfyUI saves it") as refused:
            read_workflow(text, "w.json")
        assert refused.value.hint is not None
        assert "Export (API)" in refused.value.hint
        assert "Dev mode" in refused.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "w.json is no JSON: Expecting value in line 1, column 1"),
        ('{"1": {\n  "inputs": }', "w.json is no JSON: Expecting value in line 2, column 13"),
        ('{"1": NaN}', "w.json is no JSON that can be sent: NaN is not a JSON number"),
        ("[1]", "w.json holds no JSON object, so no workflow"),
        ("{}", "w.json holds no nodes"),
        ('{"prompt": "a cat"}', "w.json: its prompt is no JSON: Expecting value in line 1"),
        ('{"prompt": [1]}', "w.json: its prompt is no JSON object, so no workflow"),
        ('{"input": "x"}', "w.json: its input is no JSON object"),
        ('{"1": []}', "w.json is no workflow that can be run:\n1 is no node: it is no JSON object"),
        (
            '{"1": {"inputs": {}}}',
            "w.json is no workflow that can be run:\n1 is no node: it has no",
        ),
        (
            '{"1": {"class_type": "K"}, "2": {"class_type": "", "inputs": {}}}',
            "w.json is no workflow that can be run:\nK (1) has no inputs\n2 is no node: it has no",
        ),
        (
            '{"1": {"class_type": "K", "inputs": {"model": ["9", 0]}, "_meta": {"title": "T"}}}',
            "T (1): its model comes from node 9, which is not there",
        ),
        (
            json.dumps({"workflow": TXT2IMG, "images": [{"name": "a.png"}]}),
            "w.json: its images must be objects with the texts name and image",
        ),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    """With the line and column, or with the node."""
    with pytest.raises(UsageError, match=re.escape(message)):
        read_workflow(text, "w.json")


def test_many_problems_fit_on_a_screen() -> None:
    """The first ten, and how many more there are."""
    nodes = {str(n): {} for n in range(25)}
    with pytest.raises(UsageError) as refused:
        read_workflow(json.dumps(nodes))
    lines = refused.value.message.splitlines()
    assert (len(lines), lines[1][0], lines[-1]) == (12, "0", "and 15 more")


@pytest.mark.parametrize("value", [[1, 2], ["9"], ["9", "0"], ["9", 0, 1], [["9", 0]], {"a": 1}])
def test_only_a_text_and_a_number_are_a_link(value: Any) -> None:
    """As ComfyUI has it; any other list is a value."""
    nodes = {"1": {"class_type": "K", "inputs": {"a": value}}}
    (node,) = read_workflow(json.dumps(nodes)).nodes.values()
    assert (node.links, node.settable) == ({}, {"a": value})


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["prompt", "workflow", "input", "images", "nodes", "links", "class_type", "inputs"]
            )
            | st.text(max_size=3),
            children,
            max_size=4,
        )
        | st.fixed_dictionaries({"class_type": st.text(max_size=3), "inputs": children})
    ),
    max_leaves=12,
)


@given(JSON_VALUES.map(json.dumps) | st.text() | st.just("[" * 100_000) | st.just("1" * 5000))
def test_no_text_breaks_the_reader(text: str) -> None:
    """It is a workflow all of whose links lead somewhere, or the person is told what is wrong."""
    try:
        read = read_workflow(text)
    except UsageError:
        return
    assert read.nodes
    assert read.broken_links == []
