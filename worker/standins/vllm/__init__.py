"""The stand-in for `worker-v1-vllm` from 2.24 on: its contract, with a repeater as its model.

Owns how its parts are put together. `requests` reads what was asked, `repeater` says something,
`answers` puts that into OpenAI's forms, `handler` leads through all of it (workers reference D).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.errors import SettingError
from worker.standins.vllm.handler import Handler, Model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.standins import Config

_DEFAULT_MODEL = "facebook/opt-125m"
_DEFAULT_CONCURRENCY = "30"
TOKEN_S = 0.03
"""How long a word takes: a stream is to be seen."""


def create(environ: Mapping[str, str]) -> Config:
    """Return the handler, and that it answers several jobs at once.

    Raises:
        SettingError: `MAX_CONCURRENCY` is no number.
    """
    name = environ.get("MODEL_NAME") or _DEFAULT_MODEL
    served = environ.get("OPENAI_SERVED_MODEL_NAME_OVERRIDE") or name
    concurrency = environ.get("MAX_CONCURRENCY") or _DEFAULT_CONCURRENCY
    if not concurrency.isdecimal() or int(concurrency) < 1:
        raise SettingError(f"MAX_CONCURRENCY must be a whole number above 0, not {concurrency!r}")
    handler = Handler(Model(served, root=name), TOKEN_S)
    return {
        # A bound method: the SDK looks whether it is a generator's function.
        "handler": handler.answer,
        "concurrency_modifier": lambda _current: int(concurrency),
        "return_aggregate_stream": True,
    }
