"""A worker that does what its job's input says, for better or worse."""

from __future__ import annotations

import base64
import os
import sys
import time
from pathlib import Path
from typing import Any

import runpod


def handler(job: dict[str, Any]) -> Any:
    """Do one of the things that workers in the wild do."""
    asked = job["input"]
    match asked["do"]:
        case "return":
            return asked["output"]
        case "return bytes":
            return {"images": [base64.b64encode(b"\x89PNG\r\n\x1a\n" * asked["times"]).decode()]}
        case "return text":
            return {"text": asked["text"] * asked["times"]}
        case "print":
            sys.stdout.writelines(f"{asked['text']} {n}\n" for n in range(asked["times"]))
            sys.stdout.flush()
            return "It was printed."
        case "read":
            # It fails until the test has put the file there.
            return Path(asked["file"]).read_text()
        case "raise":
            raise ValueError(asked["message"] * asked.get("times", 1))
        case "die":
            os._exit(3)
        case "wait for":
            # The job ends when the test says so, and not a moment earlier.
            while not Path(asked["file"]).exists():
                time.sleep(0.02)
            return "It was there."
        case _:
            raise KeyError(asked["do"])


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
