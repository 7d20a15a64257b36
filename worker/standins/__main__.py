"""`python -m worker.standins NAME`: starts the SDK with a stand-in's handler.

Owns the process: its argument, its first words, and how it refuses to start. `WORKER_TASK` does not
matter: the templates of the real images set it for themselves.
"""

from __future__ import annotations

import os
import sys

from worker.errors import SettingError
from worker.standins import STAND_INS, introduce, load


def main() -> None:
    """Start the stand-in; what is wrong ends the process with exit code 1 and one line."""
    # The SDK reads what remains.
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    try:
        config = load(name, os.environ)
    except SettingError as error:
        sys.exit(f"worker: {error}")
    # The first line of its log, before the SDK's.
    sys.stdout.write(f"{introduce(STAND_INS[name])}\n")
    from runpod import serverless

    serverless.start(config)


if __name__ == "__main__":
    main()
