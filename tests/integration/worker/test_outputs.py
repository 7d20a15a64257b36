"""What the workers return is found and named by our own client, as files and as links."""

from __future__ import annotations

import pytest

from runpodctl_py.jobs.outputs import read_output
from worker.delivery import Content, FinishedFile

LINK = "https://bucket.example.com/job-1/{}?X-Amz-Signature=hush"
SPEECH = {"sample_rate": 24000, "duration_s": 2.4, "format": "wav", "filename": "speech_1.wav"}
LAYERS = {"size": [736, 544], "seed": 7, "layer_count": 2}


def link_to(name: str) -> Content:
    """What a file becomes that an answer cannot hold."""
    file = FinishedFile(name, "", b"", "")
    return Content(LINK.format(file.filename), is_link=True)


@pytest.mark.parametrize(
    ("key", "name", "siblings"),
    [
        ("audio", "speech_1.wav", {**SPEECH, "content_type": "audio/wav"}),
        ("package", "layers.psd", {**LAYERS, "filename": "layers.psd"}),
        ("package", "layers.zip", {**LAYERS, "filename": "layers.zip"}),
    ],
)
def test_a_link_instead_of_a_file_is_found(
    key: str, name: str, siblings: dict[str, object]
) -> None:
    """Under its own name."""
    content = link_to(name)
    reading = read_output({content.key(key): content.text, **siblings})  # type: ignore[dict-item]
    assert [each.name for each in reading.files] == [name]
    assert reading.warnings == ()


def test_links_instead_of_layers_are_found() -> None:
    """Each under its own name."""
    names = ["layer_00.png", "layer_01.png"]
    reading = read_output({"layers": [link_to(name).text for name in names], "seed": 7})
    assert [each.name for each in reading.files] == names
