"""`python -m worker`: picks the task family by `WORKER_TASK` and starts the SDK with its handler.

Owns the process: its settings and how it refuses to start. The SDK reads its own arguments
(`--test_input`, `--rp_serve_api`, API reference 5.11).
"""

from __future__ import annotations

import os
import sys

from worker.errors import SettingError
from worker.tasks import load_service


def main() -> None:
    """Start the worker; a wrong setting ends the process with exit code 1 and one clear line."""
    try:
        service = load_service(os.environ)
    except SettingError as error:
        sys.exit(f"worker: {error}")
    # The SDK takes more than a second to import: a wrong setting is told before that.
    from runpod import serverless

    if service.check is not None:
        serverless.register_fitness_check(service.check)
    serverless.start({"handler": service.handler})


if __name__ == "__main__":
    main()
