"""Names pictures as ComfyUI does, and hands them over as worker-comfyui does.

Owns the counters, which go on as long as the worker lives, and the choice between base64 and the
worker's bucket.
"""

from __future__ import annotations

import base64
import posixpath
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from worker.standins.comfyui.errors import NodeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.standins.comfyui.workflow import Node, Workflow

_DEFAULT_PREFIX = "ComfyUI"


class Names:
    """The names that are given; an object lives as long as its worker."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def prefix(self, workflow: Workflow, output: Node) -> str:
        """Return where an output's pictures go, and how their names begin.

        Raises:
            NodeError: That is outside the output folder.
        """
        given = workflow.value(output, "filename_prefix")
        prefix = given if isinstance(given, str) and given else _DEFAULT_PREFIX
        for word, value in _now(workflow.size(output)).items():
            prefix = prefix.replace(word, value)
        path = posixpath.normpath(prefix)
        if path.startswith(("/", "..")):
            raise NodeError(
                output.kind, output.id, "Saving image outside the output folder is not allowed."
            )
        return path

    def name(self, prefix: str, number: int) -> str:
        """Return the next file's name, without its folder.

        Args:
            prefix: Where it goes, and how it begins.
            number: Which of its batch it is, from 0.
        """
        self._counts[prefix] += 1
        stem = posixpath.basename(prefix).replace("%batch_num%", str(number))
        return f"{stem}_{self._counts[prefix]:05}_.png"


def hand_over(
    job_id: str, filename: str, data: bytes, environ: Mapping[str, str]
) -> dict[str, str]:
    """Return a picture as the output has it: as base64, or as a link if the worker has a bucket.

    Raises:
        Exception: Whatever the SDK's upload raises.
    """
    if not environ.get("BUCKET_ENDPOINT_URL"):
        encoded = base64.b64encode(data).decode("ascii")
        return {"filename": filename, "type": "base64", "data": encoded}
    from runpod.serverless.utils import rp_upload

    with tempfile.TemporaryDirectory(prefix="worker-upload-") as folder:
        path = Path(folder) / "picture.png"
        path.write_bytes(data)
        # As the real one calls it: a name of 8 characters below the job's id, in a bucket that is
        # called after the month.
        url: str = rp_upload.upload_image(job_id, str(path))
    return {"filename": filename, "type": "s3_url", "data": url}


def _now(size: tuple[int, int] | None) -> dict[str, str]:
    now = time.localtime()
    width, height = size or (0, 0)
    return {
        "%width%": str(width),
        "%height%": str(height),
        "%year%": str(now.tm_year),
        "%month%": f"{now.tm_mon:02}",
        "%day%": f"{now.tm_mday:02}",
        "%hour%": f"{now.tm_hour:02}",
        "%minute%": f"{now.tm_min:02}",
        "%second%": f"{now.tm_sec:02}",
    }
