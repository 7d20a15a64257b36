"""How jobs of the ledger look: a row, a page, a JSON document, a line of CSV."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from runpodctl_py.cli.durations import ago_text, utc_text
from runpodctl_py.cli.output import Column, bytes_text, seconds_text, usd_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runpodctl_py.cli.output import Output
    from runpodctl_py.jobs.ledger import Deployment, Ledger, Record
    from runpodctl_py.jsontypes import JsonObject, JsonValue

_COLUMNS = (
    Column("id"),
    Column("preset"),
    Column("state"),
    Column("queued", is_number=True),
    Column("ran", is_number=True),
    Column("cost", is_number=True),
    Column("files", is_number=True),
    Column("when"),
    Column(""),
)
COLUMN_NAMES = (
    *("id", "key", "state", "endpoint_id", "preset", "local", "batch", "parent"),
    *("created_at", "seen_at", "finished_at", "saved_at", "delay_ms", "execution_ms"),
    *("cost_usd", "worker_id", "files", "error"),
)
"""The keys of `record_document`, in its order."""
_LONGEST_REMARK = 60
_LONGEST_INPUT = 200


def show_list(output: Output, records: Sequence[Record]) -> None:
    """Print jobs as a table, or as one JSON document."""
    now = time.time()
    rows = [_row(each, now) for each in records]
    output.table(_COLUMNS, rows, [record_document(each) for each in records])


def record_document(record: Record) -> JsonObject:
    """Return a job as a JSON document; its keys are a promise to scripts."""
    intent = record.intent
    return {
        "id": record.job_id,
        "key": record.key,
        "state": record.state.value,
        "endpoint_id": intent.endpoint_id,
        "preset": intent.preset,
        "local": intent.place.is_local,
        "batch": intent.batch_id,
        "parent": intent.parent,
        "created_at": utc_text(record.created_at),
        "seen_at": utc_text(record.seen_at),
        "finished_at": utc_text(record.finished_at),
        "saved_at": utc_text(record.saved_at),
        "delay_ms": record.delay_ms,
        "execution_ms": record.execution_ms,
        "cost_usd": record.cost_usd,
        "worker_id": record.worker_id,
        "files": record.file_count,
        "error": record.error,
    }


def whole_document(ledger: Ledger, record: Record) -> JsonObject:
    """Return all that the ledger knows of a job."""
    files: list[JsonValue] = [
        {
            "path": str(each.path),
            "bytes": each.size_bytes,
            "sha256": each.sha256,
            "content_type": each.content_type,
            "there": each.path.exists(),
        }
        for each in ledger.files(record.key)
    ]
    states: list[JsonValue] = [
        {"state": each.state.value, "at": utc_text(each.at)}
        for each in ledger.sightings(record.key)
    ]
    deployment = ledger.deployment(
        record.intent.place, record.intent.endpoint_id, record.created_at
    )
    return {
        **record_document(record),
        "policy": record.intent.policy.as_json(),
        "webhook": record.intent.webhook,
        "sync": record.intent.is_sync,
        "output_dir": str(record.intent.output_dir) if record.intent.output_dir else None,
        "output_name": record.intent.output_name,
        "bucket": None if record.intent.bucket is None else asdict(record.intent.bucket),
        "input": ledger.payload(record.key),
        "input_is_whole": record.is_payload_whole,
        "output": ledger.output(record.key),
        "worker_error": ledger.worker_error(record.key),
        "files": files,
        "states": states,
        "deployment": _deployment(deployment),
    }


def show_page(output: Output, document: JsonObject, record: Record) -> None:
    """Print all that the ledger knows of a job."""
    if output.as_json:
        output.document(document)
        return
    intent, deployment = record.intent, document["deployment"]
    now = time.time()
    rows = [
        ("job", record.job_id or f"{record.key} (RunPod's id is not known)"),
        ("state", record.state.value.replace("_", " ")),
        ("error", record.error),
        ("input", _short_json(document["input"])),
        ("endpoint", f"{intent.endpoint_id}{' on the local RunPod' * intent.place.is_local}"),
        ("preset", intent.preset),
        ("sent", f"{utc_text(record.created_at)}, {ago_text(record.created_at, now)}"),
        ("queued", _seconds(record.delay_ms)),
        ("ran", _seconds(record.execution_ms)),
        ("cost", _cost(record)),
        ("worker", record.worker_id),
        ("states", _states_text(document["states"])),
        ("result", _result_text(record, now)),
        ("repeats", intent.parent),
        ("batch", intent.batch_id),
    ]
    if isinstance(deployment, dict):
        shown = (deployment["image"], deployment["gpu_ids"], deployment["template_id"])
        rows.append(("ran on", ", ".join(str(each) for each in shown if each)))
    for each in document["files"] if isinstance(document["files"], list) else ():
        if isinstance(each, dict) and isinstance(size := each["bytes"], int):
            gone = "" if each["there"] else ", not there any more"
            rows.append(("file", f"{each['path']}   {bytes_text(size)}{gone}"))
    output.table([Column("field"), Column("value")], [(n, v) for n, v in rows if v], document)


def _deployment(deployment: Deployment | None) -> JsonObject | None:
    if deployment is None:
        return None
    fields: JsonObject = asdict(deployment)
    del fields["place"], fields["endpoint_id"], fields["preset"]
    return {**fields, "at": utc_text(deployment.at)}


def _row(record: Record, now: float) -> tuple[str, ...]:
    return (
        record.short_id,
        record.intent.preset or record.intent.endpoint_id,
        record.state.value.replace("_", " "),
        _seconds(record.delay_ms) or "-",
        _seconds(record.execution_ms) or "-",
        _cost(record) or "-",
        str(record.file_count or "-"),
        ago_text(record.created_at, now),
        _remark(record),
    )


def _remark(record: Record) -> str:
    from runpodctl_py.jobs.ledger import State

    if record.state is State.EXPIRED:
        return "result gone before it was fetched"
    if record.error:
        line = record.error.splitlines()[0]
        return line if len(line) <= _LONGEST_REMARK else f"{line[: _LONGEST_REMARK - 1]}…"
    if record.state.is_final and record.waits:
        return "not fetched yet"
    return ""


def _result_text(record: Record, now: float) -> str | None:
    if record.saved_at is not None:
        return f"here, {ago_text(record.saved_at, now)}"
    if record.kept_until is None:
        return None
    left_s = record.kept_until - now
    if left_s <= 0:
        return "not fetched; RunPod has probably dropped it"
    return f"not fetched; RunPod drops it in {seconds_text(left_s)}"


def _short_json(value: JsonValue) -> str | None:
    if value is None:
        return None
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_INPUT else f"{text[:_LONGEST_INPUT]}… (whole with --json)"


def _states_text(states: JsonValue) -> str:
    seen = [each for each in states if isinstance(each, dict)] if isinstance(states, list) else []
    return ", ".join(f"{each['state']} {str(each['at'])[11:19]}" for each in seen)


def _seconds(ms: int | None) -> str | None:
    return None if ms is None else seconds_text(ms / 1000)


def _cost(record: Record) -> str | None:
    if record.cost_usd is None or record.intent.place.is_local:
        return None
    return usd_text(record.cost_usd)
