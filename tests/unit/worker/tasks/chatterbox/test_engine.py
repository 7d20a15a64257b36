"""What the engine knows of the library, as far as it can be said without it."""

from __future__ import annotations

import pytest

from worker.tasks.chatterbox.engine import arguments_of
from worker.tasks.chatterbox.sources import Variant
from worker.tasks.chatterbox.wanted import Wanted

FIELDS = {
    "exaggeration": 0.7,
    "cfg_weight": 0.3,
    "temperature": 1.1,
    "min_p": 0.1,
    "top_p": 0.9,
    "repetition_penalty": 1.5,
}


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
