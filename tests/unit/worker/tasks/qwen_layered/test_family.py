from __future__ import annotations

import base64
import io
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from psd_tools import PSDImage

import worker
from worker.errors import SettingError
from worker.service import ModelHandler
from worker.tasks import load_service
from worker.tasks.qwen_layered.family import QwenLayered

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.tasks.qwen_layered.wanted import Wanted

REPOSITORY = Path(worker.__file__).parents[1]
COLOURS = ("white", "red", "lime", "blue")


class Painter:
    """Takes pictures apart into one plain colour per layer."""

    def __init__(self) -> None:
        self.seen: list[tuple[Image.Image, Wanted]] = []

    def load(self) -> None:
        """Needs nothing."""

    def separate(
        self, picture: Image.Image, wanted: Wanted, on_step: Callable[[int], None]
    ) -> list[Image.Image]:
        """Paints the layers, a step at a time."""
        self.seen.append((picture, wanted))
        for step in range(1, wanted.steps + 1):
            on_step(step)
        return [Image.new("RGBA", (64, 32), COLOURS[each % 4]) for each in range(wanted.layers)]


@dataclass
class Bench:
    """A handler with a painter, and what it reported."""

    painter: Painter = field(default_factory=Painter)
    updates: list[dict[str, Any]] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)

    async def do(self, **fields: Any) -> dict[str, Any]:
        """Has a job done on a red picture, in three steps and with seed 1 unless it says more."""
        handler = ModelHandler(QwenLayered(self.painter), self._report, self.environ)
        given = {"image": RED, "num_inference_steps": 3, "seed": 1, **fields}
        return await handler({"id": "job-1", "input": given})

    def _report(self, _job: dict[str, Any], update: dict[str, Any]) -> None:
        self.updates.append(update)


@pytest.fixture
def bench() -> Bench:
    """A fresh one."""
    return Bench()


def encode(picture: Image.Image) -> str:
    """Returns a picture as a PNG in base64."""
    content = io.BytesIO()
    picture.save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


def decode(text: str) -> bytes:
    """Returns what a text in base64 means."""
    return base64.b64decode(text, validate=True)


RED = encode(Image.new("RGB", (4, 2), "red"))


@pytest.mark.anyio
async def test_layers_come_back_as_pngs(bench: Bench) -> None:
    """Bottom first, with their size and the seed, and nothing else."""
    output = await bench.do(layers=3)
    layers = [Image.open(io.BytesIO(decode(each))) for each in output.pop("layers")]
    assert [(each.format, each.mode, each.size) for each in layers] == [
        ("PNG", "RGBA", (64, 32))
    ] * 3
    assert [each.getpixel((0, 0)) for each in layers] == [
        (255, 255, 255, 255),
        (255, 0, 0, 255),
        (0, 255, 0, 255),
    ]
    assert output == {"size": [64, 32], "seed": 1}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("package", "content_type"),
    [("psd", "image/vnd.adobe.photoshop"), ("zip", "application/zip")],
)
async def test_a_package_holds_all_layers(bench: Bench, package: str, content_type: str) -> None:
    """It replaces the single files."""
    output = await bench.do(package=package)
    content = io.BytesIO(decode(output.pop("package")))
    if package == "psd":
        names = [each.name for each in PSDImage.open(content)]
    else:
        names = [Path(each).stem for each in zipfile.ZipFile(content).namelist()]
    assert names == [f"layer_0{number}" for number in range(4)]
    assert output == {
        "filename": f"layers.{package}",
        "content_type": content_type,
        "layer_count": 4,
        "size": [64, 32],
        "seed": 1,
    }


@pytest.mark.anyio
async def test_progress_is_told_per_step(bench: Bench) -> None:
    """Reading the picture and packing the layers are steps, too: 100 % comes last."""
    await bench.do()
    told = [(each["current_step"], each["step"], each["progress"]) for each in bench.updates]
    assert told == [
        ("Reading the picture", 1, 20),
        ("Step 1 of 3", 2, 40),
        ("Step 2 of 3", 3, 60),
        ("Step 3 of 3", 4, 80),
        ("Packing the layers", 5, 100),
    ]
    assert {each["total_steps"] for each in bench.updates} == {5}


