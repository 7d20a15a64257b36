"""The task family `qwen-layered`: takes a picture apart into transparent layers.

Owns how its parts are put together, and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.device import read_device
from worker.progress import find_report
from worker.service import ModelHandler
from worker.tasks import Service
from worker.tasks.qwen_layered.checkpoint import Checkpoint
from worker.tasks.qwen_layered.engine import Engine
from worker.tasks.qwen_layered.family import QwenLayered
from worker.tasks.qwen_layered.precision import read_precision

if TYPE_CHECKING:
    from collections.abc import Mapping


def create_service(environ: Mapping[str, str]) -> Service:
    """Return the handler whose model is loaded by the check, before the first job.

    Raises:
        SettingError: A setting is wrong.
    """
    checkpoint = Checkpoint.of(environ)
    device = read_device(environ)
    precision = read_precision(environ, device)
    engine = Engine(lambda: checkpoint.load(device, precision))
    handler = ModelHandler(QwenLayered(engine), find_report(environ), environ)
    return Service(handler, handler.load_model)
