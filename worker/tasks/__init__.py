"""The task families that an image may be built for, by the value of `WORKER_TASK`.

Owns the choice only. A family is a module with `create_service(environ)`; it is imported when it is
chosen, so that one family's heavy libraries never have to exist in another's image.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any

from worker.errors import SettingError

TASK_VARIABLE = "WORKER_TASK"
DEFAULT_FAMILY = "test"
FAMILIES: Mapping[str, str] = MappingProxyType(
    {
        "test": "worker.tasks.test",
        "chatterbox": "worker.tasks.chatterbox",
        "qwen-layered": "worker.tasks.qwen_layered",
    }
)

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(frozen=True)
class Service:
    """What the SDK is given.

    Attributes:
        handler: Answers jobs.
        check: Makes the worker ready for jobs, and raises when it cannot be: the SDK then tells
            RunPod that the worker is unhealthy, and ends it (API reference 5.8).
    """

    handler: Handler
    check: Callable[[], None] | None = None


def load_service(environ: Mapping[str, str]) -> Service:
    """Return the service of the family that `WORKER_TASK` names, `test` when it is not set.

    Raises:
        SettingError: No such family, or a setting of the family is wrong.
    """
    name = environ.get(TASK_VARIABLE, DEFAULT_FAMILY)
    module = FAMILIES.get(name)
    if module is None:
        raise SettingError(f"{TASK_VARIABLE} must be one of {', '.join(FAMILIES)}, not {name!r}")
    service: Service = import_module(module).create_service(environ)
    return service
