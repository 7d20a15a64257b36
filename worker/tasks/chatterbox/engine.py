"""The models themselves: loading them, giving them a voice, letting them speak one piece.

Owns everything that is known of the library `chatterbox` and of torch. Upstream's models remember
the last voice that they were given (workers reference 0.4): here each session sets its own, and
what it set is gone with it.
"""

from __future__ import annotations

import copy
import json
import random
import tempfile
from collections import OrderedDict
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worker.device import check_device
from worker.errors import InvalidInputError
from worker.tasks.chatterbox.sources import SOURCES, Variant, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.tasks.chatterbox.audio import Samples
    from worker.tasks.chatterbox.voices import Recording
    from worker.tasks.chatterbox.wanted import Manner, Wanted

LONGEST_SPEECH_S = 40.0
"""What the models say at most in one go: 1000 tokens, 25 a second; the rest is cut in silence."""
_KEPT_VOICES = 32
_TURBO_SHORTEST_S = 5.0


class Engine:
    """The models of one worker, each loaded when it is first needed.

    Args:
        device: `cuda` or `cpu`.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._models: dict[Variant, Any] = {}
        self._voices: OrderedDict[tuple[Variant, str], Any] = OrderedDict()

    def load(self, variant: Variant) -> None:
        """Load a variant unless it is loaded.

        Raises:
            SettingError: There is no card, or the weights are nowhere.
        """
        if variant not in self._models:
            check_device(self._device)
            source = SOURCES[variant]
            folder = fetch(variant)
            model_class = getattr(import_module(source.module), source.name)
            model = model_class.from_local(folder, self._device)
            if variant is Variant.MULTILINGUAL:
                _teach_chinese(model, folder)
            self._models[variant] = model

    @contextmanager
    def session(self, wanted: Wanted, recording: Recording | None) -> Iterator[Session]:
        """Let a model speak as one job wants it, and forget that afterwards.

        Args:
            wanted: What the job asks for.
            recording: Whose voice; None for the model's own.

        Raises:
            InvalidInputError: The recording is too short for the variant.
            SettingError: The variant cannot be loaded.
        """
        self.load(wanted.variant)
        model = self._models[wanted.variant]
        own_voice = model.conds
        try:
            voice = own_voice
            if recording is not None:
                voice = self._imitate(model, wanted.variant, recording)
            # After the voice: a job sounds the same whether its voice was known already or not.
            _seed(wanted.seed)
            yield Session(model, voice, wanted)
        finally:
            model.conds = own_voice

    def _imitate(self, model: Any, variant: Variant, recording: Recording) -> Any:
        """Return what a model makes of a recording, from memory if it has heard it before."""
        if variant is Variant.TURBO and recording.duration_s <= _TURBO_SHORTEST_S:
            raise InvalidInputError(
                f"voice is {recording.duration_s:.1f} s long; variant turbo needs more than 5 s"
            )
        key = (variant, recording.digest)
        if key not in self._voices:
            with tempfile.TemporaryDirectory(prefix="worker-voice-") as folder:
                path = Path(folder) / "voice.wav"
                recording.write_wav(path)
                model.prepare_conditionals(path)
            self._voices[key] = model.conds
            if len(self._voices) > _KEPT_VOICES:
                self._voices.popitem(last=False)
        self._voices.move_to_end(key)
        return self._voices[key]


class Session:
    """A model that speaks as one job wants it.

    Args:
        model: The library's model.
        voice: What it makes of the voice.
        wanted: What the job asks for.
    """

    def __init__(self, model: Any, voice: Any, wanted: Wanted) -> None:
        self._model = model
        self._voice = voice
        self._wanted = wanted
        self.sample_rate: int = model.sr

    def say(self, text: str) -> Samples:
        """Return the speech of one piece, mono.

        Raises:
            Exception: Whatever the library raises.
        """
        # A copy: the model replaces parts of what it is given.
        self._model.conds = copy.copy(self._voice)
        try:
            speech = self._model.generate(text, **arguments_of(self._wanted))
        finally:
            _remove_spies(self._model)
        samples: Samples = speech.squeeze(0).numpy().astype(np.float32)
        return samples


def arguments_of(wanted: Wanted) -> dict[str, Any]:
    """Return what a variant's `generate` takes; Turbo warns of what it does not heed."""
    manner: Manner = wanted.manner
    common = {
        "temperature": manner.temperature,
        "top_p": manner.top_p,
        "repetition_penalty": manner.repetition_penalty,
    }
    if wanted.variant is Variant.TURBO:
        return common
    common |= {
        "exaggeration": manner.exaggeration,
        "cfg_weight": manner.cfg_weight,
        "min_p": manner.min_p,
    }
    if wanted.variant is Variant.MULTILINGUAL:
        return {**common, "language_id": wanted.language}
    return common


def _teach_chinese(model: Any, folder: Path) -> None:
    """Give the model its table of Chinese signs, for which upstream looks in a cache of its own."""
    converter = model.tokenizer.cangjie_converter
    for entry in json.loads((folder / "Cangjie5_TC.json").read_text("utf-8")):
        word, code = entry.split("\t")[:2]
        converter.word2cj[word] = code
        converter.cj2word.setdefault(code, []).append(word)


def _remove_spies(model: Any) -> None:
    """Remove what the multilingual model hangs on its layers with each piece, and never takes off.

    Each of them copies a layer's attention off the card at every token.
    """
    for layer in getattr(model.t3.tfmr, "layers", ()):
        layer.self_attn._forward_hooks.clear()  # noqa: SLF001 - the library keeps no handles.


def _seed(seed: int) -> None:
    """Make what follows repeatable: the library takes no seed, and draws from all of these."""
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the library draws from this one.
    torch.manual_seed(seed)
    torch.cuda.manual_seed_all(seed)
