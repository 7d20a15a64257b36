from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runpodctl_py.errors import UsageError
from runpodctl_py.workloads.comfy_changes import with_seed, with_settings
from runpodctl_py.workloads.comfy_reading import read_workflow
from tests.unit.workloads.workflows import document, workflow

if TYPE_CHECKING:
    from pathlib import Path

    from runpodctl_py.jsontypes import JsonValue
    from runpodctl_py.workloads.comfy_workflow import Workflow


def made_of(*nodes: tuple[str, str, str, dict[str, Any]]) -> Workflow:
    """Return a workflow of nodes: id, class, title, inputs."""
    return read_workflow(
        json.dumps(
            {i: {"class_type": c, "_meta": {"title": t}, "inputs": n} for i, c, t, n in nodes}
        )
    )


@pytest.mark.parametrize(
    ("name", "item", "node_id", "input_name", "value"),
    [
        ("txt2img", "3.seed=7", "3", "seed", 7),
        ("txt2img", "KSampler.steps=30", "3", "steps", 30),
        ("txt2img", "Save Image.filename_prefix=a=b", "9", "filename_prefix", "a=b"),
        ("txt2img", "EmptyLatentImage.width=768", "5", "width", 768),
        # A whole number in the export may be any number for the node.
        ("txt2img", "3.cfg=7.5", "3", "cfg", 7.5),
        ("txt2img", "6.text=12", "6", "text", "12"),
        ("txt2img", "6.text=", "6", "text", ""),
        ("txt2img", "6.text=true", "6", "text", "true"),
        ("txt2img", '6.text:="@home"', "6", "text", "@home"),
        ("txt2img", 'KSampler.model:=["4", 0]', "3", "model", ["4", 0]),
        ("txt2img", "3.model:=null", "3", "model", None),
        ("subgraph", "57:3.seed=1", "57:3", "seed", 1),
        ("subgraph", "57:27.text=a cat: two.", "57:27", "text", "a cat: two."),
        # A title with a dot.
        ("img2img", "Positive v1.2.text=dawn", "6", "text", "dawn"),
        ("img2img", "Load Image.image=there.png", "10", "image", "there.png"),
    ],
)
def test_an_input_is_set(
    name: str, item: str, node_id: str, input_name: str, value: JsonValue
) -> None:
    """By id, title or class; a value is of the kind that stood there, and nothing else changes."""
    before = workflow(name)
    changed = with_settings(before, [item]).as_json()
    expected = document(name)
    expected[node_id]["inputs"][input_name] = value
    assert changed == expected
    assert type(changed[node_id]["inputs"][input_name]) is type(value)  # type: ignore[index,call-overload]
    assert before.as_json() == document(name)


def test_a_text_comes_from_a_file(tmp_path: Path) -> None:
    """As it stands there, without a byte order mark."""
    path = tmp_path / "prompt.txt"
    path.write_bytes("\ufeffein Schloß\n".encode())
    changed = with_settings(workflow("txt2img"), [f"6.text=@{path}"])
    assert changed.nodes["6"].inputs["text"] == "ein Schloß\n"


def test_a_number_comes_from_a_file(tmp_path: Path) -> None:
    """The kind is still that of the input."""
    path = tmp_path / "seed"
    path.write_text("12\n")
    changed = with_settings(workflow("txt2img"), [f"3.seed=@{path}"])
    assert changed.nodes["3"].inputs["seed"] == 12


def test_switches_and_what_is_empty() -> None:
    """A switch takes yes and no; where nothing stands, the value's looks decide."""
    flow = made_of(("1", "Switch", "S", {"on": True, "any": None}))
    changed = with_settings(flow, ["1.on=no", "1.any=0.5"])
    assert changed.nodes["1"].inputs == {"on": False, "any": 0.5}


def test_later_ones_win() -> None:
    """They are carried out in their order."""
    changed = with_settings(workflow("txt2img"), ["3.seed=1", "KSampler.seed=2"])
    assert changed.nodes["3"].inputs["seed"] == 2


def test_an_input_may_have_dots() -> None:
    """The cut is where both sides are known, not just at the last dot."""
    flow = made_of(("1", "Batch", "All", {"images.image0": "a.png", "image0": "b.png"}))
    changed = with_settings(flow, ["1.images.image0=c.png", "All.image0=d.png"])
    assert changed.nodes["1"].inputs == {"images.image0": "c.png", "image0": "d.png"}


def test_the_last_cut_wins() -> None:
    """Where two nodes could be meant, the one with the longer title is, whichever comes first."""
    short, long = ("1", "Batch", "All", {"on.x": 1}), ("2", "Batch", "All.on", {"x": 1})
    for nodes in ((short, long), (long, short)):
        changed = with_settings(made_of(*nodes), ["All.on.x=2"])
        found = {node_id: node.inputs for node_id, node in changed.nodes.items()}
        assert found == {"1": {"on.x": 1}, "2": {"x": 2}}


