"""The stand-in for worker-comfyui: its contract from validation to files."""

from __future__ import annotations

import base64
import copy
import io
import json
from typing import Any

import pytest
from PIL import Image, ImageStat

from worker.standins.comfyui.handler import Handler

pytestmark = pytest.mark.anyio

TEXT_TO_IMAGE: dict[str, Any] = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 5,
            "steps": 20,
            "cfg": 8,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1,
            "model": ["4", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd.safetensors"}},
    "5": {
        "class_type": "EmptyLatentImage",
        "inputs": {"width": 192, "height": 128, "batch_size": 1},
    },
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a red fox", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "ugly", "clip": ["4", 1]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "fox", "images": ["8", 0]}},
}
IMAGE_TO_IMAGE: dict[str, Any] = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "in.png"}},
    "2": {"class_type": "VAEEncode", "inputs": {"pixels": ["1", 0], "vae": ["4", 2]}},
    "4": TEXT_TO_IMAGE["4"],
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "out", "images": ["2", 0]}},
}


def changed(workflow: dict[str, Any], **values: Any) -> dict[str, Any]:
    """Returns a workflow with other inputs, by names such as `n5_width`."""
    new = copy.deepcopy(workflow)
    for name, value in values.items():
        node, _, field = name.removeprefix("n").partition("_")
        new[node]["inputs"][field] = value
    return new


