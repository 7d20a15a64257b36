"""How batches of the ledger look: a row of the list, and one batch in full."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runpodctl_py.cli.durations import ago_text, utc_text
from runpodctl_py.cli.output import Column, usd_text
from runpodctl_py.jobs.ledger import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runpodctl_py.cli.output import Output
    from runpodctl_py.jobs.ledger import Batch, Counts, Ledger
    from runpodctl_py.jsontypes import JsonObject, JsonValue

_COLUMNS = (
    Column("batch"),
    Column("state"),
    Column("rows", is_number=True),
    Column("done", is_number=True),
    Column("failed", is_number=True),
    Column("left", is_number=True),
    Column("cost", is_number=True),
    Column("begun"),
    Column("file"),
)


def show_list(output: Output, ledger: Ledger, batches: Sequence[Batch]) -> None:
    """Print batches as a table, or as one JSON document."""
    now = time.time()
    documents = [batch_document(ledger, each) for each in batches]
    rows = [_row(each, now, batch) for each, batch in zip(documents, batches, strict=True)]
    output.table(_COLUMNS, rows, [*documents])


def show(output: Output, ledger: Ledger, batch: Batch) -> None:
    """Print how one batch stands."""
    output.record(batch_document(ledger, batch))


def batch_document(ledger: Ledger, batch: Batch) -> JsonObject:
    """Return a batch as a JSON document; its keys are a promise to scripts."""
    counts = ledger.batches.counts(batch.batch_id)
    states: JsonObject = {state.value: count for state, count in counts.states.items()}
    return {
        "batch": batch.batch_id,
        "state": batch.state.value,
        "running": ledger.batches.is_running(batch),
        "endpoint_id": batch.endpoint_id,
        "preset": batch.preset,
        "local": batch.place.is_local,
        "file": str(batch.options["name"]),
        "output_dir": str(batch.output_dir),
        "rows": batch.total,
        "invalid": batch.invalid,
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "unknown": counts.states.get(State.UNKNOWN, 0),
        "in_flight": _in_flight(counts),
        "left": max(0, batch.total - batch.invalid - counts.succeeded - counts.failed),
        "states": states,
        "cost_usd": round(counts.cost_usd, 6),
        "created_at": utc_text(batch.created_at),
        "ended_at": utc_text(batch.ended_at),
    }


def _in_flight(counts: Counts) -> int:
    return sum(counts.states.get(each, 0) for each in (State.QUEUED, State.RUNNING))


def _row(document: JsonObject, now: float, batch: Batch) -> tuple[str, ...]:
    state = "running" if document["running"] else str(document["state"])
    counted: list[JsonValue] = [document[key] for key in ("rows", "succeeded", "failed", "left")]
    return (
        batch.batch_id,
        state,
        *map(str, counted),
        usd_text(float(str(document["cost_usd"]))),
        ago_text(batch.created_at, now),
        str(document["file"]),
    )