def test_what_no_node_has_is_told_of_the_last_cut() -> None:
    """The node with the longest title is the one that was meant."""
    flow = made_of(("1", "Batch", "All", {"a": 1}), ("2", "Batch", "All.on", {"b": 1}))
    with pytest.raises(UsageError, match=r"All\.on \(2\) has no input y"):
        with_settings(flow, ["All.on.y=2"])


@pytest.mark.parametrize(
    ("item", "message", "hint"),
    [
        ("3.seed", "--set takes NODE.input=value, NODE.input=@file or NODE.input:=json", "3.seed"),
        ("=7", "--set takes NODE.input=value", "3.seed=7"),
        (".=7", "--set takes NODE.input=value", "3.seed=7"),
        ("seed=7", "seed names no input", "NODE.input"),
        ("3.sed=7", "KSampler (3) has no input sed; did you mean seed?", "seed, steps"),
        ("3.zzz=7", "KSampler (3) has no input zzz", "seed, steps"),
        ("ksampler.seed=7", "There is no node ksampler; did you mean KSampler?", "comfy nodes"),
        ("33.seed=7", "There is no node 33; did you mean 3?", "comfy nodes"),
        (
            "CLIPTextEncode.text=x",
            "CLIPTextEncode could be any of 2 nodes: CLIP Text Enc",
            "by its id",
        ),
        ("CLIP Text Encode (Prompt).text=x", "(6), CLIP Text Encode (Prompt) (7)", "by its id"),
        ("3.seed=", 'KSampler (3).seed must be a number, not ""', ""),
        ("3.seed=seven", 'KSampler (3).seed must be a number, not "seven"', ""),
        ("3.seed=nan", 'KSampler (3).seed must be a number, not "nan"', ""),
        ("3.model=x", "KSampler (3).model comes from node 4", "'3.model:=…'"),
        ("3.seed:=[", "--set 3.seed:= is no JSON", ""),
        ('3.model:=["44", 0]', "KSampler (3): its model comes from node 44, which is not the", ""),
        ("6.text=@nowhere.txt", "Cannot read nowhere.txt: No such file", ""),
    ],
)
def test_what_cannot_be_set_is_refused(item: str, message: str, hint: str) -> None:
    """With what was meant, as far as that can be told, or what there is."""
    with pytest.raises(UsageError, match=re.escape(message)) as refused:
        with_settings(workflow("txt2img"), [item])
    assert hint in (refused.value.hint or "")


def test_a_picture_is_no_text(tmp_path: Path) -> None:
    """The hint names the option for pictures."""
    (tmp_path / "a.png").write_bytes(b"\x89PNG\xff")
    with pytest.raises(UsageError, match="is no UTF-8 text") as refused:
        with_settings(workflow("txt2img"), [f"6.text=@{tmp_path / 'a.png'}"])
    assert refused.value.hint == "A picture goes with --image"


def test_a_list_is_replaced_as_json_only() -> None:
    """What would become of a word is not clear."""
    flow = made_of(("1", "Sizes", "S", {"sizes": [1, 2, 3]}))
    with pytest.raises(UsageError, match="no text, number or switch"):
        with_settings(flow, ["1.sizes=4"])
    assert with_settings(flow, ["1.sizes:=[4]"]).nodes["1"].inputs == {"sizes": [4]}


def test_a_title_that_is_anothers_class_is_not_guessed_at() -> None:
    """The ids tell them apart."""
    flow = made_of(("1", "KSampler", "First", {"seed": 1}), ("2", "Other", "KSampler", {"seed": 2}))
    with pytest.raises(UsageError, match=re.escape("any of 2 nodes: First (1), KSampler (2)")):
        with_settings(flow, ["KSampler.seed=3"])


def test_a_seed_goes_everywhere() -> None:
    """Into each seed and noise_seed that is a number, and nowhere else."""
    flow = made_of(
        ("1", "KSampler", "a", {"seed": 5, "steps": 5}),
        ("2", "RandomNoise", "b", {"noise_seed": 0}),
        ("3", "KSampler", "c", {"seed": ["2", 0]}),
        ("4", "Odd", "d", {"seed": "fixed", "noise_seed": True}),
    )
    seeded = with_seed(flow, 42)
    assert [dict(node.inputs) for node in seeded.nodes.values()] == [
        {"seed": 42, "steps": 5},
        {"noise_seed": 42},
        {"seed": ["2", 0]},
        {"seed": "fixed", "noise_seed": True},
    ]


def test_a_seed_that_has_no_place_is_refused() -> None:
    """The person would believe that it had an effect."""
    with pytest.raises(UsageError, match="No node has a seed that is a number"):
        with_seed(made_of(("1", "KSampler", "a", {"seed": "x"})), 1)


@given(st.text() | st.from_regex(r"(3|KSampler|6|zz)\.(seed|text|model)(:?=).*", fullmatch=True))
def test_no_setting_breaks_anything(item: str) -> None:
    """It is carried out, or refused with words."""
    try:
        changed = with_settings(workflow("txt2img"), [item])
    except UsageError:
        return
    assert changed.broken_links == []
    json.dumps(changed.as_json(), allow_nan=False)
