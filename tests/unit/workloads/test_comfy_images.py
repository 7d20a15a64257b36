from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from runpodctl_py.errors import UsageError
from runpodctl_py.workloads.comfy_images import not_sent, placed_pictures, read_picture
from runpodctl_py.workloads.comfy_reading import read_workflow
from tests.unit.workloads.workflows import PNG, document, workflow

MASKED = """{
  "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}, "_meta": {"title": "Face v1.0"}},
  "2": {"class_type": "LoadImageMask", "inputs": {"image": "m.png", "channel": "red"}},
  "3": {"class_type": "Join", "inputs": {"image": ["1", 0], "mask": "m.png", "size": 3}},
  "4": {"class_type": "LoadImage", "inputs": {"image": "b.png"}},
  "5": {"class_type": "Scale", "inputs": {"image": ["1", 0], "mask": 3}}
}"""


@pytest.fixture
def png(tmp_path: Path) -> Path:
    """A picture of one pixel."""
    path = tmp_path / "my portrait (1).png"
    path.write_bytes(PNG)
    return path


def placed_at(items: list[str], text: str = MASKED) -> list[tuple[str, str]]:
    """Return where the pictures go."""
    placed = placed_pictures(read_workflow(text), items)
    return [(each.node_id, each.input_name) for each in placed]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "AVIF", "BMP"])
def test_what_comfyui_loads_is_a_picture(form: str, tmp_path: Path) -> None:
    """By its bytes: what it is called here does not matter, and there it has the right name."""
    content = BytesIO()
    Image.new("RGB", (8, 8), "red").save(content, form)
    path = tmp_path / "photo.dat"
    path.write_bytes(content.getvalue())
    picture = read_picture(path)
    suffix = {"JPEG": "jpg", "TIFF": "tif"}.get(form, form.lower())
    assert re.fullmatch(rf"photo-[0-9a-f]{{8}}\.{suffix}", picture.name)
    assert picture.content == content.getvalue()


@pytest.mark.parametrize("content", [b"", b"<svg/>", b"{}", b"\x89PNG", b"RIFF0000WAVE", b"BMW is"])
def test_what_is_no_picture_is_refused(content: bytes, tmp_path: Path) -> None:
    """Before anything is sent."""
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.png is (no picture|empty)"):
        read_picture(path)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    """So is a folder."""
    with pytest.raises(UsageError, match=r"Cannot read .*no\.png: No such file"):
        read_picture(tmp_path / "no.png")
    with pytest.raises(UsageError, match=r"Cannot read .*: Is a directory"):
        read_picture(tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my portrait (1).png", "my_portrait_1-"),
        ("äö.png", "image-"),
        ("a/../../b.png", "b-"),
        ("[input] x.png", "input_x-"),
        (f"{'n' * 90}.png", f"{'n' * 40}-"),
    ],
)
def test_a_name_is_safe_on_the_worker(name: str, expected: str, tmp_path: Path) -> None:
    """Only plain characters, and not too long."""
    path = tmp_path / Path(name).name
    path.write_bytes(PNG)
    assert re.fullmatch(rf"{expected}[0-9a-f]{{8}}\.png", read_picture(path).name)


def test_other_content_has_another_name(png: Path) -> None:
    """A worker keeps what earlier jobs sent it; the same picture keeps its name."""
    first = read_picture(png)
    again = read_picture(png)
    png.write_bytes(PNG + b"\0")
    assert first == again
    assert first.name != read_picture(png).name


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("1", ("1", "image")),
        ("Face v1.0", ("1", "image")),
        ("Face v1.0.image", ("1", "image")),
        ("1.image", ("1", "image")),
        ("LoadImageMask", ("2", "image")),
        ("LoadImageMask.image", ("2", "image")),
        # Its image is a link: the mask is what can be loaded.
        ("3", ("3", "mask")),
        ("Join.mask", ("3", "mask")),
    ],
)
def test_the_node_is_found(target: str, place: tuple[str, str], png: Path) -> None:
    """By id, title or class, with the input where one is named."""
    assert placed_at([f"{target}={png}"]) == [place]


def test_the_only_loader_needs_no_name(png: Path) -> None:
    """As in most workflows that take a picture."""
    placed = placed_pictures(workflow("img2img"), [str(png)])
    assert [(each.node_id, each.input_name) for each in placed] == [("10", "image")]


def test_a_files_name_may_have_an_equals_sign(tmp_path: Path) -> None:
    """What is a file is no node."""
    path = tmp_path / "a=b.png"
    path.write_bytes(PNG)
    (placed,) = placed_pictures(workflow("img2img"), [str(path)])
    assert placed.picture.path == path


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("{}", "2 nodes load a picture: Face v1.0 (1), LoadImage (4)"),
        ("LoadImage={}", "LoadImage could be any of 2 nodes"),
        ("9={}", "There is no node 9"),
        ("Fase v1.0={}", "There is no node Fase v1.0; did you mean Face v1.0?"),
        ("1.mask={}", "Face v1.0 (1) has no input mask"),
        ("3.image={}", "Join (3) gets its image from node 1"),
        ("3.size={}", "Join (3).size is no file's name"),
        ("5={}", "Scale (5) gets its image from node 1"),
        ("=x.png", "--image takes NODE=FILE, NODE.input=FILE or FILE, not '=x.png'"),
        ("1=", "--image takes NODE=FILE"),
    ],
)
def test_where_it_belongs_must_be_clear(item: str, message: str, png: Path) -> None:
    """A picture is for an input that holds a file's name."""
    with pytest.raises(UsageError, match=re.escape(message)):
        placed_at([item.format(png)])


def test_without_a_loader_the_node_must_be_named(png: Path) -> None:
    """There may be other nodes that load pictures."""
    with pytest.raises(UsageError, match="No node of the workflow is a LoadImage"):
        placed_pictures(workflow("txt2img"), [str(png)])


def test_one_input_takes_one_picture(png: Path) -> None:
    """Of two, the person would see one only."""
    with pytest.raises(UsageError, match=re.escape("(1).image can have one picture only")):
        placed_at([f"1={png}", f"Face v1.0={png}"])


def test_what_is_not_sent_is_known() -> None:
    """Such a picture has to be on the worker already."""
    assert [n.node_id for n in not_sent(read_workflow(MASKED), ["a.png"])] == ["4"]
    assert not_sent(workflow("img2img"), ["example.png"]) == ()
    assert document("img2img")["10"]["inputs"]["image"] == "example.png"
