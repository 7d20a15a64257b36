"""What the engine knows of the library, as far as it can be said without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from worker.tasks.chatterbox import voice_folders
from worker.tasks.chatterbox.engine import arguments_of
from worker.tasks.chatterbox.sources import Variant
from worker.tasks.chatterbox.voices import IMAGE_VOICES, VOLUME_VOICES, Voices
from worker.tasks.chatterbox.wanted import Wanted

if TYPE_CHECKING:
    from pathlib import Path

FIELDS = {
    "exaggeration": 0.7,
    "cfg_weight": 0.3,
    "temperature": 1.1,
    "min_p": 0.1,
    "top_p": 0.9,
    "repetition_penalty": 1.5,
}


def test_a_folder_of_ones_own_has_voices(tmp_path: Path) -> None:
    """`CHATTERBOX_VOICES` comes before the image's and the volume's."""
    (tmp_path / "ada.wav").touch()
    places = voice_folders({"CHATTERBOX_VOICES": str(tmp_path)})
    assert places == [tmp_path, IMAGE_VOICES, VOLUME_VOICES]
    assert voice_folders({}) == [IMAGE_VOICES, VOLUME_VOICES]
    assert Voices(places).names() == ["ada"]


@pytest.mark.parametrize(
    ("variant", "left_out", "added"),
    [
        (Variant.ENGLISH, set(), {}),
        (Variant.MULTILINGUAL, set(), {"language_id": "de"}),
        # It warns of them, and heeds none.
        (Variant.TURBO, {"exaggeration", "cfg_weight", "min_p"}, {}),
    ],
)
def test_what_a_job_wants_reaches_the_model(
    variant: Variant, left_out: set[str], added: dict[str, str]
) -> None:
    """All that the variant heeds, as it was asked for."""
    language = {"language": "de"} if variant is Variant.MULTILINGUAL else {}
    job = {"input": {"text": "Hello", **FIELDS, **language}}
    expected = {key: value for key, value in FIELDS.items() if key not in left_out} | added
    assert expected == arguments_of(Wanted.parse(job, variant))