def png(colour: str = "red", size: tuple[int, int] = (90, 60)) -> str:
    """Returns a picture of one colour as base64."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


async def ask(job_input: Any, handler: Handler | None = None) -> dict[str, Any]:
    """Has a job done."""
    return await (handler or Handler({}))({"id": "j", "input": job_input})


async def run(workflow: Any, *pictures: tuple[str, str], handler: Handler | None = None) -> Any:
    """Has a workflow done, with uploaded pictures."""
    images = [{"name": name, "image": image} for name, image in pictures]
    return await ask({"workflow": workflow, "images": images}, handler)


def picture(image: dict[str, str]) -> Image.Image:
    """Returns a picture of an output."""
    return Image.open(io.BytesIO(base64.b64decode(image["data"], validate=True)))


async def test_a_picture_has_the_size_and_name_that_were_asked_for() -> None:
    """And the workflow is in it, as ComfyUI puts it there."""
    output = await run(TEXT_TO_IMAGE)
    assert list(output) == ["images"]
    (image,) = output["images"]
    assert (image["filename"], image["type"]) == ("fox_00001_.png", "base64")
    made = picture(image)
    assert (made.format, made.size) == ("PNG", (192, 128))
    assert json.loads(made.info["prompt"]) == TEXT_TO_IMAGE


async def test_the_whole_input_may_be_a_text() -> None:
    """In JSON."""
    as_text, as_object = [
        await ask(given)
        for given in (json.dumps({"workflow": TEXT_TO_IMAGE}), {"workflow": TEXT_TO_IMAGE})
    ]
    assert as_text == as_object


@pytest.mark.parametrize(
    ("job_input", "error"),
    [
        (None, "Please provide input"),
        ("{no json", "Invalid JSON format in input"),
        ("[]", "Missing 'workflow' parameter"),
        ({}, "Missing 'workflow' parameter"),
        ({"workflow": None}, "Missing 'workflow' parameter"),
        *(
            (
                {"workflow": TEXT_TO_IMAGE, "images": images},
                "'images' must be a list of objects with 'name' and 'image' keys",
            )
            for images in ("x", [1], [{"name": "a"}], [{"image": "a"}], [{"name": 1, "image": "a"}])
        ),
        (
            {"workflow": "text"},
            (
                "Error queuing workflow: 500 Server Error: Internal Server Error for url: "
                "http://127.0.0.1:8188/prompt"
            ),
        ),
    ],
)
async def test_a_wrong_input_is_refused_in_the_workers_words(job_input: Any, error: str) -> None:
    """They are what clients know."""
    assert await ask(job_input) == {"error": error}


async def test_an_upload_that_is_no_base64_fails_the_job() -> None:
    """With a line for each such picture."""
    output = await run(IMAGE_TO_IMAGE, ("in.png", "abc"), ("ok.png", png()))
    assert output["error"] == "Failed to upload one or more input images"
    (line,) = output["details"]
    assert line.startswith("Error decoding base64 for in.png: ")


@pytest.mark.parametrize(
    "name", ["in.png", "./in.png", "in.png [input]"], ids=["plain", "dotted", "annotated"]
)
async def test_an_uploaded_picture_comes_back(name: str) -> None:
    """With its size and its colour, whether it came as base64 or as a data URI."""
    workflow = changed(IMAGE_TO_IMAGE, n1_image=name)
    for image in (png(), f"data:image/png;base64,{png()}"):
        output = await run(workflow, ("in.png", image))
        made = picture(output["images"][0])
        assert made.size == (90, 60)
        assert ImageStat.Stat(made).mean == [255, 0, 0]


async def test_an_uploaded_picture_carries_the_words() -> None:
    """On a band at its lower edge; above it, it is as it came."""
    workflow = {
        **changed(TEXT_TO_IMAGE, n3_latent_image=["2", 0]),
        "1": IMAGE_TO_IMAGE["1"],
        "2": IMAGE_TO_IMAGE["2"],
    }
    made = picture((await run(workflow, ("in.png", png(size=(300, 200)))))["images"][0])
    assert made.size == (300, 200)
    assert made.getpixel((150, 10)) == (255, 0, 0)
    assert made.getpixel((2, 198)) == (12, 14, 22)


async def test_a_node_that_scales_decides_the_size() -> None:
    """The nearest one to the output does."""
    scale = {"class_type": "ImageScale", "inputs": {"image": ["8", 0], "width": 64, "height": 320}}
    workflow = {**changed(TEXT_TO_IMAGE, n9_images=["10", 0]), "10": scale}
    assert picture((await run(workflow))["images"][0]).size == (64, 320)


async def test_values_may_come_from_other_nodes() -> None:
    """Sizes, words and seeds that are links to nodes that are only a value."""
    nodes = {
        "20": {"class_type": "PrimitiveInt", "inputs": {"value": 256}},
        "21": {"class_type": "PrimitiveString", "inputs": {"value": "a red fox"}},
    }
    linked = {**changed(TEXT_TO_IMAGE, n5_width=["20", 0], n6_text=["21", 0]), **nodes}
    plain = changed(TEXT_TO_IMAGE, n5_width=256)
    one, two = [picture((await run(each))["images"][0]) for each in (linked, plain)]
    assert one.size == (256, 128)
    assert one.tobytes() == two.tobytes()


async def test_a_batch_is_several_pictures() -> None:
    """With names that count, and no two alike."""
    output = await run(changed(TEXT_TO_IMAGE, n5_batch_size=3))
    names = [image["filename"] for image in output["images"]]
    assert names == ["fox_00001_.png", "fox_00002_.png", "fox_00003_.png"]
    assert len({picture(image).tobytes() for image in output["images"]}) == 3


@pytest.mark.parametrize(
    ("other", "is_same"),
    [({}, True), ({"n3_seed": 6}, False), ({"n6_text": "a wolf"}, False), ({"n7_text": "!"}, True)],
    ids=["nothing", "seed", "words", "negative words"],
)
async def test_what_a_picture_depends_on(other: dict[str, Any], *, is_same: bool) -> None:
    """On the seed and on what it should show, not on what it should not."""
    one, two = [
        picture((await run(each))["images"][0]).tobytes()
        for each in (TEXT_TO_IMAGE, changed(TEXT_TO_IMAGE, **other))
    ]
    assert (one == two) is is_same


async def test_names_go_on_counting_as_long_as_the_worker_lives() -> None:
    """For each prefix by itself; without one it is ComfyUI's own."""
    handler = Handler({})
    nameless = copy.deepcopy(TEXT_TO_IMAGE)
    del nameless["9"]["inputs"]["filename_prefix"]
    dated = changed(TEXT_TO_IMAGE, n9_filename_prefix="%width%/x%height%_%batch_num%")
    names = []
    for workflow in (TEXT_TO_IMAGE, TEXT_TO_IMAGE, nameless, dated):
        output = await run(workflow, handler=handler)
        names += [image["filename"] for image in output["images"]]
    assert names == [
        "fox_00001_.png",
        "fox_00002_.png",
        "ComfyUI_00001_.png",
        "x128_0_00001_.png",
    ]


async def test_previews_are_not_returned() -> None:
    """They are temporary: a workflow with nothing else succeeds without pictures."""
    preview = {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}}
    both = {**TEXT_TO_IMAGE, "10": preview}
    assert [each["filename"] for each in (await run(both))["images"]] == ["fox_00001_.png"]
    del both["9"]
    assert await run(both) == {"status": "success_no_images", "images": []}


async def test_a_picture_that_was_not_uploaded_is_refused() -> None:
    """As ComfyUI refuses it, in the lines that worker-comfyui makes of that."""
    output = await run(IMAGE_TO_IMAGE)
    first, errors, dependent, kind = output.pop("error").splitlines()
    assert output == {}
    assert first == "Workflow validation failed:"
    assert errors.startswith("• Node 1 (errors): [{'type': 'custom_validation_failed'")
    assert "image - Invalid image file: in.png" in errors
    assert dependent == "• Node 1 (dependent_outputs): ['9']"
    assert kind == "• Node 1 (class_type): LoadImage"


