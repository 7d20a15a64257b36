"""The local RunPod: the control plane, the job API and real workers on one port of this machine.

It is written from RunPod's documented behaviour and shares no code with this package's own
client, so that neither can hide the other's mistake. Linux and macOS only: importing any part of
it elsewhere raises `EmulatorError`.
"""

import sys

from runpodctl_py.errors import EmulatorError

if sys.platform == "win32":
    raise EmulatorError(
        "the local RunPod runs on Linux and macOS only",
        hint="on Windows, use it inside WSL",
    )
