from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.errors import UsageError
from runpodctl_py.presets import loading
from runpodctl_py.workloads.comfy import Request, Worker, made_nothing, tobucket
from runpodctl_py.workloads.comfy_reading import read_workflow
from tests.unit.workloads.workflows import PNG, document, workflow

if TYPE_CHECKING:
    from pathlib import Path

TWO = """{
  "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
  "2": {"class_type": "LoadImage", "inputs": {"image": "b.png"}},
  "3": {"class_type": "LoadImage", "inputs": {"image": "c.png"}}
}"""


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Path, Path]:
    """Two different pictures."""
    first, second = tmp_path / "one.png", tmp_path / "two.png"
    first.write_bytes(PNG)
    second.write_bytes(PNG + b"\0")
    return first, second


def test_a_workflow_alone_is_the_whole_input() -> None:
    """As worker-comfyui takes it."""
    payload = Request.of(workflow("txt2img")).payload()
    assert payload == {"workflow": document("txt2img")}


def test_what_was_set_wins_over_the_seed() -> None:
    """It was said of one node."""
    request = Request.of(workflow("txt2img"), settings=["3.seed=5", "3.steps=2"], seed=9)
    assert request.workflow.nodes["3"].inputs["seed"] == 5
    assert Request.of(workflow("txt2img"), seed=9).workflow.nodes["3"].inputs["seed"] == 9


def test_pictures_travel_by_name(pictures: tuple[Path, Path]) -> None:
    """The node loads the name under which the worker stores it; the same picture travels once."""
    first, second = pictures
    images = [f"1={first}", f"2={second}", f"3={first}"]
    payload = Request.of(read_workflow(TWO), images=images).payload()
    sent = payload["images"]
    assert isinstance(sent, list)
    contents = {each["name"]: base64.b64decode(each["image"]) for each in sent}  # type: ignore[index,call-overload,arg-type]
    names = [node["inputs"]["image"] for node in payload["workflow"].values()]  # type: ignore[union-attr,index,call-overload]
    assert [contents[name] for name in names] == [PNG, PNG + b"\0", PNG]
    assert len(sent) == 2
    loading.load("comfyui").check_input(payload)


def test_pictures_of_the_file_go_along(pictures: tuple[Path, Path]) -> None:
    """They have their names already."""
    body = {"workflow": json.loads(TWO), "images": [{"name": "b.png", "image": "AAAA"}]}
    request = Request.of(read_workflow(json.dumps(body)), images=[f"1={pictures[0]}"])
    sent = request.payload()["images"]
    assert isinstance(sent, list)
    assert sent[1:] == [{"name": "b.png", "image": "AAAA"}]
    assert [node.node_id for node in request.waiting] == ["3"]


def test_dekitas_worker_takes_files(pictures: tuple[Path, Path]) -> None:
    """Pure base64, which it calls upload-0.png and so on; and it is asked to return base64."""
    first, second = pictures
    images = [f"2={second}", f"1={first}", f"3={second}"]
    request = Request.of(read_workflow(TWO), images=images, worker=Worker.DEKITA)
    expected = json.loads(TWO)
    for node_id, name in (("2", "upload-0.png"), ("1", "upload-1.png"), ("3", "upload-0.png")):
        expected[node_id]["inputs"]["image"] = name
    assert request.payload() == {
        "workflow": expected,
        "files": [base64.b64encode(PNG + b"\0").decode(), base64.b64encode(PNG).decode()],
        "tobase64": True,
    }
    assert request.waiting == ()


def test_dekitas_worker_takes_a_bucket_instead() -> None:
    """Inside the input, where it reads it."""
    s3_config = {
        "bucketName": "b",
        "endpointUrl": "https://s3",
        "accessId": "i",
        "accessSecret": "s",
    }
    payload = Request.of(workflow("txt2img"), worker=Worker.DEKITA).payload(
        {"tobucket": tobucket(s3_config)}
    )
    assert payload == {"workflow": document("txt2img"), "tobucket": s3_config}


def test_dekitas_worker_takes_no_path_and_no_names() -> None:
    """What it would leave unheeded is refused."""
    with pytest.raises(UsageError, match="--bucket-path"):
        tobucket({"objectPath": "x", "bucketName": "b"})
    body = {"workflow": json.loads(TWO), "images": [{"name": "b.png", "image": "AAAA"}]}
    with pytest.raises(UsageError, match="does not take by name"):
        Request.of(read_workflow(json.dumps(body)), worker=Worker.DEKITA)


def test_secrets_go_into_the_payload_only() -> None:
    """They are handed in at the last moment."""
    request = Request.of(workflow("txt2img"))
    assert request.payload({"comfy_org_api_key": "k"})["comfy_org_api_key"] == "k"
    assert "comfy_org_api_key" not in request.payload()


def test_a_run_without_pictures_is_known() -> None:
    """It is no failure: there may be no node that saves one."""
    assert made_nothing({"status": "success_no_images", "images": []})
    assert not made_nothing({"images": []})
    assert not made_nothing("success_no_images")


def test_the_preset_says_what_the_worker_takes() -> None:
    """A job through `submit` is judged by the same fields."""
    preset = loading.load("comfyui")
    preset.check_input(Request.of(workflow("subgraph")).payload({"comfy_org_api_key": "k"}))
    with pytest.raises(UsageError, match=re.escape("workflow must be a JSON object")):
        preset.check_input({"workflow": "w.json"})
    with pytest.raises(UsageError, match="workflow is missing"):
        preset.check_input({"images": []})
