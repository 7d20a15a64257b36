"""From a row of the ledger's `listed` view to a record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from runpodctl_py.api.types import Policy
from runpodctl_py.jobs.ledger.database import path_out
from runpodctl_py.jobs.ledger.record import BucketPlace, Intent, Place, Record, State

if TYPE_CHECKING:
    import sqlite3


def record_of(row: sqlite3.Row) -> Record:
    """Return a job as it stands in the file, without its payload."""
    intent = Intent(
        place=Place(row["root"], bool(row["is_local"])),
        endpoint_id=row["endpoint_id"],
        payload=None,
        preset=row["preset"],
        policy=Policy(**json.loads(row["policy"])),
        webhook=row["webhook"],
        is_sync=bool(row["is_sync"]),
        output_dir=None if row["output_dir"] is None else path_out(row["output_dir"]),
        output_name=row["output_name"],
        bucket=None if row["bucket"] is None else BucketPlace(**json.loads(row["bucket"])),
        returns_object=bool(row["returns_object"]),
        parent=row["parent"],
        batch_id=row["batch_id"],
        row=row["batch_row"],
        line=row["batch_line"],
    )
    return Record(
        key=row["key"],
        intent=intent,
        state=State(row["state"]),
        job_id=row["job_id"],
        created_at=row["created_at"],
        seen_at=row["seen_at"],
        finished_at=row["finished_at"],
        saved_at=row["saved_at"],
        delay_ms=row["delay_ms"],
        execution_ms=row["execution_ms"],
        cost_usd=row["cost_usd"],
        worker_id=row["worker_id"],
        error=row["error"],
        is_payload_whole=bool(row["is_payload_whole"]),
        file_count=row["file_count"],
    )
