"""The local RunPod for tests: a real one, in a background thread, gone with the `with` block.

with LocalRunPodServer(tmp_path, images={"mine": WorkerCommand([...])}) as runpod:
    subprocess.run(command, env={**os.environ, **runpod.environment()})
"""

from runpodctl_py.emulator.config import Simulation, Timings, WorkerCommand
from runpodctl_py.testing.clock import FakeClock
from runpodctl_py.testing.server import LocalRunPodServer

__all__ = ["FakeClock", "LocalRunPodServer", "Simulation", "Timings", "WorkerCommand"]
