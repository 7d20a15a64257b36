"""The note beside a job's files: what was asked, what came back, what it cost.

Owns its form, and that large data which is in the files anyway is not in it (`masking.py`: nor are
secrets).
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING

from runpodctl_py.errors import SaveError
from runpodctl_py.jobs.landing import Draft
from runpodctl_py.jobs.masking import masked, masked_text
from runpodctl_py.jobs.naming import MANIFEST_SUFFIX, safe_name
from runpodctl_py.jobs.save import SavedFile, reason

if TYPE_CHECKING:
    from pathlib import Path

    from runpodctl_py.jsontypes import JsonObject, JsonValue

_LONGEST_STRING_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is known of a finished job.

    Args:
        job_id: RunPod's id.
        endpoint_id: Where it ran.
        preset: What the endpoint was set up from, if we know.
        status: Its final status, as RunPod writes it.
        input: What it was sent.
        submitted_at: When we sent it; with a time zone.
        finished_at: When we saw it final; with a time zone.
        delay_ms: How long it waited for a worker.
        execution_ms: How long a worker worked on it.
        cost_usd: What that cost, as far as we can tell.
        worker_id: The worker that did it.
        files: What was saved.
        warnings: What a person should know.
        error: Why it failed, if it did.
    """

    job_id: str
    endpoint_id: str
    status: str
    input: JsonValue
    preset: str | None = None
    submitted_at: datetime | None = None
    finished_at: datetime | None = None
    delay_ms: int | None = None
    execution_ms: int | None = None
    cost_usd: float | None = None
    worker_id: str | None = None
    files: tuple[SavedFile, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str | None = None


def write_manifest(directory: Path, manifest: Manifest) -> Path:
    """Write `JOB_ID.job.json` into a folder, in place of an earlier one of the same job.

    Strings of more than 4 KiB in the input are replaced by their SHA-256 and size; values under
    keys that name secrets, RunPod's API keys and the signatures of presigned URLs by `***`.

    Returns:
        Where it is.

    Raises:
        SaveError: It cannot be written; an earlier one is untouched.
    """
    name = f"{safe_name(manifest.job_id, default='job')[:100]}{MANIFEST_SUFFIX}"
    text = json.dumps(_as_json(manifest, directory), indent=2, ensure_ascii=False)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with Draft(directory, name) as draft:
            draft.write(f"{text}\n".encode(errors="replace"))
            return draft.replace(name)
    except OSError as exc:
        raise SaveError(
            f"the manifest {directory / name} cannot be written: {reason(exc)}",
            job_id=manifest.job_id,
        ) from exc


def _as_json(manifest: Manifest, directory: Path) -> JsonObject:
    return {
        "job_id": manifest.job_id,
        "endpoint_id": manifest.endpoint_id,
        "preset": manifest.preset,
        "status": manifest.status,
        "input": masked(manifest.input, _shortened),
        "submitted_at": _utc(manifest.submitted_at),
        "finished_at": _utc(manifest.finished_at),
        "delay_ms": manifest.delay_ms,
        "execution_ms": manifest.execution_ms,
        "cost_usd": manifest.cost_usd,
        "worker_id": manifest.worker_id,
        "files": [
            {
                "path": PurePath(os.path.relpath(file.path, directory)).as_posix(),
                "bytes": file.size_bytes,
                "sha256": file.sha256,
                "content_type": file.content_type,
            }
            for file in manifest.files
        ],
        "warnings": [masked_text(text) for text in manifest.warnings],
        "error": None if manifest.error is None else masked_text(manifest.error),
    }


def _shortened(text: str) -> JsonValue:
    # No character takes more than four bytes: most strings need no copy to be measured.
    if len(text) * 4 > _LONGEST_STRING_BYTES:
        encoded = text.encode(errors="replace")
        if len(encoded) > _LONGEST_STRING_BYTES:
            return {"sha256": hashlib.sha256(encoded).hexdigest(), "bytes": len(encoded)}
    return masked_text(text)


def _utc(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
