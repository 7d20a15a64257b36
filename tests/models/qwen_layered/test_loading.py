from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from worker.errors import SettingError, WeightsError
from worker.tasks import load_service
from worker.tasks.qwen_layered.checkpoint import Checkpoint, load_pipeline
from worker.tasks.qwen_layered.precision import Placement, Precision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Bench

    LookInto = Callable[[Path], None]

pytestmark = [
    pytest.mark.models,
    pytest.mark.usefixtures("_small_layers"),
]


@pytest.fixture
def folder(cache: Path) -> Path:
    """The snapshot in the cache."""
    return next(cache.glob("models--*/snapshots/*"))


@pytest.fixture
def _without_a_card(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Diffusers takes bitsandbytes without a GPU, as bitsandbytes itself does."""
    from diffusers.quantizers.bitsandbytes.bnb_quantizer import BnB4BitDiffusersQuantizer

    monkeypatch.setattr(BnB4BitDiffusersQuantizer, "validate_environment", lambda *_, **__: None)
    monkeypatch.setattr(BnB4BitDiffusersQuantizer, "update_device_map", lambda *_: {"": "cpu"})


def load(folder: Path, precision: Precision, *, offloads: bool = False) -> Any:
    """Loads the pipeline on the processor."""
    return load_pipeline(folder, "cpu", Placement(precision, offloads=offloads))


def weights(pipeline: Any) -> tuple[Any, Any]:
    """Returns a weight of the transformer and one of the text encoder."""
    return (
        pipeline.transformer.transformer_blocks[0].attn.to_q.weight,
        pipeline.text_encoder.model.language_model.layers[0].mlp.up_proj.weight,
    )


def test_the_official_model_is_loaded_from_the_cache(pipeline: Any, cache: Path) -> None:
    """All six parts, of the classes of the real checkpoint, in float32 on the processor."""
    assert len([*cache.glob("models--*/snapshots/*/transformer/*-of-*.safetensors")]) > 1
    parts = {name: type(part).__name__ for name, part in pipeline.components.items()}
    assert parts == {
        "processor": "Qwen2VLProcessor",
        "scheduler": "FlowMatchEulerDiscreteScheduler",
        "text_encoder": "Qwen2_5_VLForConditionalGeneration",
        "tokenizer": "Qwen2Tokenizer",
        "transformer": "QwenImageTransformer2DModel",
        "vae": "AutoencoderKLQwenImage",
    }
    assert {str(each.dtype) for each in weights(pipeline)} == {"torch.float32"}


def test_the_check_loads_the_model(look_into: LookInto, cache: Path) -> None:
    """It is the SDK's fitness check; a second one finds it loaded."""
    look_into(cache)
    service = load_service({"WORKER_TASK": "qwen-layered", "WORKER_DEVICE": "cpu"})
    assert service.check is not None
    service.check()
    look_into(cache / "nothing")
    service.check()


def test_weights_that_are_nowhere(look_into: LookInto, tmp_path: Path) -> None:
    """The check fails with the places that were looked into, and the worker is unhealthy."""
    look_into(tmp_path)
    service = load_service({"WORKER_TASK": "qwen-layered", "WORKER_DEVICE": "cpu"})
    assert service.check is not None
    with pytest.raises(WeightsError, match=r"^Qwen/Qwen-Image-Layered is in none of /"):
        service.check()


def test_a_card_that_is_not_there() -> None:
    """The check fails before anything is loaded: no worker takes hours on its processor."""
    service = load_service({"WORKER_TASK": "qwen-layered"})
    assert service.check is not None
    with pytest.raises(SettingError, match=r"no GPU that torch .* can use"):
        service.check()


def test_broken_weights(look_into: LookInto, cache: Path, tmp_path: Path) -> None:
    """The check fails, rather than each job."""
    shutil.copytree(cache, tmp_path / "hub")
    broken = next((tmp_path / "hub").glob("models--*/snapshots/*/vae/*.safetensors"))
    broken.write_bytes(broken.read_bytes()[:1000])
    look_into(tmp_path / "hub")
    with pytest.raises(Exception, match=r"(?i)safetensors|header|incomplete"):
        Checkpoint.of({}).load("cpu", None)


@pytest.mark.anyio
async def test_bfloat16(folder: Path, bench: Bench) -> None:
    """What the big cards run."""
    expected = await bench.layers(num_inference_steps=2)
    bench.pipeline = load(folder, Precision.BF16)
    assert {str(each.dtype) for each in weights(bench.pipeline)} == {"torch.bfloat16"}
    assert difference(await bench.layers(num_inference_steps=2), expected) < 8


@pytest.mark.anyio
async def test_float8(folder: Path, bench: Bench) -> None:
    """The transformer's weights take a byte each, the text encoder's two."""
    expected = await bench.layers(num_inference_steps=2)
    bench.pipeline = load(folder, Precision.FP8)
    transformer, text_encoder = weights(bench.pipeline)
    assert (type(transformer).__name__, str(transformer.qdata.dtype)) == (
        "Float8Tensor",
        "torch.float8_e4m3fn",
    )
    assert (type(text_encoder).__name__, str(text_encoder.dtype)) == (
        "Parameter",
        "torch.bfloat16",
    )
    assert difference(await bench.layers(num_inference_steps=2), expected) < 16


@pytest.mark.anyio
@pytest.mark.usefixtures("_without_a_card")
async def test_four_bits(folder: Path, bench: Bench) -> None:
    """Of the transformer and of the text encoder, two weights in a byte."""
    expected = await bench.layers(num_inference_steps=2)
    bench.pipeline = load(folder, Precision.BNB4)
    for each in weights(bench.pipeline):
        assert (type(each).__name__, str(each.dtype)) == ("Params4bit", "torch.uint8")
        assert each.quant_state.quant_type == "nf4"
    assert difference(await bench.layers(num_inference_steps=2), expected) < 32


@pytest.mark.anyio
@pytest.mark.usefixtures("_without_a_card")
@pytest.mark.parametrize("precision", [Precision.BF16, Precision.FP8, Precision.BNB4])
async def test_offloading(folder: Path, bench: Bench, precision: Precision) -> None:
    """The parts come and go by accelerate's hooks, also after a job that failed half-way."""
    bench.pipeline = load(folder, precision)
    expected = await bench.layers()
    bench.pipeline = load(folder, precision, offloads=True)
    hooked = ("text_encoder", "transformer", "vae")
    assert all(hasattr(getattr(bench.pipeline, each), "_hf_hook") for each in hooked)
    assert bench.pipeline.vae.use_tiling
    assert await bench.layers() == expected

    def fail(update: dict[str, Any]) -> None:
        if update["current_step"] == "Step 1 of 3":
            raise MemoryError

    bench.on_update = fail
    hooks = bench.pipeline._all_hooks
    assert (await bench.do())["error"] == "resource_error"
    bench.on_update = bool
    # All parts were sent back to wait, which sets the hooks anew.
    assert bench.pipeline._all_hooks is not hooks
    assert await bench.layers() == expected


@pytest.mark.anyio
async def test_what_was_quantised_before_is_taken_as_it_is(
    folder: Path, bench: Bench, tmp_path: Path
) -> None:
    """As in a repository that `QWEN_MODEL` names; its numbers are not rounded twice."""
    bench.pipeline = load(folder, Precision.FP8)
    expected = await bench.layers()
    bench.pipeline.save_pretrained(tmp_path / "saved")
    bench.pipeline = load(tmp_path / "saved", Precision.FP8)
    assert type(weights(bench.pipeline)[0]).__name__ == "Float8Tensor"
    assert await bench.layers() == expected


def difference(layers: list[bytes], expected: list[bytes]) -> float:
    """Returns how far two results are apart, per channel on average, of 255."""
    import numpy as np

    both = [np.frombuffer(b"".join(each), np.uint8).astype(int) for each in (layers, expected)]
    return float(np.abs(both[0] - both[1]).mean())