@pytest.mark.parametrize(
    ("other", "node", "words"),
    [
        ({"n8_samples": ["99", 0]}, "8", "'details': \"'99'\""),
        ({"n9_images": ["99", 0]}, "9", "Exception when validating node"),
        ({"n8_samples": [["3"], 0]}, "8", "exception_during_inner_validation"),
        ({"n8_samples": ["3"]}, "8", "Bad linked input"),
        ({"n5_width": 8}, "5", "Value 8 smaller than min of 16"),
        ({"n5_batch_size": 5000}, "5", "Value 5000 bigger than max of 4096"),
    ],
)
async def test_mistakes_are_told_with_their_nodes(
    other: dict[str, Any], node: str, words: str
) -> None:
    """Links to nowhere, and values beyond the limits."""
    output = await run(changed(TEXT_TO_IMAGE, **other))
    assert output["error"].startswith(f"Workflow validation failed:\n• Node {node} (errors): ")
    assert words in output["error"]


async def test_a_missing_input_is_told() -> None:
    """By its name."""
    workflow = copy.deepcopy(TEXT_TO_IMAGE)
    del workflow["3"]["inputs"]["positive"]
    output = await run(workflow)
    assert "• Node 3 (errors): [{'type': 'required_input_missing'" in output["error"]
    assert "'details': 'positive'" in output["error"]


@pytest.mark.parametrize(
    ("workflow", "message"),
    [
        ({}, "Prompt has no outputs. Raw response: "),
        ({"8": TEXT_TO_IMAGE["8"]}, "Prompt has no outputs. Raw response: "),
        (
            {"nodes": [], "links": []},
            "Cannot execute because a node is missing the class_type property.. Raw response: ",
        ),
    ],
    ids=["empty", "no output", "the user interface's format"],
)
async def test_what_is_no_workflow_is_refused(workflow: dict[str, Any], message: str) -> None:
    """With ComfyUI's own answer behind the words."""
    error = (await run(workflow))["error"]
    assert error.startswith(message)
    assert json.loads(error.removeprefix(message))["node_errors"] == {}


async def test_good_outputs_are_made_and_bad_ones_left_out() -> None:
    """As ComfyUI does, without a word."""
    bad = {"class_type": "SaveImage", "inputs": {"filename_prefix": "bad", "images": ["99", 0]}}
    output = await run({**TEXT_TO_IMAGE, "10": bad})
    assert [each["filename"] for each in output["images"]] == ["fox_00001_.png"]
    assert "errors" not in output


async def test_a_file_that_is_no_picture_fails_its_node() -> None:
    """What was made before is returned with the error; without any, the job fails."""
    broken = ("in.png", base64.b64encode(b"no picture").decode())
    line = (
        "Workflow execution error: Node Type: LoadImage, Node ID: 1, Message: cannot identify "
        "image file '/comfyui/input/in.png'"
    )
    assert await run(IMAGE_TO_IMAGE, broken) == {
        "error": "Job processing failed",
        "details": [line],
    }
    second = {**IMAGE_TO_IMAGE["9"], "inputs": {**IMAGE_TO_IMAGE["9"]["inputs"]}}
    both = {**TEXT_TO_IMAGE, "1": IMAGE_TO_IMAGE["1"], "2": IMAGE_TO_IMAGE["2"], "12": second}
    output = await run(both, broken)
    assert [each["filename"] for each in output["images"]] == ["fox_00001_.png"]
    assert output["errors"] == [line]


async def test_no_name_leads_out_of_the_output_folder() -> None:
    """ComfyUI refuses it."""
    for prefix in ("../x", "/etc/x", "a/../../x"):
        output = await run(changed(TEXT_TO_IMAGE, n9_filename_prefix=prefix))
        (line,) = output["details"]
        assert line.endswith("Saving image outside the output folder is not allowed.")


async def test_sizes_beyond_what_is_painted_are_told() -> None:
    """The largest that is painted is 16 million pixels; a larger one fails with a reason."""
    output = await run(changed(TEXT_TO_IMAGE, n5_width=16_384, n5_height=2048))
    (line,) = output["details"]
    assert line.endswith("16384 x 2048 is more than this stand-in paints: 16777216 pixels")


@pytest.mark.parametrize("size", [(16, 16), (16, 1024), (2304, 2304)])
async def test_small_and_large_sizes_are_painted(size: tuple[int, int]) -> None:
    """Those for which the painter was not made, too."""
    output = await run(changed(TEXT_TO_IMAGE, n5_width=size[0], n5_height=size[1]))
    assert picture(output["images"][0]).size == size


async def test_links_in_a_circle_do_not_hang_it() -> None:
    """What they mean is nothing, and the picture has the usual size."""
    circle = {
        "1": {"class_type": "A", "inputs": {"x": ["2", 0], "text": ["2", 0]}},
        "2": {"class_type": "B", "inputs": {"x": ["1", 0], "text": ["1", 0]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
    }
    assert picture((await run(circle))["images"][0]).size == (512, 512)
