from __future__ import annotations

import io
import logging
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from psd_tools import PSDImage

from worker.tasks.qwen_layered.package import PACKAGES, pack_psd, pack_zip, save_pngs

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZE = (48, 32)


def draw_layers(count: int) -> list[Image.Image]:
    """Returns layers of noise with every degree of transparency, the first one opaque."""
    noise = np.random.default_rng(seed=5).integers(0, 256, (count, *SIZE[::-1], 4), np.uint8)
    noise[0, ..., 3] = 255
    return [Image.fromarray(each) for each in noise]


def merge(layers: Sequence[Image.Image]) -> Image.Image:
    """Returns what is seen of all layers together."""
    seen = Image.new("RGBA", layers[0].size)
    for layer in layers:
        seen = Image.alpha_composite(seen, layer)
    return seen


def test_each_layer_becomes_a_png() -> None:
    """Numbered from the bottom, with each pixel as it was."""
    layers = draw_layers(3)
    files = save_pngs(layers)
    assert [each.filename for each in files] == ["layer_00.png", "layer_01.png", "layer_02.png"]
    assert {each.content_type for each in files} == {"image/png"}
    read = [Image.open(io.BytesIO(each.data)) for each in files]
    assert [(each.format, each.mode) for each in read] == [("PNG", "RGBA")] * 3
    assert [each.tobytes() for each in read] == [each.tobytes() for each in layers]


def test_a_zip_holds_the_pngs() -> None:
    """The same bytes, in the same order."""
    layers = draw_layers(10)
    file = pack_zip(layers)
    assert (file.filename, file.content_type) == ("layers.zip", "application/zip")
    with zipfile.ZipFile(io.BytesIO(file.data)) as archive:
        assert archive.testzip() is None
        held = [(each, archive.read(each)) for each in archive.namelist()]
    assert held == [(each.filename, each.data) for each in save_pngs(layers)]


def test_a_psd_holds_the_layers() -> None:
    """As pixel layers, bottom first, with each pixel as it was."""
    layers = draw_layers(4)
    file = pack_psd(layers)
    assert (file.filename, file.content_type) == ("layers.psd", "image/vnd.adobe.photoshop")
    document = PSDImage.open(io.BytesIO(file.data))
    assert document.size == SIZE
    assert [(each.kind, each.name) for each in document] == [
        ("pixel", f"layer_0{number}") for number in range(4)
    ]
    pixels = [each.topil() for each in document]
    assert [each and each.tobytes() for each in pixels] == [each.tobytes() for each in layers]


def test_a_psd_shows_its_layers_together() -> None:
    """Programs that read no layers, as Pillow, show the merged picture."""
    layers = draw_layers(4)
    with Image.open(io.BytesIO(pack_psd(layers).data)) as picture:
        assert (picture.format, picture.mode) == ("PSD", "RGBA")
        assert picture.tobytes() == merge(layers).tobytes()


def test_a_psd_keeps_what_is_transparent_in_all_layers() -> None:
    """Its merged picture has the transparency, and white under it, as Photoshop's own."""
    layers = draw_layers(3)[1:]
    file = pack_psd(layers).data
    seen = merge(layers)
    white = Image.new("RGBA", SIZE, "white")
    with Image.open(io.BytesIO(file)) as picture:
        assert picture.getchannel("A").tobytes() == seen.getchannel("A").tobytes()
        on_white = Image.alpha_composite(white, seen).convert("RGB")
        assert picture.convert("RGB").tobytes() == on_white.tobytes()
    read = PSDImage.open(io.BytesIO(file)).topil()
    assert read is not None
    # The white is taken away again on reading.
    difference = np.abs(
        np.asarray(Image.alpha_composite(white, read), int)
        - np.asarray(Image.alpha_composite(white, seen), int)
    )
    assert difference.max() <= 2


@pytest.mark.parametrize("kind", ["psd", "zip"])
def test_packing_is_repeatable_and_quiet(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """The same layers give the same bytes, and nothing to log."""
    with caplog.at_level(logging.WARNING):
        first, second = (PACKAGES[kind](draw_layers(2)).data for _ in range(2))
    assert first == second
    assert caplog.records == []
