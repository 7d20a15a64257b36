"""One row of a batch: what it asks for, and what came of it. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runpodctl_py.api.types import Policy

if TYPE_CHECKING:
    from runpodctl_py.jobs.ledger import KeptFile, State
    from runpodctl_py.jsontypes import JsonObject, JsonValue


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the file, as a job's input.

    Args:
        line: The line of the file on which it begins; the first one is 1.
        name: What the file calls it, or else its line number.
        payload: The input.
        policy: What it asks for beside the input.
    """

    line: int
    name: str
    payload: JsonObject
    policy: Policy = field(default_factory=Policy)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be sent.

    Args:
        line: The line of the file on which it begins.
        problem: Why, for a person.
    """

    line: int
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RowResult:
    """What came of a row: of its last attempt, if there were several.

    Args:
        line: The line of the file on which it begins.
        name: What the file calls it, or else its line number.
        key: The ledger's name of the attempt.
        job_id: RunPod's id of it.
        state: Where it ended.
        is_success: Whether it is a success.
        is_whole: Whether all that it returned is on our disk, so that nothing is left to be asked.
        delay_ms: Time in the queue.
        execution_ms: Time on the worker.
        cost_usd: About what that cost.
        worker_id: The worker that ran it.
        files: What was saved.
        output: What it returned, with files' contents replaced by where they are.
        error: Why it is no success, in words.
        attempts: How often it was sent.
    """

    line: int
    name: str
    key: str
    job_id: str | None
    state: State
    is_success: bool
    delay_ms: int | None = None
    execution_ms: int | None = None
    cost_usd: float | None = None
    worker_id: str | None = None
    files: tuple[KeptFile, ...] = ()
    output: JsonValue = None
    error: str | None = None
    attempts: int = 1
    is_whole: bool = True
