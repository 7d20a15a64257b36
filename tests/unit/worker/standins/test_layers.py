"""How the stand-in for Qwen-Image-Layered takes a picture apart."""

from __future__ import annotations

import base64
import io
import zipfile
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageDraw
from psd_tools import PSDImage

from worker.errors import StoppedError
from worker.service import ModelHandler
from worker.standins.layers import output_size, separate
from worker.standins.qwen_layered import ColourSorter
from worker.tasks.qwen_layered.family import QwenLayered
from worker.tasks.qwen_layered.wanted import Wanted

SIZE = (320, 224)


def landscape(mode: str = "RGBA") -> Image.Image:
    """Returns a picture of five colours, in RGBA partly transparent."""
    picture = Image.new(mode, SIZE, "#8ec5e8")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 150, *SIZE), fill="#2e7d32")
    draw.ellipse((30, 20, 90, 80), fill="#ffeb3b")
    draw.rectangle((140, 90, 240, 200), fill="#b71c1c")
    draw.rectangle((170, 120, 200, 200), fill="#3e2723")
    if mode == "RGBA":
        alpha = Image.linear_gradient("L").resize(SIZE)
        picture.putalpha(alpha)
    return picture


def stacked(layers: list[Image.Image]) -> Image.Image:
    """Lays layers upon each other, the first one at the bottom."""
    whole = Image.new("RGBA", layers[0].size)
    for layer in layers:
        whole.alpha_composite(layer)
    return whole


def png(picture: Image.Image) -> str:
    """Returns a picture as base64."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize(
    ("size", "resolution", "expected"),
    [
        ((64, 48), 640, (736, 544)),
        ((720, 1280), 640, (480, 864)),
        ((1000, 1000), 640, (640, 640)),
        ((1000, 1000), 1024, (1024, 1024)),
        ((1600, 100), 640, (2560, 160)),
    ],
)
def test_layers_have_the_real_models_size(
    size: tuple[int, int], resolution: int, expected: tuple[int, int]
) -> None:
    """About the resolution's square in the picture's proportions, in multiples of 32."""
    assert output_size(size, resolution) == expected


@pytest.mark.parametrize("count", [2, 3, 4, 8, 10])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_layers_upon_each_other_are_the_picture_again(mode: str, count: int) -> None:
    """Every pixel, transparent ones, too."""
    picture = landscape(mode).convert("RGBA")
    layers = separate(picture, SIZE, count)
    assert [layer.mode for layer in layers] == ["RGBA"] * count
    difference = ImageChops.difference(stacked(layers), picture)
    # What is wholly transparent has no colour that anybody could see.
    difference.paste(
        (0, 0, 0, 0), mask=picture.getchannel("A").point(lambda alpha: 255 * (not alpha))
    )
    assert difference.getbbox(alpha_only=False) is None


def test_the_bottom_one_is_whole_and_the_others_are_pieces() -> None:
    """What stood before something hides nothing when it is taken away."""
    bottom, *others = separate(landscape("RGB").convert("RGBA"), SIZE, 4)
    assert bottom.getchannel("A").getextrema() == (255, 255)
    assert all(layer.getchannel("A").getextrema() == (0, 255) for layer in others)
    # Behind the red house there is something of the sky and the meadow, and nothing red.
    red, green, _, _ = bottom.getpixel((220, 130))
    assert green > red


def test_a_picture_of_one_colour_is_one_layer() -> None:
    """The others are empty."""
    bottom, *others = separate(Image.new("RGBA", SIZE, "teal"), SIZE, 4)
    assert bottom.getpixel((5, 5)) == (0, 128, 128, 255)
    assert [layer.getbbox() for layer in others] == [None] * 3


def wanted(**fields: Any) -> Wanted:
    """What a job asks for."""
    given = {"image": "x", "num_inference_steps": 3, "seed": 1, **fields}
    return Wanted.parse({"id": "j", "input": given})


def test_every_step_is_told() -> None:
    """From the first to the last."""
    steps: list[int] = []
    ColourSorter(0).separate(landscape(), wanted(), steps.append)
    assert steps == [1, 2, 3]


def test_a_cancelled_job_ends_at_its_next_step() -> None:
    """What the step raises is not kept."""

    def stop(_step: int) -> None:
        raise StoppedError("the job was cancelled")

    with pytest.raises(StoppedError):
        ColourSorter(0).separate(landscape(), wanted(), stop)


async def work(**fields: Any) -> dict[str, Any]:
    """Has a job done by the whole family."""
    handler = ModelHandler(QwenLayered(ColourSorter(0)), lambda *_: None, {})
    given = {"image": png(landscape("RGB")), "num_inference_steps": 2, "seed": 1, **fields}
    return await handler({"id": "j", "input": given})


@pytest.mark.anyio
async def test_the_answer_is_the_familys() -> None:
    """One PNG per layer, of the size that is told."""
    output = await work(layers=3)
    sizes = [Image.open(io.BytesIO(base64.b64decode(each))).size for each in output["layers"]]
    assert sizes == [tuple(output["size"])] * 3
    assert sizes[0] == output_size(SIZE, 640)


@pytest.mark.anyio
async def test_a_zip_and_a_psd_hold_the_layers() -> None:
    """Both can be read, with as many layers as were asked for."""
    packed = {kind: await work(layers=3, package=kind) for kind in ("zip", "psd")}
    content = {kind: io.BytesIO(base64.b64decode(each["package"])) for kind, each in packed.items()}
    names = ["layer_00.png", "layer_01.png", "layer_02.png"]
    assert zipfile.ZipFile(content["zip"]).namelist() == names
    assert len(PSDImage.open(content["psd"])) == packed["psd"]["layer_count"] == 3
