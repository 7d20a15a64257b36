"""What the command line does for `local up`: runs an emulator on a folder."""

import asyncio
import sys
from pathlib import Path

from runpodctl_py.emulator.config import EmulatorConfig, WorkerCommand
from runpodctl_py.emulator.daemon import Announcement, run_until_stopped
from runpodctl_py.errors import RunpodctlError


def ready(_announcement: Announcement) -> None:
    """Tells whoever waits."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()


HANDLER = """import pathlib, time, runpod
def handler(job):
    task = job["input"] if isinstance(job["input"], dict) else {}
    time.sleep(task.get("sleep_s", 0))
    if "runs" in task:
        with open(task["runs"], "a") as runs:
            runs.write(job["id"] + chr(10))
        while not pathlib.Path(task["until"]).exists():
            time.sleep(0.01)
    return job["input"]
runpod.serverless.start({"handler": handler})"""

echo = WorkerCommand([sys.executable, "-u", "-c", HANDLER])
config = EmulatorConfig(Path(sys.argv[1]), images={"echo": echo})
try:
    asyncio.run(
        run_until_stopped(config, until_unused="--until-unused" in sys.argv, on_ready=ready)
    )
except RunpodctlError as error:
    sys.exit(error.message)