@pytest.mark.anyio
@pytest.mark.parametrize("head", ["", "data:image/png;base64,", "data:;base64,"])
async def test_the_picture_comes_as_base64_or_data_uri(bench: Bench, head: str) -> None:
    """What is RGB becomes RGBA."""
    await bench.do(image=head + RED)
    ((picture, _),) = bench.painter.seen
    assert (picture.mode, picture.size) == ("RGBA", (4, 2))
    assert picture.getpixel((0, 0)) == (255, 0, 0, 255)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("https://127.0.0.1/a.png", "image: 127.0.0.1 is no public host"),
        ("http://169.254.169.254/latest", "image: 169.254.169.254 is no public host"),
        ("http://[::1]:8000/a.png", "image: ::1 is no public host"),
        ("file:///etc/passwd", "image must begin with http:// or https://"),
        ("/etc/passwd.", "image must be a URL, a data URI or base64"),
        ("!", "image must be a URL, a data URI or base64"),
        ("AAAA", "image is none of PNG, JPEG"),
        (RED[:60], "image is a broken picture"),
        (encode(Image.new("L", (10, 161))), "image is 10 x 161 pixels"),
        ("A" * (2 * 20 * 1024 * 1024 + 4), "image is larger than 20 MB"),
        (base64.b64encode(bytes(20 * 1024 * 1024 + 1)).decode(), "image is larger than 20 MB"),
    ],
)
async def test_a_picture_that_cannot_be_used_is_refused(
    bench: Bench, image: str, message: str
) -> None:
    """Before the model begins, as a validation_error; this worker is as good as before."""
    output = await bench.do(image=image)
    assert output["error"] == "validation_error"
    assert output["message"].startswith(message)
    assert "refresh_worker" not in output
    assert bench.painter.seen == []


@pytest.mark.anyio
async def test_a_picture_of_too_many_pixels_is_refused(bench: Bench) -> None:
    """Sending it again cannot help."""
    output = await bench.do(image=encode(Image.new("1", (8000, 8000))))
    assert (output["error"], bench.painter.seen) == ("validation_error", [])


@pytest.mark.anyio
async def test_a_wrong_field_is_refused_without_any_work(bench: Bench) -> None:
    """Nor is anything downloaded."""
    output = await bench.do(image="https://127.0.0.1/a.png", layers=11)
    assert output["error"] == "validation_error"
    assert output["message"] == "layers must be a whole number from 2 to 10, not 11"
    assert bench.updates == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("package", "advice"),
    [
        (None, "ask for fewer layers or for resolution 640"),
        ("zip", "ask for fewer layers or for resolution 640"),
        ("psd", "ask for package zip, for fewer layers or for resolution 640"),
    ],
)
async def test_layers_that_an_answer_cannot_hold(
    bench: Bench, package: str | None, advice: str
) -> None:
    """They fail with what would help, when there is no bucket."""
    bench.environ["WORKER_RESULT_LIMIT_MB"] = "0.004"
    output = await bench.do(package=package)
    assert output["error"] == "resource_error"
    assert f": {advice}, set BUCKET_" in output["message"]


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"QWEN_PRECISION": "int8"}, "QWEN_PRECISION must be one of"),
        ({"QWEN_PRECISION": "bnb4", "WORKER_DEVICE": "cpu"}, "QWEN_PRECISION=bnb4 needs a GPU"),
        ({"WORKER_DEVICE": "tpu"}, "WORKER_DEVICE must be one of"),
    ],
)
def test_a_wrong_setting_is_refused_at_start(environ: dict[str, str], message: str) -> None:
    """Not at the first job."""
    with pytest.raises(SettingError, match=message):
        load_service({"WORKER_TASK": "qwen-layered", **environ})


def test_the_service_loads_the_model_in_its_check() -> None:
    """So that the worker is unhealthy, rather than its jobs, when the model cannot be loaded."""
    service = load_service({"WORKER_TASK": "qwen-layered"})
    assert isinstance(service.handler, ModelHandler)
    assert service.check == service.handler.load_model


def test_importing_the_family_is_cheap() -> None:
    """A wrong setting is told before torch's seconds begin."""
    code = (
        "import sys, worker.tasks.qwen_layered;"
        "print(sorted({'runpod', 'PIL', 'torch', 'diffusers', 'psd_tools'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
