from __future__ import annotations

import asyncio
import gc
import io
import logging
import weakref
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Bench

pytestmark = [
    pytest.mark.models,
    pytest.mark.anyio,
]


async def test_a_picture_is_taken_apart(bench: Bench) -> None:
    """By the real pipeline, into as many layers as were asked for, with progress for each step."""
    output = await bench.do(num_layers=3)
    layers = output.pop("layers")
    assert len(layers) == 3
    assert output == {"size": [96, 64], "seed": 1}
    told = [(each["current_step"], each["progress"]) for each in bench.updates]
    assert told == [
        ("Reading the picture", 20),
        ("Step 1 of 3", 40),
        ("Step 2 of 3", 60),
        ("Step 3 of 3", 80),
        ("Packing the layers", 100),
    ]


@pytest.mark.parametrize("count", [2, 10])
async def test_the_fewest_and_the_most_layers(bench: Bench, count: int) -> None:
    """Each of them another picture."""
    layers = await bench.layers(layers=count, resolution=1024)
    assert len(set(layers)) == count


async def test_a_package_holds_the_same_layers(bench: Bench) -> None:
    """Here as a ZIP."""
    import base64

    from PIL import Image

    output = await bench.do(package="zip")
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(output["package"]))) as archive:
        held = [Image.open(archive.open(each)).tobytes() for each in archive.namelist()]
    assert held == await bench.layers()


async def test_layers_become_pixels_one_after_the_other(bench: Bench) -> None:
    """For the memory of one; together they would have the same pixels, but for rounding."""
    vae = bench.pipeline.vae
    assert vae.use_slicing
    expected = b"".join(await bench.layers())
    vae.disable_slicing()
    together = b"".join(await bench.layers())
    vae.enable_slicing()
    assert max(abs(one - other) for one, other in zip(together, expected, strict=True)) <= 1


async def test_the_same_seed_gives_the_same_layers(bench: Bench) -> None:
    """And another seed gives others."""
    first = await bench.layers(seed=1)
    other = await bench.layers(seed=2)
    assert await bench.layers(seed=1) == first
    assert first != other


async def test_without_a_prompt_the_model_describes_the_picture(bench: Bench) -> None:
    """What it says is drawn, and the seed repeats that, too."""
    first = await bench.layers(prompt="", seed=3)
    other = await bench.layers(prompt=" ", seed=3, use_en_prompt=False)
    assert await bench.layers(prompt=" \n", seed=3) == first
    assert first != other


async def test_jobs_leave_nothing_behind(bench: Bench) -> None:
    """Whatever ran in between, a job gives what it gave before."""
    first = await bench.layers()
    await bench.layers(prompt="", seed=9, layers=7, true_cfg_scale=1, num_inference_steps=2)
    await bench.do(image="AAAA")
    assert await bench.layers() == first


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "a blue ball"},
        {"negative_prompt": "a blue ball"},
        {"true_cfg_scale": 1},
        {"true_cfg_scale": 9.5},
        {"cfg_normalize": False},
        {"num_inference_steps": 4},
    ],
)
async def test_every_field_matters(bench: Bench, fields: dict[str, Any]) -> None:
    """The layers are others with it."""
    assert await bench.layers(**fields) != await bench.layers()


async def test_transparency_matters(bench: Bench, picture: Callable[..., str]) -> None:
    """The model sees it: it has four channels."""
    assert await bench.layers(image=picture(alpha=60)) != await bench.layers()


@pytest.mark.parametrize(("guidance", "passes"), [(1, 3), (4, 6)])
async def test_without_guidance_half_the_work_is_done(
    bench: Bench, guidance: int, passes: int, caplog: pytest.LogCaptureFixture
) -> None:
    """One pass through the transformer per step instead of two, and no warning about it."""
    count = 0

    def add(*_: object) -> None:
        nonlocal count
        count += 1

    hook = bench.pipeline.transformer.register_forward_hook(add)
    with caplog.at_level(logging.WARNING):
        await bench.layers(true_cfg_scale=guidance)
    hook.remove()
    assert count == passes
    assert [each.getMessage() for each in caplog.records] == []


async def test_a_cancelled_job_ends_at_its_next_step(bench: Bench) -> None:
    """It takes no more time of the model; the next job is done as if it had not been."""
    expected = await bench.layers()
    bench.updates.clear()
    loop = asyncio.get_running_loop()
    job: asyncio.Task[Any] = asyncio.create_task(bench.do(num_inference_steps=200))

    def cancel(update: dict[str, Any]) -> None:
        if update["current_step"] == "Step 2 of 200":
            loop.call_soon_threadsafe(job.cancel)

    bench.on_update = cancel
    with pytest.raises(asyncio.CancelledError):
        await job
    bench.on_update = bool
    assert await bench.layers() == expected
    told = [each["current_step"] for each in bench.updates if "of 200" in each["current_step"]]
    assert 2 <= len(told) < 20


class Watched:
    """Raises what torch raises without memory, in a frame that holds a tensor."""

    def __init__(self) -> None:
        self.tensor: weakref.ref[Any] | None = None

    def fail(self, *_: object, **__: object) -> None:
        """Takes the place of a part of the model."""
        import torch

        held = torch.zeros(1000)
        self.tensor = weakref.ref(held)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


@pytest.mark.parametrize(
    ("part", "method"),
    [
        ("text_encoder", "forward"),
        ("transformer", "forward"),
        ("vae", "_encode"),
        ("vae", "_decode"),
    ],
)
async def test_out_of_memory_asks_for_a_fresh_worker(
    bench: Bench, part: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And leaves nothing in this one: until it is replaced, it may get a job that fits."""
    expected = await bench.layers()
    watched = Watched()
    with monkeypatch.context() as patch:
        patch.setattr(getattr(bench.pipeline, part), method, watched.fail)
        output = await bench.do()
    task_id = output.pop("task_id")
    assert output == {
        "success": False,
        "error": "resource_error",
        "message": "out of memory in step 'Working'",
        "refresh_worker": True,
    }
    assert task_id
    assert watched.tensor is not None
    assert watched.tensor() is None
    assert await bench.layers() == expected


async def test_out_of_memory_in_the_decoder_leaves_no_features(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps some of its layers' outputs from one frame to the next."""
    from torch import Tensor

    vae = bench.pipeline.vae
    features: list[weakref.ref[Any]] = []
    watched = Watched()

    def fail(*_: object, **__: object) -> None:
        features.extend(weakref.ref(each) for each in vae._feat_map if isinstance(each, Tensor))
        watched.fail()

    with monkeypatch.context() as patch:
        patch.setattr(vae.decoder.conv_out, "forward", fail)
        output = await bench.do()
    assert output["refresh_worker"] is True
    assert features
    gc.collect()
    assert [each() for each in features] == [None] * len(features)
