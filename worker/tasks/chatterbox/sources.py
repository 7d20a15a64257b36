"""Which models there are, and where their weights come from.

`python sources.py VARIANT …` fetches them: the Dockerfile does so while it builds, with nothing of
this family but this file, so that a changed line elsewhere does not fetch them again.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from worker.errors import WeightsError
from worker.weights import find_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class Variant(StrEnum):
    """The models of the family."""

    ENGLISH = "english"
    MULTILINGUAL = "multilingual"
    TURBO = "turbo"


@dataclass(frozen=True)
class Source:
    """Where a variant comes from.

    Attributes:
        repo: Its repository on Hugging Face; it holds more than the variant needs.
        files: What its class reads, all of which must be there.
        others: More patterns of what is fetched.
        module: Where its class is.
        name: Its class.
    """

    repo: str
    files: tuple[str, ...]
    module: str
    name: str
    others: tuple[str, ...] = ()


SOURCES: Mapping[Variant, Source] = MappingProxyType(
    {
        Variant.ENGLISH: Source(
            "ResembleAI/chatterbox",
            (
                *("ve.safetensors", "t3_cfg.safetensors", "s3gen.safetensors"),
                *("tokenizer.json", "conds.pt"),
            ),
            "chatterbox.tts",
            "ChatterboxTTS",
        ),
        Variant.MULTILINGUAL: Source(
            "ResembleAI/chatterbox",
            (
                *("ve.pt", "t3_mtl23ls_v2.safetensors", "s3gen.pt", "conds.pt"),
                *("grapheme_mtl_merged_expanded_v1.json", "Cangjie5_TC.json"),
            ),
            "chatterbox.mtl_tts",
            "ChatterboxMultilingualTTS",
        ),
        Variant.TURBO: Source(
            "ResembleAI/chatterbox-turbo",
            (
                *("ve.safetensors", "t3_turbo_v1.safetensors", "s3gen_meanflow.safetensors"),
                *("conds.pt", "tokenizer_config.json"),
            ),
            "chatterbox.tts_turbo",
            "ChatterboxTurboTTS",
            others=("*.json", "*.txt"),
        ),
    }
)


def fetch(variant: Variant) -> Path:
    """Return the folder with a variant's weights, after they were downloaded if need be.

    Raises:
        WeightsError: They are nowhere, and cannot be fetched.
    """
    source = SOURCES[variant]
    if variant is Variant.MULTILINGUAL:
        _fetch_segmenter()
    return find_weights(source.repo, source.files, patterns=(*source.files, *source.others))


def _fetch_segmenter() -> None:
    """Make sure of what divides Chinese into words; upstream downloads it whenever it loads."""
    try:
        from spacy_pkuseg import pkuseg
    except ImportError:
        return  # Upstream does without, and Chinese sounds worse.
    try:
        pkuseg()
    except OSError as error:  # requests' errors, too.
        raise WeightsError(
            "the model of spacy_pkuseg, which variant multilingual loads, is not in PKUSEG_HOME "
            f"and cannot be fetched: {type(error).__name__}"
        ) from error


def main(names: Sequence[str]) -> None:
    """Fetch the weights of some variants; what is wrong ends the process in one line.

    With what multilingual needs besides: an image without its weights may find them on a volume.
    """
    try:
        _fetch_segmenter()
        for name in names:
            fetch(Variant(name))
    except (ValueError, WeightsError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
