"""The ledger: what was submitted where, and what came back; outlives every process and crash."""

from runpodctl_py.jobs.ledger.batches import Batch, BatchState, Counts
from runpodctl_py.jobs.ledger.reading import Filter, Waiting
from runpodctl_py.jobs.ledger.record import (
    FINAL,
    BucketPlace,
    Deployment,
    Intent,
    KeptFile,
    Place,
    Record,
    Sighting,
    State,
    short_id,
)
from runpodctl_py.jobs.ledger.scribe import Scribe
from runpodctl_py.jobs.ledger.store import Home, Ledger

__all__ = [
    "FINAL",
    "Batch",
    "BatchState",
    "BucketPlace",
    "Counts",
    "Deployment",
    "Filter",
    "Home",
    "Intent",
    "KeptFile",
    "Ledger",
    "Place",
    "Record",
    "Scribe",
    "Sighting",
    "State",
    "Waiting",
    "short_id",
]
