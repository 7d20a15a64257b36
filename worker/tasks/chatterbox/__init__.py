"""The task family `chatterbox`: a text becomes speech, in a built-in or an imitated voice.

Owns the family's settings. `wanted` reads jobs, `sentences` cuts texts, `voices` finds recordings,
`engine` runs the models, `audio` joins and writes, `speech` leads through all of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from worker.device import read_device
from worker.errors import SettingError
from worker.progress import find_report
from worker.service import ModelHandler
from worker.tasks import Service
from worker.tasks.chatterbox.engine import Engine
from worker.tasks.chatterbox.sources import Variant
from worker.tasks.chatterbox.speech import Chatterbox
from worker.tasks.chatterbox.voices import IMAGE_VOICES, VOLUME_VOICES, Voices

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIANT_VARIABLE = "CHATTERBOX_MODEL"
VOICES_VARIABLE = "CHATTERBOX_VOICES"


def create_service(environ: Mapping[str, str]) -> Service:
    """Return the service of this family; the model is loaded by its check.

    Raises:
        SettingError: `CHATTERBOX_MODEL`, `WORKER_DEVICE` or `WORKER_RESULT_LIMIT_MB` is wrong.
    """
    voices = Voices(voice_folders(environ))
    family = Chatterbox(Engine(read_device(environ)), voices, read_variant(environ))
    handler = ModelHandler(family, find_report(environ), environ)
    return Service(handler, handler.load_model)


def read_variant(environ: Mapping[str, str]) -> Variant:
    """Return the variant that `CHATTERBOX_MODEL` names, `english` when it is not set.

    Raises:
        SettingError: It is none.
    """
    name = environ.get(VARIANT_VARIABLE) or Variant.ENGLISH
    if name not in list(Variant):
        raise SettingError(f"{VARIANT_VARIABLE} must be one of {', '.join(Variant)}, not {name!r}")
    return Variant(name)


def voice_folders(environ: Mapping[str, str]) -> list[Path]:
    """Return where named voices lie; what `CHATTERBOX_VOICES` names comes first."""
    own = environ.get(VOICES_VARIABLE)
    return [*([Path(own)] if own else []), IMAGE_VOICES, VOLUME_VOICES]
