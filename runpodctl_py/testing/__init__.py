"""The local RunPod for tests: a real one, in a background thread, gone with the `with` block.

with LocalRunPodServer(tmp_path, images={"mine": WorkerCommand([...])}) as runpod:
    subprocess.run(command, env={**os.environ, **runpod.environment()})

For pytest there are fixtures around it (`plugin.py`), which are there wherever this package is.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runpodctl_py.emulator.config import Simulation, Timings, WorkerCommand
    from runpodctl_py.testing.clock import FakeClock
    from runpodctl_py.testing.endpoint import LocalEndpoint
    from runpodctl_py.testing.plugin import ServesHandlers
    from runpodctl_py.testing.replay import ReplayServer
    from runpodctl_py.testing.server import LocalRunPodServer
    from runpodctl_py.testing.virtual_time import VirtualTime

__all__ = [
    "FakeClock",
    "LocalEndpoint",
    "LocalRunPodServer",
    "ReplayServer",
    "ServesHandlers",
    "Simulation",
    "Timings",
    "VirtualTime",
    "WorkerCommand",
]

_MODULES = {
    "FakeClock": "runpodctl_py.testing.clock",
    "LocalEndpoint": "runpodctl_py.testing.endpoint",
    "LocalRunPodServer": "runpodctl_py.testing.server",
    "ReplayServer": "runpodctl_py.testing.replay",
    "ServesHandlers": "runpodctl_py.testing.plugin",
    "Simulation": "runpodctl_py.emulator.config",
    "Timings": "runpodctl_py.emulator.config",
    "VirtualTime": "runpodctl_py.testing.virtual_time",
    "WorkerCommand": "runpodctl_py.emulator.config",
}


def __getattr__(name: str) -> Any:
    """Imports what is asked for only then: the plugin is loaded in every run of pytest."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
